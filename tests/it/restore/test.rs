//! Reading everything that a restore would, and writing nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use super::interrupted::world;
use super::restore;
use crate::support::calls::{Answer, watched};
use crate::support::tree::settle;
use crate::support::{BUCKET, World};

fn names(world: &World) -> BTreeSet<String> {
    let names = std::fs::read_dir(world.home.path()).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn everything_is_read_and_nothing_written() {
    let world = world();
    let before = names(&world);
    world.server.clear_requests();
    let mut changes = Vec::new();
    let output = watched(&mut world.command(["restore", "--test"]), |call| {
        changes.push(call.number);
        Answer::Proceed
    });
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stdout.contains("can be restored: 9 files"),
        "{output:?}"
    );
    assert_eq!(changes, [0; 0]);
    assert_eq!(names(&world), before);
    let requests = world.server.requests();
    let read = requests.iter().filter_map(|request| request.key.as_deref());
    let read: BTreeSet<_> = read.filter(|key| key.contains("/files/")).collect();
    let all = world.keys();
    assert_eq!(
        read.len(),
        all.iter().filter(|key| key.starts_with("files/")).count()
    );
    let json = world.offsite(["restore", "--test", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["test"]["failure_count"], 0);
}

#[test]
fn what_is_damaged_is_named_and_ends_with_four() {
    let world = world();
    let key = world.full_key(&world.key_like("files/", "one/two/c"));
    world.server.corrupt(BUCKET, &key, 0);
    let output = world.offsite(["restore", "--test"]);
    assert_eq!(output.code, 4, "{output:?}");
    assert!(
        output
            .stderr
            .contains("one/two/c: contents in the store do not have"),
        "{output:?}"
    );
    assert!(
        output.stdout.contains("can be restored EXCEPT FOR 1"),
        "{output:?}"
    );
    // What is not asked for is not read.
    assert_eq!(
        world
            .offsite(["restore", "--test", "--path", "/one/b"])
            .code,
        0
    );
    assert_eq!(
        world
            .offsite(["restore", "--test", "--path", "/nowhere"])
            .code,
        10
    );
}

#[test]
fn archives_are_read_as_well() {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    for index in 0..40 {
        world.write(&format!("{index}"), format!("contents {index}"));
    }
    settle();
    world.back_up();
    let output = world.offsite(["restore", "--test"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("40 files"), "{output:?}");
}

#[test]
fn with_a_target_what_stands_in_the_way_is_told_too() {
    let world = world();
    std::fs::create_dir(world.path("out")).unwrap();
    std::fs::write(world.path("out/a"), "mine").unwrap();
    let output = restore(&world, &["--test"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("out/a"), "{output:?}");
    std::fs::remove_file(world.path("out/a")).unwrap();
    assert_eq!(restore(&world, &["--test"]).code, 0);
    assert_eq!(std::fs::read_dir(world.path("out")).unwrap().count(), 0);
}
