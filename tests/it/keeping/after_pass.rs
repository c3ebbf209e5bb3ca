//! Passes that prune at their end.

use super::{condemned, date, world_of};
use crate::support::tree::settle;

const TIMES: [&str; 4] = [
    "2025-03-01T02:00:00Z",
    "2025-03-02T02:00:00Z",
    "2025-03-03T02:00:00Z",
    "2025-03-04T02:00:00Z",
];

#[test]
fn a_pass_prunes_at_its_end_if_it_is_asked_to() {
    let mut world = world_of(&TIMES[..2]);
    world.set("DEFAULTS__RETENTION__AFTER_PASS", true);
    let first = world.snapshots().swap_remove(0);
    world.write("changing", "again");
    settle();
    let pass = world.back_up();
    assert_eq!(pass.event("prune_completed")["condemned"], 1, "{pass:?}");
    assert_eq!(condemned(&world), [&*first]);
    assert_eq!(pass.event("backup_completed")["exit_code"], 0);
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
}

#[test]
fn a_guard_at_the_end_of_a_pass_is_told_and_changes_nothing() {
    let mut world = world_of(&TIMES);
    let last = world.snapshots().pop().unwrap();
    date(&world, &last, "2025-03-03T03:00:00Z");
    world.set("DEFAULTS__RETENTION__DAILY", 1);
    world.set("DEFAULTS__RETENTION__AFTER_PASS", true);
    world.write("changing", "again");
    settle();
    let pass = world.back_up();
    let failed = pass.event("prune_failed");
    assert!(
        failed["hint"]
            .as_str()
            .unwrap()
            .contains("--expect-removed 4"),
        "{failed}"
    );
    assert_eq!(pass.event("backup_completed")["exit_code"], 0);
    assert!(condemned(&world).is_empty());
}

#[test]
fn a_source_that_failed_is_not_pruned() {
    let mut world = world_of(&TIMES[..3]);
    world.set("DEFAULTS__RETENTION__AFTER_PASS", true);
    std::fs::rename(world.data(), world.path("unmounted")).unwrap();
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.events_named("prune_completed").is_empty());
    assert!(condemned(&world).is_empty());
}
