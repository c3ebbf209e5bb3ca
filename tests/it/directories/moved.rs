//! A store that was copied elsewhere by people.

use std::process::Command;

use super::{assert_restored, store, world};
use crate::support::tree::{self, settle};
use crate::support::{World, noise};
use crate::verify::findings;

/// Copies the store, by `cp` with an option, and lets it be the store from now on.
fn copy(world: &mut World, option: &str, name: &str) {
    let to = world.path(name);
    let copied = Command::new("cp")
        .arg(option)
        .args([&store(world), &to])
        .status();
    assert!(copied.unwrap().success());
    world.set("STORE", to.display());
}

#[test]
fn a_store_that_was_copied_with_its_times_goes_on() {
    let mut world = world();
    world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
    // Its key is no path, and has a file beside the object.
    world.write(&"x".repeat(255), "long");
    world.write("a", noise(1, 1000));
    settle();
    world.back_up();
    let mut trees = vec![tree::read(&world.data())];
    world.set("DEFAULTS__METHOD", "archive");
    world.write("b", noise(2, 1000));
    settle();
    world.back_up();
    trees.push(tree::read(&world.data()));

    copy(&mut world, "-a", "elsewhere");
    std::fs::rename(store(&world), world.path("gone")).unwrap();
    assert_eq!(findings(&world, &["--snapshot", "latest"]).1.len(), 0);
    world.write("c", "since");
    settle();
    let run = world.back_up();
    assert_eq!(
        run.event("snapshot_committed")["uploaded_files"],
        1,
        "{run:?}"
    );
    trees.push(tree::read(&world.data()));
    assert_restored(&world, &trees);
    assert_eq!(findings(&world, &["--read"]), (0, vec![]));

    // Without times an archive is one that somebody else has put there, until its contents are read.
    std::fs::rename(world.path("elsewhere"), store(&world)).unwrap();
    copy(&mut world, "-rd", "without-times");
    let (code, found) = findings(&world, &[]);
    assert_eq!((code, found.len()), (4, 2), "{found:?}");
    assert!(
        found.iter().all(|finding| finding.contains("ETag")),
        "{found:?}"
    );
    assert_eq!(findings(&world, &["--read"]), (0, vec![]));
}
