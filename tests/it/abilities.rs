//! What a store can do is found out by trying, recorded, and made use of; what is missing is replaced by a
//! weaker check that is told, or the store is refused.

use std::path::Path;

use local_s3::{Builder, ChecksumsOfParts, Fault, LocalS3, LoggedRequest, Operation};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::kill::{Moment, pass_with_signal};
use crate::support::tree::{self, assert_same, settle};
use crate::support::{BUCKET, Output, SOURCE, World, noise};
use crate::verify::{findings, report};

/// A world whose server is made so, with a file that goes in parts and one that does not.
fn world(server: Builder) -> World {
    let world = World::with_server(server.bucket(BUCKET).start().unwrap());
    world.write("large", noise(1, 17 << 20));
    world.write("small", "small");
    settle();
    world
}

/// A server over a folder, at a port of its own.
fn over(folder: &Path, port: u16) -> Builder {
    LocalS3::builder().persist_in(folder).port(port)
}

/// Ends the world's server and starts another one.
fn replace_server(world: &mut World, server: Builder) {
    world.server = LocalS3::builder().start().unwrap();
    world.server = server.bucket(BUCKET).start().unwrap();
}

fn port(world: &World) -> u16 {
    let endpoint = world.server.endpoint();
    endpoint.rsplit(':').next().unwrap().parse().unwrap()
}

fn lock(world: &World) -> Value {
    let key = world.full_key("lock");
    let object = world.server.object(BUCKET, &key).unwrap();
    serde_json::from_slice(&object.bytes).unwrap()
}

fn kept(world: &World) -> Value {
    lock(world)["server"]["checksum_of_parts"].clone()
}

fn tried(requests: &[LoggedRequest]) -> usize {
    let is_of_probe = |request: &&LoggedRequest| {
        let key = request.key.as_deref().unwrap_or_default();
        key.ends_with("/probe")
    };
    requests.iter().filter(is_of_probe).count()
}

fn notices(output: &Output) -> String {
    let events = output.events_named("notice").into_iter();
    let texts = events.map(|event| event["message"].as_str().unwrap().to_owned());
    texts.collect::<Vec<_>>().join("\n")
}

fn assert_restores(world: &World) {
    let restored = tree::read(&world.restored_latest());
    assert_same(&tree::read(&world.data()), &restored);
}

#[test]
fn what_a_store_can_do_is_tried_once_and_recorded() {
    let world = world(LocalS3::builder());
    let back_up = || drop(world.back_up());
    assert!(tried(&world.requests_of(back_up)) > 0);
    let address = world.server.endpoint().replace("http://", "");
    let all =
        json!({"address": address, "checksum_of_parts": "crc64nvme", "parts_if_absent": true});
    assert_eq!(lock(&world)["server"], all);
    assert_eq!(tried(&world.requests_of(back_up)), 0);
    assert_eq!(lock(&world)["server"], all);
    assert!(world.server.uploads(BUCKET).is_empty());

    // As an earlier version has left it.
    let mut earlier = lock(&world);
    earlier.as_object_mut().unwrap().remove("server");
    earlier["conditions_checked"] = true.into();
    let bytes = serde_json::to_vec(&earlier).unwrap();
    world.server.replace(BUCKET, &world.full_key("lock"), bytes);
    assert!(tried(&world.requests_of(back_up)) > 0);
    assert_eq!(lock(&world)["server"], all);
}

#[test]
fn where_parts_have_no_crc64_their_sha256_are_compared() {
    let world = world(LocalS3::builder().checksums_of_parts(ChecksumsOfParts::Older));
    let output = world.back_up();
    assert!(
        notices(&output).contains("SHA-256 of the parts"),
        "{output:?}"
    );
    assert_eq!(kept(&world), "sha256");
    let (code, found) = report(&world, &[]);
    assert_eq!(
        (code, &found["compared"]["checksum"]),
        (0, &json!(2)),
        "{found}"
    );
    assert_restores(&world);
    // Other bytes, and what a store would tell that was sent them in parts of other lengths.
    let key = world.full_key(&world.key_like("files/", "/large"));
    world.server.replace(BUCKET, &key, noise(2, 17 << 20));
    let (code, found) = findings(&world, &[]);
    assert_eq!(code, 4, "{found:?}");
    assert!(found[0].starts_with("large: "), "{found:?}");
    assert!(!notices(&world.back_up()).contains("store"), "told once");
}

#[test]
fn where_parts_have_no_checksum_the_verdict_says_so() {
    let world = world(LocalS3::builder().checksums_of_parts(ChecksumsOfParts::Ignored));
    let output = world.back_up();
    assert!(notices(&output).contains("no checksum"), "{output:?}");
    assert_eq!(kept(&world), "none");
    let (code, found) = report(&world, &[]);
    let compared = json!({"contents": 0, "checksum": 1, "etag": 1, "size": 0});
    assert_eq!((code, &found["compared"]), (0, &compared), "{found}");
    let said = world.offsite(["verify", "--checksums"]);
    assert!(said.stdout.contains("1 by checksum, 1 by ETag"), "{said:?}");
    assert!(said.stderr.contains("no checksum of 1 object"), "{said:?}");
    assert_restores(&world);

    // Put again with the same bytes: nobody can say, until they are read.
    let key = world.full_key(&world.key_like("files/", "/large"));
    world.server.replace(BUCKET, &key, noise(1, 17 << 20));
    assert_eq!(findings(&world, &[]).0, 4);
    assert_eq!(findings(&world, &["--read"]).0, 0);
    world.server.replace(BUCKET, &key, noise(2, 17 << 20));
    assert_eq!(findings(&world, &["--read"]).0, 4);
}

/// Parts of a store that looks at no checksum are signed, so that what is damaged on the way is not taken.
#[test]
fn a_part_without_a_checksum_is_signed() {
    let world = world(LocalS3::builder().checksums_of_parts(ChecksumsOfParts::Ignored));
    let requests = world.requests_of(|| drop(world.back_up()));
    let parts = requests.iter().filter(|request| {
        let key = request.key.as_deref().unwrap_or_default();
        request.operation == Operation::UploadPart && key.ends_with("/large")
    });
    let signed = |request: &LoggedRequest| {
        let header = request.headers.get("x-amz-content-sha256").unwrap();
        header.to_str().unwrap().len() == 64
    };
    assert_eq!(parts.map(signed).collect::<Vec<_>>(), [true; 3]);
}

#[test]
fn parts_replace_nothing_where_the_store_does_not_refuse_that() {
    let server = LocalS3::builder().ignores_conditions_of_parts();
    let mut world = world(server);
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__COMPRESSION", "none");
    world.set("DEFAULTS__ARCHIVE__KEY", "archives/{source}.{ext}");
    let output = world.back_up();
    assert!(
        notices(&output).contains("looked up just before"),
        "{output:?}"
    );
    assert_eq!(lock(&world)["server"]["parts_if_absent"], false);
    let first = tree::read(&world.data());
    world.write("large", noise(3, 17 << 20));
    settle();
    world.back_up();
    let snapshots = world.snapshots();
    assert_same(&first, &tree::read(&world.restored(&snapshots[0])));
    assert_restores(&world);
    let archives = world.keys().into_iter();
    assert_eq!(
        archives.filter(|key| key.starts_with("archives/")).count(),
        2
    );
}

#[test]
fn a_store_that_takes_nothing_in_parts_is_refused_by_name() {
    let world = world(LocalS3::builder());
    let refused = Fault::on(Operation::CreateMultipartUpload).times(100);
    world.server.fault(refused.status(501, "NotImplemented"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 2, "{output:?}");
    let failed = output.event("backup_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.contains("does not take objects that are sent in parts"),
        "{error}"
    );
    assert!(failed["hint"].as_str().unwrap().contains("docs/STORES.md"));
    assert_eq!(lock(&world)["state"], "released");
    assert_eq!(world.keys(), ["lock", "probe"]);
    world.server.clear_faults();
    world.back_up();
}

/// What may be mended tomorrow says nothing about what the store can do.
#[test]
fn what_fails_while_it_is_tried_is_no_lack() {
    let world = world(LocalS3::builder());
    for operation in [Operation::CreateMultipartUpload, Operation::HeadObject] {
        let denied = Fault::on(operation).key_contains("/probe").times(1);
        let fault = world.server.fault(denied.status(403, "AccessDenied"));
        let output = world.offsite(["run"]);
        assert_eq!((output.code, fault.fired()), (12, 1), "{output:?}");
        assert_eq!(lock(&world)["state"], "released");
        assert_eq!(kept(&world), Value::Null);
    }
    world.back_up();
    assert_eq!(kept(&world), "crc64nvme");
}

/// As by an earlier pass that lost the lock while it tried, and wakes up.
#[test]
fn what_another_pass_has_given_up_is_tried_again() {
    let all = [
        Operation::UploadPart,
        Operation::CompleteMultipartUpload,
        Operation::HeadObject,
    ];
    for operation in all {
        let world = world(LocalS3::builder());
        let gone = Fault::on(operation).key_contains("/probe").times(1);
        let fault = world.server.fault(gone.status(404, "NoSuchUpload"));
        world.back_up();
        assert_eq!((fault.fired(), &kept(&world)), (1, &json!("crc64nvme")));
    }
}

#[test]
fn killed_while_it_is_tried_nothing_looks_like_an_ability() {
    let mut index = 0;
    loop {
        let world = world(LocalS3::builder());
        let requests = {
            let killed = pass_with_signal(&world, index, Moment::After, Signal::KILL);
            assert_eq!(killed.unwrap().code, -9);
            world.server.requests()
        };
        let is_over = requests.iter().any(|request| {
            let key = request.key.as_deref().unwrap_or_default();
            request.operation != Operation::HeadObject && key.contains("/files/")
        });
        if is_over {
            break;
        }
        if world.keys().iter().any(|key| key == "lock") {
            assert_eq!(kept(&world), Value::Null, "at request {index}");
        }
        world.expire_leases();
        world.back_up();
        assert_eq!(kept(&world), "crc64nvme", "at request {index}");
        assert!(
            world.server.uploads(BUCKET).is_empty(),
            "at request {index}"
        );
        index += 1;
    }
    assert!(index > 8, "{index}");
}

#[test]
fn an_ability_that_is_gone_is_told_and_tried_again_by_the_next_pass() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(over(folder.path(), 0));
    world.back_up();
    let port = port(&world);
    let weaker = over(folder.path(), port).checksums_of_parts(ChecksumsOfParts::Ignored);
    replace_server(&mut world, weaker);
    world.write("larger", noise(4, 17 << 20));
    settle();
    // Further attempts would find out nothing else.
    world.set("RETRY__FOR", "1m");
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.events_named("pass_retried").is_empty());
    let failed = output.event("backup_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("which it did when it was tried"), "{error}");
    assert!(failed["hint"].as_str().unwrap().contains("run it again"));
    assert_eq!(kept(&world), Value::Null);

    world.back_up();
    assert_eq!(kept(&world), "none");
    assert_restores(&world);
    assert_eq!(findings(&world, &[]), (0, vec![]));
}

#[test]
fn what_answers_elsewhere_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(over(folder.path(), 0));
    world.back_up();
    let keys = world.keys();
    replace_server(&mut world, over(folder.path(), 0).ignores_if_none_match());
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert_eq!(world.keys(), keys);
    replace_server(&mut world, over(folder.path(), 0));
    let output = world.back_up();
    assert_eq!(output.event("snapshot_committed")["source"], SOURCE);
}
