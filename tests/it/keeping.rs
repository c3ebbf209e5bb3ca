//! Which snapshots are kept, and what becomes of the others: `prune`, `undelete`, `pin`, `ack`.

mod after_pass;
mod compared;
mod guards;
mod histories;
mod killed;
mod losses;
mod pins;
mod policies;
mod requests;
mod simulated;

use std::path::Path;

use serde_json::Value;

use crate::support::tree::{self, Tree, assert_same, settle};
use crate::support::{BUCKET, Output, SOURCE, World};

/// A world with a snapshot for each of these times, the oldest first, each with a file of its own.
pub(super) fn world_of(times: &[&str]) -> World {
    let mut world = World::new();
    world.set("DEFAULTS__RETENTION__DAILY", 2);
    for (index, time) in times.iter().enumerate() {
        world.write(&format!("{index}"), format!("contents of {index}"));
        world.write("changing", format!("as of {index}"));
        settle();
        world.back_up();
        let snapshot = world.snapshots().pop().unwrap();
        date(&world, &snapshot, time);
    }
    world
}

pub(super) fn record_key(snapshot: &str) -> String {
    format!("snapshots/{SOURCE}/{snapshot}.json")
}

/// What lies under the key of a snapshot.
pub(super) fn record(world: &World, snapshot: &str) -> Value {
    let key = world.full_key(&record_key(snapshot));
    let object = world.server.object(BUCKET, &key).unwrap();
    serde_json::from_slice(&object.bytes).unwrap()
}

/// Changes a commit record by hand.
pub(super) fn edit(world: &World, snapshot: &str, change: impl FnOnce(&mut Value)) {
    let mut value = record(world, snapshot);
    change(&mut value);
    let key = world.full_key(&record_key(snapshot));
    let bytes = serde_json::to_vec(&value).unwrap();
    world.server.replace(BUCKET, &key, bytes);
}

/// Says that a snapshot was committed at another time.
pub(super) fn date(world: &World, snapshot: &str, time: &str) {
    edit(world, snapshot, |record| {
        record["committed_at"] = time.into();
    });
}

/// The plan, by snapshot: why each is kept or removed.
pub(super) fn plan(world: &World, args: &[&str]) -> Vec<(String, Vec<String>)> {
    let args = [&["prune", "--dry-run", "--json"], args].concat();
    let output = world.offsite(args);
    assert_eq!(output.code, 0, "{output:?}");
    let plan: Value = serde_json::from_str(&output.stdout).unwrap();
    let snapshots = plan["sources"][0]["snapshots"].as_array().unwrap();
    let because = |reason: &Value| {
        let rule = reason["rule"].as_str().or(reason["because"].as_str());
        rule.unwrap().to_owned()
    };
    snapshots
        .iter()
        .map(|decision| {
            let id = decision["snapshot"].as_str().unwrap().to_owned();
            let kept = decision["kept"].as_array().into_iter().flatten();
            (id, kept.map(because).collect())
        })
        .collect()
}

/// Ids of the condemned snapshots.
pub(super) fn condemned(world: &World) -> Vec<String> {
    let output = world.offsite(["list", "--condemned", "--json"]);
    assert_eq!(output.code, 0, "{output:?}");
    let listed: Value = serde_json::from_str(&output.stdout).unwrap();
    let listed = listed.as_array().unwrap();
    listed
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

pub(super) fn prune(world: &World) -> Output {
    let output = world.offsite(["prune"]);
    assert_eq!(output.code, 0, "{output:?}");
    output
}

fn restored(world: &World, snapshot: &str) -> Tree {
    tree::read(&world.restored(snapshot))
}

const DAYS: [&str; 4] = [
    "2025-03-01T02:00:00Z",
    "2025-03-02T02:00:00Z",
    "2025-03-02T20:00:00Z",
    "2025-03-03T02:00:00Z",
];

#[test]
fn what_no_rule_keeps_is_condemned_and_does_not_exist_for_anybody() {
    let world = world_of(&DAYS);
    let [first, second, third, fourth] = <[String; 4]>::try_from(world.snapshots()).unwrap();
    let before = world.keys();
    let output = prune(&world);
    assert_eq!(world.snapshots(), [&*third, &*fourth]);
    assert_eq!(condemned(&world), [&*first, &*second]);
    let told = output.events_named("snapshot_condemned");
    assert_eq!(told[0]["because"], "older than any rule reaches");
    let because = format!("{third} is kept for the same day");
    assert_eq!(told[1]["because"], *because);
    // Nothing is gone, and why it was done is written down.
    let after = world.keys();
    assert!(before.iter().all(|key| after.contains(key)));
    let prune = output.event("prune_completed")["prune"].clone();
    let record = format!("prunes/{}.json", prune.as_str().unwrap());
    assert!(after.contains(&record), "{after:?}");
    for command in [
        &["restore", "--snapshot", &first, "--to", "there"][..],
        &["ls", &first],
        &["verify", "--snapshot", &first],
        &["restore", "--at", "2025-03-01 12:00", "--to", "there"],
    ] {
        let output = world.offsite(command);
        assert_eq!(output.code, 10, "{command:?} {output:?}");
        assert!(!world.path("there").exists());
    }
    // Passes go on as if nothing had happened, and a prune has nothing more to do.
    world.write("more", "more");
    let pass = world.back_up();
    assert_eq!(pass.event("source_started")["parent"], *fourth);
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
}

#[test]
fn an_undeleted_snapshot_is_what_it_was_and_stays() {
    let world = world_of(&DAYS);
    let [first, ..] = <[String; 4]>::try_from(world.snapshots()).unwrap();
    let whole = restored(&world, &first);
    let record_before = record(&world, &first);
    prune(&world);
    let etag = |world: &World| {
        let key = world.full_key(&record_key(&first));
        world.server.object(BUCKET, &key).unwrap().etag.clone()
    };
    let condemned_etag = etag(&world);
    let output = world.offsite(["undelete", &first[..20]]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stdout.contains("is live again, and pinned"),
        "{output:?}"
    );
    std::fs::remove_dir_all(world.path(&format!("restored-{first}"))).unwrap();
    assert_same(&whole, &restored(&world, &first));
    let mut record_after = record(&world, &first);
    assert_ne!(etag(&world), condemned_etag);
    let undeleted = record_after.as_object_mut().unwrap().remove("undeleted");
    assert_eq!(record_after, record_before);
    assert!(undeleted.unwrap()["from"]["prune"].is_string());
    // The next prune leaves it alone, until it is no longer pinned.
    prune(&world);
    assert!(world.snapshots().contains(&first));
    assert_eq!(world.offsite(["unpin", &first]).code, 0);
    prune(&world);
    assert!(condemned(&world).contains(&first));
}

#[test]
fn what_cannot_be_undeleted_is_said() {
    let world = world_of(&DAYS[..1]);
    let live = world.snapshots().pop().unwrap();
    let output = world.offsite(["undelete", &live]);
    assert_eq!(output.code, 0);
    assert!(output.stdout.contains("it was not condemned"), "{output:?}");
    let output = world.offsite(["undelete", "20000101T000000Z-0000"]);
    assert_eq!(output.code, 10);
    assert!(output.stderr.contains("list --condemned"), "{output:?}");
}

#[test]
fn a_directory_is_pruned_like_a_bucket() {
    let mut world = World::new();
    std::fs::create_dir(world.path("store")).unwrap();
    world.configure(&format!(
        "backup:\n  store: {}\n  sources: [{{name: {SOURCE}, directory: {}, retention: {{keep_last: 2}}}}]\n",
        world.path("store").display(),
        world.data().display()
    ));
    for index in 0..4 {
        world.write("file", format!("{index}"));
        settle();
        world.back_up();
    }
    let snapshots = world.snapshots();
    let records = world.path("store").join("prunes");
    assert_eq!(plan(&world, &[]).len(), 4);
    prune(&world);
    assert_eq!(world.snapshots(), snapshots[2..]);
    assert_eq!(std::fs::read_dir(Path::new(&records)).unwrap().count(), 1);
    assert_eq!(world.offsite(["undelete", &snapshots[0]]).code, 0);
    world.set("DEFAULTS__RETENTION__KEEP_LAST", 9);
    assert_eq!(world.snapshots().len(), 3);
    let target = world.restored(&snapshots[0]);
    assert_eq!(std::fs::read(target.join("file")).unwrap(), b"0");
}

#[test]
fn a_copy_goes_on_although_what_both_stores_had_is_condemned() {
    let world = world_of(&DAYS[..2]);
    let copy = format!("s3://{BUCKET}/copy/");
    let copied = world.offsite(["copy", "--to", &copy]);
    assert_eq!(copied.code, 0, "{copied:?}");
    for time in ["2025-03-02T03:00:00Z", DAYS[2], DAYS[3]] {
        world.write("changing", time);
        settle();
        world.back_up();
        let snapshot = world.snapshots().pop().unwrap();
        date(&world, &snapshot, time);
    }
    // What is newest there, and what came after it, are condemned here.
    let output = world.offsite(["prune", "--expect-removed", "3"]);
    assert_eq!(output.code, 0, "{output:?}");
    let live = world.snapshots();
    assert_eq!(live.len(), 2);
    let copied = world.offsite(["copy", "--to", &copy]);
    assert_eq!(copied.code, 0, "{copied:?}");
    let there = world.offsite(["list", "--store", &copy, "--json"]);
    let there: Value = serde_json::from_str(&there.stdout).unwrap();
    let ids: Vec<_> = there
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].clone())
        .collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
    assert_eq!(ids[2..], live);
    let verified = world.offsite(["verify", "--store", &copy, "--read"]);
    assert_eq!(verified.code, 0, "{verified:?}");
}
