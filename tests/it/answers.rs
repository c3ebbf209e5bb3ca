//! Answers that are not the store's, or cannot be: a captive portal's page, a proxy's refusal, a
//! success without proof. None of them counts as stored, as missing or as empty.

use std::time::Duration;

use local_s3::{Answer, Fault, LoggedRequest, Operation, RequestInfo};

use crate::support::tree::{self, assert_same, settle};
use crate::support::{BUCKET, World, noise, uploads};

fn world() -> World {
    let mut world = World::new();
    world.set("S3__REQUEST_TIMEOUT", "2s");
    for index in 0..6 {
        world.write(&format!("dir/{index:02}"), format!("contents of {index}"));
    }
    settle();
    world
}

/// Answers to a put that claim success and prove nothing.
fn empty_successes() -> [Answer; 4] {
    let etag = "\"0123456789abcdef0123456789abcdef\"";
    [
        // From something that has entity tags of its own.
        Answer::portal().header("etag", etag),
        Answer::portal(),
        Answer::new(200),
        Answer::new(204),
    ]
}

fn assert_restores(world: &World) {
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
}

#[test]
fn what_only_a_portal_has_taken_is_sent_again() {
    // The lock is the first object that is put, before the store can have shown that it reports
    // checksums; from then on a put without one proves nothing.
    for key in [
        "lock",
        "files/",
        "manifests/",
        "snapshots/",
        "passes/",
        "status.json",
    ] {
        let tagged = usize::from(key == "lock");
        for answer in empty_successes().into_iter().skip(tagged) {
            let world = world();
            let put = Fault::on(Operation::PutObject).key_contains(key);
            let struck = world.server.fault(put.answer(answer.clone()));
            world.back_up();
            assert_eq!(struck.fired(), 1);
            assert_restores(&world);
            let stored = world.keys();
            let has = |start: &str| stored.iter().any(|stored| stored.starts_with(start));
            assert!(has(key), "{key} after {answer:?}: {stored:#?}");
        }
    }
}

#[test]
fn what_was_stored_without_proof_is_looked_up_and_not_sent_again() {
    for (key, skip) in [
        ("files/", 1),
        ("manifests/", 0),
        ("snapshots/", 0),
        ("lock", 0),
    ] {
        let world = world();
        let put = Fault::on(Operation::PutObject).key_contains(key).skip(skip);
        let struck = world.server.fault(put.answer_after(Answer::portal()));
        let requests = world.requests_of(|| {
            world.back_up();
        });
        assert_eq!(struck.fired(), 1);
        assert_restores(&world);
        let puts = |request: &&LoggedRequest| {
            let key_of = request.key.as_deref().unwrap_or_default();
            request.operation == Operation::PutObject && key_of.contains(key)
        };
        let mut sent: Vec<_> = requests
            .iter()
            .filter(puts)
            .map(|r| r.key.clone())
            .collect();
        // The lock: taken, refused twice for a try, released.
        let expected = if key == "lock" { 4 } else { sent.len() };
        sent.sort();
        if key != "lock" {
            sent.dedup();
        }
        assert_eq!(sent.len(), expected, "{key}");
    }
}

#[test]
fn a_checksum_of_something_else_is_looked_up() {
    let world = world();
    let other = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    let put = Fault::on(Operation::PutObject)
        .key_contains("files/")
        .times(2);
    let struck = world
        .server
        .fault(put.header("x-amz-checksum-sha256", other));
    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(struck.fired(), 2);
    assert_eq!(uploads(&requests).len(), 6);
    assert_restores(&world);
}

#[test]
fn parts_that_only_a_portal_has_taken_are_sent_again() {
    let upload = [
        Operation::CreateMultipartUpload,
        Operation::UploadPart,
        Operation::CompleteMultipartUpload,
    ];
    for operation in upload {
        for answer in [Answer::portal(), Answer::new(200), Answer::new(204)] {
            let world = World::new();
            world.write("large", noise(3, 20 << 20));
            settle();
            let struck = world.server.fault(of_large(operation).answer(answer));
            world.back_up();
            assert_eq!(struck.fired(), 1);
            assert_restores(&world);
            assert!(world.server.uploads(BUCKET).is_empty());
        }
    }
}

fn of_large(operation: Operation) -> Fault {
    Fault::on(operation).key_contains("/large")
}

#[test]
fn an_upload_whose_completion_cannot_be_understood_is_looked_up() {
    for answer in [
        Answer::portal(),
        Answer::new(204),
        Answer::new(200).body("<?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>"),
    ] {
        let world = World::new();
        world.write("large", noise(3, 20 << 20));
        settle();
        let complete = of_large(Operation::CompleteMultipartUpload);
        let struck = world.server.fault(complete.answer_after(answer));
        let requests = world.requests_of(|| {
            world.back_up();
        });
        assert_eq!(struck.fired(), 1);
        let is_part = |request: &&LoggedRequest| {
            let key = request.key.as_deref().unwrap_or_default();
            request.operation == Operation::UploadPart && key.ends_with("/large")
        };
        assert_eq!(requests.iter().filter(is_part).count(), 3);
        assert_restores(&world);
    }
}

/// Runs of every command that looks before it acts, with a store that always answers so.
fn assert_failed(world: &World, command: &[&str], says: &str) {
    let output = world.offsite_within(Duration::from_secs(60), command);
    assert_eq!(output.code, 1, "{command:?}: {output:?}");
    let text = format!("{}{}", output.stdout, output.stderr);
    assert!(text.contains(says), "{command:?}: {text}");
    assert!(text.contains("proxy"), "no hint: {text}");
}

#[test]
fn a_portal_in_place_of_the_store_is_an_error_that_names_it() {
    let world = world();
    world.back_up();
    let keys = world.keys();
    for answer in [
        Answer::portal(),
        Answer::new(204),
        Answer::new(302).header("location", "http://portal.example/login"),
        Answer::new(307).header("location", "http://portal.example/login"),
        Answer::new(403)
            .header("content-type", "text/html")
            .body("<h1>Forbidden</h1>"),
        Answer::new(404)
            .header("content-type", "text/html")
            .body("<h1>Not found</h1>"),
    ] {
        world.server.fault(Fault::on_any().always().answer(answer));
        for command in [
            &["run"][..],
            &["list"],
            &["list", "latest"],
            &["verify"],
            &["status"],
            &["unlock"],
        ] {
            assert_failed(&world, command, "unexpected answer");
        }
        world.server.clear_faults();
        assert_eq!(world.keys(), keys);
    }
}

/// The document in place of a listing; `{prefix}` in it is the prefix that was asked for.
fn listing(inner: &'static str) -> impl Fn(&RequestInfo) -> Answer + Send + Sync + Clone {
    move |request| {
        let prefix = request.query_value("prefix").unwrap_or_default();
        let inner = inner.replace("{prefix}", &format!("<Prefix>{prefix}</Prefix>"));
        Answer::new(200)
            .header("content-type", "application/xml")
            .body(format!(
                "<?xml version=\"1.0\"?>\n<ListBucketResult>{inner}"
            ))
    }
}

/// With every listing answered so, nothing is taken to be empty; with one, it is asked for again.
fn proves_nothing(answer: impl Fn(&RequestInfo) -> Answer + Send + Sync + Clone + 'static) {
    let world = world();
    world.back_up();
    let list = || Fault::on(Operation::ListObjectsV2);
    world
        .server
        .fault(list().always().answer_by(answer.clone()));
    assert_failed(&world, &["list", "--source", "data"], "unexpected answer");
    // A pass that has to look for the last snapshot takes no page for "there is none".
    world.server.remove(BUCKET, &world.full_key("status.json"));
    assert_failed(&world, &["run"], "unexpected answer");
    world.server.clear_faults();
    let struck = world.server.fault(list().answer_by(answer));
    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(struck.fired(), 1);
    assert!(uploads(&requests).is_empty());
}

#[test]
fn a_page_that_is_no_listing_does_not_say_that_there_is_nothing() {
    for answer in [Answer::portal(), Answer::new(204), Answer::new(200)] {
        proves_nothing(move |_| answer.clone());
    }
}

#[test]
fn a_listing_that_lacks_something_does_not_say_that_there_is_nothing() {
    proves_nothing(listing("</ListBucketResult>"));
    proves_nothing(listing("{prefix}</ListBucketResult>"));
    proves_nothing(listing(
        "<Prefix>other/</Prefix><IsTruncated>false</IsTruncated></ListBucketResult>",
    ));
    proves_nothing(listing(
        "{prefix}<KeyCount>1</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>",
    ));
    // Cut off, and of the right length all the same.
    proves_nothing(listing("{prefix}<IsTruncated>false</IsTruncated>"));
    proves_nothing(listing(
        "{prefix}<IsTruncated>false</IsTruncated><Contents><Key>team/",
    ));
}

#[test]
fn a_head_that_proves_nothing_is_asked_again_and_is_no_finding() {
    let world = world();
    world.back_up();
    for header in ["content-length", "etag"] {
        let head = || Fault::on(Operation::HeadObject).key_contains("files/");
        let struck = world.server.fault(head().times(2).without_header(header));
        let output = world.offsite(["verify"]);
        assert_eq!(output.code, 0, "without {header}: {output:?}");
        assert_eq!(struck.fired(), 2);
        world.server.fault(head().always().without_header(header));
        assert_failed(&world, &["verify"], "unexpected answer");
        world.server.clear_faults();
    }
}

#[test]
fn a_proxy_that_says_404_makes_nothing_missing() {
    let world = world();
    world.back_up();
    let missing = Answer::new(404)
        .header("content-type", "text/html")
        .body("<h1>404</h1>");
    for key in ["manifests/", "snapshots/", "status.json"] {
        let get = || Fault::on(Operation::GetObject).key_contains(key);
        let struck = world.server.fault(get().answer(missing.clone()));
        assert_eq!(world.offsite(["verify"]).code, 0);
        let requests = world.requests_of(|| {
            world.back_up();
        });
        assert!(uploads(&requests).is_empty());
        assert_eq!(struck.fired(), 1, "{key}");
    }
}

#[test]
fn a_proxy_that_says_404_to_a_look_makes_nothing_missing() {
    let world = world();
    world.back_up();
    let missing = Answer::new(404).header("content-type", "text/html");
    let head = || Fault::on(Operation::HeadObject).key_contains("files/");
    let struck = world.server.fault(head().answer(missing.clone()));
    assert_eq!(world.offsite(["verify"]).code, 0);
    assert_eq!(struck.fired(), 1);
    world.server.fault(head().always().answer(missing));
    assert_failed(&world, &["verify"], "unexpected answer");
}

#[test]
fn a_read_without_an_entity_tag_is_asked_again() {
    let world = world();
    world.back_up();
    for key in ["lock", "status.json", "snapshots/", "manifests/"] {
        let get = || Fault::on(Operation::GetObject).key_contains(key);
        let struck = world.server.fault(get().without_header("etag"));
        world.back_up();
        assert_eq!(struck.fired(), 1);
    }
    let lock = Fault::on(Operation::GetObject).key_contains("lock");
    world.server.fault(lock.always().without_header("etag"));
    assert_failed(&world, &["run"], "unexpected answer");
}

#[test]
fn a_whole_object_in_place_of_a_range_is_not_taken_for_the_range() {
    let world = World::new();
    world.write("large", noise(3, 20 << 20));
    settle();
    world.back_up();
    let id = world.snapshots().pop().unwrap();
    let get = || Fault::on(Operation::GetObject).key_contains("large");
    let whole = || {
        Answer::new(200)
            .header("etag", "\"x\"")
            .body(noise(3, 20 << 20))
    };
    let struck = world.server.fault(get().times(2).answer(whole()));
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored(&id)),
    );
    assert_eq!(struck.fired(), 2);
    // A range of the right length that is another one.
    let struck = world
        .server
        .fault(get().header("content-range", "bytes 5-8388612/20971520"));
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored(&id)),
    );
    assert_eq!(struck.fired(), 1);
}

#[test]
fn an_answer_without_a_length_is_read_to_its_end() {
    let world = world();
    world.back_up();
    for key in ["lock", "status.json", "snapshots/", "manifests/", "files/"] {
        let get = Fault::on(Operation::GetObject).key_contains(key);
        let struck = world
            .server
            .fault(get.always().without_header("content-length"));
        world.back_up();
        assert_restores(&world);
        assert!(struck.fired() > 0);
        world.server.clear_faults();
    }
}

#[test]
fn a_commit_that_is_refused_comes_with_a_hint() {
    let world = world();
    let commit = Fault::on(Operation::PutObject).key_contains("snapshots/");
    world
        .server
        .fault(commit.always().status(403, "AccessDenied"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 12, "{output:?}");
    let failed = output.event("backup_failed");
    let hint = failed["hint"].as_str().unwrap_or_default();
    assert!(hint.contains("s3:PutObject"), "{failed}");
}
