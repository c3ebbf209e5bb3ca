//! The record of a drill, and what `status` makes of it.

use std::time::Duration;

use local_s3::{Fault, Operation};
use serde_json::Value;

use super::{completed, drill, last_drill, marks, world_of};
use crate::support::BUCKET;

#[test]
fn a_drill_is_a_mark_of_its_snapshot_and_status_shows_the_last() {
    let world = world_of(4);
    assert_eq!(last_drill(&world), Value::Null);
    assert!(world.offsite(["status"]).stdout.contains("never"));
    let output = drill(&world, &["--read", "100%"]);
    let told = completed(&output);
    let snapshot = world.snapshots().pop().unwrap();
    let (key, mark) = marks(&world).pop().unwrap();
    assert_eq!(key, format!("marks/data/{snapshot}/00001.json"));
    assert_eq!(mark["snapshot"], *snapshot);
    for field in [
        "outcome",
        "entries",
        "files",
        "bytes",
        "requests",
        "share",
        "projected",
    ] {
        assert!(!mark[field].is_null(), "{field}");
        assert_eq!(mark[field], told[field], "{field}");
    }
    world
        .server
        .clock()
        .advance(Duration::from_secs(3 * 86_400));
    let last = last_drill(&world);
    assert_eq!(last["snapshot"], *snapshot);
    assert!((3 * 86_400..3 * 86_400 + 600).contains(&last["age_seconds"].as_u64().unwrap()));
    let shown = world.offsite(["status"]).stdout;
    assert!(
        shown.contains("LAST DRILL") && shown.contains("passed, 3 days ago"),
        "{shown}"
    );

    // The last one counts, also of an earlier snapshot, and whatever marks have come since.
    world.write("0/00", "later");
    world.back_up();
    drill(&world, &["--read", "100%"]);
    world.server.clock().advance(Duration::from_secs(60));
    let key = world.full_key(&world.key_like("files/", &format!("{snapshot}/1/01")));
    world.server.corrupt(BUCKET, &key, 0);
    assert_eq!(
        drill(&world, &["--read", "100%", "--snapshot", &snapshot]).code,
        4
    );
    for _ in 0..6 {
        let pinned = world.offsite(["pin", "latest", "--reason", "x"]);
        assert_eq!(pinned.code, 0, "{pinned:?}");
    }
    assert_eq!(last_drill(&world)["snapshot"], *snapshot);
    assert_eq!(last_drill(&world)["outcome"], "damaged");
}

#[test]
fn status_asks_for_little_more_than_before() {
    let world = world_of(4);
    let status = || world.requests_of(|| drop(world.offsite(["status"])));
    let before = status().len();
    drill(&world, &[]);
    let after = status();
    assert_eq!(after.len(), before + 1, "{after:#?}");
    let of_marks = after.iter().filter(|request| {
        let key = request.key.as_deref();
        key.is_some_and(|key| key.contains("/marks/"))
    });
    assert_eq!(of_marks.count(), 1, "{after:#?}");
    // Whoever may not read marks sees the rest.
    let denied = Fault::on(Operation::GetObject)
        .key_contains("/marks/")
        .always();
    world.server.fault(denied.status(403, "AccessDenied"));
    let output = world.offsite(["status"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stderr.contains("the last drills are not known"),
        "{output:?}"
    );
    assert!(output.stdout.contains("unknown"), "{output:?}");
}

#[test]
fn a_role_that_may_only_read_drills_and_says_that_it_is_not_recorded() {
    let world = world_of(4);
    let denied = Fault::on(Operation::PutObject).always();
    world.server.fault(denied.status(403, "AccessDenied"));
    let output = drill(&world, &["--read", "100%"]);
    assert_eq!(output.code, 0, "{output:?}");
    let told = completed(&output);
    assert_eq!(told["outcome"], "passed");
    assert_eq!(told["recorded"], false);
    assert_eq!(told["level"], "WARN");
    let notice = output.event("notice");
    let message = notice["message"].as_str().unwrap();
    assert!(message.contains("is not recorded"), "{message}");
    assert!(message.contains("AccessDenied"), "{message}");
    // Damage is damage.
    let key = world.full_key(&world.key_like("files/", "/01"));
    world.server.corrupt(BUCKET, &key, 0);
    assert_eq!(drill(&world, &["--read", "100%"]).code, 4);
    assert!(marks(&world).is_empty());
}

#[test]
fn a_store_that_does_not_take_the_record_is_a_failure() {
    let mut world = world_of(4);
    world.env("AWS_MAX_ATTEMPTS", 1);
    let broken = Fault::on(Operation::PutObject)
        .key_contains("/marks/")
        .always();
    world.server.fault(broken.status(500, "InternalError"));
    let output = drill(&world, &["--read", "100%"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(completed(&output)["recorded"], false);
}

#[test]
fn a_prune_reads_marks_of_drills_as_any_others() {
    let world = world_of(4);
    drill(&world, &[]);
    let (key, mut mark) = marks(&world).pop().unwrap();
    // As a later version may write them.
    mark["outcome"] = "astonishing".into();
    mark["applause"] = true.into();
    world
        .server
        .replace(BUCKET, &world.full_key(&key), mark.to_string());
    assert_eq!(last_drill(&world)["outcome"], "unknown");
    let snapshot = world.snapshots().pop().unwrap();
    assert_eq!(world.offsite(["pin", &snapshot, "--reason", "x"]).code, 0);
    let listed = world.offsite(["list"]);
    assert!(listed.stdout.contains("pinned: x"), "{listed:?}");
}
