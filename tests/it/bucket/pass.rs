//! A pass over a bucket: what is copied, where to, and what it costs.

use local_s3::{LoggedRequest, Operation};

use super::{BUCKET_SOURCE, Documents, ODD_KEYS, besides_the_lock, count};
use crate::support::{BUCKET, noise};

/// Requests that read contents.
fn reads(requests: &[LoggedRequest]) -> usize {
    let contents = |request: &&LoggedRequest| {
        let key = request.key.as_deref().unwrap_or_default();
        let is_ours = request.bucket.as_deref() == Some(BUCKET) && !key.contains("/copies/");
        request.operation == Operation::GetObject && !is_ours
    };
    requests.iter().filter(contents).count()
}

#[test]
fn every_object_is_copied_by_the_store_whatever_its_key() {
    let world = Documents::new();
    world.put_odd_keys();
    let requests = world.requests_of(|| {
        let output = world.back_up();
        let committed = output.event("snapshot_committed");
        assert_eq!(committed["files"], ODD_KEYS.len() + 1, "{committed}");
        assert_eq!(committed["complete"], true);
        assert_eq!(
            output.events_named("object_copied").len(),
            ODD_KEYS.len() + 1
        );
    });
    assert_eq!(count(&requests, Operation::CopyObject), ODD_KEYS.len() + 1);
    assert_eq!(reads(&requests), 0, "{requests:#?}");
    assert_eq!(world.copies(), world.contents());
    let entries: Vec<_> = world.entries().into_keys().collect();
    assert!(entries.is_sorted());
}

#[test]
fn headers_metadata_tags_and_class_come_along() {
    let world = Documents::new();
    world.put_with_all("odd.jpg", "contents");
    world.back_up();
    let key = world.full_key(&world.copy_of("odd.jpg"));
    let copy = world.server.object(BUCKET, &key).unwrap();
    let original = world.server.object(BUCKET_SOURCE, "odd.jpg").unwrap();
    assert_eq!(copy.attributes, original.attributes);
    assert_eq!(copy.attributes.tags.len(), 2);
    assert_eq!(world.entries()["odd.jpg"]["object"]["class"], "STANDARD_IA");

    // And none that are not wanted.
    world.configure_bucket(", tags: ignore");
    world.put_with_all("another.jpg", "contents");
    world.back_up();
    let key = world.full_key(&world.copy_of("another.jpg"));
    let copy = world.server.object(BUCKET, &key).unwrap();
    assert!(copy.attributes.tags.is_empty());
    assert_eq!(copy.attributes.metadata, original.attributes.metadata);
}

#[test]
fn an_object_that_is_too_large_for_one_request_goes_in_parts_with_all_it_has() {
    let mut world = Documents::new();
    world.set("LIMITS__COPY_WHOLE", "5MiB");
    let contents = noise(3, (16 << 20) + 5);
    world.put_with_all("large.pdf", &contents);
    world.put("small.pdf", "small");
    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(count(&requests, Operation::CopyObject), 1);
    assert_eq!(count(&requests, Operation::UploadPartCopy), 4);
    let uploaded = |request: &&LoggedRequest| {
        let key = request.key.as_deref().unwrap_or_default();
        request.operation == Operation::UploadPart && key.contains("/copies/")
    };
    assert_eq!(requests.iter().filter(uploaded).count(), 0);
    assert_eq!(reads(&requests), 0, "{requests:#?}");
    let conditional = requests
        .iter()
        .filter(|request| request.operation == Operation::UploadPartCopy)
        .all(|request| request.header("x-amz-copy-source-if-match").is_some());
    assert!(conditional);
    assert_eq!(world.copies(), world.contents());
    let key = world.full_key(&world.copy_of("large.pdf"));
    let copy = world.server.object(BUCKET, &key).unwrap();
    let original = world.server.object(BUCKET_SOURCE, "large.pdf").unwrap();
    assert_eq!(copy.attributes, original.attributes);
    assert!(world.server.uploads(BUCKET).is_empty());
}

#[test]
fn unchanged_objects_cost_nothing_but_their_listing() {
    let world = Documents::new();
    for number in 0..2500 {
        world.put(&format!("{number:04}.jpg"), format!("{number}"));
    }
    let first = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(count(&first, Operation::CopyObject), 2500);
    // Listing, copies, the segment, and what every pass makes.
    let made = besides_the_lock(&first);
    assert!(made <= 2500 + 3 + 21, "{made}");
    let unchanged = world.requests_of(|| {
        world.back_up();
    });
    let pages = |request: &&LoggedRequest| {
        request.operation == Operation::ListObjectsV2
            && request.bucket.as_deref() == Some(BUCKET_SOURCE)
    };
    assert_eq!(unchanged.iter().filter(pages).count(), 3);
    // What a directory that has not changed costs, and the pages.
    assert_eq!(besides_the_lock(&unchanged), 6 + 3, "{unchanged:#?}");

    // What was put again, what is new and what is gone; nothing else.
    world.put("1234.jpg", "changed");
    world.put("1235.jpg", "1235");
    world.put("new.jpg", "new");
    world.server.remove(BUCKET_SOURCE, "0007.jpg");
    world
        .server
        .clock()
        .advance(std::time::Duration::from_secs(5));
    world.put("1236.jpg", "1236");
    let changed = world.requests_of(|| {
        let output = world.back_up();
        let committed = output.event("snapshot_committed");
        let counts = ["new", "changed", "removed"].map(|name| committed[name].as_u64().unwrap());
        // The same bytes put again within a second of the first time cannot be told.
        assert!(matches!(counts, [1, 2 | 3, 1]), "{committed}");
    });
    assert!(count(&changed, Operation::CopyObject) <= 4);
    assert_eq!(world.copies(), world.contents());
}

#[test]
fn markers_and_the_store_itself_are_left_out() {
    let world = Documents::new();
    world.configure(
        "backup:\n  s3: {bucket: documents, prefix: backup/}\n  \
         sources: [{name: documents, bucket: {name: documents}}]\n",
    );
    world.put("aaa.jpg", "first");
    world.put("folder/", "");
    world.put("folder/in it.jpg", "in it");
    world.put("backup0.txt", "right after the store");
    world.put("zzz.jpg", "last");
    for _ in 0..2 {
        let output = world.back_up();
        let committed = output.event("snapshot_committed");
        assert_eq!(committed["files"], 4, "{committed}");
        let told = |text: &str| {
            let notices = output.events_named("notice");
            notices
                .iter()
                .any(|notice| notice["message"].as_str().unwrap().contains(text))
        };
        assert!(told("1 directory marker"), "{output:?}");
        assert!(told("`backup/`"), "{output:?}");
    }
    let keys: Vec<_> = world.entries().into_keys().collect();
    assert_eq!(
        keys,
        ["aaa.jpg", "backup0.txt", "folder/in it.jpg", "zzz.jpg"]
    );
}

#[test]
fn what_lies_in_the_store_is_not_listed() {
    let world = Documents::new();
    world.configure(
        "backup:\n  s3: {bucket: documents, prefix: backup/}\n  \
         sources: [{name: documents, bucket: {name: documents}}]\n",
    );
    for number in 0..5 {
        world.put(&format!("{number}.jpg"), "x");
    }
    for number in 0..4000 {
        world.put(&format!("backup/other/{number}"), "x");
    }
    world.back_up();
    let requests = world.requests_of(|| {
        world.back_up();
    });
    let pages = |request: &&LoggedRequest| {
        request.operation == Operation::ListObjectsV2
            && request.query_value("prefix").as_deref() == Some("")
    };
    assert_eq!(requests.iter().filter(pages).count(), 2, "{requests:#?}");
}

#[test]
fn an_empty_bucket_fails_unless_it_may_be_empty() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    world.back_up();
    world.server.remove(BUCKET_SOURCE, "a.jpg");
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    let failed = output.event("source_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("`s3://documents/` is empty"), "{error}");
    assert_eq!(world.snapshots().len(), 1);

    world.configure(
        "backup:\n  s3: {bucket: backups, prefix: team/}\n  \
         sources: [{name: documents, allow_empty: true, bucket: {name: documents}}]\n",
    );
    let output = world.back_up();
    assert_eq!(output.event("snapshot_committed")["complete"], true);
    assert_eq!(world.snapshots().len(), 2);
}

#[test]
fn a_category_can_be_backed_up_alone_and_the_rest_stays() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    world.put("b.pdf", "b");
    world.put("c.bin", "c");
    world.back_up();
    for key in ["a.jpg", "b.pdf", "c.bin"] {
        world.put(key, "changed");
    }
    world.server.remove(BUCKET_SOURCE, "b.pdf");
    let requests = world.requests_of(|| {
        let output = world.offsite(["run", "--category", "images"]);
        assert_eq!(output.code, 0, "{output:?}");
    });
    assert_eq!(count(&requests, Operation::CopyObject), 1);
    let copies = world.copies();
    assert_eq!(copies["a.jpg"], b"changed");
    assert_eq!(copies["b.pdf"], b"b");
    assert_eq!(copies["c.bin"], b"c");
    let listed = world.offsite(["list", "--json"]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed[1]["complete"], false, "{listed:#?}");

    let output = world.offsite(["run", "--category", "pictures"]);
    assert_eq!(output.code, 10, "{output:?}");
    assert!(output.stderr.contains("`pictures`"), "{output:?}");

    // `only` leaves the others out altogether.
    world.configure_bucket(", only: [images, other]");
    world.back_up();
    let keys: Vec<_> = world.entries().into_keys().collect();
    assert_eq!(keys, ["a.jpg", "c.bin"]);
    let output = world.offsite(["run", "--category", "documents"]);
    assert_eq!(output.code, 10, "{output:?}");
}

#[test]
fn another_category_is_recorded_without_another_copy() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    world.back_up();
    let before = world.copy_of("a.jpg");
    world.configure_bucket(", categories: {scans: [JPG]}");
    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(count(&requests, Operation::CopyObject), 0);
    assert_eq!(world.entries()["a.jpg"]["object"]["category"], "scans");
    assert_eq!(world.copy_of("a.jpg"), before);
    assert_eq!(world.copies(), world.contents());
}

#[test]
fn a_plan_says_what_a_pass_does_by_category() {
    let world = Documents::new();
    world.put("a.jpg", "four");
    world.put("b.pdf", "b");
    world.put("folder/", "");
    world.back_up();
    world.put("a.jpg", "changed");
    world.put("d.jpg", "new");
    world.server.remove(BUCKET_SOURCE, "b.pdf");
    let output = world.offsite(["plan", "--json"]);
    assert_eq!(output.code, 0, "{output:?}");
    let plans: Vec<serde_json::Value> = serde_json::from_str(&output.stdout).unwrap();
    let images = &plans[0]["categories"]["images"];
    let expected = serde_json::json!({
        "objects": 2, "bytes": 10, "new": 1, "changed": 1, "send_bytes": 10, "removed": 0,
    });
    assert_eq!(images, &expected);
    assert_eq!(plans[0]["categories"]["documents"]["removed"], 1);
    let requests = world.requests_of(|| {
        world.back_up();
    });
    // Beside the source's own, a pass takes some ten.
    let planned = plans[0]["requests"].as_u64().unwrap();
    let made = requests.len() as u64;
    assert!((planned..planned + 11).contains(&made), "{planned} {made}");

    let output = world.offsite(["plan"]);
    assert!(output.stdout.contains("images"), "{}", output.stdout);
    assert!(
        output.stdout.contains("1 directory marker"),
        "{}",
        output.stdout
    );
    let output = world.offsite(["plan", "--category", "images", "--json"]);
    let plans: Vec<serde_json::Value> = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(plans[0]["removed"], 0, "{plans:#?}");
}
