//! What exists and cannot be looked at: what a snapshot keeps of it, and what is marked.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::io::Errno;
use serde_json::Value;

use crate::support::calls::{LOOK, refuse};
use crate::support::tree::{assert_same, read, set_mode, settle};
use crate::support::{Output, World, finish};

/// Backs up where the file system answers with an error whenever something in a directory is looked at.
fn back_up_blindly(world: &World) -> Output {
    let mut command = world.command(["run"]);
    refuse(&mut command, &[(LOOK, Errno::IO)]);
    let output = finish(command.output().unwrap());
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(output.event("snapshot_committed")["complete"], false);
    output
}

/// Paths of the latest snapshot that are marked.
fn marked(world: &World) -> Vec<String> {
    let listed = world.offsite(["list", "latest", "--json"]);
    let entries: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    let marked = entries
        .iter()
        .filter(|entry| !entry["unreadable"].is_null());
    marked
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_cannot_be_looked_at_keeps_its_last_version_and_marks_no_directory() {
    let world = World::new();
    for name in ["a", "b/in-it", "c"] {
        world.write(name, name);
    }
    settle();
    world.back_up();
    let before = read(&world.data());
    // The second time it is the same.
    for _ in 0..2 {
        let output = back_up_blindly(&world);
        assert_eq!(
            output.event("snapshot_committed")["failed"],
            4,
            "{output:?}"
        );
        assert_eq!(marked(&world), ["a", "b", "b/in-it", "c"]);
        assert_same(&before, &read(&world.restored_latest()));
    }
    world.back_up();
    assert_eq!(marked(&world), [""; 0]);
}

#[test]
fn of_what_is_new_and_cannot_be_looked_at_the_name_is_kept() {
    let world = World::new();
    world.write("b", "b");
    settle();
    world.back_up();
    for name in ["a", "c/in-it"] {
        world.write(name, name);
    }
    settle();
    back_up_blindly(&world);
    assert_eq!(marked(&world), ["a", "b", "c"]);
    // A restore has what there is, and names what it lacks.
    let restored = world.offsite(["restore", "--to", "restored"]);
    assert_eq!(restored.code, 3, "{restored:?}");
    for name in ["a", "c"] {
        let lacking = format!("{name}: its contents were never captured");
        assert!(restored.stderr.contains(&lacking), "{restored:?}");
    }
    let names: BTreeSet<_> = read(&world.path("restored/data")).into_keys().collect();
    assert_eq!(
        names,
        ["", "b"].map(|name| Path::new(name).to_owned()).into()
    );
    let output = world.back_up();
    assert_eq!(output.event("snapshot_committed")["complete"], true);
    assert_eq!(marked(&world), [""; 0]);
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn a_directory_that_may_be_read_and_not_searched_is_marked_and_keeps_what_is_in_it() {
    let world = World::new();
    for name in ["closed/1", "closed/2", "open/1"] {
        world.write(name, name);
    }
    settle();
    world.back_up();
    let before = read(&world.data());
    set_mode(&world.data().join("closed"), 0o400);
    settle();
    let output = world.offsite_without(&["dac_override", "dac_read_search"], ["run"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(output.event("file_unreadable")["path"], "closed");
    assert_eq!(marked(&world), ["closed", "closed/1", "closed/2"]);
    let restored = read(&world.restored_latest());
    assert_eq!(
        restored.keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
    set_mode(&world.data().join("closed"), 0o755);
    settle();
    world.back_up();
    assert_eq!(marked(&world), [""; 0]);
}
