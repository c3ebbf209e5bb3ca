//! Manifests of which a part is lost.

use std::path::Path;

use serde_json::Value;

use super::{restore, text};
use crate::support::tree::{self, settle};
use crate::support::{BUCKET, World};

/// A tree whose manifest has four segments, the second of them with `05` to `12`.
fn world_in_segments() -> (World, Vec<String>) {
    let mut world = World::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 8);
    for index in 0..29 {
        world.write(&format!("deep/er/{index:02}"), format!("theirs {index}"));
    }
    settle();
    world.back_up();
    let mut segments = world.keys();
    segments.retain(|key| key.starts_with("manifests/"));
    assert_eq!(segments.len(), 4);
    (world, segments)
}

#[test]
fn a_segment_that_fails_between_plan_and_restore_moves_nothing() {
    for reads_before in [0, 1] {
        let (world, segments) = world_in_segments();
        let there = |name: &str| world.path("out/deep/er").join(name);
        std::fs::create_dir_all(there("")).unwrap();
        for index in 14..29 {
            std::fs::write(there(&format!("{index}")), "mine").unwrap();
        }
        let fault = local_s3::Fault::on(local_s3::Operation::GetObject).key_contains(&segments[1]);
        let fault = fault.skip(reads_before).times(1).status(404, "NoSuchKey");
        world.server.fault(fault);
        let output = restore(&world, &["--overwrite"]);
        assert_eq!(output.code, 3, "{output:?}");
        for index in 0..29 {
            let found = std::fs::read_to_string(there(&format!("{index:02}"))).ok();
            let lost = (5..13).contains(&index);
            assert_eq!(found, (!lost).then(|| format!("theirs {index}")), "{index}");
        }
        // What was not planned is named, not left out in silence.
        let named = output.stderr.matches("restore again").count();
        assert_eq!(named, if reads_before == 0 { 8 } else { 0 }, "{output:?}");
    }
}

#[test]
fn a_damaged_segment_costs_only_what_it_lists() {
    let (world, segments) = world_in_segments();
    // With it go the entries of the directories that everything is in.
    world.server.remove(BUCKET, &world.full_key(&segments[0]));
    let dry = restore(&world, &["--dry-run"]);
    assert_eq!(dry.code, 4, "{dry:?}");
    assert!(
        dry.stderr
            .contains("it lists 8 entries, `.` to `deep/er/04`"),
        "{dry:?}"
    );
    assert_eq!(restore(&world, &["--dry-run", "--json"]).code, 4);
    assert!(!world.path("out").exists());

    let expected = tree::read(&world.data());
    let assert_rest = || {
        let found = tree::read(&world.path("out"));
        for index in 5..29 {
            let path = format!("deep/er/{index:02}");
            assert_eq!(found[Path::new(&path)], expected[Path::new(&path)]);
        }
        for directory in ["deep", "deep/er"] {
            assert_eq!(found[Path::new(directory)].mode, 0o700);
        }
        found.len()
    };
    let output = restore(&world, &[]);
    assert_eq!(output.code, 3, "{output:?}");
    for named in [&segments[0], "deep: made without", "deep/er: made without"] {
        assert!(output.stderr.contains(named), "{named} in {output:?}");
    }
    assert_eq!(assert_rest(), 3 + 24);
    assert_eq!(tree::read(&world.path("out"))[Path::new("")].mode, 0o700);

    // Once more, over what is there, beside something that looks like it one level up.
    std::fs::write(world.path("out/07"), "stays").unwrap();
    let again = restore(&world, &["--json"]);
    assert_eq!(again.code, 3, "{again:?}");
    let json: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(json[0]["report"]["kept"], 24);
    assert_eq!(json[0]["report"]["failure_count"], 3);
    assert_eq!(assert_rest(), 3 + 24 + 1);
    assert_eq!(text(&world, "07"), "stays");
    let some = restore(&world, &["--path", "28", "--json"]);
    assert_eq!(some.code, 3, "{some:?}");
    let json: Value = serde_json::from_str(&some.stdout).unwrap();
    assert_eq!(json[0]["report"]["kept"], 1);
}
