//! Looking at snapshots: `list --last`, `ls`, `find`, `cat`, `diff`.

mod cat;
mod diff;
mod find;
mod ls;

use serde_json::Value;

use crate::support::tree::settle;
use crate::support::{Output, World};

/// A world with three snapshots of some files, in segments of at most four entries: `steady` is the same in
/// all of them, `docs/a.txt` another one in each, `docs/b.txt` in the first two alone.
fn world() -> (World, Vec<String>) {
    let mut world = World::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 4);
    for number in 0..20 {
        world.write(&format!("steady/{number:02}"), format!("{number}"));
    }
    world.write("docs/b.txt", "b");
    for pass in 0..3 {
        world.write("docs/a.txt", "a".repeat(pass + 1));
        if pass == 2 {
            std::fs::remove_file(world.data().join("docs/b.txt")).unwrap();
        }
        settle();
        world.back_up();
    }
    let snapshots = world.snapshots();
    (world, snapshots)
}

/// Two sources, `one` and `two`, which both have `same` and one file that the other does not have.
fn two_sources() -> World {
    let world = World::new();
    for source in ["one", "two"] {
        world.write(&format!("{source}/same"), format!("same of {source}"));
        world.write(&format!("{source}/only-{source}"), source);
    }
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n  - {{name: one, directory: {0}/one}}\n  - {{name: two, directory: {0}/two}}\n",
        world.data().display()
    ));
    settle();
    world.back_up();
    world
}

/// The objects of a command's JSON.
fn objects(output: &Output) -> Vec<Value> {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Segments that were read.
fn segments_read(world: &World) -> usize {
    let requests = world.server.requests();
    let keys = requests.iter().filter_map(|request| request.key.as_deref());
    keys.filter(|key| key.ends_with(".ndjson.zst")).count()
}

#[test]
fn the_last_snapshots_of_each_source_are_listed_and_no_others_are_read() {
    let (world, snapshots) = world();
    let ids = |args: &[&str]| -> Vec<String> {
        let output = world.offsite([&["list", "--json"], args].concat());
        assert_eq!(output.code, 0, "{output:?}");
        let id = |snapshot: &Value| snapshot["id"].as_str().unwrap().to_owned();
        objects(&output).iter().map(id).collect()
    };
    world.server.clear_requests();
    assert_eq!(ids(&["--last", "1"]), snapshots[2..]);
    let requests = world.server.requests();
    let records = requests.iter().filter_map(|request| request.key.as_deref());
    let records = records.filter(|key| key.ends_with(".json"));
    assert_eq!(records.count(), 1, "{requests:#?}");
    assert_eq!(ids(&["--last", "2", "--source", "data"]), snapshots[1..]);
    assert_eq!(ids(&["--last", "9"]), snapshots);
    assert_eq!(world.offsite(["list", "--last", "0"]).code, 2);
    assert_eq!(world.offsite(["list", "latest", "--last", "1"]).code, 2);

    let two = two_sources();
    two.back_up();
    let output = two.offsite(["list", "--last", "1", "--json"]);
    let sources: Vec<_> = objects(&output)
        .iter()
        .map(|s| s["source"].clone())
        .collect();
    assert_eq!(sources, ["one", "two"]);
}
