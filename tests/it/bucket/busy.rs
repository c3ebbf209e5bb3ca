//! Servers that have too much to do, take less at once, or fail in the middle of an answer.

use std::time::Duration;

use local_s3::{Fault, LocalS3, LoggedRequest, Operation};

use super::{BUCKET_SOURCE, Documents, count};
use crate::support::{BUCKET, noise};

/// What the server of these tests copies at once, in bytes: a thousandth of S3's 5 GiB, about.
const COPY_LIMIT: u64 = 5 << 20;

/// How many copies the busy server makes at once.
const AT_ONCE: usize = 8;

fn copies() -> Fault {
    Fault::on(Operation::CopyObject)
}

fn limited() -> Documents {
    let server = LocalS3::builder().bucket(BUCKET).bucket(BUCKET_SOURCE);
    Documents::on(server.copy_limit(COPY_LIMIT).start().unwrap())
}

#[test]
fn a_server_that_takes_few_copies_at_once_is_asked_for_fewer() {
    let mut world = Documents::new();
    world.set("LIMITS__CONCURRENCY", 32);
    for number in 0..150 {
        world.put(&format!("{number:03}.jpg"), format!("{number}"));
    }
    let busy = copies().above(AT_ONCE).always().status(503, "SlowDown");
    let busy = world.server.fault(busy);
    // So that they are there at the same time.
    let slow = copies().always().delay(Duration::from_millis(300));
    world.server.fault(slow);
    let requests = world.requests_of(|| {
        let output = world.back_up();
        let committed = output.event("snapshot_committed");
        assert_eq!(committed["complete"], true, "{committed}");
        assert_eq!(committed["files"], 150, "{committed}");
    });
    assert!(busy.fired() > 0);
    let asked: Vec<_> = requests
        .iter()
        .filter(|request| request.operation == Operation::CopyObject)
        .collect();
    let refused = |half: &[&LoggedRequest]| {
        let is_refused = |request: &&&LoggedRequest| request.status == Some(503);
        half.iter().filter(is_refused).count()
    };
    // Once it is known how many go at once, few are too many.
    let (_, end) = asked.split_at(asked.len() / 2);
    assert!(refused(end) * 4 < end.len(), "{}", refused(end));
    assert_eq!(world.copies(), world.contents());
}

#[test]
fn an_error_in_a_success_is_asked_about_again() {
    let world = Documents::new();
    for code in ["SlowDown", "InternalError", "ServiceUnavailable"] {
        world.put("a.jpg", code);
        let failing = copies().times(2).error_in_body(code);
        let failing = world.server.fault(failing);
        let output = world.back_up();
        assert_eq!(failing.fired(), 2, "{code}");
        assert_eq!(output.event("snapshot_committed")["complete"], true);
        assert_eq!(world.copies(), world.contents(), "{code}");
    }
}

#[test]
fn an_object_whose_copies_only_look_like_successes_keeps_its_last_copy() {
    let world = Documents::new();
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        world.put(key, "before");
    }
    world.back_up();
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        world.put(key, "after");
    }
    let refused = copies().key_contains("/b.jpg").always();
    world.server.fault(refused.error_in_body("AccessDenied"));
    let output = world.offsite(["run"]);
    world.server.clear_faults();
    assert_eq!(output.code, 3, "{output:?}");
    let failed = output.event("file_unreadable");
    assert_eq!(failed["path"], "b.jpg", "{failed}");
    assert!(world.entries()["b.jpg"]["unreadable"]["error"].is_string());
    let copies = world.copies();
    assert_eq!(copies["a.jpg"], b"after");
    assert_eq!(copies["b.jpg"], b"before");
    assert_eq!(copies["c.jpg"], b"after");
    world.back_up();
    assert_eq!(world.copies(), world.contents());
}

/// The "6 GiB" of a server whose limit is a thousandth of S3's.
#[test]
fn what_the_server_does_not_copy_at_once_goes_in_parts_and_comes_back_with_all_it_has() {
    let mut world = limited();
    world.set("LIMITS__COPY_WHOLE", "5MiB");
    let six = usize::try_from(COPY_LIMIT).unwrap() / 5 * 6;
    world.put_with_all("six.pdf", noise(4, six));
    world.put_with_all("at the limit.pdf", noise(5, six / 6 * 5));
    world.put_with_all("one more.pdf", noise(6, six / 6 * 5 + 1));
    let requests = world.requests_of(|| {
        let output = world.back_up();
        assert_eq!(output.event("snapshot_committed")["complete"], true);
    });
    assert_eq!(count(&requests, Operation::CopyObject), 1);
    assert_eq!(count(&requests, Operation::UploadPartCopy), 4);
    let originals = ["six.pdf", "at the limit.pdf", "one more.pdf"].map(|key| {
        let original = world.server.object(BUCKET_SOURCE, key).unwrap();
        let copy = world.full_key(&world.copy_of(key));
        let copy = world.server.object(BUCKET, &copy).unwrap();
        assert_eq!(copy.attributes, original.attributes, "{key}");
        assert_eq!(copy.attributes.storage_class, "STANDARD_IA", "{key}");
        assert!(copy.bytes == original.bytes, "{key}");
        (key, original)
    });

    for (key, _) in &originals {
        assert!(world.server.remove(BUCKET_SOURCE, key));
    }
    let restored = world.offsite(["restore", "--source", "documents", "--in-place"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    for (key, original) in originals {
        let back = world.server.object(BUCKET_SOURCE, key).unwrap();
        assert_eq!(back.attributes, original.attributes, "{key}");
        assert!(back.bytes == original.bytes, "{key}");
    }
    assert!(world.server.uploads(BUCKET_SOURCE).is_empty());
    assert!(world.server.uploads(BUCKET).is_empty());
}

#[test]
fn an_object_above_the_servers_limit_is_named_and_the_rest_is_copied() {
    let world = limited();
    world.put("a.pdf", "a");
    world.put("large.pdf", noise(7, 6 << 20));
    world.put("z.pdf", "z");
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 3, "{output:?}");
    let failed = output.event("file_unreadable");
    assert_eq!(failed["path"], "large.pdf", "{failed}");
    assert!(world.entries()["large.pdf"]["pass"].is_null());
    assert_eq!(output.events_named("object_copied").len(), 2);
}
