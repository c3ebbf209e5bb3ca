//! Objects put back into buckets by their server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use local_s3::{Fault, HookAction, LocalS3, LoggedRequest, Operation};
use serde_json::Value;

use super::{BUCKET_SOURCE, Documents, count, longest_key};
use crate::support::{BUCKET, Output, noise};

const IN_PLACE: [&str; 4] = ["restore", "--source", "documents", "--in-place"];

/// Where objects go that do not go back: beside the store.
const ELSEWHERE: &str = "elsewhere/";

fn in_place(world: &Documents, more: &[&str]) -> Output {
    world.offsite(IN_PLACE.iter().chain(more))
}

fn elsewhere(world: &Documents, more: &[&str]) -> Output {
    let to = format!("s3://{BUCKET}/{ELSEWHERE}");
    let args = ["restore", "--source", "documents", "--to", &to];
    world.offsite(args.iter().chain(more))
}

/// What lies elsewhere, by key.
fn found(world: &Documents) -> BTreeMap<String, Vec<u8>> {
    let contents = world.contents_of(BUCKET).into_iter();
    let found = contents.filter_map(|(key, bytes)| {
        let key = key.strip_prefix(ELSEWHERE)?.to_owned();
        Some((key, bytes))
    });
    found.collect()
}

fn empty_bucket(world: &Documents) {
    for key in world.server.keys(BUCKET_SOURCE) {
        assert!(world.server.remove(BUCKET_SOURCE, &key));
    }
}

/// Reads of copies: what a restore by the server makes none of.
fn reads(requests: &[LoggedRequest]) -> usize {
    let is_read = |request: &&LoggedRequest| {
        let key = request.key.as_deref().unwrap_or_default();
        request.operation == Operation::GetObject && key.contains("/copies/")
    };
    requests.iter().filter(is_read).count()
}

#[test]
fn every_object_goes_back_where_it_was_with_all_that_it_had() {
    let world = Documents::new();
    world.put_odd_keys();
    world.put_with_all("with all.jpg", "contents");
    world.put("large.pdf", noise(3, (20 << 20) + 1));
    world.put("empty.txt", "");
    world.back_up();
    let before = world.contents();
    let original = world.server.object(BUCKET_SOURCE, "with all.jpg").unwrap();
    empty_bucket(&world);
    let requests = world.requests_of(|| {
        let output = in_place(&world, &[]);
        assert_eq!(output.code, 0, "{output:?}");
        let said = format!("into s3://{BUCKET_SOURCE}/: {} objects", before.len());
        assert!(output.stdout.contains(&said), "{output:?}");
    });
    assert_eq!(world.contents(), before);
    assert_eq!(reads(&requests), 0);
    // One more finds out whether the server keeps to conditions.
    assert_eq!(count(&requests, Operation::CopyObject), before.len() + 1);
    let back = world.server.object(BUCKET_SOURCE, "with all.jpg").unwrap();
    assert_eq!(back.attributes, original.attributes);
    assert_eq!(back.attributes.storage_class, "STANDARD_IA");

    // Another time there is nothing to do.
    let requests = world.requests_of(|| {
        let output = in_place(&world, &[]);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.stdout.contains("there already"), "{output:?}");
    });
    assert_eq!(count(&requests, Operation::CopyObject), 0);
    assert!(requests.len() < 20, "{}", requests.len());
}

#[test]
fn what_differs_is_replaced_only_where_that_is_asked_for_and_the_rest_stays() {
    let world = Documents::new();
    for key in ["a.jpg", "b.jpg", "c.pdf", "d.pdf"] {
        world.put(key, format!("before, {key}"));
    }
    world.back_up();
    world.put("b.jpg", "ruined");
    world.server.remove(BUCKET_SOURCE, "c.pdf");
    world.put("unknown.jpg", "unknown");
    let ruined = world.contents();

    let refused = in_place(&world, &[]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let named = format!("s3://{BUCKET_SOURCE}/b.jpg");
    assert!(refused.stderr.contains(&named), "{refused:?}");
    assert!(refused.stderr.contains("--overwrite"), "{refused:?}");
    assert_eq!(world.contents(), ruined);

    let dry = in_place(&world, &["--overwrite", "--dry-run", "--json"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    let would: Value = serde_json::from_str(&dry.stdout).unwrap();
    let plan = &would[0]["plan"];
    let counts = ["create", "keep", "replace", "requests"].map(|name| plan[name].as_u64().unwrap());
    assert_eq!(counts, [1, 2, 1, 2]);
    assert_eq!(world.contents(), ruined);

    let requests = world.requests_of(|| {
        let output = in_place(&world, &["--overwrite"]);
        assert_eq!(output.code, 0, "{output:?}");
    });
    let mut expected: BTreeMap<_, _> = ["a.jpg", "b.jpg", "c.pdf", "d.pdf"]
        .map(|key| (key.to_owned(), format!("before, {key}").into_bytes()))
        .into();
    expected.insert("unknown.jpg".to_owned(), b"unknown".to_vec());
    assert_eq!(world.contents(), expected);
    let copies = requests
        .iter()
        .filter(|request| request.operation == Operation::CopyObject);
    for copy in copies {
        let conditions = ["if-match", "if-none-match"].map(|name| copy.header(name).is_some());
        assert!(conditions.contains(&true), "{copy:?}");
        assert!(copy.header("x-amz-copy-source-if-match").is_some());
    }
}

#[test]
fn what_comes_to_the_bucket_while_it_is_restored_stays() {
    let world = Documents::new();
    for key in ["a.jpg", "b.jpg", "c.jpg", "d.jpg"] {
        world.put(key, "before");
    }
    world.back_up();
    for key in ["b.jpg", "d.jpg"] {
        world.put(key, "ruined");
    }
    world.server.remove(BUCKET_SOURCE, "a.jpg");
    world.server.remove(BUCKET_SOURCE, "c.jpg");
    let put = world.replacer();
    let looks = AtomicUsize::new(0);
    world.server.on_request(move |request| {
        let is_look = request.operation == Operation::ListObjectsV2
            && request.bucket.as_deref() == Some(BUCKET_SOURCE);
        if is_look && looks.fetch_add(1, Ordering::SeqCst) == 1 {
            // Between the two looks at the bucket: where nothing was, and over what was to be replaced.
            put("c.jpg", "new");
            put("d.jpg", "newer");
        }
        HookAction::Proceed
    });
    let output = in_place(&world, &["--overwrite"]);
    world.server.clear_hook();
    assert_eq!(output.code, 3, "{output:?}");
    let contents = world.contents();
    assert_eq!(contents["a.jpg"], b"before");
    assert_eq!(contents["b.jpg"], b"before");
    assert_eq!(contents["c.jpg"], b"new");
    assert_eq!(contents["d.jpg"], b"newer");
    for key in ["c.jpg", "d.jpg"] {
        let said = format!("error: {key}: something else has come there");
        assert!(output.stderr.contains(&said), "{output:?}");
    }
}

/// Between the second look at the bucket and the copy, too: by the conditions of the copy alone.
#[test]
fn nothing_is_written_over_what_comes_just_before_a_copy() {
    let mut world = Documents::new();
    world.set("LIMITS__COPY_WHOLE", "5MiB");
    world.put("a.jpg", "before");
    world.put("b.jpg", "before");
    world.put("c.jpg", "before");
    world.put("large.pdf", noise(5, 12 << 20));
    world.back_up();
    empty_bucket(&world);
    world.put("b.jpg", "ruined");
    let put = world.replacer();
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        let is_of_target = request.bucket.as_deref() == Some(BUCKET_SOURCE);
        match request.operation {
            Operation::CopyObject if is_of_target && ["b.jpg", "c.jpg"].contains(&key) => {
                put(key, "just put");
            }
            Operation::CompleteMultipartUpload if is_of_target => put(key, "just put"),
            _ => {}
        }
        HookAction::Proceed
    });
    let output = in_place(&world, &["--overwrite"]);
    world.server.clear_hook();
    let contents = world.contents();
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(contents["a.jpg"], b"before");
    for key in ["b.jpg", "c.jpg", "large.pdf"] {
        assert_eq!(contents[key], b"just put", "{key}: {output:?}");
    }
    assert!(world.server.uploads(BUCKET_SOURCE).is_empty());
}

#[test]
fn a_category_or_some_keys_go_to_another_bucket() {
    let world = Documents::new();
    for key in ["x/a.jpg", "x/b.PNG", "x/c.pdf", "y//d.pdf", "e"] {
        world.put(key, key);
    }
    world.put(&longest_key(), "its key is too long there");
    world.back_up();
    let output = elsewhere(&world, &["--category", "images"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(
        found(&world).into_keys().collect::<Vec<_>>(),
        ["x/a.jpg", "x/b.PNG"]
    );
    let output = elsewhere(&world, &["--path", "y//*", "--path", "e"]);
    assert_eq!(output.code, 0, "{output:?}");
    let keys: Vec<_> = found(&world).into_keys().collect();
    assert_eq!(keys, ["e", "x/a.jpg", "x/b.PNG", "y//d.pdf"]);
    let output = elsewhere(&world, &["--category", "images", "--path", "*.pdf"]);
    assert_eq!(output.code, 10, "{output:?}");

    // All of it, but for what cannot be there.
    let output = elsewhere(&world, &[]);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(
        output.stderr.contains("more than the 1,024 bytes"),
        "{output:?}"
    );
    let mut expected = world.contents();
    expected.remove(&longest_key());
    assert_eq!(found(&world), expected);

    // Each source gets a prefix of its own where none is named.
    let to = format!("s3://{BUCKET}/each");
    let output = world.offsite(["restore", "--to", &to, "--path", "e"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(world.server.object(BUCKET, "each/documents/e").is_some());
}

/// Few objects out of many are found without listing all of them.
#[test]
fn a_bucket_is_listed_only_where_something_is_wanted() {
    let world = Documents::new();
    for number in 0..5000 {
        world.put(&format!("{number:05}.jpg"), "x");
    }
    world.back_up();
    world.server.remove(BUCKET_SOURCE, "04500.jpg");
    let requests = world.requests_of(|| {
        let output = in_place(&world, &["--path", "04500.jpg"]);
        assert_eq!(output.code, 0, "{output:?}");
    });
    let is_listing = |request: &&LoggedRequest| {
        request.operation == Operation::ListObjectsV2
            && request.bucket.as_deref() == Some(BUCKET_SOURCE)
    };
    assert_eq!(requests.iter().filter(is_listing).count(), 2);
    assert!(world.server.object(BUCKET_SOURCE, "04500.jpg").is_some());
}

#[test]
fn a_large_object_goes_back_in_parts_with_all_it_has() {
    let mut world = Documents::new();
    world.set("LIMITS__COPY_WHOLE", "5MiB");
    world.put_with_all("large.pdf", noise(3, (16 << 20) + 5));
    world.back_up();
    let original = world.server.object(BUCKET_SOURCE, "large.pdf").unwrap();
    empty_bucket(&world);
    let requests = world.requests_of(|| {
        let output = in_place(&world, &[]);
        assert_eq!(output.code, 0, "{output:?}");
    });
    assert_eq!(count(&requests, Operation::UploadPartCopy), 4);
    assert_eq!(reads(&requests), 0);
    let back = world.server.object(BUCKET_SOURCE, "large.pdf").unwrap();
    assert!(back.bytes == original.bytes);
    assert_eq!(back.attributes, original.attributes);
    let complete = requests
        .iter()
        .find(|request| request.operation == Operation::CompleteMultipartUpload);
    assert!(complete.unwrap().header("if-none-match").is_some());
    // It is told by what its parts come to.
    let requests = world.requests_of(|| {
        assert_eq!(in_place(&world, &[]).code, 0);
    });
    assert_eq!(count(&requests, Operation::UploadPartCopy), 0);
}

#[test]
fn from_a_directory_objects_are_sent_with_all_that_they_had() {
    let mut world = Documents::new();
    std::fs::create_dir(world.path("store")).unwrap();
    world.configure(&format!(
        "backup:\n  store: {}\n  sources: [{{name: documents, bucket: {{name: documents}}}}]\n",
        world.path("store").display()
    ));
    world.set("LIMITS__COPY_WHOLE", "5MiB");
    world.put_odd_keys();
    world.put("empty.txt", "");
    world.put_with_all("with all.jpg", "contents");
    world.put_with_all("large.pdf", noise(3, (40 << 20) + 5));
    world.back_up();
    let before = world.contents();
    let originals = ["with all.jpg", "large.pdf"]
        .map(|key| world.server.object(BUCKET_SOURCE, key).unwrap().attributes);
    empty_bucket(&world);
    world.put("a", "something else");
    let output = in_place(&world, &[]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(world.contents().len(), 1);
    let output = in_place(&world, &["--overwrite"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(world.contents(), before);
    let back = ["with all.jpg", "large.pdf"]
        .map(|key| world.server.object(BUCKET_SOURCE, key).unwrap().attributes);
    assert_eq!(back, originals);
    let requests = world.requests_of(|| {
        assert_eq!(in_place(&world, &[]).code, 0);
    });
    let puts = count(&requests, Operation::PutObject);
    assert_eq!(puts + count(&requests, Operation::CreateMultipartUpload), 0);
}

#[test]
fn a_copy_that_is_missing_or_another_one_is_named_and_the_rest_goes_on() {
    let world = Documents::new();
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        world.put(key, format!("before, {key}"));
    }
    world.back_up();
    empty_bucket(&world);
    let copy = |key: &str| world.full_key(&world.copy_of(key));
    let (missing, other) = (copy("a.jpg"), copy("b.jpg"));
    world.server.remove(BUCKET, &missing);
    world.server.replace(BUCKET, &other, "something else");
    let output = in_place(&world, &[]);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(output.stderr.contains("error: a.jpg: "), "{output:?}");
    let said = "error: b.jpg: its copy in the store is another one than the snapshot has";
    assert!(output.stderr.contains(said), "{output:?}");
    assert_eq!(world.contents().into_keys().collect::<Vec<_>>(), ["c.jpg"]);
}

#[test]
fn an_answer_that_is_lost_is_no_failure() {
    let world = Documents::new();
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        world.put(key, "before");
    }
    world.back_up();
    empty_bucket(&world);
    let on_copy = |key: &str| Fault::on(Operation::CopyObject).key_contains(key.to_owned());
    world.server.fault(on_copy("b.jpg").drop_after());
    world.server.fault(on_copy("c.jpg").status(503, "SlowDown"));
    let output = in_place(&world, &[]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("3 objects"), "{output:?}");
    assert_eq!(world.contents().len(), 3);
}

#[test]
fn nothing_is_put_into_a_store() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    world.put("backups/snapshots/x.json", "not a record");
    world.back_up();
    let keys = world.server.keys(BUCKET);
    let prefix = crate::support::PREFIX;
    let within = format!("s3://{BUCKET}/{prefix}");
    let output = world.offsite(["restore", "--source", "documents", "--to", &within]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("lies in the store"), "{output:?}");
    assert_eq!(world.server.keys(BUCKET), keys);

    // Above it, only what would be in it is left out.
    let key = format!("{prefix}snapshots/x.json");
    world.put(&key, "not a record");
    world.back_up();
    let above = format!("s3://{BUCKET}/");
    let output = world.offsite(["restore", "--source", "documents", "--to", &above]);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(
        output.stderr.contains("backups are kept there"),
        "{output:?}"
    );
    assert!(world.server.object(BUCKET, &key).is_none());
    assert!(world.server.object(BUCKET, "a.jpg").is_some());
}

#[test]
fn what_is_not_for_buckets_is_refused() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    world.back_up();
    empty_bucket(&world);
    for more in [
        &["--replace"][..],
        &["--delete"],
        &["--to-region", "eu-west-1"],
    ] {
        let output = in_place(&world, more);
        assert_eq!(output.code, 2, "{output:?}");
    }
    for more in [
        &["--replace"][..],
        &["--delete"],
        &["--test"],
        &["--discard-old"],
    ] {
        let output = elsewhere(&world, more);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains("hint: "), "{output:?}");
    }
    let to = world.path("to").display().to_string();
    let args = [
        "restore",
        "--source",
        "documents",
        "--to",
        &to,
        "--unconditional",
    ];
    assert_eq!(world.offsite(args).code, 2);
    assert!(world.contents().is_empty());
}

#[test]
fn a_directory_is_not_restored_into_a_bucket() {
    let world = crate::support::World::new();
    world.write("a", "a");
    world.back_up();
    let to = format!("s3://{BUCKET}/{ELSEWHERE}");
    let output = world.offsite(["restore", "--to", &to]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("is no bucket"), "{output:?}");
}

/// A server that ignores conditions of copies.
fn on_a_server_that_ignores_conditions() -> Documents {
    let server = LocalS3::builder()
        .bucket(BUCKET)
        .bucket(BUCKET_SOURCE)
        .ignores_conditions_of_copies();
    let world = Documents::on(server.start().unwrap());
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        world.put_with_all(key, format!("before, {key}"));
    }
    world.back_up();
    world
}

#[test]
fn a_server_that_ignores_conditions_of_copies_is_found_out_before_much_is_written() {
    let world = on_a_server_that_ignores_conditions();
    let before = world.contents();
    let original = world.server.object(BUCKET_SOURCE, "a.jpg").unwrap();
    empty_bucket(&world);
    let refused = in_place(&world, &[]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("ignores `If-None-Match: *` of copies"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("--unconditional"), "{refused:?}");
    // What it was found out by is an object that is back.
    let back = world.server.object(BUCKET_SOURCE, "a.jpg").unwrap();
    assert_eq!(
        (back.bytes, back.attributes),
        (original.bytes, original.attributes)
    );
    assert_eq!(world.contents().len(), 1);

    let output = in_place(&world, &["--unconditional"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(world.contents(), before);
}

#[test]
fn where_everything_is_to_be_replaced_it_is_found_out_without_replacing_anything() {
    let world = on_a_server_that_ignores_conditions();
    let before = world.contents();
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        world.put_with_all(key, "ruined");
    }
    let ruined = world.server.object(BUCKET_SOURCE, "a.jpg").unwrap();
    let refused = in_place(&world, &["--overwrite"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("ignores `If-Match` of copies"),
        "{refused:?}"
    );
    let after = world.server.object(BUCKET_SOURCE, "a.jpg").unwrap();
    assert_eq!(
        (after.bytes, after.attributes),
        (ruined.bytes, ruined.attributes)
    );
    assert!(world.contents().values().all(|bytes| bytes == b"ruined"));

    // Looked up just before, what is there by then stays.
    let put = world.replacer();
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if request.operation == Operation::HeadObject && key == "b.jpg" {
            put("b.jpg", "newer");
        }
        HookAction::Proceed
    });
    let output = in_place(&world, &["--overwrite", "--unconditional"]);
    world.server.clear_hook();
    assert_eq!(output.code, 3, "{output:?}");
    let contents = world.contents();
    assert_eq!(contents["a.jpg"], before["a.jpg"]);
    assert_eq!(contents["b.jpg"], b"newer");
    assert_eq!(contents["c.jpg"], before["c.jpg"]);
}
