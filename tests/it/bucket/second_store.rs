//! Objects of a bucket in a second store: with all that they have, so that they can be restored from there alone.

use local_s3::Operation;

use super::{BUCKET_SOURCE, Documents, count};
use crate::support::{BUCKET, PREFIX, noise};

/// Beside the first store.
const SECOND: &str = "second/";

fn with_second_store() -> Documents {
    let mut world = Documents::new();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
         copies: [{{store: 's3://{BUCKET}/{SECOND}'}}]\n  \
         sources: [{{name: documents, bucket: {{name: {BUCKET_SOURCE}}}}}]\n"
    ));
    world.set("LIMITS__COPY_WHOLE", "8MiB");
    world.put_odd_keys();
    world.put_with_all("small.jpg", "contents");
    world.put_with_all("large.pdf", noise(3, (20 << 20) + 5));
    world
}

#[test]
fn copies_of_objects_keep_headers_metadata_and_tags() {
    let world = with_second_store();
    let output = world.back_up();
    assert_eq!(output.event("snapshot_copied")["source"], "documents");
    for key in ["small.jpg", "large.pdf"] {
        let copy = world.copy_of(key);
        let original = world.server.object(BUCKET_SOURCE, key).unwrap();
        let copied = world.server.object(BUCKET, &format!("{SECOND}{copy}"));
        let copied = copied.unwrap_or_else(|| panic!("no {copy}"));
        assert!(copied.bytes == original.bytes);
        let mut expected = original.attributes;
        // Each store has the class that its own objects have.
        expected.storage_class = "STANDARD".to_owned();
        assert_eq!(copied.attributes, expected, "{key}");
    }
}

#[test]
fn a_bucket_is_restored_from_the_second_store_alone() {
    let world = with_second_store();
    world.back_up();
    let before = world.contents();
    let originals = ["small.jpg", "large.pdf"]
        .map(|key| world.server.object(BUCKET_SOURCE, key).unwrap().attributes);
    for key in world.server.keys(BUCKET_SOURCE) {
        world.server.remove(BUCKET_SOURCE, &key);
    }
    for key in world.server.keys(BUCKET) {
        if key.starts_with(PREFIX) {
            world.server.remove(BUCKET, &key);
        }
    }
    let second = format!("s3://{BUCKET}/{SECOND}");
    let restore = [
        "restore",
        "--source",
        "documents",
        "--in-place",
        "--store",
        &second,
    ];
    let requests = world.requests_of(|| {
        let output = world.offsite(restore);
        assert_eq!(output.code, 0, "{output:?}");
    });
    assert_eq!(world.contents(), before);
    let back = ["small.jpg", "large.pdf"]
        .map(|key| world.server.object(BUCKET_SOURCE, key).unwrap().attributes);
    assert_eq!(back, originals);
    assert!(count(&requests, Operation::CopyObject) >= before.len() - 1);
    assert_eq!(count(&requests, Operation::PutObject), 0);
}

/// What is in a store that was copied to has other versions than the first one, and is looked at before it is used.
#[test]
fn a_damaged_copy_in_the_second_store_is_named() {
    let world = with_second_store();
    world.back_up();
    let copy = format!("{SECOND}{}", world.copy_of("small.jpg"));
    world.server.replace(BUCKET, &copy, "CONTENTS");
    let to = format!("s3://{BUCKET}/elsewhere/");
    let second = format!("s3://{BUCKET}/{SECOND}");
    let restore = [
        "restore",
        "--source",
        "documents",
        "--to",
        &to,
        "--store",
        &second,
    ];
    let output = world.offsite(restore);
    assert_eq!(output.code, 3, "{output:?}");
    let said = "error: small.jpg: its copy in the store is something else";
    assert!(output.stderr.contains(said), "{output:?}");
    assert!(world.server.object(BUCKET, "elsewhere/small.jpg").is_none());
}
