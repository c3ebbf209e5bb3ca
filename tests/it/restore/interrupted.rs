//! Restores that were killed or ended early, and those that go on from there.

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use local_s3::{Fault, HookAction, Operation};
use rustix::io::Errno;

use super::{assert_only, command, restore};
use crate::kill::at_every_request as at_every_call;
use crate::support::calls::{
    Call, LINK, LINK_BY_DESCRIPTOR, LINK_BY_PROC, MAKE_PIPE, RENAME_WITH_FLAGS, UNNAMED_FILES,
    killed_at, refuse,
};
use crate::support::tree::{self, Tree, assert_same, set_mode, set_xattr, settle};
use crate::support::{SOURCE, World, finish, noise};

/// What a system refuses, and with that makes a restore go another way.
pub(super) type Refused = &'static [(Call, Errno)];

pub(super) const NOTHING: Refused = &[];
/// As NFS has it.
pub(super) const NFS: Refused = &[
    (UNNAMED_FILES, Errno::OPNOTSUPP),
    (RENAME_WITH_FLAGS, Errno::INVAL),
];
pub(super) const NO_LINKS: Refused = &[
    (UNNAMED_FILES, Errno::OPNOTSUPP),
    (RENAME_WITH_FLAGS, Errno::INVAL),
    (LINK, Errno::PERM),
];

/// A world with some of everything that is restored in a way of its own.
pub(super) fn world() -> World {
    let mut world = World::new();
    world.set("LIMITS__CONCURRENCY", 2);
    world.set("DEFAULTS__XATTRS", true);
    for path in [
        "a",
        "one/b",
        "one/two/c",
        "read-only/d",
        "set-uid",
        "unreadable",
        "unsearchable/e",
    ] {
        world.write(path, path);
    }
    world.write("nothing", "");
    let data = world.data();
    let sparse = std::fs::File::create(data.join("sparse")).unwrap();
    sparse.write_all_at(b"island", 100_000).unwrap();
    sparse.set_len(300_000).unwrap();
    std::fs::hard_link(data.join("one/b"), data.join("linked")).unwrap();
    symlink("one/b", data.join("symlink")).unwrap();
    set_xattr(&data.join("a"), "user.one", b"1");
    std::fs::create_dir(data.join("closed")).unwrap();
    for (path, mode) in [
        ("set-uid", 0o4755),
        ("unreadable", 0),
        ("closed", 0o300),
        ("unsearchable", 0o600),
        ("read-only", 0o555),
        ("", 0o751),
    ] {
        set_mode(&data.join(path), mode);
    }
    tree::set_mtime(&data, 1_400_000_000, 7);
    settle();
    world.back_up();
    world
}

/// The command, in a system that refuses some calls.
fn command_where(world: &World, refused: Refused, args: &[&str]) -> Command {
    let mut command = command(world, args);
    refuse(&mut command, refused);
    command
}

fn assert_restored(world: &World, expected: &Tree) {
    let out = world.path("out");
    assert_same(expected, &tree::read(&out));
    assert_only(expected, &out);
}

/// Kills a restore before each of the calls it makes, and each time lets another one finish.
fn killed_at_every_call(
    refused: Refused,
    args: &[&str],
    prepare: impl Fn(&World) + Sync,
    expected: impl Fn(&Tree, &World) -> Tree + Sync,
) -> usize {
    let worlds = [world(), world()];
    let free = std::sync::Mutex::new(worlds.iter().collect::<Vec<_>>());
    at_every_call(|at| {
        let world = free.lock().unwrap().pop().unwrap();
        let _ = std::fs::remove_dir_all(world.path("out"));
        prepare(world);
        let killed = killed_at(command_where(world, refused, args), at).is_some();
        if killed {
            assert_whole(world);
        }
        let output = finish(command_where(world, refused, args).output().unwrap());
        assert_eq!(output.code, 0, "killed at {at}: {output:?}");
        assert_restored(world, &expected(&tree::read(&world.data()), world));
        free.lock().unwrap().push(world);
        killed
    })
}

/// Under its own name every file is whole, or what was there before.
fn assert_whole(world: &World) {
    let (expected, out) = (tree::read(&world.data()), world.path("out"));
    if !out.exists() {
        return;
    }
    for (path, facts) in tree::read(&out) {
        if let Some(wanted) = expected.get(&path)
            && facts.kind == "file"
        {
            let is_whole = (facts.size, &facts.sha256) == (wanted.size, &wanted.sha256);
            let is_before = std::fs::read(out.join(&path)).unwrap() == BEFORE;
            assert!(is_whole || is_before, "{path:?}: {facts:?}");
        }
    }
}

const BEFORE: &[u8] = b"what was there before";

#[test]
fn a_restore_killed_before_any_of_its_calls_is_continued() {
    let calls = killed_at_every_call(NOTHING, &[], |_| {}, |expected, _| expected.clone());
    assert!(calls > 60, "{calls} calls were tried");
}

#[test]
fn a_restore_through_staging_killed_before_any_of_its_calls_is_continued() {
    let calls = killed_at_every_call(NFS, &[], |_| {}, |expected, _| expected.clone());
    assert!(calls > 80, "{calls} calls were tried");
}

/// Where nothing can be linked, files with several names become several files.
fn unlinked_if(refused: Refused, mut tree: Tree) -> Tree {
    if refused.len() == NO_LINKS.len() {
        tree.values_mut().for_each(|facts| facts.linked_with = None);
    }
    tree
}

/// Makes a target in which most things differ, some of them in metadata alone, and some of which have
/// names elsewhere.
fn another_tree(world: &World) {
    let (data, out, outside) = (world.data(), world.path("out"), world.path("outside"));
    let _ = std::fs::remove_dir_all(&outside);
    for directory in ["one/two", "read-only", "closed", "symlink-not"] {
        std::fs::create_dir_all(out.join(directory)).unwrap();
    }
    std::fs::create_dir(&outside).unwrap();
    for path in [
        "a",
        "one/b",
        "linked",
        "symlink",
        "set-uid",
        "sparse",
        "symlink-not/stays",
    ] {
        std::fs::write(out.join(path), BEFORE).unwrap();
    }
    for path in ["one/two/c", "unreadable", "read-only/d"] {
        std::fs::copy(data.join(path), out.join(path)).unwrap();
        std::fs::hard_link(out.join(path), outside.join(path.replace('/', "-"))).unwrap();
    }
    chown(out.join("read-only/d"), Some(5), Some(5)).unwrap();
    tree::set_mtime(&out.join("one/two/c"), 5, 5);
    set_mode(&out.join("unreadable"), 0o604);
    std::fs::hard_link(out.join("a"), outside.join("a")).unwrap();
    set_mode(&out, 0o700);
    tree::set_mtime(&out, 1_500_000_000, 8);
}

#[test]
fn a_restore_over_other_things_killed_before_any_of_its_calls_is_continued() {
    for refused in [NOTHING, NFS] {
        // The target was there, and keeps what it has, but for its time if something came into it.
        let expected = |expected: &Tree, world: &World| {
            let mut tree = expected.clone();
            let found = tree::read(&world.path("out"));
            for path in ["", "symlink-not", "symlink-not/stays"] {
                tree.insert(path.into(), found[Path::new(path)].clone());
            }
            assert_eq!(tree[Path::new("")].mode, 0o700);
            let outside = tree::read(&world.path("outside"));
            let of = |path: &str| &outside[Path::new(path)];
            assert_eq!(of("read-only-d").uid, 5);
            assert_eq!(of("one-two-c").mtime_ns, 5_000_000_005);
            assert_eq!(of("unreadable").mode, 0o604);
            assert_eq!(of("a").size, BEFORE.len() as u64);
            tree
        };
        let calls = killed_at_every_call(refused, &["--overwrite"], another_tree, expected);
        assert!(calls > 60, "{calls} calls were tried");
    }
}

/// As a user who may not do everything: directories and files may forbid even their owner everything.
#[test]
fn a_restore_by_a_user_killed_before_any_of_its_calls_is_continued() {
    let worlds = [world(), world()];
    let free = std::sync::Mutex::new(worlds.iter().collect::<Vec<_>>());
    let as_user = |world: &World| {
        let to = world.path("out");
        let args = ["restore", "--to", to.to_str().unwrap(), "--source", SOURCE];
        set_mode(world.home.path(), 0o777);
        let who = ["--reuid", "1000", "--regid", "1000", "--clear-groups"];
        world.command_by("setpriv", &who, args)
    };
    let calls = at_every_call(|at| {
        let world = free.lock().unwrap().pop().unwrap();
        let _ = std::fs::remove_dir_all(world.path("out"));
        let killed = killed_at(as_user(world), at).is_some();
        let output = finish(as_user(world).output().unwrap());
        assert_eq!(output.code, 0, "killed at {at}: {output:?}");
        let mut expected = tree::read(&world.data());
        for facts in expected.values_mut() {
            (facts.uid, facts.gid) = (1000, 1000);
            facts.mode &= 0o1777;
        }
        assert_restored(world, &expected);
        free.lock().unwrap().push(world);
        killed
    });
    assert!(calls > 60, "{calls} calls were tried");
}

#[test]
fn each_way_of_making_files_gives_the_same() {
    let world = world();
    let expected = tree::read(&world.data());
    let ways: [Refused; 9] = [
        NOTHING,
        &[(MAKE_PIPE, Errno::PERM)],
        &[(MAKE_PIPE, Errno::PERM), (UNNAMED_FILES, Errno::OPNOTSUPP)],
        &[(LINK_BY_DESCRIPTOR, Errno::NOENT)],
        &[(LINK_BY_PROC, Errno::NOENT)],
        &[
            (LINK_BY_DESCRIPTOR, Errno::NOENT),
            (LINK_BY_PROC, Errno::NOENT),
        ],
        &[(UNNAMED_FILES, Errno::OPNOTSUPP)],
        NFS,
        NO_LINKS,
    ];
    for refused in ways {
        for prepare in [|_: &World| {}, another_tree] {
            let _ = std::fs::remove_dir_all(world.path("out"));
            prepare(&world);
            let args = ["--overwrite"];
            let output = finish(command_where(&world, refused, &args).output().unwrap());
            let is_linked = refused.len() < NO_LINKS.len();
            assert_eq!(output.code, if is_linked { 0 } else { 3 }, "{output:?}");
            let said = "one/b: restored as a file of its own, not as a link to `linked`";
            assert_eq!(output.stderr.contains(said), !is_linked, "{output:?}");
            let mut found = tree::read(&world.path("out"));
            assert_only(&found, &world.path("out"));
            found.retain(|path, _| !path.starts_with("symlink-not"));
            let mut expected = unlinked_if(refused, expected.clone());
            if found[Path::new("")].mode == 0o700 {
                found.remove(Path::new(""));
                expected.remove(Path::new(""));
            }
            assert_same(&expected, &found);
            let out = std::fs::metadata(world.path("out/sparse")).unwrap();
            assert!(out.blocks() * 512 < out.len(), "{out:?}");
        }
    }
}

#[test]
fn a_restore_that_was_killed_continues() {
    let world = World::new();
    for index in 0..30 {
        world.write(&format!("{index:02}"), noise(index, 10_000));
    }
    world.write("large", noise(99, 20 << 20));
    settle();
    // The directory itself comes back as it was, too.
    std::fs::set_permissions(world.data(), std::fs::Permissions::from_mode(0o751)).unwrap();
    world.back_up();
    for stop_after in [3, 10, 20] {
        let _ = std::fs::remove_dir_all(world.path("out"));
        let fault = Fault::on(Operation::GetObject).key_contains("files/");
        world.server.fault(fault.skip(stop_after).always().hang());
        let (arrived, has_arrived) = mpsc::channel();
        world.server.on_request(move |request| {
            if request
                .key
                .as_deref()
                .is_some_and(|key| key.contains("/files/"))
            {
                let _ = arrived.send(());
            }
            HookAction::Proceed
        });
        let mut child = command(&world, &[]).spawn().unwrap();
        for _ in 0..=stop_after {
            has_arrived.recv().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        world.server.clear_hook();
        world.server.clear_faults();
        let there = tree::read(&world.path("out"));
        // Under its own name, each file is whole or not there.
        let expected = tree::read(&world.data());
        for (path, facts) in there.iter().filter(|(_, facts)| facts.kind == "file") {
            let is_staged = path.starts_with(staging_of(&world));
            assert!(
                is_staged || expected[path].sha256 == facts.sha256,
                "{path:?}"
            );
        }
        let output = restore(&world, &[]);
        assert_eq!(output.code, 0, "{output:?}");
        assert_restored(&world, &expected);
    }
}

/// The name of the one staging directory in the target.
fn staging_of(world: &World) -> String {
    let names = std::fs::read_dir(world.path("out")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter_map(|name| Some(name.strip_suffix(".unfinished")?.to_owned()))
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names.remove(0)
}
