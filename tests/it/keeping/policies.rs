//! Policies as they are configured.

use super::{plan, world_of};
use crate::support::World;

fn problem(retention: &str) -> String {
    let world = World::new();
    world.configure(&format!(
        "backup:\n  store: {}\n  sources: [{{name: data, directory: {}, retention: {retention}}}]\n",
        world.home.path().display(),
        world.data().display()
    ));
    let output = world.offsite(["config"]);
    assert_eq!(output.code, 2, "{retention}: {output:?}");
    output.stderr
}

#[test]
fn a_policy_that_keeps_nothing_or_means_nothing_is_refused_by_name() {
    for (retention, text) in [
        ("{}", "has no rule, so it would keep nothing"),
        ("{grace: 3d}", "has no rule, so it would keep nothing"),
        (
            "{keep_last: 0, daily: 0}",
            "has no rule, so it would keep nothing",
        ),
        ("{daily: -1}", "must be a whole number, 0 or more"),
        ("{keep_within: 3w4}", "must be seconds, or a duration like"),
        ("{keep_within: 14}", "must be an hour or more"),
        ("{daily: 3, grace: 7}", "must be an hour or more"),
        ("{dayly: 3}", "did you mean `daily`?"),
        (
            "{daily: 3, timezone: Europe/Atlantis}",
            "the name of a time zone",
        ),
        ("default", "is not there for directories"),
        ("forever", "must be rules, or the word default"),
        ("[1]", "must be a mapping"),
    ] {
        let problem = problem(retention);
        assert!(problem.contains(text), "{retention}: {problem}");
        assert!(problem.contains("backup.sources[0].retention"), "{problem}");
    }
}

#[test]
fn a_source_s_own_policy_replaces_that_of_all_whole() {
    let mut world = world_of(&[
        "2025-03-01T02:00:00Z",
        "2025-03-02T02:00:00Z",
        "2025-03-03T02:00:00Z",
    ]);
    assert_eq!(plan(&world, &[])[1].1, ["calendar"]);
    let config = std::fs::read_to_string(world.path("backup_config.yaml")).unwrap();
    world.configure(&config.replace("name: data,", "name: data, retention: {keep_last: 1},"));
    assert!(plan(&world, &[])[1].1.is_empty());
    world.set("DEFAULTS__RETENTION__DAILY", 9);
    assert!(plan(&world, &[])[1].1.is_empty());
}

#[test]
fn days_are_those_of_the_time_zone() {
    let mut world = world_of(&[
        "2025-03-01T22:30:00Z",
        "2025-03-02T02:00:00Z",
        "2025-03-02T22:30:00Z",
        "2025-03-02T23:30:00Z",
    ]);
    let kept = |world: &World| -> Vec<bool> {
        plan(world, &[])
            .into_iter()
            .map(|(_, kept)| !kept.is_empty())
            .collect()
    };
    assert_eq!(kept(&world), [true, false, false, true]);
    world.set("DEFAULTS__RETENTION__TIMEZONE", "Europe/Berlin");
    assert_eq!(kept(&world), [false, false, true, true]);
    let output = world.offsite(["prune", "--dry-run"]);
    assert!(
        output.stdout.contains("2025-03-03 00:30:00+01:00"),
        "{output:?}"
    );
}

#[test]
fn an_incomplete_snapshot_takes_no_other_s_place() {
    let world = world_of(&[
        "2025-03-01T02:00:00Z",
        "2025-03-02T02:00:00Z",
        "2025-03-02T09:00:00Z",
        "2025-03-03T02:00:00Z",
    ]);
    let snapshots = world.snapshots();
    for index in [2, 3] {
        super::edit(&world, &snapshots[index], |record| {
            record["complete"] = false.into();
        });
    }
    let kept: Vec<_> = plan(&world, &[])
        .into_iter()
        .map(|(_, kept)| kept)
        .collect();
    // Two days with complete ones; the third day has none, and is counted by itself.
    assert_eq!(kept[0], ["calendar"]);
    assert_eq!(kept[1], ["calendar", "newest_complete"]);
    assert!(kept[2].is_empty());
    assert_eq!(kept[3], ["calendar", "newest"]);
}

#[test]
fn a_source_that_is_never_complete_is_pruned_too() {
    let times: Vec<_> = (1..=6)
        .map(|day| format!("2025-03-{day:02}T02:00:00Z"))
        .collect();
    let mut world = world_of(&times.iter().map(String::as_str).collect::<Vec<_>>());
    let snapshots = world.snapshots();
    for snapshot in &snapshots[1..] {
        super::edit(&world, snapshot, |record| record["complete"] = false.into());
    }
    let kept = |world: &World| -> Vec<_> {
        plan(world, &[])
            .into_iter()
            .map(|(_, kept)| kept.join(" "))
            .collect()
    };
    // Two days without a complete one, and the one that has it.
    let expected = [
        "calendar newest_complete",
        "",
        "",
        "",
        "calendar",
        "calendar newest",
    ];
    assert_eq!(kept(&world), expected);
    world.set("DEFAULTS__RETENTION__DAILY", 0);
    world.set("DEFAULTS__RETENTION__KEEP_WITHIN", "25h");
    let expected = [
        "within newest_complete",
        "",
        "",
        "",
        "within",
        "within newest",
    ];
    assert_eq!(kept(&world), expected);
}

#[test]
fn retention_days_of_the_media_backup_system_are_a_policy() {
    let mut world = world_of(&[
        "2025-03-01T02:00:00Z",
        "2025-03-08T02:00:00Z",
        "2025-03-09T02:00:00Z",
    ]);
    world.unset("OFFSITE_DEFAULTS__RETENTION__DAILY");
    world.env("BACKUP_RETENTION_DAYS", 7);
    let kept: Vec<_> = plan(&world, &[])
        .into_iter()
        .map(|(_, kept)| kept)
        .collect();
    assert!(kept[0].is_empty());
    assert_eq!(kept[1], ["within"]);
    let output = world.offsite(["cleanup"]);
    assert_eq!(output.event("prune_completed")["condemned"], 1);
}
