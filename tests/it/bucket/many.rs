//! A bucket of the size that its users have: images and documents of patients, by date, with odd keys among them.

use std::collections::BTreeMap;

use local_s3::{LoggedRequest, Operation};

use super::{BUCKET_SOURCE, Documents, ODD_KEYS, besides_the_lock, count};
use crate::support::long;

/// What a pass asks for besides its listing, its copies and the lock: the record, the segment, the commit.
const HANDFUL: usize = 24;

/// Keys as the two document systems make them.
fn key(number: usize) -> String {
    let patient = format!("{:08x}-0000-4000-8000-{:012x}", number / 12, number / 12);
    let (month, day) = (number % 12 + 1, number % 28 + 1);
    match number % 8 {
        0 => format!("filemaker-import/images-bulk-dump/{number}.jpg"),
        1 => format!("patients/{patient}/images/2025-{month:02}-{day:02}/IMG_{number:04}.JPG"),
        2 => format!("patients/{patient}/images/2025-{month:02}-{day:02}/scan {number}.png"),
        3 => format!("patients/{patient}/images/batch{month}/left foot (copy) #{number}.jpeg"),
        4 => format!("documents/{patient}/Überweisung {number}.pdf"),
        5 => format!("documents/{patient}/report+{number}%20final.docx"),
        6 => format!("patients/{patient}/documents/2025-{month:02}-{day:02}/letter.{number}.pdf"),
        _ => format!("exports/2025/{month:02}/{day:02}/{number}.json"),
    }
}

/// How many keys of a category there are, among those and the odd ones.
fn expected(objects: usize) -> BTreeMap<&'static str, usize> {
    let of = |kinds: &[usize]| (0..objects).filter(|n| kinds.contains(&(n % 8))).count();
    BTreeMap::from([("images", of(&[0, 1, 2, 3])), ("documents", of(&[4, 5, 6]))])
}

#[test]
fn thousands_of_documents_are_copied_once_and_then_only_listed() {
    let objects = if long() { 20_000 } else { 2_000 };
    let mut world = Documents::new();
    world.set("LIMITS__CONCURRENCY", 32);
    for number in 0..objects {
        world.put(&key(number), format!("contents of {number}"));
    }
    for folder in ["filemaker-import/", "patients/", "documents/"] {
        world.put(folder, "");
    }
    world.put_odd_keys();
    let all = objects + ODD_KEYS.len() + 1;
    let pages = (all + 3).div_ceil(1000);
    let first = world.requests_of(|| {
        let output = world.back_up();
        let committed = output.event("snapshot_committed");
        assert_eq!(committed["complete"], true, "{committed}");
        assert_eq!(committed["files"], all, "{committed}");
    });
    assert_eq!(count(&first, Operation::CopyObject), all);
    let made = besides_the_lock(&first);
    assert!(made <= all + pages + HANDFUL, "{made}");
    let contents = world.contents();
    assert_eq!(contents.len(), all);
    assert!(world.copies() == contents);
    let entries = world.entries();
    for (category, expected) in expected(objects) {
        let of = |number: &usize| entries[&key(*number)]["object"]["category"] == category;
        assert_eq!((0..objects).filter(of).count(), expected, "{category}");
    }

    let unchanged = world.requests_of(|| {
        let output = world.back_up();
        let committed = output.event("snapshot_committed");
        assert_eq!(committed["files"], all, "{committed}");
        assert_eq!(committed["uploaded_bytes"], 0, "{committed}");
    });
    let of_source = |request: &&LoggedRequest| {
        let is_page = request.operation == Operation::ListObjectsV2;
        is_page && request.bucket.as_deref() == Some(BUCKET_SOURCE)
    };
    assert_eq!(unchanged.iter().filter(of_source).count(), pages);
    let made = besides_the_lock(&unchanged);
    assert!(made <= pages + HANDFUL, "{unchanged:#?}");

    // One in a hundred is replaced, and one in a thousand is gone.
    for number in (0..objects).step_by(100) {
        world.put(&key(number), format!("replaced {number}"));
    }
    for number in (1..objects).step_by(1000) {
        assert!(world.server.remove(BUCKET_SOURCE, &key(number)));
    }
    let changed = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(count(&changed, Operation::CopyObject), objects / 100);
    assert!(world.copies() == world.contents());
}
