//! Getting things back: which, where to, and what stands in the way.

mod any_name;
mod at_once;
mod damage;
mod delete;
mod entry_by_entry;
mod hostile;
mod interrupted;
mod kept;
mod links;
mod metadata;
mod mounts;
mod replace;
mod test;
mod unlisted;

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::tree::{self, assert_same, set_mode, settle};
use crate::support::{BUCKET, Output, PREFIX, SOURCE, World};

fn world() -> World {
    let world = World::new();
    world.write("docs/a.pdf", "a");
    world.write("docs/deep/b.pdf", "b");
    world.write("docs/c.txt", "c");
    world.write("images/d.jpg", "d");
    symlink("docs/a.pdf", world.data().join("link")).unwrap();
    settle();
    world.back_up();
    world
}

fn restore(world: &World, args: &[&str]) -> Output {
    let to = world.path("out");
    let to = to.to_str().unwrap();
    world.offsite(
        ["restore", "--to", to, "--source", SOURCE]
            .iter()
            .chain(args),
    )
}

/// The same, not started.
fn command(world: &World, args: &[&str]) -> Command {
    let to = world.path("out");
    let to = to.to_str().unwrap();
    let fixed = ["restore", "--to", to, "--source", SOURCE];
    world.command(fixed.iter().chain(args))
}

/// Fails if there is anything in a directory that a tree has not, pipes included.
#[track_caller]
fn assert_only(tree: &tree::Tree, root: &Path) {
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap();
            assert!(tree.contains_key(name), "{name:?} has no business here");
            if entry.file_type().unwrap().is_dir() {
                directories.push(path);
            }
        }
    }
}

fn restored(world: &World) -> Vec<String> {
    let tree = tree::read(&world.path("out"));
    let names = tree.keys().map(|path| path.to_str().unwrap().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn a_pattern_that_matches_nothing_is_no_success() {
    let world = World::new();
    world.write("docs/a.pdf", "a");
    settle();
    world.back_up();
    let to = world.path("restored");
    for extra in [&["--dry-run"][..], &[]] {
        let arguments = [
            "restore",
            "--to",
            to.to_str().unwrap(),
            "--path",
            "docs/b.pdf",
        ];
        let output = world.offsite([&arguments[..], extra].concat());
        assert_eq!(output.code, 10, "{output:?}");
        assert!(
            output
                .stderr
                .contains("nothing in the snapshots of data matches")
        );
        assert!(!to.exists());
    }
    let arguments = [
        "restore",
        "--to",
        to.to_str().unwrap(),
        "--path",
        "docs/*.pdf",
    ];
    assert_eq!(world.offsite(arguments).code, 0);
}

#[test]
fn some_files_come_with_the_directories_above_them() {
    let world = world();
    assert_eq!(restore(&world, &["--path", "*.pdf"]).code, 0);
    assert_eq!(
        restored(&world),
        ["docs", "docs/a.pdf", "docs/deep", "docs/deep/b.pdf"]
    );
    std::fs::remove_dir_all(world.path("out")).unwrap();
    assert_eq!(
        restore(&world, &["--path", "docs/deep", "--path", "link"]).code,
        0
    );
    assert_eq!(
        restored(&world),
        ["docs", "docs/deep", "docs/deep/b.pdf", "link"]
    );
}

#[test]
fn without_a_source_each_goes_into_its_own_directory() {
    let world = world();
    let output = world.offsite(["restore", "--to", "all"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.path("all/data")),
    );
}

#[test]
fn a_time_picks_the_state_of_that_time() {
    let world = world();
    world
        .server
        .clock()
        .advance(std::time::Duration::from_secs(7200));
    world.write("docs/a.pdf", "later");
    settle();
    world.back_up();
    let now = jiff::Timestamp::now();
    let at = |minutes: i64| (now + jiff::SignedDuration::from_mins(minutes)).to_string();
    let text = |minutes: i64| {
        let _ = std::fs::remove_dir_all(world.path("out"));
        let output = restore(&world, &["--at", &at(minutes)]);
        match output.code {
            0 => std::fs::read_to_string(world.path("out/docs/a.pdf")).unwrap(),
            code => format!("exit {code}"),
        }
    };
    assert_eq!(text(130), "later");
    assert_eq!(text(60), "a");
    assert_eq!(text(-60), "exit 10");
    assert_eq!(restore(&world, &["--at", "soon"]).code, 2);
}

#[test]
fn what_differs_is_an_error_before_anything_is_written() {
    let world = world();
    std::fs::create_dir_all(world.path("out/docs")).unwrap();
    std::fs::write(world.path("out/docs/c.txt"), "mine").unwrap();
    std::fs::write(world.path("out/stranger"), "stays").unwrap();
    let refused = restore(&world, &[]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("out/docs/c.txt"), "{refused:?}");
    assert!(refused.stderr.contains("--overwrite"), "{refused:?}");
    assert_eq!(restored(&world), ["docs", "docs/c.txt", "stranger"]);

    let replaced = restore(&world, &["--overwrite"]);
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert_eq!(
        std::fs::read_to_string(world.path("out/docs/c.txt")).unwrap(),
        "c"
    );
    assert_eq!(
        std::fs::read_to_string(world.path("out/stranger")).unwrap(),
        "stays"
    );
}

#[test]
fn what_is_the_same_is_left_alone_and_gets_its_metadata() {
    let world = world();
    assert_eq!(restore(&world, &[]).code, 0);
    let file = world.path("out/docs/c.txt");
    let inode = || std::fs::metadata(&file).unwrap().ino();
    let before = inode();
    tree::set_mtime(&file, 1, 0);
    std::fs::remove_file(world.path("out/images/d.jpg")).unwrap();
    let again = restore(&world, &["--json"]);
    assert_eq!(again.code, 0, "{again:?}");
    let json: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(json[0]["report"]["restored"], 1);
    assert_eq!(json[0]["report"]["kept"], 4);
    assert_eq!(inode(), before);
    // The target was there, so its own times stay; all else is as in the snapshot.
    let (mut expected, mut found) = (tree::read(&world.data()), tree::read(&world.path("out")));
    expected.remove(Path::new(""));
    found.remove(Path::new(""));
    assert_same(&expected, &found);
}

#[test]
fn an_empty_target_that_cannot_be_written_is_a_failure_that_says_so() {
    let world = world();
    std::fs::create_dir(world.path("out")).unwrap();
    set_mode(&world.path("out"), 0o555);
    let args = ["restore", "--to", "out", "--source", SOURCE];
    let output = world.offsite_without(&["dac_override"], args);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("cannot restore into `out`"),
        "{output:?}"
    );
    assert!(output.stderr.contains("may not write there"), "{output:?}");
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = world();
    let output = restore(&world, &["--dry-run"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("create 9"), "{output:?}");
    assert!(!world.path("out").exists());
    let json = restore(&world, &["--dry-run", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["plan"]["create"], 9);
}

#[test]
fn a_directory_is_never_replaced_by_a_file_nor_entered_through_a_link() {
    let world = world();
    std::fs::create_dir_all(world.path("out/docs/c.txt/full")).unwrap();
    let refused = restore(&world, &["--overwrite"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(world.path("out/docs/c.txt/full").is_dir());

    std::fs::remove_dir_all(world.path("out")).unwrap();
    std::fs::create_dir_all(world.path("out")).unwrap();
    std::fs::create_dir_all(world.path("elsewhere")).unwrap();
    symlink("../elsewhere", world.path("out/docs")).unwrap();
    assert_eq!(restore(&world, &[]).code, 1);
    assert_eq!(restore(&world, &["--overwrite"]).code, 0);
    assert!(world.path("out/docs").symlink_metadata().unwrap().is_dir());
    assert_eq!(
        std::fs::read_dir(world.path("elsewhere")).unwrap().count(),
        0
    );
}

#[test]
fn latest_is_an_id_wherever_one_is_taken() {
    let world = world();
    world.write("docs/a.pdf", "later");
    settle();
    world.back_up();
    for command in [
        &["list", "latest"][..],
        &["verify", "--snapshot", "latest"],
        &["restore", "--to", "all", "--snapshot", "latest"],
        &[
            "restore",
            "--to",
            "out",
            "--source",
            SOURCE,
            "--snapshot",
            "latest",
        ],
    ] {
        let output = world.offsite(command);
        assert_eq!(output.code, 0, "{command:?}: {output:?}");
    }
    assert_eq!(text(&world, "docs/a.pdf"), "later");
}

#[test]
fn a_snapshot_or_source_that_is_not_there_exits_with_ten() {
    let world = world();
    for args in [&["--snapshot", "2020"][..], &["--at", "2020-01-01"]] {
        assert_eq!(restore(&world, args).code, 10);
    }
    let output = world.offsite(["restore", "--to", "out", "--source", "nobody"]);
    assert_eq!(output.code, 10, "{output:?}");
    assert!(output.stderr.contains("there are: data"), "{output:?}");
}

#[test]
fn a_source_is_found_by_the_directory_it_was_made_of() {
    let world = world();
    let directory = world.data();
    let directory = directory.to_str().unwrap();
    let ids = |output: Output| {
        assert_eq!(output.code, 0, "{output:?}");
        let listed: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
        listed.len()
    };
    let list = |source: &str| world.offsite(["list", "--json", "--source", source]);
    assert_eq!(ids(list(directory)), world.snapshots().len());
    assert_eq!(list("/elsewhere").code, 10);

    // Under another name from now on: which one is meant cannot be known.
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
         sources: [{{name: renamed, directory: {directory}}}]\n"
    ));
    assert_eq!(world.offsite(["run", "--source", directory]).code, 0);
    let output = list(&format!("{directory}/"));
    assert_eq!(output.code, 2, "{output:?}");
    assert!(
        output.stderr.contains("was backed up as data, renamed"),
        "{output:?}"
    );
    assert_eq!(ids(list("renamed")), 1);
}

#[test]
fn a_source_of_which_nothing_is_wanted_gets_no_directory() {
    let world = world();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  \
         sources: [{{name: other, directory: {}}}]\n",
        world.data().join("docs").display()
    ));
    world.back_up();
    let output = world.offsite(["restore", "--to", "all", "--path", "docs/a.pdf"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(world.path("all/data/docs/a.pdf").exists());
    assert!(!world.path("all/other").exists());
}

fn inode(world: &World, path: &str) -> u64 {
    std::fs::metadata(world.path("out").join(path))
        .unwrap()
        .ino()
}

fn text(world: &World, path: &str) -> String {
    std::fs::read_to_string(world.path("out").join(path)).unwrap()
}
