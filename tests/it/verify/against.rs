//! A snapshot against the source that it is of.

use serde_json::Value;

use crate::compared::change_entries;
use crate::support::World;
use crate::support::tree::settle;

/// What the check says of the only source.
fn checked(world: &World) -> (i32, Value) {
    let output = world.offsite(["verify", "--against-source", "--json"]);
    let mut checks: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(checks.len(), 1, "{output:?}");
    (output.code, checks.remove(0))
}

fn world() -> World {
    let world = World::new();
    for index in 0..30 {
        world.write(&format!("{index:02}"), format!("contents of {index}"));
    }
    settle();
    world.back_up();
    world
}

#[test]
fn what_has_changed_since_the_snapshot_is_counted_and_the_rest_is_hashed() {
    let world = world();
    world.write("02", "longer contents than before");
    world.write("new", "new");
    std::fs::remove_file(world.data().join("03")).unwrap();
    settle();
    let (code, check) = checked(&world);
    assert_eq!(code, 0, "{check}");
    let counts = [
        "unchanged",
        "changed",
        "added",
        "removed",
        "hashed_files",
        "hidden",
    ];
    let counts = counts.map(|name| check[name].as_u64().unwrap());
    assert_eq!(counts, [28, 1, 1, 1, 28, 0], "{check}");
    let text = world.offsite(["verify", "--against-source"]);
    assert!(
        text.stdout.contains("28 of the unchanged hashed"),
        "{text:?}"
    );
    assert!(text.stdout.contains("all match"), "{text:?}");
}

#[test]
fn other_contents_under_the_same_size_and_times_are_an_integrity_error() {
    let world = world();
    change_entries(&world, |entry| {
        if entry["path"] == "07" {
            entry["sha256"] = "ab".repeat(32).into();
        }
    });
    let (code, check) = checked(&world);
    assert_eq!((code, &check["mismatches"][0]["path"]), (4, &"07".into()));
    let text = world.offsite(["verify", "--against-source"]);
    assert!(text.stderr.contains("07: contents mismatch"), "{text:?}");
    assert!(text.stderr.contains("detect: checksum"), "{text:?}");
}

#[test]
fn files_that_rules_hide_are_counted_and_many_of_them_are_a_warning() {
    let world = world();
    let directory = world.data();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n  \
         - {{name: data, directory: {}, exclude: ['*.tmp', cache]}}\n",
        directory.display()
    ));
    for index in 0..3 {
        world.write(&format!("cache/{index}"), "x");
    }
    world.write("a.tmp", "x");
    settle();
    let (code, check) = checked(&world);
    assert_eq!((code, &check["hidden"]), (0, &4.into()), "{check}");
    let text = world.offsite(["verify", "--against-source"]);
    assert!(
        text.stderr
            .contains("warning: `include` and `exclude` hide 4 of 34 files"),
        "{text:?}"
    );
}
