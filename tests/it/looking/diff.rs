//! `diff`.

use serde_json::Value;

use super::{objects, segments_read, two_sources, world};
use crate::support::tree::{set_mode, set_mtime, set_xattr, settle};
use crate::support::{BUCKET, World};

/// What differs, as `change path`.
fn changes(world: &World, args: &[&str]) -> Vec<String> {
    let output = world.offsite([&["diff", "--json"], args].concat());
    assert_eq!(output.code, 0, "{output:?}");
    let text = |line: &Value| {
        let (change, path) = (&line["change"], &line["path"]);
        format!("{} {}", change.as_str().unwrap(), path.as_str().unwrap())
    };
    objects(&output).iter().map(text).collect()
}

/// A snapshot of some files, and then other things on the disk.
fn changed() -> World {
    let mut world = World::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 4);
    for name in [
        "gone",
        "kept",
        "longer",
        "mode",
        "other",
        "became/file",
        "touched",
        "dir/in it",
    ] {
        world.write(name, "contents");
    }
    std::os::unix::fs::symlink("kept", world.data().join("link")).unwrap();
    settle();
    world.back_up();
    std::fs::remove_file(world.data().join("gone")).unwrap();
    world.write("longer", "longer contents");
    set_mode(&world.data().join("mode"), 0o600);
    world.write("other", "CONTENTS");
    std::fs::remove_dir_all(world.data().join("became")).unwrap();
    world.write("became", "a file");
    set_mtime(&world.data().join("touched"), 1_000_000_000, 1);
    world.write("dir/new", "new");
    std::fs::remove_file(world.data().join("link")).unwrap();
    std::os::unix::fs::symlink("mode", world.data().join("link")).unwrap();
    settle();
    world
}

const ON_THE_DISK: [&str; 9] = [
    "type became",
    "removed became/file",
    "added dir/new",
    "removed gone",
    "touched link",
    "contents longer",
    "metadata mode",
    "touched other",
    "touched touched",
];

#[test]
fn what_differs_on_the_disk_is_what_a_pass_then_takes() {
    let world = changed();
    assert_eq!(changes(&world, &["latest"]), ON_THE_DISK);
    let plan = world.offsite(["plan", "--json"]);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(
        (&plan[0]["new"], &plan[0]["removed"]),
        (&1.into(), &2.into())
    );
    // The times of two directories besides.
    assert_eq!(plan[0]["changed"], 6 + 2, "{plan}");

    // What was touched is known by its contents once it was read.
    world.back_up();
    let snapshots = world.snapshots();
    let mut expected = ON_THE_DISK.map(str::to_owned);
    expected[4] = "contents link".to_owned();
    expected[7] = "contents other".to_owned();
    expected[8] = "metadata touched".to_owned();
    assert_eq!(changes(&world, &[&snapshots[0], &snapshots[1]]), expected);
    assert_eq!(changes(&world, &["latest"]), [""; 0]);
    // The earlier snapshot differs from the disk as it did.
    assert_eq!(changes(&world, &[&snapshots[0]]), ON_THE_DISK);
}

#[test]
fn attributes_are_a_difference_where_they_are_recorded() {
    let mut world = World::new();
    world.write("dir/file", "file");
    for records in [false, true] {
        world.set("DEFAULTS__XATTRS", records);
        settle();
        world.back_up();
        let value = if records { b"2" } else { b"1" };
        set_xattr(&world.data().join("dir"), "user.of", value);
        set_xattr(&world.data().join("dir/file"), "user.of", value);
        settle();
        let expected: &[&str] = match records {
            // Only a pass that reads it can tell.
            false => &["touched dir/file"],
            true => &["touched dir", "touched dir/file"],
        };
        assert_eq!(changes(&world, &["latest"]), expected);
    }
    world.back_up();
    let snapshots = world.snapshots();
    let found = changes(&world, &[&snapshots[1], &snapshots[2]]);
    assert_eq!(found, ["metadata dir", "metadata dir/file"]);
}

#[test]
fn both_sides_of_a_difference_are_told() {
    let world = changed();
    world.back_up();
    let snapshots = world.snapshots();
    let output = world.offsite([
        "diff",
        "--json",
        &snapshots[0],
        "latest",
        "--path",
        "longer",
    ]);
    let found = objects(&output);
    assert_eq!(found.len(), 1, "{output:?}");
    assert_eq!(found[0]["source"], "data");
    assert_eq!(found[0]["before"]["size"], 8);
    assert_eq!(found[0]["after"]["size"], 15);
    assert_ne!(found[0]["before"]["sha256"], found[0]["after"]["sha256"]);

    let text = world.offsite(["diff", "latest", &snapshots[0]]).stdout;
    let mut lines = text.lines();
    let heading = format!("data: {} -> {}", snapshots[1], snapshots[0]);
    assert_eq!(lines.next(), Some(&*heading));
    let marks = [
        "T became/",
        "+ became/file",
        "- dir/new",
        "+ gone",
        "M link",
        "M longer",
        "U mode",
        "M other",
        "U touched",
    ];
    assert_eq!(lines.by_ref().take(marks.len()).collect::<Vec<_>>(), marks);
    let sums = "data: 2 added (16 B), 1 removed (3 B), 4 with other contents (16 B), 2 with other metadata";
    assert_eq!(lines.collect::<Vec<_>>(), [sums]);
    let same = world.offsite(["diff", "latest", "latest"]).stdout;
    assert!(same.ends_with("\ndata: nothing differs\n"), "{same}");
}

#[test]
fn segments_that_both_snapshots_have_are_not_read() {
    let (world, snapshots) = world();
    let differences = |before: &str, after: &str| {
        world.server.clear_requests();
        (changes(&world, &[before, after]), segments_read(&world))
    };
    let (found, read) = differences(&snapshots[0], &snapshots[1]);
    assert_eq!(
        (&found[..], read),
        (&["contents docs/a.txt".to_owned()][..], 2)
    );
    let (found, read) = differences(&snapshots[0], &snapshots[2]);
    assert_eq!(found, ["contents docs/a.txt", "removed docs/b.txt"]);
    assert_eq!(read, 2);
    assert_eq!(differences("latest", &snapshots[2]), (vec![], 0));
    // Against the disk, all of the snapshot is.
    world.server.clear_requests();
    assert_eq!(changes(&world, &["latest"]), [""; 0]);
    assert!(segments_read(&world) >= 5);
}

#[test]
fn what_cannot_be_looked_at_is_neither_gone_nor_the_same() {
    let world = World::new();
    world.write("kept", "kept");
    world.write("private/file", "file");
    settle();
    world.back_up();
    std::fs::remove_file(world.data().join("kept")).unwrap();
    world.write("other", "other");
    set_mode(&world.data().join("private"), 0);
    let capabilities = ["dac_override", "dac_read_search"];
    let output = world.offsite_without(&capabilities, ["diff", "latest"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(output.stdout.contains("- kept\n"), "{output:?}");
    assert!(!output.stdout.contains("- private"), "{output:?}");
    assert!(output.stderr.contains("error: private: "), "{output:?}");
    set_mode(&world.data().join("private"), 0o755);
}

#[test]
fn an_empty_mount_is_an_error_and_not_a_difference() {
    let world = World::new();
    world.write("file", "file");
    settle();
    world.back_up();
    std::fs::remove_file(world.data().join("file")).unwrap();
    let output = world.offsite(["diff", "latest", "--json"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("is empty"), "{output:?}");
    assert!(!output.stdout.ends_with("]\n"), "{output:?}");
}

#[test]
fn a_damaged_segment_ends_it_with_an_error() {
    let (world, snapshots) = world();
    let keys = world.server.keys(BUCKET);
    let segments = keys.iter().filter(|key| key.ends_with(".ndjson.zst"));
    for key in segments {
        world.server.corrupt(BUCKET, key, 30);
    }
    for args in [&[&*snapshots[0], &snapshots[1]][..], &["latest"]] {
        let output = world.offsite([&["diff", "--json"], args].concat());
        assert_eq!(output.code, 4, "{output:?}");
        assert!(output.stderr.contains("is damaged"), "{output:?}");
        assert!(!output.stdout.ends_with("]\n"), "{output:?}");
    }
}

#[test]
fn what_cannot_be_compared_is_named() {
    let world = two_sources();
    world.write("one/new", "new");
    world.write("two/new", "new");
    settle();
    let output = world.offsite(["run", "--source", "one"]);
    assert_eq!(output.code, 0, "{output:?}");
    let snapshots = world.snapshots();
    let (both, one) = (&snapshots[0], snapshots.last().unwrap());
    let output = world.offsite(["diff", both, one]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("one: 1 added (3 B)"), "{output:?}");
    assert!(
        output.stderr.contains("is no snapshot of two"),
        "{output:?}"
    );
    let output = world.offsite(["diff", both, one, "--source", "two"]);
    assert_eq!(output.code, 10, "{output:?}");
    let output = world.offsite(["diff", both, "--source", "two"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("two: 1 added (3 B)"), "{output:?}");
    assert!(!output.stdout.contains("one: "), "{output:?}");
    let output = world.offsite(["diff", both, "--source", "three"]);
    assert_eq!(output.code, 10, "{output:?}");
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n  - {{name: two, directory: {0}/two}}\n  - {{name: one, sessions: {0}/one}}\n",
        world.data().display()
    ));
    let output = world.offsite(["diff", both]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stderr.contains("`offsite sessions` shows"),
        "{output:?}"
    );
}
