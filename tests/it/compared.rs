//! What verify compares with the record, and that it says so: checksums, ETags, sizes.

use std::process::Command;

use local_s3::{Fault, Operation};
use serde_json::{Value, json};

use crate::support::tree::settle;
use crate::support::{BUCKET, SOURCE, World, aws_cli, is_object_record, noise};
use crate::verify::{findings, report};

/// A world with two archives: one that was put in one request, and one that was sent in parts.
fn archives() -> (World, [String; 2]) {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
    world.set("DEFAULTS__ARCHIVE__COMPRESSION", "none");
    world.write("small", noise(1, 5000));
    settle();
    world.back_up();
    let first = world.full_key(&world.key_like("archives/", ".tar"));
    world.write("large", noise(2, 9 << 20));
    settle();
    world.back_up();
    let keys = world.server.keys(BUCKET).into_iter();
    let second = keys.filter(|key| key.ends_with(".tar") && *key != first);
    let second = second.collect::<Vec<_>>().remove(0);
    (world, [first, second])
}

fn length(world: &World, key: &str) -> usize {
    world.server.object(BUCKET, key).unwrap().bytes.len()
}

/// The commit record of the last snapshot.
fn commit_record(world: &World) -> (String, Value) {
    let last = world.snapshots().pop().unwrap();
    let key = world.full_key(&format!("snapshots/{SOURCE}/{last}.json"));
    let object = world.server.object(BUCKET, &key).unwrap();
    (key, serde_json::from_slice(&object.bytes).unwrap())
}

/// Whatever replaces the bytes of an archive, and whether or not the store keeps checksums.
#[test]
fn an_archive_whose_bytes_were_replaced_is_found() {
    for which in [0, 1] {
        for (shorter, strip) in [(1, false), (1, true), (0, false), (0, true)] {
            let (world, keys) = archives();
            let key = &keys[which];
            let bytes = noise(99, length(&world, key) - shorter);
            world.server.replace(BUCKET, key, bytes);
            if strip {
                world.server.strip_checksum(BUCKET, key);
            }
            for args in [&[][..], &["--read", "5%"], &["--read"]] {
                let (code, report) = report(&world, args);
                assert_eq!(code, 4, "{which} {shorter} {strip} {args:?}: {report}");
                let found = report["findings"].as_array().unwrap();
                let names_it = |f: &Value| key.ends_with(f["key"].as_str().unwrap());
                assert!(found.iter().all(names_it), "{report}");
                let is_put_again = |f: &Value| f["kind"] == "replaced";
                let is_read = args == ["--read"];
                assert!(!is_read || !found.iter().any(is_put_again), "{report}");
            }
        }
    }
}

#[test]
fn an_archive_is_compared_by_what_the_store_still_tells() {
    let (world, keys) = archives();
    let compared = |args: &[&str]| {
        let (code, report) = report(&world, args);
        assert_eq!((code, &report["objects"]), (0, &json!(2)), "{report}");
        report["compared"].clone()
    };
    let counts = |contents, checksum, etag, size| json!({"contents": contents, "checksum": checksum, "etag": etag, "size": size});
    assert_eq!(compared(&[]), counts(0, 2, 0, 0));
    assert_eq!(compared(&["--read"]), counts(2, 0, 0, 0));
    world.server.strip_checksum(BUCKET, &keys[0]);
    assert_eq!(compared(&[]), counts(0, 1, 1, 0));
    let text = world.offsite(["verify"]);
    assert!(text.stdout.contains("1 by checksum, 1 by ETag"), "{text:?}");
}

/// The same bytes once more have another ETag; where there is no checksum, only reading tells that
/// they are the same.
#[test]
fn an_archive_that_was_put_again_is_cleared_by_reading() {
    let (world, keys) = archives();
    let bytes = world.server.object(BUCKET, &keys[1]).unwrap().bytes;
    world.server.replace(BUCKET, &keys[1], bytes.clone());
    assert_eq!(report(&world, &[]).0, 0, "the checksum is of the same kind");
    world.server.strip_checksum(BUCKET, &keys[1]);
    let output = world.offsite(["verify"]);
    assert_eq!(output.code, 4, "{output:?}");
    assert!(output.stderr.contains("ETag mismatch"), "{output:?}");
    assert!(output.stderr.contains("--read` compares"), "{output:?}");
    assert!(!output.stderr.contains("--no-incremental"), "{output:?}");
    let (code, report) = report(&world, &["--read"]);
    assert_eq!((code, &report["compared"]["contents"]), (0, &json!(2)));
}

#[test]
fn what_the_store_answered_for_an_archive_is_recorded() {
    let (world, keys) = archives();
    let recorded = world.objects();
    let records = world.keys().into_iter();
    let beside: Vec<Value> = records
        .filter(|key| is_object_record(key))
        .map(|key| world.server.object(BUCKET, &world.full_key(&key)).unwrap())
        .map(|object| serde_json::from_slice(&object.bytes).unwrap())
        .collect();
    for key in keys {
        let object = world.server.object(BUCKET, &key).unwrap();
        for records in [&recorded, &beside] {
            let is_it = |archive: &&Value| key.ends_with(archive["key"].as_str().unwrap());
            let archive = records.iter().find(is_it).unwrap();
            assert_eq!(archive["etag"], object.etag.trim_matches('"'));
            assert_eq!(archive["size"], object.bytes.len());
        }
    }
}

#[test]
fn the_etag_is_recorded_also_where_the_answer_was_lost() {
    for (operation, length) in [
        (Operation::PutObject, 5000),
        (Operation::CompleteMultipartUpload, 9 << 20),
    ] {
        let mut world = World::new();
        world.set("DEFAULTS__METHOD", "archive");
        world.set("DEFAULTS__ARCHIVE__COMPRESSION", "none");
        world.write("a", noise(1, length));
        settle();
        let fault = Fault::on(operation).key_contains("archives/").times(2);
        let lost = world.server.fault(fault.drop_after());
        world.back_up();
        assert!(lost.fired() > 0);
        let key = world.full_key(&world.key_like("archives/", ".tar"));
        let etag = world.server.object(BUCKET, &key).unwrap().etag;
        assert_eq!(world.objects()[0]["etag"], etag.trim_matches('"'));
    }
}

/// The bytes of a file are swapped for others of the same length, in a store that keeps no checksums.
#[test]
fn the_verdict_never_claims_what_only_sizes_say() {
    let world = World::new();
    for index in 0..5 {
        world.write(&format!("{index}"), format!("contents of {index}"));
    }
    settle();
    world.back_up();
    let key = |name: &str| world.full_key(&world.key_like("files/", &format!("/{name}")));
    let sound = world.offsite(["verify"]);
    assert!(sound.stdout.contains("5 by checksum"), "{sound:?}");
    assert!(sound.stdout.contains("all match"), "{sound:?}");
    assert_eq!(sound.stderr, "");

    // A manifest without ETags, which are as good as checksums here.
    change_entries(&world, |entry| {
        entry.as_object_mut().unwrap().remove("etag");
    });
    world.server.replace(BUCKET, &key("1"), "contents of X");
    for name in ["1", "2"] {
        world.server.strip_checksum(BUCKET, &key(name));
    }
    let output = world.offsite(["verify"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stdout.contains("3 by checksum, 2 by size only"),
        "{output:?}"
    );
    assert!(
        output
            .stdout
            .contains("the contents of 2 objects were not compared"),
        "{output:?}"
    );
    for claim in ["all match", "as they were"] {
        assert!(!output.stdout.contains(claim), "{output:?}");
    }
    assert!(output.stderr.contains("--read"), "{output:?}");
    let (_, known) = report(&world, &[]);
    assert_eq!(
        known["compared"],
        json!({"contents": 0, "checksum": 3, "etag": 0, "size": 2})
    );
    let (code, read) = report(&world, &["--read"]);
    assert_eq!(code, 4);
    assert_eq!(
        read["compared"],
        json!({"contents": 4, "checksum": 0, "etag": 0, "size": 0})
    );
    assert_eq!(read["findings"][0]["path"], "1");
    assert_eq!(read["findings"][0]["kind"], "altered");
}

#[test]
fn a_checksum_of_another_kind_is_no_mismatch() {
    let world = World::new();
    world.write("whole", "some contents");
    world.write("parts", noise(1, 17 << 20));
    settle();
    world.back_up();
    let key = |name: &str| world.full_key(&world.key_like("files/", &format!("/{name}")));
    let put_again = |name: &str, algorithm: &str| {
        let key = key(name);
        let credentials = world.server.credentials();
        let output = Command::new(aws_cli())
            .args(["s3api", "put-object", "--bucket", BUCKET, "--key", &key])
            .args(["--checksum-algorithm", algorithm, "--body"])
            .arg(world.data().join(name))
            .env("AWS_ENDPOINT_URL", world.server.endpoint())
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_key)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    // The manifest has the SHA-256 of everything, so this one can be compared.
    put_again("parts", "SHA256");
    let (code, sound) = report(&world, &[]);
    assert_eq!((code, &sound["compared"]["checksum"]), (0, &json!(2)));
    put_again("whole", "CRC32");
    let is_cleared_by_reading = || {
        let (code, known) = report(&world, &[]);
        assert_eq!(code, 4, "{known}");
        assert_eq!(known["findings"][0]["kind"], "replaced", "{known}");
        assert_eq!(report(&world, &["--read"]).0, 0, "{known}");
    };
    is_cleared_by_reading();
    // This one comes with a CRC-64/NVME, where a SHA-256 was recorded.
    world.server.replace(BUCKET, &key("whole"), "some contents");
    is_cleared_by_reading();
}

/// What the commit record says of a segment is compared with the segment.
#[test]
fn a_commit_record_that_does_not_fit_its_segments_is_found() {
    let (world, _) = archives();
    let (key, record) = commit_record(&world);
    let found_after = |change: &dyn Fn(&mut Value)| {
        let mut changed = record.clone();
        change(&mut changed);
        world.server.replace(BUCKET, &key, changed.to_string());
        let (code, report) = report(&world, &[]);
        assert_eq!(code, 4, "{changed}");
        let findings = report["findings"].as_array().unwrap().clone();
        for finding in &findings {
            assert_eq!(finding["kind"], "record", "{report}");
            assert!(key.ends_with(finding["key"].as_str().unwrap()), "{report}");
        }
        findings.len()
    };
    assert_eq!(
        found_after(&|record| record["totals"]["files"] = 7.into()),
        1
    );
    let both = |record: &mut Value| {
        record["totals"]["files"] = 7.into();
        record["segments"][0]["totals"]["files"] = 7.into();
    };
    assert_eq!(found_after(&both), 1, "their sum agrees");
    assert_eq!(
        found_after(&|record| record["segments"][0]["objects"] = json!({})),
        1
    );
}

/// Several entries may share an object; what each records of it counts.
#[test]
fn names_of_one_object_that_disagree_are_all_compared() {
    let world = World::new();
    world.write("a", "one inode");
    std::fs::hard_link(world.data().join("a"), world.data().join("b")).unwrap();
    std::fs::hard_link(world.data().join("a"), world.data().join("c")).unwrap();
    settle();
    world.back_up();
    let (code, sound) = report(&world, &[]);
    assert_eq!((code, &sound["objects"]), (0, &json!(1)), "{sound}");

    change_entries(&world, |entry| {
        if entry["path"] == "c" {
            entry["sha256"] = "00".repeat(32).into();
        }
    });
    let (code, found) = findings(&world, &[]);
    assert_eq!((code, found.len()), (4, 1), "{found:?}");
    assert!(found[0].starts_with("c: altered"), "{found:?}");
}

/// Changes the entries of the only segment, with a commit record that vouches for it.
pub(crate) fn change_entries(world: &World, change: impl Fn(&mut Value)) {
    let segment = world.full_key(&world.segment_key("manifests/"));
    let bytes = world.server.object(BUCKET, &segment).unwrap().bytes;
    let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
    let lines = text.lines().map(|line| {
        let mut entry: Value = serde_json::from_str(line).unwrap();
        if entry["path"].is_string() {
            change(&mut entry);
        }
        format!("{entry}\n")
    });
    let lines: String = lines.collect();
    let bytes = zstd::encode_all(lines.as_bytes(), 1).unwrap();
    let (key, mut record) = commit_record(world);
    record["segments"][0]["sha256"] = sha256(&bytes).into();
    record["segments"][0]["size"] = bytes.len().into();
    record["segments"][0]["lines_bytes"] = lines.len().into();
    world.server.replace(BUCKET, &segment, bytes);
    world.server.replace(BUCKET, &key, record.to_string());
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}
