//! What a pass does to the store and says about it.

use std::os::unix::fs::symlink;

use crate::support::tree::{self, assert_same, make_one_of_everything, settle};
use crate::support::{World, uploads};

#[test]
fn everything_a_file_system_allows_comes_back() {
    let mut world = World::new();
    world.set("DEFAULTS__XATTRS", true);
    make_one_of_everything(&world.data());
    world.back_up();
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
}

#[test]
fn only_what_changed_is_sent_again() {
    let world = World::new();
    make_one_of_everything(&world.data());
    settle();
    world.back_up();
    let before = tree::read(&world.data());

    world.write("a/plain.txt", "changed\n");
    world.write("a/new", "new\n");
    std::fs::remove_file(world.data().join("a.b")).unwrap();
    std::fs::rename(world.data().join("script"), world.data().join("renamed")).unwrap();
    std::fs::remove_file(world.data().join("links/up")).unwrap();
    symlink("elsewhere", world.data().join("links/up")).unwrap();
    let after = tree::read(&world.data());
    let requests = world.requests_of(|| {
        world.back_up();
    });
    assert_eq!(uploads(&requests), ["a/new", "a/plain.txt", "renamed"]);

    let snapshots = world.snapshots();
    assert_eq!(snapshots.len(), 2);
    let without_xattrs = |mut tree: tree::Tree| {
        tree.values_mut().for_each(|facts| facts.xattrs.clear());
        tree
    };
    assert_same(
        &without_xattrs(before),
        &tree::read(&world.restored(&snapshots[0])),
    );
    assert_same(
        &without_xattrs(after),
        &tree::read(&world.restored(&snapshots[1])),
    );
}
