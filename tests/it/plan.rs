//! What a pass would do, told beforehand, is what it does.

use local_s3::Operation;
use serde_json::Value;

use crate::kill::killed_when;
use crate::support::tree::{set_xattr, settle};
use crate::support::{BUCKET, Output, PREFIX, World, noise, uploads};

fn plans(output: &Output) -> Vec<Value> {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn plan(world: &World, args: &[&str]) -> Value {
    let output = world.offsite([&["plan", "--json"], args].concat());
    assert_eq!(output.code, 0, "{output:?}");
    plans(&output).remove(0)
}

/// Bytes of contents and requests that put them.
fn facts(plan: &Value) -> (u64, u64, u64) {
    let number = |name: &str| plan[name].as_u64().unwrap();
    (
        number("send_files"),
        number("send_bytes"),
        number("requests"),
    )
}

#[test]
fn a_full_archive_is_planned_as_one() {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__COMPRESSION", "none");
    world.write("large", noise(1, 20 << 20));
    for index in 0..9 {
        world.write(&format!("{index}"), "contents");
    }
    settle();
    let bytes = (20 << 20) + 72;
    let first = plan(&world, &[]);
    assert_eq!(first["full"], true);
    // Three parts, begun and completed; one segment and the table of objects; the commit record and one more.
    assert_eq!(facts(&first), (10, bytes, 5 + 2 + 2));
    world.back_up();
    // Not incremental: everything goes into the next one.
    let next = plan(&world, &[]);
    assert_eq!(next["full"], true);
    assert_eq!(facts(&next).0, 10);
    assert_eq!(facts(&next).1, bytes);

    world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
    let unchanged = plan(&world, &[]);
    assert_eq!(unchanged["full"], false);
    assert_eq!((facts(&unchanged).0, facts(&unchanged).1), (0, 0));
    assert_eq!(facts(&plan(&world, &["--full"])).1, bytes);
    let text = world.offsite(["plan", "--full"]).stdout;
    assert!(text.contains("data: a full archive"), "{text}");
}

#[test]
fn attributes_that_were_not_recorded_are_planned_as_they_are_read() {
    let mut world = World::new();
    for index in 0..9 {
        world.write(&format!("{index}"), "contents");
    }
    set_xattr(&world.data().join("0"), "user.x", b"1");
    settle();
    world.back_up();
    world.set("DEFAULTS__XATTRS", true);
    let planned = plan(&world, &[]);
    // The directory is recorded again, without anything to read in it.
    assert_eq!(
        (
            &planned["changed"],
            &planned["unchanged"],
            &planned["read_files"],
            &planned["read_bytes"]
        ),
        (&10.into(), &0.into(), &9.into(), &72.into())
    );
    assert_eq!(planned["send_files"], 0);
    let output = world.back_up();
    let committed = output.event("snapshot_committed");
    assert_eq!(committed["changed"], planned["changed"]);
    assert_eq!(committed["reread_files"], planned["read_files"]);
    assert_eq!(plan(&world, &[])["unchanged"], 10);
}

#[test]
fn what_a_killed_pass_has_sent_is_not_planned_to_be_sent() {
    let mut world = World::new();
    for index in 0..9 {
        world.write(&format!("{index}"), "contents");
    }
    settle();
    world.set("MANIFEST__CHECKPOINT_ENTRIES", 1);
    killed_when(&world, |request| {
        let key = request.key.as_deref().unwrap_or_default();
        request.operation == Operation::PutObject && key.contains("/snapshots/")
    });
    let planned = plan(&world, &[]);
    assert_eq!(
        (&planned["new"], &planned["send_files"]),
        (&10.into(), &0.into())
    );
}

#[test]
fn archives_may_be_asked_for() {
    let world = World::new();
    for index in 0..9 {
        world.write(&format!("{index}"), "contents");
    }
    settle();
    assert_eq!(plan(&world, &[])["full"], Value::Null);
    let files = facts(&plan(&world, &[])).2;
    let archive = plan(&world, &["--archive"]);
    assert_eq!(archive["full"], true);
    // Nine objects, or one and the table that names it.
    assert_eq!(facts(&archive).2, files - 7);
    let sent = world.requests_of(|| assert_eq!(world.offsite(["run", "--archive"]).code, 0));
    assert_eq!(uploads(&sent), [""; 0]);
}

#[test]
fn a_source_that_is_missing_does_not_hide_the_others() {
    let world = World::new();
    world.write("a", "contents");
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: {PREFIX}}}\n  sources:\n    \
         - {{name: gone, directory: {}}}\n    - {{name: there, directory: {}}}\n",
        world.path("gone").display(),
        world.data().display()
    ));
    let output = world.offsite(["plan", "--json"]);
    assert_eq!(output.code, 1, "{output:?}");
    let plans = plans(&output);
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0]["source"], "there");
    assert!(output.stderr.contains("gone: error: "), "{output:?}");
}

/// Another name for `plan`: text for people, JSON for whatever reads it.
#[test]
fn a_pass_that_is_dry_is_a_plan() {
    let world = World::new();
    world.write("a", "a");
    let dry = world.offsite(["run", "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(world.snapshots().is_empty());
    let plan = world.offsite(["plan", "--json"]);
    assert_eq!(dry.stdout, plan.stdout);
}
