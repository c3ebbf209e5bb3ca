//! What a policy will hold.

use serde_json::Value;

use super::world_of;

#[test]
fn a_policy_is_shown_over_years_as_a_calendar_and_in_dollars() {
    let mut world = world_of(&["2025-03-01T02:00:00Z", "2025-03-02T02:00:00Z"]);
    world.set("DEFAULTS__RETENTION__DAILY", 7);
    world.set("DEFAULTS__RETENTION__MONTHLY", 12);
    let args = ["retention", "--simulate", "1d", "--for", "3y"];
    let output = world.offsite(args);
    assert_eq!(output.code, 0, "{output:?}");
    let text = &output.stdout;
    assert!(text.contains("data: daily 7, monthly 12 (UTC)"), "{text}");
    assert!(text.contains("makes 1,096 snapshots"), "{text}");
    assert!(text.contains("a month"), "{text}");
    let output = world.offsite([&args[..], &["--json"]].concat());
    let shown: Value = serde_json::from_str(&output.stdout).unwrap();
    let held = shown[0]["held"].as_u64().unwrap();
    // The last month's is one of the last seven days', and its days may reach into the one before.
    assert!((17..=18).contains(&held), "{shown}");
    assert_eq!(shown[0]["days"].as_array().unwrap().len() as u64, held);
    assert!(shown[0]["usd_per_month"].is_number());
}

#[test]
fn what_cannot_be_simulated_is_said() {
    let mut world = world_of(&["2025-03-01T02:00:00Z"]);
    for (args, text) in [
        (
            ["--simulate", "0s", "--for", "1y"],
            "--simulate must be a duration",
        ),
        (
            ["--simulate", "1s", "--for", "9y"],
            "makes more than 1,048,576 snapshots",
        ),
        (
            ["--simulate", "1d", "--for", "long"],
            "--for must be a duration",
        ),
    ] {
        let output = world.offsite([&["retention"], &args[..]].concat());
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains(text), "{output:?}");
    }
    world.unset("OFFSITE_DEFAULTS__RETENTION__DAILY");
    let output = world.offsite(["retention", "--simulate", "1d"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(
        output.stderr.contains("no retention is configured"),
        "{output:?}"
    );
}
