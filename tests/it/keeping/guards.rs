//! What keeps a prune from removing far more than anybody meant.

use super::{condemned, date, plan, world_of};
use crate::support::World;
use crate::support::tree::settle;

/// Snapshots of so many days in March.
fn days(count: usize) -> World {
    let times: Vec<_> = (1..=count)
        .map(|day| format!("2025-03-{day:02}T02:00:00Z"))
        .collect();
    world_of(&times.iter().map(String::as_str).collect::<Vec<_>>())
}

fn refused(world: &World, why: &str) {
    let before = world.keys();
    let output = world.offsite(["prune"]);
    assert_eq!(output.code, 2, "{output:?}");
    let failed = output.event("prune_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains(why), "{error}");
    assert!(
        failed["hint"]
            .as_str()
            .unwrap()
            .contains("--expect-removed")
    );
    assert_eq!(world.keys(), before);
    assert!(condemned(world).is_empty());
}

#[test]
fn a_first_prune_that_removes_most_of_all_wants_the_number() {
    let world = days(5);
    refused(&world, "removes 3 of the 5 snapshots");
    let dry = world.offsite(["prune", "--dry-run"]);
    assert_eq!(dry.code, 0);
    assert!(dry.stdout.contains("--expect-removed 3"), "{dry:?}");
    for wrong in ["2", "4"] {
        let output = world.offsite(["prune", "--expect-removed", wrong]);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(condemned(&world).is_empty());
    }
    assert_eq!(world.offsite(["prune", "--expect-removed", "3"]).code, 0);
    assert_eq!(condemned(&world).len(), 3);
}

#[test]
fn a_changed_policy_that_removes_most_of_all_wants_the_number() {
    let mut world = days(5);
    world.set("DEFAULTS__RETENTION__DAILY", 4);
    assert_eq!(world.offsite(["prune"]).code, 0);
    assert_eq!(world.snapshots().len(), 4);
    world.set("DEFAULTS__RETENTION__DAILY", 1);
    let output = world.offsite(["prune"]);
    assert_eq!(output.code, 2, "{output:?}");
    let error = output.event("prune_failed")["error"].clone();
    assert!(
        error.as_str().unwrap().contains("the policy has changed"),
        "{error}"
    );
    assert_eq!(world.snapshots().len(), 4);
}

#[test]
fn a_prune_after_which_half_of_the_snapshots_is_gone_wants_the_number() {
    let mut world = days(6);
    world.set("DEFAULTS__RETENTION__DAILY", 5);
    assert_eq!(world.offsite(["prune"]).code, 0);
    let snapshots = world.snapshots();
    assert_eq!(snapshots.len(), 5);
    // The same policy, and days that have become one.
    for (minute, snapshot) in snapshots.iter().enumerate() {
        date(&world, snapshot, &format!("2025-04-01T02:{minute:02}:00Z"));
    }
    let output = world.offsite(["prune"]);
    assert_eq!(output.code, 2, "{output:?}");
    let error = output.event("prune_failed")["error"].clone();
    let error = error.as_str().unwrap();
    assert!(error.contains("fewer than half of the 5"), "{error}");
    assert_eq!(world.snapshots(), snapshots);
}

#[test]
fn the_newest_snapshot_and_the_newest_complete_one_always_stay() {
    let mut world = days(3);
    world.set("DEFAULTS__RETENTION__DAILY", 0);
    world.set("DEFAULTS__RETENTION__KEEP_WITHIN", "1h");
    let snapshots = world.snapshots();
    super::edit(&world, &snapshots[2], |record| {
        record["complete"] = false.into();
    });
    let plan = plan(&world, &[]);
    assert!(plan[0].1.is_empty(), "{plan:?}");
    assert_eq!(plan[1].1, ["within", "newest_complete"]);
    assert_eq!(plan[2].1, ["within", "newest"]);
}

#[test]
fn without_retention_nothing_is_ever_removed() {
    let mut world = days(3);
    world.unset("OFFSITE_DEFAULTS__RETENTION__DAILY");
    for args in [&["prune"][..], &["prune", "--dry-run"], &["cleanup"]] {
        let output = world.offsite(args);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(
            output.stderr.contains("no retention is configured"),
            "{output:?}"
        );
    }
    assert_eq!(world.snapshots().len(), 3);
}

#[test]
fn a_source_that_is_not_configured_is_left_alone_unless_it_is_named() {
    let world = days(3);
    let other = world.home.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("file"), "").unwrap();
    let config = std::fs::read_to_string(world.path("backup_config.yaml")).unwrap();
    world.configure(&config.replace("name: data", "name: renamed"));
    settle();
    world.back_up();
    let output = world.offsite(["prune"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stderr.contains("source `data` is left alone"),
        "{output:?}"
    );
    assert!(condemned(&world).is_empty());
    let output = world.offsite(["prune", "--source", "data"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(condemned(&world).len(), 1);
}

#[test]
fn nothing_is_removed_by_a_clock_that_may_be_wrong() {
    let world = days(4);
    world
        .server
        .clock()
        .advance(std::time::Duration::from_secs(2 * 3600));
    let output = world.offsite(["prune", "--expect-removed", "2"]);
    assert_eq!(output.code, 2, "{output:?}");
    let error = output.event("prune_failed")["error"].clone();
    assert!(
        error
            .as_str()
            .unwrap()
            .contains("a clock that may be wrong"),
        "{error}"
    );
    world.server.clock().set_right();
    // A snapshot of a day on which the store's clock was ahead.
    let last = world.snapshots().pop().unwrap();
    date(&world, &last, "2125-01-01T00:00:00Z");
    let output = world.offsite(["prune", "--expect-removed", "2"]);
    assert_eq!(output.code, 2, "{output:?}");
    let error = output.event("prune_failed")["error"].clone();
    assert!(
        error
            .as_str()
            .unwrap()
            .contains("1 snapshots would be removed"),
        "{error}"
    );
    // It stays, and takes no other's place.
    let plan = plan(&world, &[]);
    let kept: Vec<_> = plan.iter().map(|(_, kept)| kept.join(" ")).collect();
    assert_eq!(kept, ["", "calendar", "calendar", "later_than_now newest"]);
    assert_eq!(world.offsite(["prune"]).code, 0);
    assert_eq!(condemned(&world).len(), 1);
}

/// A world of two sources: of `data` most would go, of `other` one.
fn two_sources() -> World {
    let world = days(5);
    let other = world.home.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let config = std::fs::read_to_string(world.path("backup_config.yaml")).unwrap();
    world.configure(&config.replace(
        "}]",
        &format!(
            "}}, {{name: other, directory: {}, retention: {{keep_last: 4}}}}]",
            other.display()
        ),
    ));
    for index in 0..5 {
        std::fs::write(other.join("file"), format!("{index}")).unwrap();
        settle();
        assert_eq!(
            world
                .offsite(["run", "--dirs", other.to_str().unwrap()])
                .code,
            0
        );
    }
    world
}

#[test]
fn a_source_that_is_refused_keeps_no_other_from_being_pruned() {
    let world = two_sources();
    let output = world.offsite(["prune"]);
    assert_eq!(output.code, 2, "{output:?}");
    let told = output.events_named("snapshot_condemned");
    assert_eq!(told.len(), 1, "{output:?}");
    assert_eq!(told[0]["source"], "other");
    let failed = output.event("prune_failed");
    assert_eq!(failed["condemned"], 1);
    assert!(
        failed["error"].as_str().unwrap().contains("source `data`"),
        "{failed}"
    );
    // The number that it asks for is what is left.
    assert_eq!(world.offsite(["prune", "--expect-removed", "3"]).code, 0);
}

#[test]
fn a_longer_grace_is_no_other_policy() {
    let mut world = days(5);
    assert_eq!(world.offsite(["prune", "--expect-removed", "3"]).code, 0);
    for snapshot in condemned(&world) {
        assert_eq!(world.offsite(["undelete", &snapshot]).code, 0);
        assert_eq!(world.offsite(["unpin", &snapshot]).code, 0);
    }
    world.set("DEFAULTS__RETENTION__GRACE", "14d");
    assert_eq!(world.offsite(["prune"]).code, 0);
    assert_eq!(condemned(&world).len(), 3);
}

#[test]
fn a_prune_that_removes_nothing_says_what_there_was() {
    let world = days(2);
    let prunes = |world: &World| {
        world
            .keys()
            .iter()
            .filter(|key| key.starts_with("prunes/"))
            .count()
    };
    assert_eq!(world.offsite(["prune"]).code, 0);
    assert_eq!(prunes(&world), 1);
    assert_eq!(world.offsite(["prune"]).code, 0);
    assert_eq!(prunes(&world), 1);
}

#[test]
fn what_cannot_be_understood_keeps_everything() {
    let world = days(4);
    let snapshots = world.snapshots();
    let keep = super::record(&world, &snapshots[1]);
    for (field, value) in [
        ("format", 99.into()),
        ("requires", vec!["wings"].into()),
        ("source", "else".into()),
    ] {
        super::edit(&world, &snapshots[1], |record| record[field] = value);
        let output = world.offsite(["prune", "--expect-removed", "2"]);
        assert_eq!(output.code, 4, "{output:?}");
        let error = output.event("prune_failed")["error"].clone();
        assert!(error.as_str().unwrap().contains(&snapshots[1]), "{error}");
        super::edit(&world, &snapshots[1], |record| *record = keep.clone());
    }
    let mark = world.full_key(&format!("marks/data/{}/00001.json", snapshots[0]));
    assert_eq!(
        world.offsite(["pin", &snapshots[0], "--reason", "x"]).code,
        0
    );
    world.server.replace(crate::support::BUCKET, &mark, "{}");
    let output = world.offsite(["prune", "--expect-removed", "2"]);
    assert_eq!(output.code, 4, "{output:?}");
    assert!(condemned(&world).is_empty() && world.snapshots().len() == 4);
}
