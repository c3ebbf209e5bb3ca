//! Objects that cannot be copied, and buckets that cannot be listed.

use local_s3::{Answer, Fault, HookAction, Operation};
use serde_json::Value;

use super::{BUCKET_SOURCE, Documents, count};
use crate::support::{BUCKET, Output};

fn fault_on_copy(key: &str) -> Fault {
    Fault::on(Operation::CopyObject).key_contains(key.to_owned())
}

/// The error of the only object that failed.
fn failure(output: &Output) -> Value {
    let mut failed = output.events_named("file_unreadable");
    failed.extend(output.events_named("file_upload_failed"));
    assert_eq!(failed.len(), 1, "{output:?}");
    failed.remove(0)
}

#[test]
fn an_object_that_fails_keeps_its_last_copy_and_the_rest_goes_on() {
    let world = Documents::new();
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        world.put(key, "before");
    }
    world.back_up();
    for key in ["a.jpg", "b.jpg", "c.jpg", "d.jpg"] {
        world.put(key, "after");
    }
    let refused = fault_on_copy("/b.jpg").always();
    world.server.fault(refused.status(403, "AccessDenied"));
    let refused = fault_on_copy("/d.jpg").always();
    world.server.fault(refused.status(400, "InvalidRequest"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(
        output.events_named("file_unreadable").len(),
        2,
        "{output:?}"
    );
    let entries = world.entries();
    assert!(entries["b.jpg"]["unreadable"]["error"].is_string());
    assert!(entries["d.jpg"]["pass"].is_null());
    let key = world.full_key(&world.copy_of("b.jpg"));
    assert_eq!(
        &world.server.object(BUCKET, &key).unwrap().bytes[..],
        b"before"
    );
    let key = world.full_key(&world.copy_of("c.jpg"));
    assert_eq!(
        &world.server.object(BUCKET, &key).unwrap().bytes[..],
        b"after"
    );

    // Once it can be copied, it is.
    world.server.clear_faults();
    world.back_up();
    assert_eq!(world.copies(), world.contents());
}

#[test]
fn an_object_that_is_replaced_between_list_and_copy_is_captured_as_it_is_then() {
    let world = Documents::new();
    world.put("a.jpg", "listed");
    replace_before_copy(&world, 1);
    let output = world.back_up();
    world.server.clear_hook();
    assert_eq!(output.event("snapshot_committed")["complete"], true);
    assert_eq!(world.copies(), world.contents());
    assert_eq!(world.contents()["a.jpg"], b"replaced 1");
    // Its metadata are those of what was copied, so that the next pass has nothing to do.
    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(count(&requests, Operation::CopyObject), 0);
}

#[test]
fn an_object_that_is_replaced_again_and_again_is_left_for_the_next_pass() {
    let world = Documents::new();
    world.put("a.jpg", "before");
    world.put("b.jpg", "b");
    world.back_up();
    world.put("a.jpg", "listed");
    replace_before_copy(&world, usize::MAX);
    let output = world.offsite(["run"]);
    world.server.clear_hook();
    assert_eq!(output.code, 3, "{output:?}");
    let error = failure(&output)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("replaced again"), "{error}");
    assert_eq!(world.copies()["a.jpg"], b"before");
    world.back_up();
    assert_eq!(world.copies(), world.contents());
}

/// Puts another `a.jpg` before each of so many copies of it.
fn replace_before_copy(world: &Documents, times: usize) {
    let done = std::sync::atomic::AtomicUsize::new(0);
    let replace = world.replacer();
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if request.operation == Operation::CopyObject && key.ends_with("/a.jpg") {
            let number = done.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            if number <= times {
                replace("a.jpg", &format!("replaced {number}"));
            }
        }
        HookAction::Proceed
    });
}

#[test]
fn no_copy_in_parts_is_put_together_from_two_versions() {
    let mut world = Documents::new();
    world.set("LIMITS__COPY_WHOLE", "5MiB");
    world.put("a.pdf", "a".repeat(16 << 20));
    let after = "b".repeat(16 << 20);
    let replaced = std::sync::atomic::AtomicBool::new(false);
    let (replace, contents) = (world.replacer(), after.clone());
    world.server.on_request(move |request| {
        let is_second = request.operation == Operation::UploadPartCopy
            && request.query.contains("partNumber=2");
        if is_second && !replaced.swap(true, std::sync::atomic::Ordering::SeqCst) {
            replace("a.pdf", &contents);
        }
        HookAction::Proceed
    });
    let output = world.back_up();
    world.server.clear_hook();
    assert_eq!(output.event("snapshot_committed")["complete"], true);
    assert!(world.copies()["a.pdf"] == after.as_bytes());
    assert!(world.server.uploads(BUCKET).is_empty());
}

#[test]
fn an_object_that_is_deleted_between_list_and_copy_leaves_the_snapshot() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    world.put("b.jpg", "b");
    let remove = world.remover();
    world.server.on_request(move |request| {
        if request.operation == Operation::CopyObject {
            remove("a.jpg");
        }
        HookAction::Proceed
    });
    let output = world.offsite(["run"]);
    world.server.clear_hook();
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(output.events_named("file_vanished").len(), 1);
    assert_eq!(world.entries().into_keys().collect::<Vec<_>>(), ["b.jpg"]);
}

#[test]
fn archived_objects_are_told_from_the_listing_and_not_tried() {
    let world = Documents::new();
    world.put("cold.jpg", "cold");
    world.put("colder.jpg", "colder");
    world.put("copied before.jpg", "warm");
    world.put("instant.jpg", "instant");
    world
        .server
        .transition(BUCKET_SOURCE, "cold.jpg", "GLACIER");
    world
        .server
        .transition(BUCKET_SOURCE, "colder.jpg", "DEEP_ARCHIVE");
    world
        .server
        .transition(BUCKET_SOURCE, "instant.jpg", "GLACIER_IR");
    let requests = world.requests_of(|| {
        let output = world.offsite(["run"]);
        assert_eq!(output.code, 3, "{output:?}");
        let errors = output.events_named("file_unreadable");
        assert_eq!(errors.len(), 2, "{output:?}");
        for class in ["archived (GLACIER)", "archived (DEEP_ARCHIVE)"] {
            let says_so = |event: &Value| event["error"].as_str().unwrap().contains(class);
            assert!(errors.iter().any(says_so), "{errors:?}");
        }
    });
    assert_eq!(count(&requests, Operation::CopyObject), 2);

    // What was copied before it was archived is unchanged.
    world
        .server
        .transition(BUCKET_SOURCE, "copied before.jpg", "GLACIER");
    let requests = world.requests_of(|| {
        assert_eq!(world.offsite(["run"]).code, 3);
    });
    assert_eq!(count(&requests, Operation::CopyObject), 0);
    assert!(world.entries()["copied before.jpg"]["unreadable"].is_null());
}

#[test]
fn a_success_with_an_error_in_it_is_none() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    let error = Answer::new(200).body(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InternalError</Code>\
         <Message>We encountered an internal error.</Message></Error>",
    );
    let struck = world
        .server
        .fault(fault_on_copy("/a.jpg").times(2).answer(error));
    world.back_up();
    assert_eq!(struck.fired(), 2);
    assert_eq!(world.copies(), world.contents());

    world.put("b.jpg", "b");
    let always = Answer::new(200).body("<CopyObjectResult></CopyObjectResult>");
    world
        .server
        .fault(fault_on_copy("/b.jpg").always().answer(always));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(world.entries()["b.jpg"]["pass"].is_null());
}

#[test]
fn a_store_that_has_too_much_to_do_is_asked_again() {
    let mut world = Documents::new();
    world.set("LIMITS__CONCURRENCY", 16);
    for number in 0..200 {
        world.put(&format!("{number:03}.jpg"), "x");
    }
    let busy = Fault::on(Operation::CopyObject).skip(20).times(40);
    let busy = world.server.fault(busy.status(503, "SlowDown"));
    let output = world.back_up();
    assert_eq!(busy.fired(), 40);
    assert_eq!(output.event("snapshot_committed")["files"], 200);
    assert_eq!(world.copies(), world.contents());
}

#[test]
fn a_first_page_that_is_refused_fails_the_source() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    world.back_up();
    world
        .server
        .fault(source_listing().status(403, "AccessDenied"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 12, "{output:?}");
    let failed = output.event("source_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("cannot list `s3://documents/`"), "{error}");
    world.server.clear_faults();
    assert_eq!(world.snapshots().len(), 1);
}

#[test]
fn a_later_page_that_is_refused_fails_the_source_too() {
    let world = Documents::new();
    for number in 0..2100 {
        world.put(&format!("{number:04}.jpg"), "x");
    }
    world.back_up();
    world
        .server
        .fault(source_listing().skip(2).status(403, "AccessDenied"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 12, "{output:?}");
    world.server.clear_faults();
    assert_eq!(world.snapshots().len(), 1);
    world.back_up();
    assert_eq!(world.copies(), world.contents());
}

#[test]
fn a_bucket_that_does_not_exist_is_named() {
    let world = Documents::new();
    world.configure(
        "backup:\n  s3: {bucket: backups, prefix: team/}\n  \
         sources: [{name: documents, bucket: {name: no-such-bucket}}]\n",
    );
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 10, "{output:?}");
    let failed = output.event("source_failed");
    assert!(
        failed["error"].as_str().unwrap().contains("does not exist"),
        "{failed}"
    );
    assert!(
        failed["hint"].as_str().unwrap().contains("bucket.name"),
        "{failed}"
    );
}

/// Listings of what is backed up: a pass that follows one which ended well lists nothing else.
fn source_listing() -> Fault {
    Fault::on(Operation::ListObjectsV2).always()
}
