//! What is wrong with a backup, and what is not.

use local_s3::{Fault, Operation};
use serde_json::Value;

use super::{completed, drill, last_drill, marks, mismatches, with_temporary, world_of};
use crate::support::tree::{set_mode, settle};
use crate::support::{BUCKET, World};

#[test]
fn a_damaged_object_is_named_and_ends_with_four() {
    let world = world_of(8);
    let key = world.key_like("files/", "/1/05");
    world.server.corrupt(BUCKET, &world.full_key(&key), 0);
    let output = drill(&world, &["--read", "100%"]);
    assert_eq!(output.code, 4, "{output:?}");
    let completed = completed(&output);
    assert_eq!(completed["level"], "ERROR");
    assert_eq!(completed["outcome"], "damaged");
    assert_eq!(completed["files"], 7);
    let found = mismatches(&completed);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("1/05: contents in the store do not have"),
        "{found:?}"
    );
    assert!(found[0].contains(&key), "{found:?}");
    let hint = completed["hint"].as_str().unwrap();
    assert!(hint.contains("verify --source data --snapshot"), "{hint}");
    assert!(hint.contains("--repair"), "{hint}");
    // The mark says the same.
    let (_, mark) = marks(&world).pop().unwrap();
    assert_eq!(mark["kind"], "drill");
    assert_eq!(mark["outcome"], "damaged");
    assert_eq!(mark["mismatches"], completed["mismatches"]);
    assert_eq!(last_drill(&world)["outcome"], "damaged");
    let text = world.offsite(["drill", "--read", "100%", "--log-format", "text"]);
    assert_eq!(text.code, 4, "{text:?}");
    assert!(text.stderr.contains("error: 1/05: contents"), "{text:?}");
    assert!(text.stderr.contains("drill FAILED, 1 PROBLEM"), "{text:?}");
    assert!(
        world
            .offsite(["status"])
            .stdout
            .contains("DAMAGED, just now")
    );
}

#[test]
fn an_object_that_is_gone_is_damage_and_many_are_counted() {
    let world = world_of(40);
    for key in world.keys().iter().filter(|key| key.starts_with("files/")) {
        assert!(world.server.remove(BUCKET, &world.full_key(key)));
    }
    let output = drill(&world, &["--read", "100%"]);
    assert_eq!(output.code, 4, "{output:?}");
    let completed = completed(&output);
    assert_eq!(completed["mismatch_count"], 40);
    assert_eq!(mismatches(&completed).len(), 20);
    assert_eq!(completed["not_restored_count"], 0);
}

#[test]
fn a_commit_record_that_counts_otherwise_is_damage() {
    let world = world_of(8);
    let key = world.full_key(&world.key_like("snapshots/", ".json"));
    let object = world.server.object(BUCKET, &key).unwrap();
    let sound: Value = serde_json::from_slice(&object.bytes).unwrap();
    let expected = [
        ("totals", "the totals are not those of the segments"),
        // As by a program that has counted wrong.
        ("both", "the totals of"),
    ];
    for (changed, expected) in expected {
        let mut record = sound.clone();
        let number = record["totals"]["entries"].as_u64().unwrap();
        record["totals"]["entries"] = (number + 1).into();
        if changed == "both" {
            record["segments"][0]["totals"]["entries"] = (number + 1).into();
        }
        world.server.replace(BUCKET, &key, record.to_string());
        let output = drill(&world, &[]);
        assert_eq!(output.code, 4, "{output:?}");
        let found = mismatches(&completed(&output));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn a_damaged_segment_is_damage_and_the_rest_is_restored() {
    let mut world = with_temporary(World::new());
    world.set("MANIFEST__SEGMENT_ENTRIES", 8);
    for index in 0..20 {
        world.write(&format!("{index:02}"), format!("{index}"));
    }
    settle();
    world.back_up();
    let keys = world.keys();
    let mut segments = keys.iter().filter(|key| key.starts_with("manifests/"));
    let key = world.full_key(segments.next_back().unwrap());
    world.server.corrupt(BUCKET, &key, 20);
    let output = drill(&world, &["--read", "100%"]);
    assert_eq!(output.code, 4, "{output:?}");
    let completed = completed(&output);
    let found = mismatches(&completed);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("is damaged"), "{found:?}");
    assert!(completed["files"].as_u64() > Some(0), "{completed}");
}

#[test]
fn what_was_never_captured_and_what_is_cold_is_no_damage() {
    let world = with_temporary(World::new());
    world.write("a", "a");
    world.write("unreadable", "b");
    set_mode(&world.data().join("unreadable"), 0);
    settle();
    let without = ["dac_override", "dac_read_search"];
    assert_eq!(world.offsite_without(&without, ["run"]).code, 3);
    let output = drill(&world, &["--read", "100%"]);
    assert_eq!(output.code, 3, "{output:?}");
    let told = completed(&output);
    assert_eq!(told["level"], "WARN");
    assert_eq!(told["outcome"], "incomplete");
    assert_eq!(told["mismatch_count"], 0);
    assert_eq!(told["not_restored"][0]["path"], "unreadable");
    assert_eq!(last_drill(&world)["outcome"], "incomplete");

    let world = world_of(2);
    let key = world.full_key(&world.key_like("files/", "/00"));
    world.server.transition(BUCKET, &key, "DEEP_ARCHIVE");
    let output = drill(&world, &["--read", "100%"]);
    assert_eq!(output.code, 3, "{output:?}");
    let told = completed(&output);
    assert_eq!(told["not_restored"][0]["path"], "0/00");
    assert_eq!(told["mismatch_count"], 0, "{told}");
}

#[test]
fn a_store_that_fails_says_nothing_of_the_backup() {
    for (fault, expected) in [
        (
            Fault::on(Operation::GetObject)
                .key_contains("/files/")
                .always()
                .status(403, "AccessDenied"),
            1,
        ),
        (
            Fault::on(Operation::GetObject)
                .key_contains("/manifests/")
                .always()
                .status(403, "AccessDenied"),
            12,
        ),
    ] {
        let world = world_of(4);
        world.server.fault(fault);
        let output = drill(&world, &["--read", "100%"]);
        assert_eq!(output.code, expected, "{output:?}");
        let failed = output.event("drill_failed");
        assert_eq!(failed["exit_code"], expected, "{failed}");
        assert!(output.events_named("drill_completed").is_empty());
        assert!(marks(&world).is_empty());
    }
}
