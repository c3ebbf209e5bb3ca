//! What a pass would do, told beforehand, is what it does.

use serde_json::Value;

use crate::support::tree::settle;
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
    // Three parts, begun and completed; one segment; the commit record and one more.
    assert_eq!(facts(&first), (10, bytes, 5 + 1 + 2));
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
    assert_eq!(facts(&archive).2, files - 8);
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
