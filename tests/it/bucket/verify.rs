//! Copies looked after: by their listing, and by reading them.

use local_s3::Operation;

use super::{BUCKET_SOURCE, Documents, count};
use crate::support::{BUCKET, PREFIX};

#[test]
fn copies_are_verified_by_their_listing() {
    let world = Documents::new();
    for number in 0..1500 {
        world.put(&format!("{number:04}.jpg"), format!("{number}"));
    }
    world.back_up();
    let requests = world.requests_of(|| {
        let verified = world.offsite(["verify"]);
        assert_eq!(verified.code, 0, "{verified:?}");
    });
    assert_eq!(count(&requests, Operation::HeadObject), 0, "{requests:#?}");
    let pages = |request: &&local_s3::LoggedRequest| {
        let prefix = request.query_value("prefix").unwrap_or_default();
        request.operation == Operation::ListObjectsV2 && prefix.contains("copies/")
    };
    assert_eq!(requests.iter().filter(pages).count(), 2, "{requests:#?}");

    let key = |name: &str| world.full_key(&world.copy_of(name));
    world.server.remove(BUCKET, &key("0003.jpg"));
    let verified = world.offsite(["verify"]);
    assert_eq!(verified.code, 4, "{verified:?}");
    assert!(verified.stderr.contains("0003.jpg") || verified.stdout.contains("0003.jpg"));
}

#[test]
fn a_copy_that_became_something_else_is_found() {
    let world = Documents::new();
    for key in ["a.jpg", "b.jpg"] {
        world.put(key, "contents");
    }
    world.back_up();
    let key = world.full_key(&world.copy_of("b.jpg"));
    // Of the same length, as somebody puts it who may write there.
    world.server.replace(BUCKET, &key, b"CONTENTS".to_vec());
    let verified = world.offsite(["verify"]);
    assert_eq!(verified.code, 4, "{verified:?}");
    let said = format!("{}{}", verified.stdout, verified.stderr);
    assert!(said.contains("b.jpg"), "{said}");
    assert!(!said.contains("a.jpg"), "{said}");
}

#[test]
fn a_copy_whose_bytes_have_rotted_is_found_by_reading() {
    let world = Documents::new();
    world.put_odd_keys();
    world.put("b.jpg", "contents");
    world.back_up();
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
    let key = world.full_key(&world.copy_of("b.jpg"));
    world.server.corrupt(BUCKET, &key, 2);
    assert_eq!(world.offsite(["verify"]).code, 0);
    let verified = world.offsite(["verify", "--read"]);
    assert_eq!(verified.code, 4, "{verified:?}");
    let said = format!("{}{}", verified.stdout, verified.stderr);
    assert!(said.contains("b.jpg"), "{said}");
    assert!(said.contains("does not have the checksum"), "{said}");

    // No copy of the copy has it, so that the next pass makes another one.
    let repaired = world.offsite(["verify", "--read", "--repair"]);
    assert_eq!(repaired.code, 4, "{repaired:?}");
    world.back_up();
    assert_eq!(world.copies(), world.contents());
}

#[test]
fn a_bucket_is_not_drilled_and_keeps_no_other_source_from_it() {
    let world = Documents::new();
    world.put("a.jpg", "contents");
    world.back_up();
    let refused = world.offsite(["drill"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("verify --source documents --read"),
        "{refused:?}"
    );

    world.write("file", "contents");
    let store = format!("s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}");
    let data = world.data();
    let sources = format!(
        "sources:\n    - {{name: documents, bucket: {{name: {BUCKET_SOURCE}}}}}\n    - {{name: data, directory: {}}}",
        data.display()
    );
    world.configure(&format!("backup:\n  {store}\n  {sources}\n"));
    assert_eq!(world.offsite(["run"]).code, 0);
    let drilled = world.offsite(["drill"]);
    assert_eq!(drilled.code, 0, "{drilled:?}");
    assert_eq!(drilled.event("drill_completed")["source"], "data");
    assert!(
        drilled.event("notice")["message"]
            .to_string()
            .contains("documents")
    );
}
