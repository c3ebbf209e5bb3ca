//! Sources in their order, and those that are skipped when another one fails.

use local_s3::{Fault, Operation};

use crate::support::{Output, World};

/// Three sources, the first of which is not there; `more` stands beside them, and `of_last` in the last one.
fn world(more: &str, of_last: &str) -> World {
    let world = World::new();
    world.write("files/a", "a");
    world.write("records/a", "a");
    let data = world.data().display().to_string();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n{more}  sources:\n\
         \x20   - {{name: db, directory: {data}/missing}}\n\
         \x20   - {{name: files, directory: {data}/files}}\n\
         \x20   - {{name: records, directory: {data}/records{of_last}}}\n"
    ));
    world
}

fn of_sources(output: &Output, event: &str, field: &str) -> Vec<String> {
    let events = output.events_named(event).into_iter();
    events
        .map(|event| event[field].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn after_a_source_that_fails_the_others_are_skipped_where_that_is_asked_for() {
    let world = world("  stop_on_failure: true\n", "");
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(of_sources(&output, "source_failed", "source"), ["db"]);
    assert_eq!(
        of_sources(&output, "source_skipped", "source"),
        ["files", "records"]
    );
    assert_eq!(
        of_sources(&output, "source_skipped", "because"),
        ["db", "db"]
    );
    assert!(output.events_named("snapshot_committed").is_empty());
    let error = output.event("backup_failed")["error"].to_string();
    assert!(
        error.contains("source `db`: ") && error.contains("(and 2 sources skipped)"),
        "{error}"
    );
    let status = world.offsite(["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["sources"]["records"]["last_outcome"], "failed");

    // Once nothing fails, all are backed up, in their order.
    world.write("missing/a", "a");
    let output = world.back_up();
    let committed = of_sources(&output, "snapshot_committed", "source");
    assert_eq!(committed, ["db", "files", "records"]);
}

#[test]
fn what_depends_on_a_source_that_fails_is_skipped_and_the_rest_is_not() {
    let world = world("", ", depends_on: [files, db]");
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_eq!(
        of_sources(&output, "snapshot_committed", "source"),
        ["files"]
    );
    assert_eq!(of_sources(&output, "source_skipped", "source"), ["records"]);
    assert_eq!(of_sources(&output, "source_skipped", "because"), ["db"]);
    // Asked for alone, it depends on nothing that fails.
    let output = world.offsite(["run", "--source", "records"]);
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn what_was_skipped_is_backed_up_once_the_other_one_is() {
    let mut world = world("  stop_on_failure: true\n", "");
    world.write("missing/a", "a");
    world.set("RETRY__FOR", "60s");
    let commit = Fault::on(Operation::PutObject).key_contains("snapshots/db/");
    world
        .server
        .fault(commit.times(4).status(409, "ConditionalRequestConflict"));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(
        of_sources(&output, "source_skipped", "source"),
        ["files", "records"]
    );
    let retried = output.event("pass_retried");
    assert_eq!(
        retried["sources"],
        serde_json::json!(["db", "files", "records"])
    );
    let committed = of_sources(&output, "snapshot_committed", "source");
    assert_eq!(committed, ["db", "files", "records"]);
}

#[test]
fn a_source_depends_on_such_as_come_before_it() {
    for (names, said) in [
        ("[nothing]", "names `nothing`, which is no source"),
        (
            "[records]",
            "names `records`, which does not come before it",
        ),
    ] {
        let world = world("", &format!(", depends_on: {names}"));
        let output = world.offsite(["run"]);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains(said), "{output:?}");
        assert!(output.stderr.contains("depends_on"), "{output:?}");
    }
}
