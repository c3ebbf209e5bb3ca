//! A snapshot that has lost more than half keeps the one before it.

use super::{condemned, plan, prune, world_of};
use crate::support::World;
use crate::support::tree::settle;

const TIMES: [&str; 3] = [
    "2025-03-01T02:00:00Z",
    "2025-03-02T02:00:00Z",
    "2025-03-03T02:00:00Z",
];

/// Three snapshots, of which the last has hardly anything, and passes since on two more days.
fn emptied() -> World {
    let world = world_of(&TIMES[..1]);
    for index in 0..8 {
        world.write(&format!("more/{index}"), "more");
    }
    for (index, time) in TIMES.iter().enumerate().skip(1) {
        settle();
        let pass = world.back_up();
        assert_eq!(
            pass.events_named("anomalous_loss").len(),
            index - 1,
            "{pass:?}"
        );
        let snapshot = world.snapshots().pop().unwrap();
        super::date(&world, &snapshot, time);
        if index == 1 {
            std::fs::remove_dir_all(world.data().join("more")).unwrap();
        }
    }
    for day in 4..6 {
        world.write("changing", format!("{day}"));
        settle();
        world.back_up();
        let snapshot = world.snapshots().pop().unwrap();
        super::date(&world, &snapshot, &format!("2025-03-0{day}T02:00:00Z"));
    }
    world
}

#[test]
fn what_was_there_before_a_loss_stays_until_somebody_acknowledges_it() {
    let world = emptied();
    let [first, full, empty, ..] = <[String; 5]>::try_from(world.snapshots()).unwrap();
    assert_eq!(
        plan(&world, &[])[1],
        (full.clone(), vec!["held".to_owned()])
    );
    prune(&world);
    // Also after the snapshot is condemned that shows the loss.
    assert_eq!(condemned(&world), [&*first, &*empty]);
    prune(&world);
    assert!(world.snapshots().contains(&full));
    let output = world.offsite(["ack", "--reason", "meant"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stdout.contains(&empty) && output.stdout.contains(&full),
        "{output:?}"
    );
    prune(&world);
    assert!(condemned(&world).contains(&full));
    let output = world.offsite(["ack"]);
    assert!(
        output.stdout.contains("no loss to acknowledge"),
        "{output:?}"
    );
}

#[test]
fn a_loss_is_told_loudly_and_is_no_failure() {
    let world = world_of(&TIMES[..1]);
    let before = world.snapshots().pop().unwrap();
    world.write("changing", "");
    std::fs::remove_file(world.data().join("0")).unwrap();
    settle();
    let pass = world.back_up();
    let told = pass.event("anomalous_loss");
    assert_eq!(told["before"], *before);
    assert_eq!(told["level"], "WARN");
    assert!(told["hint"].as_str().unwrap().contains("offsite ack"));
    assert_eq!(pass.event("backup_completed")["exit_code"], 0);
    let output = world.offsite(["ack", "latest"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains(&before), "{output:?}");
    let output = world.offsite(["ack", "latest"]);
    assert_eq!(output.code, 10, "{output:?}");
}

#[test]
fn half_is_not_more_than_half() {
    let world = World::new();
    for index in 0..3 {
        world.write(&format!("{index}"), "same");
    }
    settle();
    world.back_up();
    // Four entries with the root, then two; twelve bytes, then six.
    for index in 1..3 {
        std::fs::remove_file(world.data().join(format!("{index}"))).unwrap();
    }
    world.write("0", "sixsix");
    settle();
    assert!(world.back_up().events_named("anomalous_loss").is_empty());
    world.write("0", "two");
    settle();
    assert!(world.back_up().events_named("anomalous_loss").is_empty());
    world.write("0", "1");
    settle();
    assert_eq!(world.back_up().events_named("anomalous_loss").len(), 1);
}
