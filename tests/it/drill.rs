//! Drills: a sample is restored for real, read back and removed, and the result is recorded.

mod counted;
mod killed;
mod recorded;
mod scratch;
mod tampered;

use std::collections::BTreeSet;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use local_s3::Operation;
use serde_json::Value;

use crate::support::tree::{self, make_one_of_everything, set_mode, set_xattr, settle};
use crate::support::{BUCKET, Output, PREFIX, SOURCE, World};

/// Where drills of a world restore.
fn temporary(world: &World) -> PathBuf {
    world.path("tmp")
}

/// A world whose drills have a directory for temporary files of their own.
fn with_temporary(mut world: World) -> World {
    std::fs::create_dir(temporary(&world)).unwrap();
    let path = temporary(&world);
    world.env("TMPDIR", path.display());
    world
}

/// A world with files that are alike.
fn world_of(files: usize) -> World {
    let world = with_temporary(World::new());
    for index in 0..files {
        world.write(
            &format!("{}/{index:02}", index % 4),
            format!("contents of {index}"),
        );
    }
    settle();
    world.back_up();
    world
}

/// Runs a drill, which must leave nothing behind.
fn drill(world: &World, args: &[&str]) -> Output {
    let output = world.offsite(["drill", "--json"].iter().chain(args));
    assert_nothing_is_left(world);
    output
}

fn assert_nothing_is_left(world: &World) {
    let left = std::fs::read_dir(temporary(world)).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The result of a drill of the only source.
fn completed(output: &Output) -> Value {
    output.event("drill_completed")
}

fn mismatches(completed: &Value) -> Vec<String> {
    let some = completed["mismatches"].as_array();
    let text = |mismatch: &Value| {
        let part = |name: &str| mismatch[name].as_str().unwrap().to_owned();
        format!("{}: {}", part("path"), part("problem"))
    };
    some.into_iter().flatten().map(text).collect()
}

/// The marks in the store, by key.
fn marks(world: &World) -> Vec<(String, Value)> {
    let keys = world.keys().into_iter();
    let marks = keys.filter(|key| key.starts_with("marks/"));
    let read = |key: String| {
        let object = world.server.object(BUCKET, &world.full_key(&key)).unwrap();
        (key, serde_json::from_slice(&object.bytes).unwrap())
    };
    marks.map(read).collect()
}

/// What `status --json` says of the last drill of the source.
fn last_drill(world: &World) -> Value {
    let output = world.offsite(["status", "--json"]);
    let status: Value = serde_json::from_str(&output.stdout).unwrap();
    status["drills"][SOURCE].clone()
}

/// Keys of contents that were asked for.
fn fetched(world: &World, work: impl FnOnce()) -> BTreeSet<String> {
    let requests = world.requests_of(work);
    let gets = requests
        .iter()
        .filter(|request| request.operation == Operation::GetObject);
    let keys = gets.filter_map(|request| request.key.clone());
    keys.filter(|key| key.contains("/files/")).collect()
}

#[test]
fn everything_there_can_be_is_restored_with_its_metadata_and_removed() {
    let mut world = with_temporary(World::new());
    world.set("DEFAULTS__XATTRS", true);
    let data = world.data();
    make_one_of_everything(&data);
    chown(data.join("a.b"), Some(1234), Some(4321)).unwrap();
    set_xattr(&data.join("a/plain.txt"), "user.one", b"1");
    set_mode(&data.join("secret"), 0o300);
    set_mode(&data.join("a/empty"), 0);
    tree::set_mtime(&data.join("empty"), 1_400_000_000, 7);
    settle();
    world.back_up();
    let entries = tree::read(&data).len() as u64 - 1;
    for args in [&["--read", "100%"][..], &["--read", "100", "--to", "own"]] {
        let output = drill(&world, args);
        assert_eq!(output.code, 0, "{output:?}");
        let completed = completed(&output);
        assert_eq!(completed["outcome"], "passed");
        assert_eq!(completed["entries"], entries, "{completed}");
        assert_eq!(completed["recorded"], true);
        assert_eq!(completed["level"], "INFO");
        assert!(!world.path("own").exists());
    }
}

#[test]
fn somebody_else_than_root_restores_what_even_its_owner_may_not_read() {
    let world = with_temporary(World::new());
    world.write("closed/a", "a");
    world.write("unreadable", "b");
    symlink("unreadable", world.data().join("link")).unwrap();
    for (index, mode) in [0o000, 0o100, 0o200, 0o400, 0o500, 0o600]
        .iter()
        .enumerate()
    {
        world.write(&format!("closed/{index}/below/file"), format!("{index}"));
        set_mode(&world.data().join(format!("closed/{index}/below")), *mode);
        set_mode(&world.data().join(format!("closed/{index}")), *mode);
    }
    set_mode(&world.data().join("closed"), 0o100);
    set_mode(&world.data().join("unreadable"), 0);
    settle();
    world.back_up();
    set_mode(&temporary(&world), 0o1777);
    let output = world.offsite_as(1000, ["drill", "--json", "--read", "100%"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(completed(&output)["files"], 8);
    assert_nothing_is_left(&world);
}

#[test]
fn what_may_not_be_read_back_is_no_damage_and_is_removed() {
    let world = with_temporary(World::new());
    world.write("a", "a");
    world.write("theirs/below/file", "b");
    for path in ["theirs/below/file", "theirs/below", "theirs"] {
        let path = world.data().join(path);
        set_mode(&path, 0o700);
        chown(path, Some(1234), Some(1234)).unwrap();
    }
    settle();
    world.back_up();
    let limited = ["dac_override", "dac_read_search"];
    let output = world.offsite_without(&limited, ["drill", "--json", "--read", "100%"]);
    assert_eq!(output.code, 3, "{output:?}");
    let completed = completed(&output);
    assert_eq!(completed["mismatch_count"], 0);
    assert_eq!(completed["not_restored_count"], 3, "{completed}");
    let told = &completed["not_restored"];
    assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told[0]["path"], "theirs");
    assert_nothing_is_left(&world);
}

#[test]
fn a_store_in_a_directory_is_drilled_as_well() {
    let mut world = with_temporary(World::new());
    std::fs::create_dir(world.path("store")).unwrap();
    let store = world.path("store");
    world.set("STORE", store.display());
    make_one_of_everything(&world.data());
    settle();
    world.back_up();
    let output = drill(&world, &["--read", "100%"]);
    assert_eq!(output.code, 0, "{output:?}");
    let completed = completed(&output);
    // Reading a directory costs nothing.
    assert!(completed["projected"].get("usd").is_none(), "{completed}");
    assert_eq!(last_drill(&world)["outcome"], "passed");
    // A store that may only be read is drilled; that it is not recorded is told.
    let directories = directories(&store);
    directories.iter().for_each(|path| set_mode(path, 0o500));
    let readers = ["drill", "--json", "--read", "50%"];
    let output = world.offsite_without(&["dac_override"], readers);
    directories.iter().for_each(|path| set_mode(path, 0o700));
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(output.event("drill_completed")["recorded"], false);
    let notice = output.event("notice");
    let message = notice["message"].as_str().unwrap();
    assert!(message.contains("is not recorded"), "{message}");
    assert_nothing_is_left(&world);
}

/// A directory and those below.
fn directories(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        let entries = std::fs::read_dir(directory).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        found.extend(paths.filter(|path| path.is_dir()));
        next += 1;
    }
    found
}

#[test]
fn archives_and_sessions_are_drilled_by_the_same_way() {
    let mut world = with_temporary(World::new());
    world.set("DEFAULTS__METHOD", "archive");
    for index in 0..40 {
        world.write(
            &format!("{}/{index}", index % 3),
            format!("contents {index}"),
        );
    }
    let data = world.data();
    std::fs::hard_link(data.join("0/0"), data.join("linked")).unwrap();
    settle();
    world.back_up();
    let output = drill(&world, &["--read", "100%"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(completed(&output)["files"], 41);
    // The archive is one range; the manifest is read twice, and its table of objects once.
    let full = &completed(&output)["projected"];
    assert_eq!(full["requests"], 4, "{full}");
    let key = world.full_key(&world.key_like("archives/", ".tar.gz"));
    world.server.corrupt(BUCKET, &key, 100);
    let output = drill(&world, &["--read", "100%"]);
    assert_eq!(output.code, 4, "{output:?}");
    assert!(!mismatches(&completed(&output)).is_empty());

    let world = with_temporary(World::new());
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
         sources: [{{name: {SOURCE}, sessions: {}}}]\n",
        world.data().display()
    ));
    world.write("M31_2020-01-02/light/1.fits", "one");
    world.write("M31_2021-03-04/light/2.fits", "two");
    settle();
    world.back_up();
    let output = drill(&world, &["--read", "100%"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(completed(&output)["files"], 2);
}

#[test]
fn the_sample_rotates_until_everything_was_restored() {
    let world = world_of(40);
    let all: BTreeSet<_> = world.keys().into_iter().collect();
    let all = all.iter().filter(|key| key.starts_with("files/")).count();
    let mut seen = BTreeSet::new();
    let mut drills = 0;
    while seen.len() < all {
        let keys = fetched(&world, || {
            let output = drill(&world, &["--read", "10%"]);
            assert_eq!(output.code, 0, "{output:?}");
            assert!(completed(&output)["files"].as_u64() > Some(0));
        });
        assert!(keys.len() < all / 2, "{keys:?}");
        seen.extend(keys);
        drills += 1;
        assert!(
            drills <= 60,
            "{} of {all} after {drills} drills",
            seen.len()
        );
        world.server.clock().advance(Duration::from_secs(24 * 3600));
    }
    // At the same time, the same sample.
    let again = || fetched(&world, || drop(drill(&world, &["--read", "10%"])));
    assert_eq!(again(), again());
}

#[test]
fn a_drill_restores_at_least_one_file_if_there_is_any() {
    let world = world_of(3);
    world.write("empty", "");
    settle();
    world.back_up();
    for _ in 0..5 {
        let keys = fetched(&world, || {
            let output = drill(&world, &["--read", "0.0001%"]);
            assert_eq!(output.code, 0, "{output:?}");
        });
        assert_eq!(keys.len(), 1, "{keys:?}");
        world.server.clock().advance(Duration::from_secs(3600));
    }
    std::fs::remove_dir_all(world.data()).unwrap();
    std::fs::create_dir_all(world.data().join("only/directories")).unwrap();
    settle();
    let mut world = world;
    world.set("DEFAULTS__ALLOW_EMPTY", true);
    assert!([0, 3].contains(&world.offsite(["run"]).code));
    let output = drill(&world, &["--read", "0.0001%"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(completed(&output)["entries"].as_u64() > Some(0));
}

#[test]
fn names_of_one_file_are_drilled_together() {
    let world = with_temporary(World::new());
    for index in 0..20 {
        world.write(&format!("{index}"), format!("{index}"));
        let data = world.data();
        let name = format!("linked-{index}");
        std::fs::hard_link(data.join(format!("{index}")), data.join(name)).unwrap();
    }
    settle();
    world.back_up();
    for _ in 0..3 {
        let output = drill(&world, &["--read", "20%"]);
        assert_eq!(output.code, 0, "{output:?}");
        let files = completed(&output)["files"].as_u64().unwrap();
        assert!(files > 0 && files.is_multiple_of(2), "{files}");
        world.server.clock().advance(Duration::from_secs(24 * 3600));
    }
}

#[test]
fn a_snapshot_and_a_source_can_be_named() {
    let world = world_of(4);
    world.write("0/00", "later");
    settle();
    world.back_up();
    let [first, second] = <[String; 2]>::try_from(world.snapshots()).unwrap();
    for (args, expected) in [
        (&["--snapshot", &*first][..], &first),
        (&["--snapshot", "latest", "--source", SOURCE], &second),
        (&[], &second),
    ] {
        let output = drill(&world, args);
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(completed(&output)["snapshot"], **expected);
    }
    assert_eq!(drill(&world, &["--snapshot", "2020"]).code, 10);
    assert_eq!(drill(&world, &["--source", "nobody"]).code, 10);
    for share in ["0", "0%", "101%", "some"] {
        assert_eq!(drill(&world, &["--read", share]).code, 2, "{share}");
    }
}

#[test]
fn what_a_full_restore_takes_is_projected() {
    let mut world = world_of(20);
    world.set("DEFAULTS__STORAGE_CLASS", "GLACIER_IR");
    let output = drill(&world, &["--read", "50%"]);
    let completed = completed(&output);
    let full = &completed["projected"];
    // Every file by a request of its own; the manifest is read twice.
    assert_eq!(full["requests"], 22, "{full}");
    let usd = 22.0 / 1000.0 * 0.01 + full["bytes"].as_f64().unwrap() / f64::from(1 << 30) * 0.03;
    assert!((full["usd"].as_f64().unwrap() - usd).abs() < 1e-9, "{full}");
    assert!(full["egress_usd"].as_f64() > Some(0.0), "{full}");
    assert!(full["seconds"].as_u64() > Some(0), "{full}");
}
