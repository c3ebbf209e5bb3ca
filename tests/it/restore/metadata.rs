//! Owners, modes, times and attributes, and who may give them.

use std::os::unix::fs::symlink;
use std::path::Path;

use offsite::format::entry::Kind;

use super::hostile::{entry, hostile};
use super::{restore, world};
use crate::support::tree::{self, assert_same, set_mode, settle};
use crate::support::{SOURCE, World};

#[test]
fn a_refused_step_does_not_cost_the_rest_of_the_metadata() {
    let world = world();
    let odd = |path: &str, kind, mode| {
        let mut entry = entry(path, kind);
        entry.metadata.mode = mode;
        entry.metadata.mtime_ns = 1_234_567_890_123_456_789;
        entry.metadata.uid = 1234;
        // No kernel has attributes outside a few namespaces.
        entry.xattrs = vec![
            (b"offsite.one".to_vec(), b"1".to_vec()),
            (b"user.two".to_vec(), b"2".to_vec()),
        ];
        entry
    };
    hostile(
        &world,
        &[
            entry(".", Kind::Directory),
            odd("dir", Kind::Directory, 0o1751),
            odd("file", Kind::File, 0o4751),
        ],
    );
    let to = world.path("out");
    let args = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    for owner in [1234, 0] {
        let _ = std::fs::remove_dir_all(&to);
        let output = match owner {
            0 => world.offsite_without(&["chown"], args),
            _ => world.offsite(args),
        };
        assert_eq!(output.code, 3, "{output:?}");
        let tree = tree::read(&to);
        for (path, mode) in [("dir", 0o1751), ("file", 0o4751)] {
            let facts = &tree[Path::new(path)];
            // Whoever does not get a file back does not get to be who runs it either.
            let mode = if owner == 0 { mode & 0o1777 } else { mode };
            assert_eq!(facts.mode, mode, "{path}");
            assert_eq!(facts.mtime_ns, 1_234_567_890_123_456_789, "{path}");
            assert_eq!(facts.uid, owner, "{path}");
            assert_eq!(facts.xattrs[&b"user.two"[..]], b"2", "{path}");
            let said = output.stderr.lines().find(|line| line.contains(path));
            let said = said.unwrap_or_else(|| panic!("{path} in {output:?}"));
            assert!(said.contains("attribute `offsite.one`"), "{said}");
            assert_eq!(said.contains("owner: "), owner == 0, "{said}");
        }
    }
}

#[test]
fn what_belongs_to_somebody_else_does_not_become_setuid_to_who_restores_it() {
    let world = World::new();
    for (name, owner, mode) in [
        ("root's", 0, 0o4755),
        ("root's group", 0, 0o2755),
        ("own", 1000, 0o6755),
    ] {
        world.write(name, name);
        let path = world.data().join(name);
        std::os::unix::fs::chown(&path, Some(owner), Some(owner)).unwrap();
        set_mode(&path, mode);
    }
    settle();
    world.back_up();
    let to = world.path("out");
    let args = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    // Once more, where everything is there.
    for _ in 0..2 {
        let output = world.offsite_as(1000, args);
        assert_eq!(output.code, 0, "{output:?}");
        let tree = tree::read(&to);
        for (name, mode) in [("root's", 0o755), ("root's group", 0o755), ("own", 0o6755)] {
            let facts = &tree[Path::new(name)];
            assert_eq!((facts.uid, facts.mode), (1000, mode), "{name}");
        }
    }
}

/// A tree of directories that not even their owner may write into.
fn read_only_world() -> World {
    let mut world = World::new();
    // Files come in order.
    world.set("LIMITS__CONCURRENCY", 1);
    for name in ["ro/sub/a", "ro/sub/b", "ro/u", "ro/v", "ro/w"] {
        world.write(name, name);
    }
    symlink("u", world.data().join("ro/x")).unwrap();
    settle();
    set_mode(&world.data().join("ro/sub"), 0o555);
    set_mode(&world.data().join("ro"), 0o555);
    world.back_up();
    world
}

/// The same but for the owner, and for the target itself, which was there before.
fn assert_same_for_another_owner(world: &World) {
    let of_others = |root: &Path| {
        let mut tree = tree::read(root);
        tree.remove(Path::new(""));
        for facts in tree.values_mut() {
            (facts.uid, facts.gid) = (1000, 1000);
        }
        tree
    };
    assert_same(&of_others(&world.data()), &of_others(&world.path("out")));
}

#[test]
fn a_restore_that_ended_early_leaves_its_directories_open_to_the_next() {
    let world = read_only_world();
    let to = world.path("out");
    let args = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    let fault = local_s3::Fault::on(local_s3::Operation::GetObject).key_contains("files/");
    world
        .server
        // To the direct request, and to the SDK's after it.
        .fault(fault.skip(3).times(2).status(403, "AccessDenied"));
    let ended = world.offsite_as(1000, args);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(tree::read(&to)[Path::new("ro")].mode, 0o700);
    let output = world.offsite_as(1000, args);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same_for_another_owner(&world);
}

#[test]
fn what_is_missing_in_a_read_only_directory_is_restored_into_it() {
    let world = read_only_world();
    let to = world.path("out");
    let args = ["restore", "--source", SOURCE, "--to", to.to_str().unwrap()];
    let fault = local_s3::Fault::on(local_s3::Operation::GetObject).key_contains("ro/v");
    world.server.fault(fault.times(2).status(404, "NoSuchKey"));
    let incomplete = world.offsite_as(1000, args);
    assert_eq!(incomplete.code, 3, "{incomplete:?}");
    assert_eq!(tree::read(&to)[Path::new("ro")].mode, 0o555);
    let output = world.offsite_as(1000, args);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same_for_another_owner(&world);

    std::fs::remove_dir_all(to.join("ro/sub")).unwrap();
    std::fs::remove_file(to.join("ro/x")).unwrap();
    // The third time there is nothing left to do.
    for _ in 0..2 {
        let output = world.offsite_as(1000, args);
        assert_eq!(output.code, 0, "{output:?}");
        assert_same_for_another_owner(&world);
    }
}

#[test]
fn a_target_that_was_there_keeps_its_time_unless_something_comes_into_it() {
    let world = World::new();
    for path in ["a", "sub/b"] {
        world.write(path, path);
    }
    settle();
    world.back_up();
    let out = world.path("out");
    std::fs::create_dir_all(out.join("sub")).unwrap();
    std::fs::write(out.join("sub/b"), "other").unwrap();
    set_mode(&out, 0o700);
    let time = || tree::read(&out)[Path::new("")].mtime_ns;
    tree::set_mtime(&out, 7, 8);
    // It is replaced by way of a staging directory, which is in the target for a while.
    for args in [&["--path", "sub"][..], &["--path", "sub/b"]] {
        std::fs::write(out.join("sub/b"), "other").unwrap();
        let output = restore(&world, &[&["--overwrite"][..], args].concat());
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(time(), 7_000_000_008);
    }
    assert_eq!(restore(&world, &["--overwrite"]).code, 0);
    assert_ne!(time(), 7_000_000_008);
    // One that is like the snapshot's gets its time as well.
    set_mode(&out, 0o755);
    assert_eq!(restore(&world, &[]).code, 0);
    assert_same(&tree::read(&world.data()), &tree::read(&out));
}
