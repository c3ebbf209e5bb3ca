//! What is selected by time, and what is old, after the store's clock was wrong once.

use std::time::Duration;

use serde_json::Value;

use crate::support::tree::settle;
use crate::support::{BUCKET, World};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A pass that sees a change; its id.
fn pass(world: &World, contents: &str) -> String {
    world.write("file", contents);
    settle();
    let output = world.back_up();
    let pass = output.event("backup_completed")["pass"].clone();
    pass.as_str().unwrap().to_owned()
}

fn listed(world: &World) -> Vec<Value> {
    let output = world.offsite(["list", "--json"]);
    serde_json::from_str(&output.stdout).unwrap()
}

fn at(world: &World, time: &str) -> Result<String, i32> {
    let to = world.path("at");
    let _ = std::fs::remove_dir_all(&to);
    let to = to.to_str().unwrap();
    let output = world.offsite(["restore", "--to", to, "--source", "data", "--at", time]);
    match output.code {
        0 => Ok(std::fs::read_to_string(world.path("at/file")).unwrap()),
        code => Err(code),
    }
}

#[test]
fn one_pass_under_a_clock_that_is_ahead_hides_no_later_snapshot() {
    let world = World::new();
    pass(&world, "before");
    world.server.clock().advance(3 * DAY);
    pass(&world, "ahead");
    world.server.clock().set_right();
    let right = pass(&world, "after");
    let last = pass(&world, "last");
    // Ids only grow, and say nothing of the time any more.
    assert_eq!(world.snapshots().last(), Some(&last));
    let listed = listed(&world);
    let committed = |id: &str| {
        let snapshot = listed.iter().find(|snapshot| snapshot["id"] == id).unwrap();
        assert!(snapshot["created_at"].as_str() <= snapshot["committed_at"].as_str());
        snapshot["committed_at"].as_str().unwrap().to_owned()
    };
    assert!(
        right[..8] > committed(&right).replace('-', "")[..8],
        "{right}"
    );
    // Times are whole seconds, and so may be two commits in one.
    let newest = |id: &str| match committed(&right) == committed(&last) {
        true => "last".to_owned(),
        false => std::fs::read_to_string(world.restored(id).join("file")).unwrap(),
    };
    assert_eq!(at(&world, &committed(&right)), Ok(newest(&right)));
    assert_eq!(at(&world, &committed(&last)), Ok("last".to_owned()));
    // Yesterday there was nothing, and once the clock has caught up the last one is the last one.
    assert_eq!(at(&world, "24h ago"), Err(10));
    let in_four_days = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(96);
    assert_eq!(at(&world, &in_four_days.to_string()), Ok("last".to_owned()));
}

#[test]
fn a_snapshot_of_a_time_is_found_along_the_chain_however_long_it_is() {
    let world = World::new();
    for number in 0..20 {
        pass(&world, &number.to_string());
        world.server.clock().advance(DAY);
    }
    world.server.remove(
        BUCKET,
        &world.full_key(&format!("snapshots/data/{}.json", world.snapshots()[7])),
    );
    for (days, expected) in [
        (0, Ok("0")),
        (3, Ok("3")),
        (7, Ok("6")),
        (19, Ok("19")),
        (-1, Err(10)),
    ] {
        let time = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days + 1);
        assert_eq!(
            at(&world, &time.to_string()),
            expected.map(str::to_owned),
            "after {days} days"
        );
    }
}

#[test]
fn a_full_archive_made_under_a_clock_that_was_ahead_is_not_young_for_ever() {
    let world = World::new();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: team/}}\n  sources:\n    \
         - {{name: data, directory: {}, method: archive, archive: {{incremental: true, full_every: 7d}}}}\n",
        world.data().display()
    ));
    let kinds = |world: &World| {
        let key = |key: String| key.starts_with("archives/").then_some(key);
        world.keys().into_iter().filter_map(key).count()
    };
    world.server.clock().advance(400 * DAY);
    pass(&world, "ahead");
    world.server.clock().set_right();
    let plan = world.offsite(["plan", "--json"]);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan[0]["full"], true, "{plan}");
    pass(&world, "after");
    let plan = world.offsite(["plan", "--json"]);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan[0]["full"], false, "{plan}");
    assert_eq!(kinds(&world), 2);
}
