//! Directories that could not be listed when they were backed up: nobody knows what was in them.

use serde_json::Value;

use super::restore;
use crate::support::World;
use crate::support::tree::{self, set_mode, settle};

const PRIVILEGES: [&str; 2] = ["dac_override", "dac_read_search"];

/// A source with a directory that was never listed, and one whose contents an earlier pass has seen.
fn world() -> World {
    let world = World::new();
    world.write("seen/file", "seen");
    world.write("open/file", "open");
    std::fs::create_dir(world.data().join("open/empty")).unwrap();
    settle();
    world.back_up();
    world.write("open/private/in-it", "never seen");
    settle();
    for directory in ["seen", "open/private"] {
        set_mode(&world.data().join(directory), 0o300);
    }
    let output = world.offsite_without(&PRIVILEGES, ["run"]);
    assert_eq!(output.code, 3, "{output:?}");
    world
}

#[test]
fn a_directory_that_was_never_listed_makes_a_restore_incomplete() {
    let world = world();
    for args in [&[][..], &["--path", "open"], &["--path", "**/private"]] {
        let _ = std::fs::remove_dir_all(world.path("out"));
        for how in [&["--dry-run"][..], &[], &["--overwrite"]] {
            let args = [args, how].concat();
            let output = restore(&world, &args);
            assert_eq!(output.code, 3, "{args:?}: {output:?}");
            assert!(output.stderr.contains("open/private: "), "{output:?}");
            assert!(output.stderr.contains("Permission denied"), "{output:?}");
            for other in ["seen", "open/empty", "open/file"] {
                assert!(!output.stderr.contains(other), "{output:?}");
            }
        }
        assert!(world.path("out/open/private").is_dir());
        let tree = tree::read(&world.path("out"));
        assert_eq!(tree[std::path::Path::new("open/private")].mode, 0o300);
    }
    let others = restore(&world, &["--path", "open/file"]);
    assert_eq!(others.code, 0, "{others:?}");
}

#[test]
fn a_directory_that_was_never_listed_is_named_in_json() {
    let world = world();
    let lacking = |json: &Value| {
        assert_eq!(json["lacking_count"], 1, "{json}");
        json["lacking"][0]["path"].as_str().unwrap().to_owned()
    };
    let dry = restore(&world, &["--dry-run", "--json"]);
    assert_eq!(dry.code, 3, "{dry:?}");
    let json: Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!(lacking(&json[0]["plan"]), "open/private");
    let done = restore(&world, &["--json"]);
    assert_eq!(done.code, 3, "{done:?}");
    let json: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(lacking(&json[0]["plan"]), "open/private");
    let report = &json[0]["report"];
    assert_eq!(report["failure_count"], 1);
    assert_eq!(report["failures"][0]["path"], "open/private");
}

#[test]
fn a_file_that_was_never_read_is_named_by_a_dry_run_too() {
    let world = World::new();
    world.write("a", "readable");
    world.write("b", "not");
    settle();
    set_mode(&world.data().join("b"), 0);
    let output = world.offsite_without(&PRIVILEGES, ["run"]);
    assert_eq!(output.code, 3, "{output:?}");
    let dry = restore(&world, &["--dry-run"]);
    assert_eq!(dry.code, 3, "{dry:?}");
    assert!(dry.stderr.contains("b: "), "{dry:?}");
    assert!(!dry.stderr.contains("a: "), "{dry:?}");
}

#[test]
fn a_directory_that_was_never_listed_is_shown_by_list_and_verify() {
    let world = world();
    let listed = world.offsite(["ls", "latest", "--path", "*"]).stdout;
    let line = listed.lines().find(|line| line.contains("open/private"));
    assert!(line.unwrap().contains("[unreadable since"), "{listed}");
    // Nothing is wrong with the store. Of what was seen before, there are a directory and a file.
    let verified = world.offsite(["verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let warned =
        "warning: 3 entries of this snapshot could not be read by its pass; `offsite list 2";
    assert!(verified.stderr.contains(warned), "{verified:?}");
    let verified = world.offsite(["verify", "--json"]);
    let json: Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(json[0]["unreadable"], 3);
}
