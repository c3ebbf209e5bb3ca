//! Passes over some sessions of many: what they leave out is not lost, and not claimed to be there.

use serde_json::{Value, json};

use crate::support::tree::{self, assert_same, settle};
use crate::support::{BUCKET, Output, SOURCE, World};

/// Three years with two sessions each.
fn world() -> World {
    let world = World::new();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n  \
         - name: {SOURCE}\n    sessions: {}\n",
        world.data().display()
    ));
    for year in 2021..2024 {
        for session in ["a", "b"] {
            world.write(
                &format!("{session}_{year}/file"),
                format!("{session} {year}"),
            );
        }
    }
    settle();
    world
}

/// A pass that does what it is asked to; its commit record.
fn run(world: &World, args: &[&str]) -> (Output, Value) {
    let output = world.offsite([&["run"], args].concat());
    assert_eq!(output.code, 0, "{output:?}");
    let pass = world.snapshots().pop().unwrap();
    let key = world.full_key(&format!("snapshots/{SOURCE}/{pass}.json"));
    let record = world.server.object(BUCKET, &key).unwrap().bytes;
    (output, serde_json::from_slice(&record).unwrap())
}

fn status(world: &World) -> Value {
    let output = world.offsite(["status", "--json"]);
    let status: Value = serde_json::from_str(&output.stdout).unwrap();
    status["sources"][SOURCE].clone()
}

#[test]
fn a_snapshot_is_incomplete_until_every_session_was_asked_for() {
    let world = world();
    for (year, left) in [("2021", 4), ("2022", 2), ("2023", 0)] {
        let (output, record) = run(&world, &["--year", year]);
        assert_eq!(record["complete"], left == 0, "{year}");
        assert_eq!(record["selection"], json!({"year": year}));
        assert_eq!(output.event("snapshot_committed")["complete"], left == 0);
        // The pass did what it was asked to.
        assert_eq!(output.event("backup_completed")["exit_code"], 0);
        let notices = output.events_named("notice");
        assert_eq!(notices.len(), usize::from(left > 0), "{output:?}");
        let status = status(&world);
        assert_eq!(status["left_out"].as_u64().unwrap_or(0), left);
        assert_eq!(status["last_outcome"], "complete");
        let listed = world.offsite(["list"]).stdout;
        assert_eq!(
            listed.lines().last().unwrap().contains("incomplete"),
            left > 0
        );
        let table = world.offsite(["status"]).stdout;
        assert_eq!(table.contains("never archived"), left > 0, "{table}");
    }
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
    // Everything was looked at once; what is not asked for is as it was.
    world.write("a_2021/more", "more");
    settle();
    let (_, record) = run(&world, &["--year", "2022"]);
    assert_eq!(record["complete"], true);
    // A session that nobody has asked for yet is in no snapshot.
    world.write("c_2024/file", "new");
    settle();
    let (_, record) = run(&world, &["--session", "b_*"]);
    assert_eq!(record["complete"], false);
    assert_eq!(record["selection"], json!({"sessions": ["b_*"]}));
    let (_, record) = run(&world, &[]);
    assert_eq!(record["complete"], true);
    assert_eq!(record["selection"], Value::Null);
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
}

#[test]
fn a_limit_leaves_out_what_is_beyond_it() {
    let world = world();
    for (limit, complete) in [("2", false), ("3", false), ("2", true)] {
        let (_, record) = run(&world, &["--limit", limit]);
        assert_eq!(record["complete"], complete, "{limit}");
        let limit: u64 = limit.parse().unwrap();
        assert_eq!(record["selection"], json!({"limit": limit}));
    }
    let world = self::world();
    let (_, record) = run(&world, &["--not-backed-up"]);
    assert_eq!(record["selection"], json!({"not_backed_up": true}));
    assert_eq!(record["complete"], true);
    // To archive again what is archived leaves nothing out.
    let (_, record) = run(&world, &["--force"]);
    assert_eq!(record["selection"], Value::Null);
    assert_eq!(record["complete"], true);
}

#[test]
fn a_pass_that_fails_says_nothing_else_of_what_was_left_out() {
    let world = world();
    run(&world, &["--year", "2021"]);
    assert_eq!(world.offsite(["run", "--year", "1999"]).code, 10);
    assert_eq!(status(&world)["left_out"], 4);
}
