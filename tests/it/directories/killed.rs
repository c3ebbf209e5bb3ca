//! Passes into a directory, killed before each of the calls by which they change it.

use std::process::Command;

use super::{NFS, NOTHING, Refused, assert_restored, command_where, store, world};
use crate::kill::at_every_request as at_every_call;
use crate::support::calls::killed_at;
use crate::support::tree::{self, Tree, settle};
use crate::support::{World, finish, long, noise};

/// A store with a snapshot, and what is in it.
struct Before {
    world: World,
    trees: Vec<Tree>,
}

fn before(refused: Refused, is_first: bool) -> Before {
    let mut world = world();
    world.set("MANIFEST__SEGMENT_ENTRIES", 4);
    for path in ["a", "b", "sub/c", "sub/d", "sub/e"] {
        world.write(path, path);
    }
    let mut trees = Vec::new();
    if !is_first {
        settle();
        let run = finish(command_where(&world, refused, &["run"]).output().unwrap());
        assert_eq!(run.code, 0, "{run:?}");
        trees.push(tree::read(&world.data()));
        world.write("a", "changed");
        world.write("sub/f", "new");
    }
    world.write("large", noise(1, 17 << 20));
    settle();
    trees.push(tree::read(&world.data()));
    let status = Command::new("cp")
        .arg("-a")
        .args([store(&world), world.path("was")])
        .status();
    assert!(status.unwrap().success());
    Before { world, trees }
}

fn killed_at_every_call_of(refused: Refused, is_first: bool) -> usize {
    let before = [before(refused, is_first), before(refused, is_first)];
    let free = std::sync::Mutex::new(before.iter().collect::<Vec<_>>());
    // Each call in turn takes minutes.
    let stride = if long() { 1 } else { 4 };
    let calls = at_every_call(|at| {
        let Before { world, trees } = free.lock().unwrap().pop().unwrap();
        std::fs::remove_dir_all(store(world)).unwrap();
        let copy = Command::new("cp")
            .arg("-a")
            .args([world.path("was"), store(world)])
            .status();
        assert!(copy.unwrap().success());
        let killed = killed_at(command_where(world, refused, &["run"]), at * stride);
        let is_killed = killed.is_some();
        let there = world.snapshots().len();
        let unlock = world.offsite(["unlock", "--force"]);
        assert!(matches!(unlock.code, 0 | 10), "killed at {at}: {unlock:?}");
        // The killed pass may have come to its end: then there is nothing new for the next one.
        assert!(
            there + 1 >= trees.len(),
            "killed at {at}: {there} snapshots"
        );
        assert_restored(world, &trees[..there]);
        let run = finish(command_where(world, refused, &["run"]).output().unwrap());
        assert_eq!(run.code, 0, "killed at {at}: {run:?}");
        let snapshots = world.snapshots();
        let latest = tree::read(&world.restored(snapshots.last().unwrap()));
        tree::assert_same(trees.last().unwrap(), &latest);
        let (code, found) = crate::verify::findings(world, &["--read"]);
        assert_eq!((code, found.len()), (0, 0), "killed at {at}: {found:?}");
        free.lock().unwrap().push(free_again(world, &before));
        is_killed
    });
    calls * stride
}

fn free_again<'a>(world: &World, all: &'a [Before; 2]) -> &'a Before {
    let is = |before: &&Before| std::ptr::eq(&raw const before.world, world);
    all.iter().find(is).unwrap()
}

#[test]
fn a_first_pass_killed_before_any_of_its_calls_is_continued() {
    let calls = killed_at_every_call_of(NOTHING, true);
    assert!(calls > 60, "{calls} calls were tried");
}

#[test]
fn a_later_pass_killed_before_any_of_its_calls_is_continued() {
    let calls = killed_at_every_call_of(NOTHING, false);
    assert!(calls > 60, "{calls} calls were tried");
}

#[test]
fn a_pass_into_a_file_server_killed_before_any_of_its_calls_is_continued() {
    let calls = killed_at_every_call_of(NFS, false);
    assert!(calls > 60, "{calls} calls were tried");
}
