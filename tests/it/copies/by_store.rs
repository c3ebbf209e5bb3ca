//! Large objects that the store takes from the other one by itself.

use std::sync::{Arc, Mutex};

use local_s3::{Answer, Fault, HookAction, LoggedRequest, Operation};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{OTHER, assert_copied, copy, directory, pass, snapshots};
use crate::kill::Moment;
use crate::support::tree::Tree;
use crate::support::{BUCKET, Output, World, finish, noise};

/// Sent in parts by passes, of which the store keeps the CRC-64/NVME.
const LARGE: usize = (17 << 20) + 3;

fn world() -> (World, Vec<Tree>) {
    let world = World::new();
    world.write("large", noise(1, LARGE));
    world.write("small", "small");
    let trees = vec![pass(&world)];
    (world, trees)
}

/// The requests for contents.
fn of_contents(requests: &[LoggedRequest]) -> impl Iterator<Item = &LoggedRequest> {
    let key = |request: &&LoggedRequest| request.key.clone().unwrap_or_default();
    requests
        .iter()
        .filter(move |request| key(request).contains("/files/"))
}

/// Bytes of contents that a copy has read and sent, by the server's log.
fn flowed(requests: &[LoggedRequest]) -> (u64, u64) {
    let sum = |operations: &[Operation], bytes: fn(&LoggedRequest) -> u64| {
        let those = of_contents(requests);
        let those = those.filter(|request| operations.contains(&request.operation));
        those.map(bytes).sum()
    };
    let read = sum(&[Operation::GetObject], |request| request.sent);
    let sent = [Operation::PutObject, Operation::UploadPart];
    (read, sum(&sent, |request| request.received))
}

fn count(requests: &[LoggedRequest], operation: Operation) -> usize {
    let those = of_contents(requests);
    those
        .filter(|request| request.operation == operation)
        .count()
}

fn copied(world: &World, code: i32) -> (Output, Vec<LoggedRequest>) {
    let mut output = None;
    let requests = world.requests_of(|| output = Some(copy(world, OTHER)));
    let output = output.unwrap();
    assert_eq!(output.code, code, "{output:?}");
    (output, requests)
}

fn bytes(output: &Output) -> (Value, Value) {
    let done = output.event("copy_completed");
    (done["bytes"].clone(), done["server_side_bytes"].clone())
}

#[test]
fn what_is_large_does_not_pass_through_here() {
    let (world, trees) = world();
    let (output, requests) = copied(&world, 0);
    assert_eq!(bytes(&output), ((LARGE + 5).into(), LARGE.into()));
    assert_eq!(flowed(&requests), (5, 5));
    assert_eq!(count(&requests, Operation::UploadPartCopy), 2);
    assert_copied(&world, OTHER, &world.snapshots(), &trees);
    // A directory cannot do it.
    let to = directory(&world);
    let to = to.to_str().unwrap();
    let output = copy(&world, to);
    assert_eq!(bytes(&output), ((LARGE + 5).into(), 0.into()));
    assert_copied(&world, to, &world.snapshots(), &trees);
}

/// What fails for the moment says nothing of other objects.
#[test]
fn an_object_that_the_store_fails_at_is_read_and_the_others_are_not() {
    let (mut world, trees) = world();
    world.set("LIMITS__CONCURRENCY", 1);
    drop(trees);
    world.write("first", noise(2, LARGE));
    pass(&world);
    let fails = Fault::on(Operation::UploadPartCopy).key_contains("/first");
    world.server.fault(fails.always().status(503, "SlowDown"));
    let (output, _) = copied(&world, 0);
    assert_eq!(bytes(&output), ((2 * LARGE + 5).into(), LARGE.into()));
    assert!(output.events_named("notice").is_empty(), "{output:?}");
    assert_eq!(world.server.uploads(BUCKET).len(), 0);
    let verified = world.offsite(["verify", "--read", "--store", OTHER]);
    assert_eq!(verified.code, 0, "{verified:?}");
}

/// Once one object was refused, all others are read and written.
#[test]
fn a_store_that_may_not_or_cannot_is_asked_once() {
    for (status, code) in [
        (403, "AccessDenied"),
        (501, "NotImplemented"),
        (404, "NoSuchBucket"),
    ] {
        let (mut world, _) = world();
        world.set("LIMITS__CONCURRENCY", 1);
        world.write("second", noise(2, LARGE));
        world.write("third", noise(3, LARGE));
        pass(&world);
        let refused = Fault::on(Operation::UploadPartCopy).status(status, code);
        world.server.fault(refused.always());
        let (output, requests) = copied(&world, 0);
        let all = 3 * LARGE + 5;
        assert_eq!(bytes(&output), (all.into(), 0.into()), "{code}");
        assert!(count(&requests, Operation::UploadPartCopy) <= 2, "{code}");
        let notices = output.events_named("notice");
        assert!(
            notices
                .iter()
                .any(|notice| notice.to_string().contains("by itself")),
            "{output:?}"
        );
        assert_eq!(world.server.uploads(BUCKET).len(), 0, "{code}");
        assert_eq!(snapshots(&world, OTHER), world.snapshots());
        let verified = world.offsite(["verify", "--read", "--store", OTHER]);
        assert_eq!(verified.code, 0, "{verified:?}");
    }
}

/// The store of which it was copied does not know that it is damaged.
#[test]
fn what_is_damaged_is_not_copied_by_the_store_either() {
    let (world, _) = world();
    let key = world.full_key(&world.key_like("files/", "/large"));
    world.server.corrupt(BUCKET, &key, LARGE - 1);
    let (output, _) = copied(&world, 4);
    let failed = output.event("copy_failed");
    assert!(
        failed["error"].as_str().unwrap().contains("/large"),
        "{failed}"
    );
    let keys = world.server.keys(BUCKET);
    assert!(
        !keys
            .iter()
            .any(|key| key.starts_with("other/files/") && key.ends_with("/large"))
    );
    assert_eq!(snapshots(&world, OTHER), Vec::<String>::new());
    assert_eq!(world.server.uploads(BUCKET).len(), 0);
}

/// A store that does not say what it has computed is not believed, nor one whose word is not so, and neither is
/// asked again.
#[test]
fn a_copy_that_is_not_proven_is_none() {
    let checksums = ["", "<ChecksumCRC64NVME>AAECAwQFBgc=</ChecksumCRC64NVME>"];
    for (checksum, said) in checksums
        .into_iter()
        .zip(["without its checksum", "is not so"])
    {
        let (mut world, _) = world();
        world.set("LIMITS__CONCURRENCY", 1);
        world.write("second", noise(2, LARGE));
        pass(&world);
        let etag = "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag>";
        let part = format!("<CopyPartResult>{etag}{checksum}</CopyPartResult>");
        let forged = Fault::on(Operation::UploadPartCopy).always();
        (world.server).fault(forged.answer_after(Answer::new(200).body(part)));
        let (output, requests) = copied(&world, 0);
        assert_eq!(bytes(&output), ((2 * LARGE + 5).into(), 0.into()));
        let completed = count(&requests, Operation::CompleteMultipartUpload);
        let aborted = count(&requests, Operation::AbortMultipartUpload);
        // Two that were read and sent, and one that the store has copied.
        assert_eq!((completed, aborted), (2, 1), "{said}");
        let notices = output.events_named("notice");
        assert!(
            notices
                .iter()
                .any(|notice| notice.to_string().contains(said)),
            "{output:?}"
        );
        assert_eq!(world.server.uploads(BUCKET).len(), 0);
        let verified = world.offsite(["verify", "--read", "--store", OTHER]);
        assert_eq!(verified.code, 0, "{verified:?}");
    }
}

/// Killed before and after each kind of request that such a copy makes, it leaves no object that is not whole.
#[test]
fn a_copy_by_the_store_that_is_killed_is_continued() {
    let (mut world, _) = world();
    world.set("LIMITS__CONCURRENCY", 1);
    let operations = [
        Operation::HeadObject,
        Operation::CreateMultipartUpload,
        Operation::UploadPartCopy,
        Operation::CompleteMultipartUpload,
    ];
    let moments = operations
        .into_iter()
        .flat_map(|operation| [Moment::Before, Moment::After].map(|moment| (operation, moment)));
    for (index, (operation, moment)) in moments.enumerate() {
        let to = format!("s3://{BUCKET}/to-{index}/");
        assert!(is_killed(&world, &to, operation, moment), "{operation:?}");
        world.expire_leases();
        assert_eq!(snapshots(&world, &to), Vec::<String>::new());
        let large = |key: &String| {
            key.starts_with(&format!("to-{index}/files/")) && key.ends_with("/large")
        };
        let is_made = (operation, moment) == (Operation::CompleteMultipartUpload, Moment::After);
        assert_eq!(world.server.keys(BUCKET).iter().any(large), is_made);
        let copied = world.offsite(["copy", "--to", &to]);
        assert_eq!(copied.code, 0, "{copied:?}");
        let there = copied.event("snapshot_copied")["server_side_bytes"] == 0;
        assert_eq!(there, is_made, "{copied:?}");
        let verified = world.offsite(["verify", "--read", "--store", &to]);
        assert_eq!(verified.code, 0, "{verified:?}");
    }
}

/// Kills a copy at its first request of a kind for the large file.
fn is_killed(world: &World, to: &str, operation: Operation, moment: Moment) -> bool {
    let process = Arc::new(Mutex::new(None));
    let mut started = process.lock().unwrap();
    let known = Arc::clone(&process);
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if request.operation != operation || !key.ends_with("/large") {
            return HookAction::Proceed;
        }
        let process: Pid = known.lock().unwrap().unwrap();
        let kill = move || {
            let _ = kill_process(process, Signal::KILL);
        };
        match moment {
            Moment::Before => {
                kill();
                HookAction::DropBefore
            }
            Moment::After => HookAction::handle_then_drop(kill),
        }
    });
    let child = world.spawn(["copy", "--to", to]);
    *started = Some(Pid::from_child(&child));
    drop(started);
    let output = finish(child.wait_with_output().unwrap());
    world.server.clear_hook();
    output.code == -9
}
