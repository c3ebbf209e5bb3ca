//! Digests of copies that nobody had read: written down by `verify --read`, beside the segment, and used from then on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use local_s3::{ChecksumsOfParts, Fault, HookAction, LocalS3, LoggedRequest, Operation};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{BUCKET_SOURCE, Documents, count};
use crate::support::{BUCKET, noise};

/// How the digests beside a segment are called.
const BESIDE: &str = ".sha256.zst";

/// A world whose store keeps no checksum of what it copies.
fn without_checksums() -> Documents {
    let server = LocalS3::builder().bucket(BUCKET).bucket(BUCKET_SOURCE);
    let server = server.checksums_of_parts(ChecksumsOfParts::Ignored);
    Documents::on(server.start().unwrap())
}

fn put_some(world: &Documents) {
    world.put_odd_keys();
    world.put("empty.jpg", "");
    world.put("large.pdf", noise(7, (33 << 20) + 1));
}

/// The only report of `verify --read` with these arguments.
fn read(world: &Documents, code: i32, more: &[&str]) -> Value {
    let mut args = vec!["verify", "--json", "--read"];
    args.extend(more);
    let output = world.offsite(&args);
    assert_eq!(output.code, code, "{output:?}");
    let reports: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(reports.len(), 1, "{reports:#?}");
    reports.into_iter().next().unwrap()
}

/// The only digests that lie beside a segment, by key of the copy.
fn beside(world: &Documents) -> BTreeMap<String, String> {
    let key = world.key_like("manifests/documents/", BESIDE);
    let object = world.server.object(BUCKET, &world.full_key(&key)).unwrap();
    let lines = String::from_utf8(zstd::decode_all(&object.bytes[..]).unwrap()).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (end, lines) = lines.split_last().unwrap();
    let (header, lines) = lines.split_first().unwrap();
    assert_eq!(header["digests"]["source"], "documents");
    assert_eq!(end["end"]["digests"], lines.len());
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    lines
        .iter()
        .map(|line| (text(line, "key"), text(line, "sha256")))
        .collect()
}

/// What they should be.
fn expected(world: &Documents) -> BTreeMap<String, String> {
    let copies = world.copies().into_iter();
    copies
        .map(|(name, bytes)| (world.copy_of(&name), hex::encode(Sha256::digest(bytes))))
        .collect()
}

fn written(requests: &[LoggedRequest]) -> Vec<&LoggedRequest> {
    let is_write = |request: &&LoggedRequest| {
        let key = request.key.as_deref().unwrap_or_default();
        request.operation == Operation::PutObject && key.ends_with(BESIDE)
    };
    requests.iter().filter(is_write).collect()
}

#[test]
fn reading_records_the_digest_of_what_no_pass_has_read() {
    let world = Documents::new();
    put_some(&world);
    world.back_up();
    assert_eq!(world.offsite(["verify"]).code, 0);
    assert!(!world.keys().iter().any(|key| key.ends_with(BESIDE)));

    let objects = world.contents().len();
    let output = world.offsite(["verify", "--read"]);
    assert_eq!(output.code, 0, "{output:?}");
    let said = format!("{objects} SHA-256 digests recorded");
    assert!(output.stdout.contains(&said), "{output:?}");
    assert_eq!(beside(&world), expected(&world));
    let key = world.key_like("manifests/documents/", BESIDE);
    let segment = world.segment_key("manifests/documents/");
    assert_eq!(
        key.strip_suffix(BESIDE),
        segment.strip_suffix(".ndjson.zst")
    );

    // They are compared from then on, and not written again. A pass that leaves the segment alone leaves them, too.
    world.back_up();
    let requests = world.requests_of(|| {
        let report = read(&world, 0, &[]);
        assert_eq!(report["digests"]["recorded"], 0, "{report:#}");
        assert_eq!(report["digests"]["confirmed"], objects, "{report:#}");
        assert_eq!(report["compared"]["contents"], objects, "{report:#}");
    });
    assert!(written(&requests).is_empty());
    assert_eq!(world.offsite(["cat", "latest", "a//b"]).code, 0);
    let to = world.path("restored");
    let restored = world.offsite([
        "restore",
        "--source",
        "documents",
        "--to",
        to.to_str().unwrap(),
    ]);
    assert_eq!(restored.code, 0, "{restored:?}");
}

#[test]
fn what_was_read_once_is_compared_with_that_where_the_store_keeps_nothing() {
    let world = without_checksums();
    world.put_with_all("a.jpg", "as it was");
    world.put_with_all("b.jpg", "as it was");
    world.back_up();
    assert_eq!(world.entries()["b.jpg"]["checksum"], "none");
    let requests = world.requests_of(|| {
        let report = read(&world, 0, &[]);
        assert_eq!(report["digests"]["recorded"], 2, "{report:#}");
        // Nothing was there to compare with.
        assert_eq!(report["compared"]["etag"], 2, "{report:#}");
    });
    let reads = |request: &&LoggedRequest| {
        let key = request.key.as_deref().unwrap_or_default();
        request.operation == Operation::GetObject && key.contains("/copies/")
    };
    assert_eq!(requests.iter().filter(reads).count(), 4, "{requests:#?}");
    assert_eq!(read(&world, 0, &[])["compared"]["contents"], 2);

    let copy = world.copy_of("b.jpg");
    world.server.corrupt(BUCKET, &world.full_key(&copy), 2);
    assert_eq!(world.offsite(["verify", "--checksums"]).code, 0);
    let report = read(&world, 4, &[]);
    assert_eq!(report["findings"][0]["path"], "b.jpg", "{report:#}");
    assert_eq!(report["findings"][0]["kind"], "altered");
    assert_eq!(report["findings"].as_array().unwrap().len(), 1);

    let printed = world.offsite(["cat", "latest", "b.jpg"]);
    assert_eq!(printed.code, 4, "{printed:?}");
    assert_eq!(printed.stdout, "");
    assert!(
        printed
            .stderr
            .contains("the SHA-256 that `verify --read` has recorded"),
        "{printed:?}"
    );
    let to = world.path("restored");
    let restored = world.offsite([
        "restore",
        "--source",
        "documents",
        "--to",
        to.to_str().unwrap(),
    ]);
    assert_eq!(restored.code, 3, "{restored:?}");
    assert!(to.join("a.jpg").exists() && !to.join("b.jpg").exists());
}

#[test]
fn what_was_damaged_on_the_way_is_not_recorded() {
    let world = without_checksums();
    world.put_with_all("a.jpg", "as it was");
    world.back_up();
    let first = Fault::on(Operation::GetObject).key_contains("/copies/");
    world.server.fault(first.corrupt_download_at(3));
    let report = read(&world, 0, &[]);
    assert_eq!(report["digests"]["recorded"], 1, "{report:#}");
    assert_eq!(beside(&world), expected(&world));
}

#[test]
fn something_else_in_the_place_of_a_copy_is_neither_recorded_nor_sound() {
    let world = without_checksums();
    world.put_with_all("a.jpg", "as it was");
    world.put_with_all("b.jpg", "as it was");
    world.back_up();
    let copy = world.copy_of("b.jpg");
    world
        .server
        .replace(BUCKET, &world.full_key(&copy), b"AS IT WAS".to_vec());
    for _ in 0..2 {
        let report = read(&world, 4, &[]);
        assert_eq!(report["findings"][0]["kind"], "replaced", "{report:#}");
        let keys: Vec<_> = beside(&world).into_keys().collect();
        assert_eq!(keys, [world.copy_of("a.jpg")]);
    }
}

#[test]
fn damaged_digests_are_told_and_never_believed() {
    let world = Documents::new();
    world.put("a.jpg", "as it was");
    world.put("b.jpg", "as it was");
    world.back_up();
    read(&world, 0, &[]);
    let key = world.full_key(&world.key_like("manifests/documents/", BESIDE));
    let whole = world.server.object(BUCKET, &key).unwrap().bytes;
    let copy = world.full_key(&world.copy_of("b.jpg"));
    let damages: [&dyn Fn(); 4] = [
        &|| world.server.corrupt(BUCKET, &key, whole.len() / 2),
        &|| world.server.truncate(BUCKET, &key, whole.len() - 9),
        &|| world.server.truncate(BUCKET, &key, 0),
        &|| world.server.replace(BUCKET, &key, vec![b'x'; 1 << 20]),
    ];
    for damage in damages {
        damage();
        let to = world.path("restored");
        let restored = world.offsite([
            "restore",
            "--source",
            "documents",
            "--to",
            to.to_str().unwrap(),
        ]);
        assert_eq!(restored.code, 0, "{restored:?}");
        std::fs::remove_dir_all(&to).unwrap();

        // What is damaged is found without them, and it alone.
        world.server.corrupt(BUCKET, &copy, 2);
        let refused = Fault::on(Operation::PutObject).key_contains(BESIDE);
        world
            .server
            .fault(refused.always().status(403, "AccessDenied"));
        let report = read(&world, 4, &[]);
        let findings = report["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 1, "{report:#}");
        assert_eq!(findings[0]["path"], "b.jpg");
        world.server.clear_faults();
        world.server.corrupt(BUCKET, &copy, 2);

        let output = world.offsite(["verify", "--read"]);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.stderr.contains("damaged:"), "{output:?}");
        assert!(output.stderr.contains(BESIDE), "{output:?}");
        // Written again, from what was read.
        assert_eq!(world.server.object(BUCKET, &key).unwrap().bytes, whole);
    }
}

#[test]
fn each_look_adds_what_it_has_read() {
    let world = Documents::new();
    for number in 0..60 {
        world.put(&format!("{number}.jpg"), format!("{number}"));
    }
    world.back_up();
    let mut share = 0;
    let first = world.requests_of(|| {
        let report = read(&world, 0, &["40%"]);
        share = report["digests"]["recorded"].as_u64().unwrap();
    });
    assert!((1..60).contains(&share), "{share}");
    let written_first = written(&first);
    assert_eq!(written_first.len(), 1);
    assert_eq!(written_first[0].header("if-none-match"), Some("*"));
    assert_eq!(beside(&world).len() as u64, share);
    let second = world.requests_of(|| {
        let report = read(&world, 0, &[]);
        assert_eq!(report["digests"]["recorded"], 60 - share);
        assert_eq!(report["digests"]["confirmed"], share);
    });
    let written_then = written(&second);
    assert_eq!(written_then.len(), 1);
    assert!(written_then[0].header("if-match").is_some());
    assert_eq!(beside(&world), expected(&world));
}

#[test]
fn two_looks_at_once_lose_nothing() {
    let world = Documents::new();
    for number in 0..60 {
        world.put(&format!("{number}.jpg"), format!("{number}"));
    }
    world.back_up();
    // Right before the first writes, the second one does.
    let other = std::sync::Mutex::new(world.command(["verify", "--read", "40%"]));
    let is_first = AtomicBool::new(true);
    world.server.on_request(move |request| {
        let is_write = request.operation == Operation::PutObject
            && request
                .key
                .as_deref()
                .is_some_and(|key| key.ends_with(BESIDE));
        if is_write && is_first.swap(false, Ordering::SeqCst) {
            let output = other.lock().unwrap().output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        HookAction::Proceed
    });
    let requests = world.requests_of(|| {
        let report = read(&world, 0, &[]);
        let recorded = report["digests"]["recorded"].as_u64().unwrap();
        assert!((1..60).contains(&recorded), "{report:#}");
    });
    let statuses: Vec<_> = written(&requests).iter().map(|r| r.status).collect();
    assert_eq!(statuses.len(), 3, "{statuses:?}");
    assert_eq!(beside(&world), expected(&world));
}

#[test]
fn who_may_not_write_them_is_told_so_and_verifies_all_the_same() {
    let world = Documents::new();
    world.put("a.jpg", "contents");
    world.put("b.jpg", "contents");
    world.back_up();
    let refused = Fault::on(Operation::PutObject).always();
    let refused = world.server.fault(refused.status(403, "AccessDenied"));
    let output = world.offsite(["verify", "--read"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(refused.fired() > 0);
    let said = "note: cannot record 2 SHA-256 digests: ";
    assert!(output.stderr.contains(said), "{output:?}");
    let report = read(&world, 0, &[]);
    assert_eq!(report["digests"]["not_recorded"], 2, "{report:#}");
    assert!(report["digests"]["why_not"].is_string(), "{report:#}");
    world.server.clear_faults();

    // Nor does it matter who may not read them.
    read(&world, 0, &[]);
    let hidden = Fault::on(Operation::GetObject).key_contains(BESIDE);
    world
        .server
        .fault(hidden.always().status(403, "AccessDenied"));
    let report = read(&world, 0, &[]);
    assert_eq!(report["digests"]["problems"].as_array().unwrap().len(), 1);
    let to = world.path("restored");
    let restored = world.offsite([
        "restore",
        "--source",
        "documents",
        "--to",
        to.to_str().unwrap(),
    ]);
    assert_eq!(restored.code, 0, "{restored:?}");
}

#[test]
fn an_object_in_a_new_segment_is_read_again_before_its_digest_lies_beside_that() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    world.put("b.jpg", "b");
    world.back_up();
    read(&world, 0, &[]);
    world.put("c.jpg", "c");
    world.put("b.jpg", "changed");
    world.back_up();
    let report = read(&world, 0, &[]);
    assert_eq!(report["digests"]["recorded"], 3, "{report:#}");
    let pass = world.entries()["b.jpg"]["pass"]
        .as_str()
        .unwrap()
        .to_owned();
    let newest = world.key_like(&format!("manifests/documents/{pass}/"), BESIDE);
    assert!(
        world
            .server
            .object(BUCKET, &world.full_key(&newest))
            .is_some()
    );
    // The earlier snapshot has what was read of its own.
    let earlier = world.snapshots()[0].clone();
    let report = read(&world, 0, &["--snapshot", &earlier]);
    assert_eq!(report["digests"]["confirmed"], 2, "{report:#}");
}

#[test]
fn other_looks_than_reading_cost_no_request_more() {
    let world = Documents::new();
    world.put("a.jpg", "a");
    world.back_up();
    for args in [
        &["verify"][..],
        &["verify", "--checksums"],
        &["ls", "latest"],
    ] {
        let requests = world.requests_of(|| {
            assert_eq!(world.offsite(args).code, 0);
        });
        let asked = |request: &&LoggedRequest| {
            request
                .key
                .as_deref()
                .is_some_and(|key| key.ends_with(BESIDE))
        };
        assert_eq!(requests.iter().filter(asked).count(), 0, "{args:?}");
        assert_eq!(count(&requests, Operation::PutObject), 0, "{args:?}");
    }
}

#[test]
fn a_copy_of_the_store_has_digests_of_its_own() {
    let world = Documents::new();
    for number in 0..40 {
        world.put(&format!("{number}.jpg"), format!("{number}"));
    }
    world.back_up();
    read(&world, 0, &[]);
    let copy = world.path("copy");
    std::fs::create_dir(&copy).unwrap();
    let copied = world.offsite(["copy", "--to", copy.to_str().unwrap()]);
    assert_eq!(copied.code, 0, "{copied:?}");
    let there = ["--store", copy.to_str().unwrap()];
    let report = read(&world, 0, &[&["40%"], &there[..]].concat());
    let share = report["digests"]["recorded"].as_u64().unwrap();
    assert!((1..40).contains(&share), "{report:#}");
    // What a directory keeps is replaced as in a bucket.
    let report = read(&world, 0, &there);
    assert_eq!(report["digests"]["recorded"], 40 - share, "{report:#}");
    let report = read(&world, 0, &there);
    assert_eq!(report["digests"]["confirmed"], 40, "{report:#}");
    assert_eq!(report["digests"]["recorded"], 0, "{report:#}");
}

#[test]
fn what_was_read_until_a_signal_is_recorded() {
    let world = Documents::new();
    for number in 0..200 {
        world.put(&format!("{number:03}.jpg"), format!("{number}"));
    }
    world.back_up();
    let slow = Fault::on(Operation::GetObject).key_contains("/copies/");
    let slow = slow.skip(60).always();
    world
        .server
        .fault(slow.delay(std::time::Duration::from_millis(300)));
    let child = world.spawn(["verify", "--json", "--read"]);
    let reads = || {
        let requests = world.server.requests();
        let is_read = |request: &&LoggedRequest| {
            request.operation == Operation::GetObject
                && request
                    .key
                    .as_deref()
                    .is_some_and(|key| key.contains("/copies/"))
        };
        requests.iter().filter(is_read).count()
    };
    while reads() < 65 {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = crate::support::finish(child.wait_with_output().unwrap());
    assert_eq!(output.code, 143, "{output:?}");
    let recorded = beside(&world).len();
    assert!((60..200).contains(&recorded), "{recorded}");
}
