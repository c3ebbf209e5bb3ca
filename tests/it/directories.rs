//! The store in a directory, by the program as a process.

mod full;
mod killed;
mod laptop;
mod moved;
mod order;
mod power;
mod race;
mod said;

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;

use crate::support::calls::{Call, LINK, RENAME_WITH_FLAGS, UNNAMED_FILES, refuse};
use crate::support::tree::{self, Tree, assert_same, settle};
use crate::support::{Output, SOURCE, World, finish, noise};
use crate::verify::findings;

/// What a file system refuses.
type Refused = &'static [(Call, Errno)];

const NOTHING: Refused = &[];
/// As NFS has it.
const NFS: Refused = &[
    (UNNAMED_FILES, Errno::OPNOTSUPP),
    (RENAME_WITH_FLAGS, Errno::INVAL),
];
/// As some FUSE file systems have it.
const NO_LINKS: Refused = &[(UNNAMED_FILES, Errno::OPNOTSUPP), (LINK, Errno::PERM)];
const NEITHER: Refused = &[
    (UNNAMED_FILES, Errno::OPNOTSUPP),
    (RENAME_WITH_FLAGS, Errno::INVAL),
    (LINK, Errno::PERM),
];

/// A machine that backs up into a directory.
fn world() -> World {
    let mut world = World::new();
    std::fs::create_dir(store(&world)).unwrap();
    world.set("STORE", store(&world).display());
    world.set("LIMITS__CONCURRENCY", 2);
    world
}

fn store(world: &World) -> PathBuf {
    world.path("store")
}

/// Runs the program where a file system refuses something.
fn offsite_where(world: &World, refused: Refused, args: &[&str]) -> Output {
    finish(command_where(world, refused, args).output().unwrap())
}

fn command_where(world: &World, refused: Refused, args: &[&str]) -> Command {
    let mut command = world.command(args);
    refuse(&mut command, refused);
    command
}

/// Files in the store, as keys.
fn files(world: &World) -> Vec<String> {
    let files = tree::read(&store(world)).into_iter();
    let files = files.filter(|(_, facts)| facts.kind == "file");
    files
        .map(|(path, _)| path.to_str().unwrap().to_owned())
        .collect()
}

fn assert_nothing_unfinished(world: &World) {
    let left = files(world);
    let left: Vec<_> = left
        .iter()
        .filter(|file| file.starts_with("%tmp/"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The source as each pass has found it is in its snapshot.
fn assert_restored(world: &World, expected: &[Tree]) {
    let snapshots = world.snapshots();
    assert_eq!(snapshots.len(), expected.len());
    for (snapshot, expected) in snapshots.iter().zip(expected) {
        assert_same(expected, &tree::read(&world.restored(snapshot)));
    }
}

fn round_trip(refused: Refused, method: &str) {
    let mut world = world();
    world.set("DEFAULTS__METHOD", method);
    world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
    for path in ["a", "b", "sub/a b", "sub/\u{e4}%41+&?#", "sub/sub/c"] {
        world.write(path, path);
    }
    world.write("large", noise(1, 17 << 20));
    world.write("empty", "");
    let mut trees = Vec::new();
    let changes: [&dyn Fn(); 4] = [
        &|| {},
        &|| {},
        &|| {
            world.write("a", "changed");
            world.write("new/file", "new");
            std::fs::remove_file(world.data().join("b")).unwrap();
        },
        &|| {
            // A file in place of a directory, and the other way round.
            std::fs::remove_dir_all(world.data().join("sub/sub")).unwrap();
            world.write("sub/sub", "a file");
            std::fs::remove_file(world.data().join("a")).unwrap();
            world.write("a/a", "a directory");
        },
    ];
    for change in changes {
        change();
        settle();
        let run = offsite_where(&world, refused, &["run"]);
        assert_eq!(run.code, 0, "{run:?}");
        trees.push(tree::read(&world.data()));
        assert_nothing_unfinished(&world);
    }
    assert_restored(&world, &trees);
    assert_eq!(findings(&world, &["--source", SOURCE]), (0, vec![]));
    let status = world.offsite(["status"]);
    assert_eq!(status.code, 0, "{status:?}");
}

#[test]
fn everything_comes_back_out_of_a_directory() {
    round_trip(NOTHING, "files");
    round_trip(NOTHING, "archive");
}

#[test]
fn everything_comes_back_out_of_a_file_server() {
    round_trip(NFS, "files");
    round_trip(NO_LINKS, "archive");
}

#[test]
fn nobody_else_sees_what_is_in_a_store() {
    let world = world();
    world.write("sub/a", "a");
    settle();
    world.back_up();
    world.back_up();
    for (path, facts) in tree::read(&store(&world)) {
        let expected = match facts.kind {
            "file" => 0o600,
            "directory" if path != Path::new("") => 0o700,
            _ => continue,
        };
        assert_eq!(facts.mode, expected, "{path:?}");
    }
}

#[test]
fn people_find_their_files() {
    let world = world();
    world.write("sub/a b", "contents");
    settle();
    world.back_up();
    world.back_up();
    let keys = files(&world);
    let file = keys.iter().find(|key| key.ends_with("/sub/a b")).unwrap();
    assert!(file.starts_with("files/data/"), "{file}");
    let contents = std::fs::read(store(&world).join(file)).unwrap();
    assert_eq!(contents, b"contents");
    // What changes is to be read under its own name as well.
    for name in ["lock", "status.json"] {
        let text = std::fs::read_to_string(store(&world).join(name)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(text.contains(world.snapshots().last().unwrap()), "{json}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_not_made() {
    let world = world();
    world.write("a", "a");
    std::fs::remove_dir(store(&world)).unwrap();
    for args in [
        &["run"][..],
        &["list"],
        &["status"],
        &["restore", "--to", "x"],
    ] {
        let output = world.offsite(args);
        assert_eq!(output.code, 10, "{args:?}: {output:?}");
        let said = output.stderr + &output.stdout;
        assert!(said.contains("the directory does not exist"), "{said}");
    }
    assert!(!store(&world).exists());
}

#[test]
fn a_file_system_that_could_overwrite_is_refused() {
    let world = world();
    world.write("a", "a");
    let output = offsite_where(&world, NEITHER, &["run"]);
    assert_eq!(output.code, 2, "{output:?}");
    let said = output.stderr + &output.stdout;
    assert!(said.contains("can neither link files nor rename"), "{said}");
    assert_eq!(files(&world), Vec::<String>::new());
}

#[test]
fn a_store_is_read_where_nothing_can_be_written() {
    let world = world();
    world.write("a", "a");
    settle();
    world.back_up();
    let expected = tree::read(&world.data());
    // Also what is being made, such as a probe of the time, is refused.
    let read_only: Refused = &[(UNNAMED_FILES, Errno::ROFS)];
    let out = world.path("out");
    for args in [
        &["list"][..],
        &["verify", "--read"],
        &["status"],
        &["restore", "--to", out.to_str().unwrap()],
    ] {
        let refused = if args[0] == "restore" {
            NOTHING
        } else {
            read_only
        };
        let output = offsite_where(&world, refused, args);
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
    }
    assert_same(&expected, &tree::read(&out.join(SOURCE)));
}

/// Root, who looks after a store for once, does not lock out its user.
#[test]
fn what_root_writes_belongs_to_whom_the_store_belongs() {
    const USER: u32 = 1000;
    for refused in [NOTHING, NFS] {
        let world = world();
        std::os::unix::fs::chown(store(&world), Some(USER), Some(USER)).unwrap();
        for (path, contents) in [("a", noise(1, 100)), ("large", noise(2, 17 << 20))] {
            world.write(path, contents);
        }
        settle();
        let output = offsite_where(&world, refused, &["run"]);
        assert_eq!(output.code, 0, "{output:?}");
        let output = offsite_where(&world, refused, &["unlock", "--force"]);
        assert_eq!(output.code, 0, "{output:?}");
        for (path, facts) in tree::read(&store(&world)) {
            let owner = (facts.uid, facts.gid);
            assert!(
                facts.kind == "symlink" || owner == (USER, USER),
                "{path:?}: {owner:?}"
            );
        }
        let output = world.offsite_as(USER, ["run"]);
        assert_eq!(output.code, 0, "{output:?}");
    }
}

#[test]
fn what_is_no_directory_or_takes_no_changes_is_said() {
    let mut world = world();
    world.write("a", "a");
    std::fs::write(world.path("file"), "").unwrap();
    world.set("STORE", world.path("file").display());
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 10, "{output:?}");
    assert!(output.stdout.contains("it is no directory"), "{output:?}");
    world.set("STORE", store(&world).display());
    let read_only: Refused = &[
        (UNNAMED_FILES, Errno::ROFS),
        (crate::support::calls::MAKE_DIRECTORY, Errno::ROFS),
    ];
    let output = offsite_where(&world, read_only, &["run"]);
    assert_eq!(output.code, 12, "{output:?}");
    assert!(output.stdout.contains("read-only (`dmesg`"), "{output:?}");
}

#[test]
fn a_user_who_may_not_write_is_told() {
    let world = world();
    world.write("a", "a");
    settle();
    let read_only: Refused = &[
        (UNNAMED_FILES, Errno::ACCESS),
        (crate::support::calls::MAKE_DIRECTORY, Errno::ACCESS),
    ];
    let output = offsite_where(&world, read_only, &["run"]);
    assert_eq!(output.code, 12, "{output:?}");
    let said = output.stderr + &output.stdout;
    assert!(said.contains("chown"), "{said}");
    assert!(!said.contains("s3:"), "{said}");
}

/// A store within what it backs up would grow with every pass.
#[test]
fn a_store_in_its_own_source_is_refused() {
    let mut world = world();
    world.write("a", "a");
    world.write("backups/old", "old");
    for store in [world.data(), world.data().join("backups")] {
        world.set("STORE", store.display());
        let output = world.offsite(["run"]);
        assert_eq!(output.code, 2, "{output:?}");
        let said = output.stderr + &output.stdout;
        assert!(said.contains("backup.store"), "{said}");
        assert!(
            said.contains("lies in what the source `data` backs up"),
            "{said}"
        );
    }
}
