//! Verify by listing: how many requests that takes, and that it finds what single requests find.

use std::time::Duration;

use local_s3::{LoggedRequest, Operation};
use serde_json::{Value, json};

use super::{content, findings, report};
use crate::support::tree::settle;
use crate::support::{BUCKET, PREFIX, SOURCE, World, noise};

/// Requests for objects of files: pages of listings, and single ones.
fn asked(requests: &[LoggedRequest]) -> (usize, usize) {
    let count = |operation| {
        let is_one = |request: &&LoggedRequest| {
            let is_listing = operation == Operation::ListObjectsV2;
            let about = match is_listing {
                true => request.query.as_str(),
                false => request.key.as_deref().unwrap_or_default(),
            };
            request.operation == operation && about.contains("files")
        };
        requests.iter().filter(is_one).count()
    };
    (
        count(Operation::ListObjectsV2),
        count(Operation::HeadObject),
    )
}

/// What verify reports, and how many pages and single requests it took.
fn asked_by(world: &World, args: &[&str]) -> (Value, usize, usize) {
    let mut said = Value::Null;
    let requests = world.requests_of(|| {
        let (code, report) = report(world, args);
        assert_eq!(code, 0, "{report}");
        said = report;
    });
    let (pages, heads) = asked(&requests);
    (said, pages, heads)
}

fn by_etag(objects: u64) -> Value {
    json!({"contents": 0, "checksum": 0, "etag": objects, "size": 0})
}

#[test]
fn ten_thousand_objects_take_some_ten_requests_and_no_more_memory() {
    let world = World::new();
    let peak = |world: &World| {
        let (output, peak) = world.offsite_measured(Duration::from_secs(120), ["verify"]);
        assert_eq!(output.code, 0, "{output:?}");
        peak
    };
    for index in 0..500 {
        world.write(&format!("first/{index:04}"), "x");
    }
    settle();
    world.back_up();
    let few = peak(&world);
    for index in 0..9_500 {
        world.write(&format!("{:02}/{index:05}", index % 40), "y");
    }
    settle();
    world.back_up();
    let (said, pages, heads) = asked_by(&world, &[]);
    assert_eq!(said["objects"], 10_000);
    assert_eq!(said["compared"], by_etag(10_000), "{said}");
    // Those of the first pass take one, the 9,500 of the second ten.
    assert_eq!((pages, heads), (1 + 10, 0));
    let many = peak(&world);
    assert!(many < few + 24, "{few} MiB, then {many} MiB");
}

/// Manifests are in order of path, component by component, keys in order of their bytes.
#[test]
fn names_in_another_order_than_their_keys_are_confirmed_by_listing() {
    let world = World::new();
    for index in 0..30 {
        world.write(&format!("d/{index}/x"), "below");
        world.write(&format!("d-{index}"), "sorts before d/ as a key");
        world.write(&format!("d {index}.txt"), "so does this");
        world.write(&format!("100%/{index}"), "is percent-encoded");
        world.write(&format!("é/{index}日"), "is not ASCII");
    }
    let long = format!("{}/{}", "long".repeat(60), "name".repeat(60));
    for index in 0..30 {
        world.write(&format!("{long}/{}/{index}", "more".repeat(60)), "by hash");
    }
    settle();
    world.back_up();
    for index in 0..30 {
        world.write(&format!("d-{index}"), "captured by the second pass");
    }
    settle();
    world.back_up();
    let (said, pages, heads) = asked_by(&world, &[]);
    assert_eq!(said["compared"], by_etag(180), "{said}");
    assert_eq!((pages, heads), (2, 0));
    let directory = world.path("store");
    std::fs::create_dir(&directory).unwrap();
    let store = ["--store", directory.to_str().unwrap()];
    assert_eq!(world.offsite(["run"].iter().chain(&store)).code, 0);
    let (code, said) = report(&world, &store);
    assert_eq!((code, &said["compared"]), (0, &by_etag(180)), "{said}");
}

#[test]
fn few_objects_of_many_are_asked_for_one_by_one() {
    let world = World::new();
    for index in 0..3000 {
        world.write(&format!("{index:04}"), "first");
    }
    settle();
    world.back_up();
    for index in (0..3000).filter(|index| index % 100 != 0) {
        world.write(&format!("{index:04}"), "second");
    }
    settle();
    world.back_up();
    let (said, pages, heads) = asked_by(&world, &[]);
    assert_eq!(said["objects"], 3000);
    // A page of the first pass has ten that are needed: after one, the other twenty are asked for.
    assert_eq!((pages, heads), (3 + 1, 20));
    // Of a dozen, none is listed.
    let world = World::new();
    for index in 0..12 {
        world.write(&format!("{index}"), "x");
    }
    settle();
    world.back_up();
    let (_, pages, heads) = asked_by(&world, &[]);
    assert_eq!((pages, heads), (0, 12));
}

/// The store says it of one object more often than a listing does.
#[test]
fn what_a_listing_does_not_confirm_is_asked_for_before_it_is_called_wrong() {
    let world = super::world();
    world.server.remove(BUCKET, &content(&world, "03"));
    world.server.truncate(BUCKET, &content(&world, "05"), 4);
    // The same bytes, put again: another ETag, and the same checksum.
    let key = content(&world, "in parts");
    let same = world.server.object(BUCKET, &key).unwrap().bytes;
    world.server.replace(BUCKET, &key, same);
    let mut found = (0, Vec::new());
    let requests = world.requests_of(|| found = findings(&world, &[]));
    assert_eq!(found.0, 4);
    assert_eq!(found.1.len(), 2, "{found:?}");
    assert!(found.1[0].starts_with("03: missing"), "{found:?}");
    assert!(found.1[1].starts_with("05: truncated"), "{found:?}");
    assert_eq!(asked(&requests), (1, 3));
}

#[test]
fn a_listing_tells_which_objects_are_in_an_archive_class() {
    let mut world = World::new();
    world.set("S3__STORAGE_CLASS", "DEEP_ARCHIVE");
    for index in 0..20 {
        world.write(&format!("{index}"), "x");
    }
    settle();
    world.back_up();
    let (said, pages, heads) = asked_by(&world, &[]);
    assert_eq!((said["archived"].as_u64(), pages, heads), (Some(20), 1, 0));
}

#[test]
fn the_verdict_says_that_a_listing_compares_no_checksums() {
    let world = super::world();
    let listed = world.offsite(["verify"]);
    assert!(listed.stdout.contains("22 by ETag"), "{listed:?}");
    assert!(listed.stderr.contains("`--checksums`"), "{listed:?}");
    let asked = world.offsite(["verify", "--checksums"]);
    assert!(asked.stdout.contains("22 by checksum"), "{asked:?}");
    assert_eq!(asked.stderr, "");
}

/// Some objects are in all snapshots, some in one.
#[test]
fn all_snapshots_are_verified_and_each_object_is_asked_about_once() {
    let mut world = World::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 10);
    for index in 0..40 {
        world.write(&format!("{index:02}"), "first");
    }
    settle();
    world.back_up();
    for round in 0..3 {
        world.write("05", format!("round {round}"));
        world.write("95", format!("round {round}"));
        settle();
        world.back_up();
    }
    let mut reports = Vec::new();
    let requests = world.requests_of(|| {
        let output = world.offsite(["verify", "--all", "--checksums", "--json"]);
        assert_eq!(output.code, 0, "{output:?}");
        reports = serde_json::from_str::<Vec<Value>>(&output.stdout).unwrap();
    });
    assert_eq!(reports.len(), 4);
    assert_eq!(asked(&requests), (0, 40 + 3 * 2));
    let objects: Vec<_> = reports
        .iter()
        .map(|r| r["objects"].as_u64().unwrap())
        .collect();
    assert_eq!(objects, [40, 2, 2, 2]);
    // Nor is a segment read twice.
    let mut segments: Vec<_> = requests
        .iter()
        .filter_map(|request| request.key.clone())
        .filter(|key| key.contains("/manifests/"))
        .collect();
    let read = segments.len();
    segments.sort();
    segments.dedup();
    assert_eq!(read, segments.len());
    let text = world.offsite(["verify", "--all"]);
    assert!(
        text.stdout.contains("checked with an earlier snapshot"),
        "{text:?}"
    );

    // What a snapshot in the middle alone has is found, too.
    let middle = world.snapshots().remove(2);
    let key = world.full_key(&format!("files/data/{middle}/05"));
    world.server.remove(BUCKET, &key);
    assert_eq!(world.offsite(["verify"]).code, 0);
    let output = world.offsite(["verify", "--all"]);
    assert_eq!(output.code, 4, "{output:?}");
    assert!(output.stderr.contains("05: missing"), "{output:?}");
}

/// Whoever looks at the last of them must not take it for sound.
#[test]
fn what_an_earlier_snapshot_lacks_is_found_in_each_that_needs_it() {
    for method in [
        "",
        "    method: archive\n    archive: {incremental: true}\n",
    ] {
        let mut world = World::new();
        world.configure(&format!(
            "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  sources:\n  \
             - name: {SOURCE}\n    directory: {}\n{method}",
            world.data().display()
        ));
        world.set("MANIFEST__SEGMENT_ENTRIES", 10);
        for index in 0..40 {
            world.write(&format!("{index:02}"), format!("{index}"));
        }
        settle();
        world.back_up();
        for round in 0..2 {
            world.write("05", format!("round {round}"));
            settle();
            world.back_up();
        }
        std::fs::remove_dir_all(world.data()).unwrap();
        for name in ["06", "07", "z"] {
            world.write(name, name);
        }
        settle();
        world.back_up();
        let first = world.snapshots().remove(0);
        let keys: Vec<_> = match method {
            "" => ["05", "25"]
                .map(|name| format!("files/data/{first}/{name}"))
                .into(),
            _ => (world.server.keys(BUCKET).into_iter())
                .filter_map(|key| key.strip_prefix(PREFIX).map(str::to_owned))
                .filter(|key| key.starts_with("archives/"))
                .take(1)
                .collect(),
        };
        for key in &keys {
            world.server.remove(BUCKET, &world.full_key(key));
        }
        let output = world.offsite(["verify", "--all", "--json"]);
        assert_eq!(output.code, 4, "{output:?}");
        let reports: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
        let found: Vec<_> = reports
            .iter()
            .map(|report| report["findings"].as_array().unwrap().len())
            .collect();
        match method {
            "" => assert_eq!(found, [2, 1, 1, 0], "{output:?}"),
            _ => assert!(
                found[..3].iter().all(|n| *n > 0) && found[3] == 0,
                "{output:?}"
            ),
        }
        let output = world.offsite(["verify", "--all"]);
        assert_eq!(output.stdout.matches("all match").count(), 1, "{output:?}");
    }
}

#[test]
fn a_damaged_commit_record_keeps_no_other_snapshot_from_being_verified() {
    let world = World::new();
    world.write("a", "a");
    settle();
    for _ in 0..3 {
        world.back_up();
        std::fs::write(
            world.data().join("b"),
            noise(world.snapshots().len() as u64, 9),
        )
        .unwrap();
        settle();
    }
    let middle = world.snapshots().remove(1);
    let key = format!("snapshots/{SOURCE}/{middle}.json");
    world.server.truncate(BUCKET, &world.full_key(&key), 100);
    let output = world.offsite(["verify", "--all", "--json"]);
    assert_eq!(output.code, 4, "{output:?}");
    let reports: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(reports.len(), 3, "{output:?}");
    for report in &reports {
        let is_it = report["snapshot"] == *middle;
        let kind = &report["findings"][0]["kind"];
        assert_eq!(kind == "record", is_it, "{report}");
    }
    let output = world.offsite(["verify", "--all"]);
    assert_eq!(output.stdout.matches("all match").count(), 2, "{output:?}");
    assert!(output.stderr.contains(&key), "{output:?}");
}
