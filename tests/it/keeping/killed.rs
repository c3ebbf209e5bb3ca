//! A prune killed at any request: nothing is lost, and the next one finishes.

use std::time::Duration;

use rustix::process::Signal;

use super::{condemned, restored, world_of};
use crate::kill::{Moment, at_every_request, with_signal};
use crate::support::tree::assert_same;

const TIMES: [&str; 4] = [
    "2025-03-01T02:00:00Z",
    "2025-03-02T02:00:00Z",
    "2025-03-03T02:00:00Z",
    "2025-03-04T02:00:00Z",
];

fn killed_at(index: usize, moment: Moment) -> bool {
    let world = world_of(&TIMES);
    let snapshots = world.snapshots();
    let first = restored(&world, &snapshots[0]);
    let args = ["prune", "--expect-removed", "2"];
    let Some(output) = with_signal(&world, &args, index, moment, Signal::KILL) else {
        return false;
    };
    assert_eq!(output.code, -9, "{output:?}");
    // Each is live or condemned, and what stays is live.
    let (live, gone) = (world.snapshots(), condemned(&world));
    let mut all = [live.clone(), gone].concat();
    all.sort();
    assert_eq!(all, snapshots);
    assert!(live.ends_with(&snapshots[2..]));
    world.server.clock().advance(Duration::from_secs(600));
    // If the record of the first one is there, its policy is known, and the rest needs no number.
    let begun = world.keys().iter().any(|key| key.starts_with("prunes/"));
    let left = (live.len() - 2).to_string();
    let args = match begun && live.len() < 4 {
        true => vec!["prune"],
        false => vec!["prune", "--expect-removed", &left],
    };
    let output = world.offsite(&args);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(world.snapshots(), snapshots[2..]);
    // A pass gets on, and everything can be had back as it was.
    world.back_up();
    for snapshot in &snapshots[..2] {
        let output = world.offsite(["undelete", snapshot]);
        assert_eq!(output.code, 0, "{output:?}");
    }
    std::fs::remove_dir_all(world.path(&format!("restored-{}", snapshots[0]))).unwrap();
    assert_same(&first, &restored(&world, &snapshots[0]));
    let verified = world.offsite(["verify", "--all", "--read"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    true
}

#[test]
fn a_prune_killed_before_any_of_its_requests_loses_nothing() {
    let requests = at_every_request(|index| killed_at(index, Moment::Before));
    assert!(requests > 15, "{requests} requests were tried");
}

#[test]
fn a_prune_killed_after_any_of_its_requests_loses_nothing() {
    let requests = at_every_request(|index| killed_at(index, Moment::After));
    assert!(requests > 15, "{requests} requests were tried");
}
