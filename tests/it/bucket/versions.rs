//! Buckets that keep versions: which one was copied is on record.

use local_s3::{HookAction, LocalS3, Operation};

use super::{BUCKET_SOURCE, Documents, count};
use crate::support::{BUCKET, noise};

fn world() -> Documents {
    let server = LocalS3::builder().bucket(BUCKET);
    Documents::on(server.versioned_bucket(BUCKET_SOURCE).start().unwrap())
}

#[test]
fn the_name_of_the_version_that_was_copied_is_in_the_entry() {
    let mut world = world();
    world.set("LIMITS__COPY_WHOLE", "5MiB");
    world.put_version("a.jpg", "one");
    let second = world.put_version("a.jpg", "two");
    let large = world.put_version("large.pdf", noise(1, 6 << 20));
    world.back_up();
    let entries = world.entries();
    assert_eq!(entries["a.jpg"]["object"]["version"], second);
    assert_eq!(entries["large.pdf"]["object"]["version"], large);
    assert_eq!(world.copies()["a.jpg"], b"two");

    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(count(&requests, Operation::CopyObject), 0);
    assert_eq!(world.entries()["a.jpg"]["object"]["version"], second);

    let third = world.put_version("a.jpg", "three");
    world.back_up();
    assert_eq!(world.entries()["a.jpg"]["object"]["version"], third);
}

#[test]
fn of_an_object_that_is_replaced_meanwhile_it_is_the_version_that_came_then() {
    let world = world();
    let listed = world.put_version("a.jpg", "listed");
    let replace = world.replacer();
    let replaced = std::sync::atomic::AtomicBool::new(false);
    world.server.on_request(move |request| {
        let is_copy = request.operation == Operation::CopyObject;
        if is_copy && !replaced.swap(true, std::sync::atomic::Ordering::SeqCst) {
            replace("a.jpg", "replaced");
        }
        HookAction::Proceed
    });
    world.back_up();
    world.server.clear_hook();
    let entry = world.entries()["a.jpg"].clone();
    let version = entry["object"]["version"].as_str().unwrap();
    assert_ne!(version, listed);
    assert_eq!(world.version("a.jpg", version), b"replaced");
    assert_eq!(world.copies()["a.jpg"], b"replaced");
}

#[test]
fn what_is_deleted_leaves_the_snapshot_and_its_versions_stay() {
    let world = world();
    let version = world.put_version("a.jpg", "a");
    world.put_version("b.jpg", "b");
    world.back_up();
    (world.remover())("a.jpg");
    let output = world.back_up();
    assert_eq!(output.event("snapshot_committed")["removed"], 1);
    assert_eq!(world.entries().into_keys().collect::<Vec<_>>(), ["b.jpg"]);
    assert_eq!(world.version("a.jpg", &version), b"a");
}
