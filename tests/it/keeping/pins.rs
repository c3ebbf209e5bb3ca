//! Pinned snapshots stay, whatever the rules say.

use super::{condemned, plan, prune, world_of};

const TIMES: [&str; 4] = [
    "2025-03-01T02:00:00Z",
    "2025-03-02T02:00:00Z",
    "2025-03-03T02:00:00Z",
    "2025-03-04T02:00:00Z",
];

#[test]
fn a_pinned_snapshot_stays_until_it_is_unpinned() {
    let world = world_of(&TIMES);
    let [first, second, ..] = <[String; 4]>::try_from(world.snapshots()).unwrap();
    let pinned = world.offsite(["pin", &first, "--reason", "before the move"]);
    assert_eq!(pinned.code, 0, "{pinned:?}");
    let listed = world.offsite(["list"]);
    assert!(
        listed.stdout.contains("complete, pinned: before the move"),
        "{listed:?}"
    );
    prune(&world);
    assert_eq!(condemned(&world), [&*second]);
    assert_eq!(world.offsite(["unpin", &first]).code, 0);
    // Pinned again and unpinned again: the last word counts.
    assert_eq!(world.offsite(["pin", &first, "--reason", "x"]).code, 0);
    assert_eq!(plan(&world, &[])[0].1, ["pinned"]);
    assert_eq!(world.offsite(["unpin", &first]).code, 0);
    prune(&world);
    assert_eq!(condemned(&world), [&*first, &*second]);
}

#[test]
fn a_pin_that_is_over_keeps_nothing() {
    let world = world_of(&TIMES);
    let first = world.snapshots().swap_remove(0);
    let output = world.offsite(["pin", &first, "--reason", "audit", "--until", "2025-01-01"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(
        output.stderr.contains("the pin would keep nothing"),
        "{output:?}"
    );
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let args = [
        "pin",
        &first,
        "--reason",
        "audit",
        "--until",
        &soon.to_string(),
    ];
    assert_eq!(world.offsite(args).code, 0);
    assert_eq!(plan(&world, &[])[0].1, ["pinned"]);
    world
        .server
        .clock()
        .advance(std::time::Duration::from_secs(60));
    assert!(plan(&world, &[])[0].1.is_empty());
}

#[test]
fn a_pin_needs_a_snapshot_and_a_reason() {
    let world = world_of(&TIMES);
    prune(&world);
    let gone = condemned(&world).swap_remove(0);
    let output = world.offsite(["pin", &gone, "--reason", "x"]);
    assert_eq!(output.code, 10, "{output:?}");
    assert!(output.stderr.contains("list --condemned"), "{output:?}");
    let output = world.offsite(["pin", "latest", "--reason", " "]);
    assert_eq!(output.code, 2, "{output:?}");
}
