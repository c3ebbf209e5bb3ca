//! `find`.

use serde_json::Value;

use super::{objects, segments_read, world};
use crate::support::tree::{set_mode, settle};
use crate::support::{BUCKET, World};

/// What is found, as `change path` with the number of the snapshot.
fn found(world: &World, snapshots: &[String], pattern: &str) -> Vec<String> {
    let output = world.offsite(["find", pattern, "--json"]);
    assert_eq!(output.code, 0, "{output:?}");
    let text = |version: &Value| {
        let id = version["snapshot"].as_str().unwrap();
        let number = snapshots.iter().position(|known| known == id).unwrap();
        let change = version["change"].as_str().unwrap();
        format!("{number} {change} {}", version["path"].as_str().unwrap())
    };
    objects(&output).iter().map(text).collect()
}

#[test]
fn each_version_is_found_once_and_where_it_ends() {
    let (world, snapshots) = world();
    let expected = [
        "0 added docs/a.txt",
        "0 added docs/b.txt",
        "1 contents docs/a.txt",
        "2 contents docs/a.txt",
        "2 removed docs/b.txt",
    ];
    assert_eq!(found(&world, &snapshots, "*.txt"), expected);
    assert_eq!(found(&world, &snapshots, "docs/a*").len(), 3);
    assert_eq!(
        found(&world, &snapshots, "steady/07"),
        ["0 added steady/07"]
    );
    let text = world.offsite(["find", "b.txt"]).stdout;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    let begins = format!("{}  data  +        1 B 2", snapshots[0]);
    assert!(lines[0].starts_with(&begins), "{text}");
    assert!(
        lines[1].starts_with(&format!("{}  data  - ", snapshots[2])),
        "{text}"
    );
    assert!(lines[0].ends_with(" docs/b.txt"), "{text}");
}

#[test]
fn other_metadata_is_another_version_and_a_directory_is_not_for_what_is_in_it() {
    let (world, mut snapshots) = world();
    set_mode(&world.data().join("docs/a.txt"), 0o600);
    world.write("docs/new", "new");
    settle();
    world.back_up();
    snapshots = {
        let now = world.snapshots();
        assert_eq!(now[..3], snapshots);
        now
    };
    assert_eq!(
        found(&world, &snapshots, "a.txt")[3],
        "3 metadata docs/a.txt"
    );
    assert_eq!(found(&world, &snapshots, "docs/"), ["0 added docs"]);
}

/// What two snapshots have in common is in segments that both refer to.
#[test]
fn a_segment_that_does_not_change_is_read_once_for_all_snapshots() {
    let (world, snapshots) = world();
    let keys = world.server.keys(BUCKET);
    let segments = keys.iter().filter(|key| key.ends_with(".ndjson.zst"));
    let segments = segments.count();
    world.server.clear_requests();
    assert_eq!(found(&world, &snapshots, "steady/1*").len(), 10);
    // The one with `docs` in it is another one in each: read as the later one, and as the earlier one.
    assert!(segments >= 7, "{keys:#?}");
    assert_eq!(segments_read(&world), segments + 2, "{keys:#?}");
}

#[test]
fn nothing_found_is_not_success() {
    let (world, _) = world();
    let output = world.offsite(["find", "*.pdf"]);
    assert_eq!(output.code, 10, "{output:?}");
    assert!(output.stderr.contains("matches `*.pdf`"), "{output:?}");
    let output = world.offsite(["find", "*.pdf", "--json"]);
    assert_eq!((output.code, &*output.stdout), (10, "[]\n"));
    assert_eq!(world.offsite(["find", "[z-a]"]).code, 2);
    assert_eq!(world.offsite(["find", "*", "--source", "none"]).code, 10);
}

#[test]
fn a_damaged_segment_ends_the_search_with_an_error() {
    let (world, _) = world();
    let keys = world.server.keys(BUCKET);
    let last = keys.iter().rfind(|key| key.ends_with(".ndjson.zst"));
    world.server.corrupt(BUCKET, last.unwrap(), 30);
    let output = world.offsite(["find", "*", "--json"]);
    assert_eq!(output.code, 4, "{output:?}");
    assert!(output.stderr.contains("is damaged"), "{output:?}");
    // What there is of the array cannot be taken for all of it.
    assert!(!output.stdout.ends_with("]\n"), "{output:?}");
}
