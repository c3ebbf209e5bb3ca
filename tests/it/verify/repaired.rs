//! Objects that are damaged or missing: put back from a copy, or captured again by the next pass.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};

use local_s3::{Fault, HookAction, Operation};
use rustix::process::Signal;
use serde_json::Value;

use super::findings;
use crate::kill::{Moment, with_signal};
use crate::support::tree::{self, assert_same, settle};
use crate::support::{BUCKET, Output, SOURCE, World, finish, noise, uploads};

const REPAIR: [&str; 3] = ["verify", "--repair", "--read"];

fn copied(world: &World, copy: &str) {
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: team/}}\n  copies: [{{store: {copy}}}]\n  \
         sources: [{{name: {SOURCE}, directory: {}}}]\n",
        world.data().display()
    ));
}

/// A store with a copy of it.
fn world_with_copy() -> World {
    let world = World::new();
    copied(&world, "s3://backups/other/");
    fill(&world);
    world
}

fn fill(world: &World) {
    for index in 0..15 {
        world.write(&format!("{index:02}"), format!("contents of {index}"));
    }
    world.write("in parts", noise(1, 17 << 20));
    settle();
    world.back_up();
}

/// Marks that the lock says no pass has dealt with.
fn marked(world: &World) -> Vec<String> {
    let lock = world
        .server
        .object(BUCKET, &world.full_key("lock"))
        .unwrap();
    let lock: Value = serde_json::from_slice(&lock.bytes).unwrap();
    serde_json::from_value(lock["damaged"].clone()).unwrap_or_default()
}

fn repair(world: &World, code: i32) -> Output {
    let output = world.offsite(REPAIR);
    assert_eq!(output.code, code, "{output:?}");
    output
}

fn assert_sound(world: &World) {
    assert_eq!(findings(world, &["--read"]), (0, vec![]));
    let restored = tree::read(&world.restored_latest());
    assert_same(&tree::read(&world.data()), &restored);
}

#[test]
fn what_is_missing_truncated_or_altered_is_put_back_from_a_copy() {
    let world = world_with_copy();
    let keys = ["03", "05", "07", "in parts"].map(|name| content_of(&world, name));
    let sound = keys
        .clone()
        .map(|key| world.server.object(BUCKET, &key).unwrap());
    world.server.remove(BUCKET, &keys[0]);
    world.server.truncate(BUCKET, &keys[1], 4);
    world.server.corrupt(BUCKET, &keys[2], 0);
    world.server.corrupt(BUCKET, &keys[3], 10 << 20);
    let output = repair(&world, 0);
    assert!(output.stdout.contains("4 objects repaired\n"), "{output:?}");
    assert!(
        output.stderr.contains("from s3://backups/other"),
        "{output:?}"
    );
    for (key, sound) in keys.iter().zip(sound) {
        let now = world.server.object(BUCKET, key).unwrap();
        assert_eq!(now.bytes, sound.bytes, "{key}");
        assert_eq!(now.etag, sound.etag, "{key}");
    }
    assert_eq!(marked(&world), Vec::<String>::new());
    assert_sound(&world);
    // Where nothing is damaged, nothing is written, nor the lock taken.
    let requests = world.requests_of(|| drop(repair(&world, 0)));
    let writes = |operation| matches!(operation, Operation::PutObject);
    assert!(!requests.iter().any(|request| writes(request.operation)));
}

#[test]
fn what_no_copy_has_is_captured_again_by_the_next_pass_alone() {
    let world = World::new();
    fill(&world);
    let before = world.requests_of(|| drop(world.back_up())).len();
    world.server.remove(BUCKET, &content_of(&world, "03"));
    world.server.corrupt(BUCKET, &content_of(&world, "07"), 0);
    let output = repair(&world, 4);
    for snapshot in world.snapshots() {
        assert!(output.stderr.contains(&snapshot), "{snapshot}: {output:?}");
    }
    assert!(
        output.stdout.contains("2 objects NOT REPAIRED"),
        "{output:?}"
    );
    assert_eq!(marked(&world).len(), 1);
    // Nothing is written down twice.
    repair(&world, 4);
    assert_eq!(marked(&world).len(), 1);
    let plan = world.offsite(["plan", "--json"]);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan[0]["send_files"], 2, "{plan}");
    let requests = world.requests_of(|| drop(world.back_up()));
    assert_eq!(uploads(&requests), ["03", "07"]);
    assert_eq!(marked(&world), Vec::<String>::new());
    assert_sound(&world);
    // A pass after that pays what passes pay.
    let after = world.requests_of(|| drop(world.back_up())).len();
    assert_eq!(after, before);
    // Earlier snapshots are what they were.
    let first = world.snapshots().remove(0);
    let output = world.offsite(["verify", "--snapshot", &first]);
    assert_eq!(output.code, 4, "{output:?}");
}

#[test]
fn a_copy_that_is_damaged_too_is_not_believed() {
    let world = world_with_copy();
    let key = content_of(&world, "03");
    world.server.remove(BUCKET, &key);
    let copy = key.replacen("team/", "other/", 1);
    world.server.corrupt(BUCKET, &copy, 0);
    let output = repair(&world, 4);
    assert!(output.stderr.contains("no copy has it"), "{output:?}");
    assert!(world.server.object(BUCKET, &key).is_none());
    assert_eq!(marked(&world).len(), 1);
}

#[test]
fn a_pass_that_fails_or_cannot_capture_it_leaves_the_damage_marked() {
    let world = World::new();
    fill(&world);
    world.server.remove(BUCKET, &content_of(&world, "03"));
    repair(&world, 4);
    std::fs::rename(world.data(), world.path("away")).unwrap();
    assert_eq!(world.offsite(["run"]).code, 1);
    assert_eq!(marked(&world).len(), 1);
    std::fs::rename(world.path("away"), world.data()).unwrap();
    let refused = Fault::on(Operation::PutObject).key_contains("/03");
    world
        .server
        .fault(refused.always().status(500, "InternalError"));
    let output = world.offsite(["run"]);
    assert_ne!(output.code, 0, "{output:?}");
    assert_eq!(marked(&world).len(), 1);
    world.server.clear_faults();
    world.back_up();
    assert_eq!(marked(&world), Vec::<String>::new());
    assert_sound(&world);
}

/// In a directory an object that is put again has another ETag, and no checksum that says it is the same.
#[test]
fn what_was_put_back_in_a_directory_is_no_finding_later() {
    let mut world = World::new();
    for name in ["store", "copy"] {
        std::fs::create_dir(world.path(name)).unwrap();
    }
    world.configure(&format!(
        "backup:\n  store: {}\n  copies: [{{store: {}}}]\n  sources: [{{name: {SOURCE}, directory: {}}}]\n",
        world.path("store").display(),
        world.path("copy").display(),
        world.data().display()
    ));
    world.set("DEFAULTS__METHOD", "files");
    fill(&world);
    let files = world.path("store").join(format!("files/{SOURCE}"));
    let pass = std::fs::read_dir(&files).unwrap().next().unwrap().unwrap();
    std::fs::remove_file(pass.path().join("03")).unwrap();
    std::fs::write(pass.path().join("05"), "other contents").unwrap();
    let output = world.offsite(["verify", "--repair"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("2 objects repaired"), "{output:?}");
    assert_eq!(findings(&world, &[]), (0, vec![]));
    assert_sound(&world);
}

/// Files of their own pieces, so that one of them is damaged and the others are not.
#[test]
fn of_an_archive_the_damaged_files_are_captured_again_and_no_others() {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
    world.set("DEFAULTS__ARCHIVE__COMPRESSION", "none");
    for index in 0..4 {
        world.write(&format!("{index}"), noise(index, 600 << 10));
    }
    settle();
    world.back_up();
    let key = world.full_key(&world.key_like("archives/", ".tar"));
    world.server.corrupt(BUCKET, &key, 900 << 10);
    let output = repair(&world, 4);
    assert!(
        output.stderr.contains("files, for example: 1\n"),
        "{output:?}"
    );
    let output = world.back_up();
    let archived = output.event("backup_archive_uploaded");
    assert_eq!(archived["bytes"], 600 << 10, "{archived}");
    assert_eq!(marked(&world), Vec::<String>::new());
    let restored = tree::read(&world.restored_latest());
    assert_same(&tree::read(&world.data()), &restored);
    // The old archive has the others, and is damaged where no file of this snapshot lies any more.
    let output = repair(&world, 4);
    let said = "every file of this snapshot that lies in it is sound";
    assert!(output.stderr.contains(said), "{output:?}");
    assert_eq!(marked(&world), Vec::<String>::new());
}

#[test]
fn a_damaged_archive_is_put_back_whole_from_a_copy() {
    for length in [5000, 9 << 20] {
        let mut world = World::new();
        copied(&world, "s3://backups/other/");
        world.set("DEFAULTS__METHOD", "archive");
        world.set("DEFAULTS__ARCHIVE__COMPRESSION", "none");
        world.write("a", noise(1, length));
        settle();
        world.back_up();
        let key = key_of(&world, "archives/", ".tar");
        world.server.truncate(BUCKET, &key, length / 2);
        repair(&world, 0);
        assert_sound(&world);
    }
}

#[test]
fn a_damaged_segment_is_put_back_from_a_copy_and_what_it_lists_is_looked_at() {
    let world = world_with_copy();
    let segment = key_of(&world, "manifests/", ".ndjson.zst");
    world.server.corrupt(BUCKET, &segment, 40);
    world.server.remove(BUCKET, &content_of(&world, "03"));
    let output = repair(&world, 0);
    assert!(output.stdout.contains("1 object repaired"), "{output:?}");
    assert_sound(&world);
}

#[test]
fn a_session_with_a_damaged_file_is_archived_again_as_a_whole() {
    let world = World::new();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: team/}}\n  sources:\n  \
         - {{name: {SOURCE}, sessions: {}}}\n",
        world.data().display()
    ));
    for session in ["M31_2020-01-02", "M42_2021-03-04"] {
        world.write(&format!("{session}/1.fits"), noise(1, 700 << 10));
        world.write(&format!("{session}/2.fits"), noise(2, 700 << 10));
    }
    settle();
    world.back_up();
    let key = world.full_key(&world.key_like("raw/2020/", ""));
    world.server.remove(BUCKET, &key);
    repair(&world, 4);
    let output = world.back_up();
    let archived = output.event("backup_archive_uploaded");
    assert_eq!(archived["session"], "M31_2020-01-02");
    assert_eq!(archived["bytes"], 2 * (700 << 10));
    assert_eq!(findings(&world, &["--read"]), (0, vec![]));
    assert_eq!(marked(&world), Vec::<String>::new());
}

/// One object that a copy has, and one that none has.
fn damaged_twice() -> World {
    let world = World::new();
    copied(&world, "s3://backups/other/");
    for name in ["a", "b", "c"] {
        world.write(name, name);
    }
    settle();
    world.back_up();
    let lost = content_of(&world, "b");
    world
        .server
        .remove(BUCKET, &lost.replacen("team/", "other/", 1));
    for key in [content_of(&world, "a"), lost] {
        world.server.remove(BUCKET, &key);
    }
    world
}

/// The first key of the store, and not of its copy, that begins and ends so.
fn key_of(world: &World, start: &str, end: &str) -> String {
    let start = world.full_key(start);
    let mut keys = world.server.keys(BUCKET).into_iter();
    keys.find(|key| key.starts_with(&start) && key.ends_with(end))
        .unwrap()
}

fn content_of(world: &World, name: &str) -> String {
    key_of(world, "files/", &format!("/{name}"))
}

fn killed_at_any_request(moment: Moment) {
    for index in 0.. {
        let world = damaged_twice();
        let Some(killed) = with_signal(&world, &REPAIR, index, moment, Signal::KILL) else {
            assert!(index > 10, "{index}");
            break;
        };
        assert_eq!(killed.code, -9);
        world.expire_leases();
        // What was written down is dealt with by the next pass, without another repair.
        let keys = world.server.keys(BUCKET);
        let is_marked = keys.iter().any(|key| key.starts_with("team/marks/"));
        assert!(!is_marked || !marked(&world).is_empty(), "at {index}");
        let requests = world.requests_of(|| drop(world.back_up()));
        assert_eq!(
            uploads(&requests).contains(&"b".to_owned()),
            is_marked,
            "at {index}"
        );
        // Another repair, and another pass, mend the rest.
        let output = world.offsite(REPAIR);
        assert!([0, 4].contains(&output.code), "at {index}: {output:?}");
        world.back_up();
        assert_sound(&world);
        assert_eq!(marked(&world), Vec::<String>::new(), "at {index}");
    }
}

#[test]
fn a_repair_killed_before_any_of_its_requests_loses_nothing() {
    killed_at_any_request(Moment::Before);
}

#[test]
fn a_repair_killed_after_any_of_its_requests_loses_nothing() {
    killed_at_any_request(Moment::After);
}

/// An object that several snapshots need is put back once, and what is lost is written down once.
#[test]
fn what_several_snapshots_need_is_repaired_once() {
    let world = damaged_twice();
    world.write("d", "d");
    settle();
    // It refers to what the first one has.
    world.back_up();
    let missing = content_of(&world, "c");
    world.server.remove(BUCKET, &missing);
    let requests = world.requests_of(|| {
        let output = world.offsite(["verify", "--repair", "--all"]);
        assert_eq!(output.code, 4, "{output:?}");
        assert_eq!(
            output.stderr.matches("/b: missing, not").count(),
            2,
            "{output:?}"
        );
    });
    assert_eq!(uploads(&requests), ["a", "c"]);
    assert_eq!(marked(&world).len(), 1);
    world.back_up();
    assert_sound(&world);
}

/// What was not tried is not lost.
#[test]
fn a_repair_that_is_interrupted_has_nothing_captured_again() {
    let world = world_with_copy();
    for name in ["01", "02", "03", "04"] {
        world.server.remove(BUCKET, &content_of(&world, name));
    }
    let mut tried = 0;
    for index in 0.. {
        let ended = with_signal(&world, &REPAIR, index, Moment::Before, Signal::TERM);
        let Some(output) = ended else { break };
        tried += 1;
        assert_ne!(output.code, 4, "at {index}: {output:?}");
        assert_eq!(marked(&world), Vec::<String>::new(), "at {index}");
        for name in ["01", "02", "03", "04"] {
            let key = format!("team/files/{SOURCE}/{}/{name}", world.snapshots().remove(0));
            world.server.remove(BUCKET, &key);
        }
    }
    assert!(tried > 5, "{tried}");
    repair(&world, 0);
    assert_sound(&world);
}

/// A prune that runs meanwhile takes what is looked at away.
#[test]
fn what_belongs_to_a_snapshot_that_is_gone_by_now_is_not_repaired() {
    let world = damaged_twice();
    let snapshot = world.snapshots().remove(0);
    let record = world.full_key(&format!("snapshots/{SOURCE}/{snapshot}.json"));
    let (asks, asked) = mpsc::sync_channel(0);
    let (goes_on, go_on) = mpsc::sync_channel::<()>(0);
    let go_on = Mutex::new(go_on);
    let is_first = AtomicBool::new(true);
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if key.ends_with("team/lock") && is_first.swap(false, Ordering::SeqCst) {
            asks.send(()).unwrap();
            go_on.lock().unwrap().recv().unwrap();
        }
        HookAction::Proceed
    });
    let requests = world.requests_of(|| {
        let child = world.spawn(REPAIR);
        asked.recv().unwrap();
        world.server.remove(BUCKET, &record);
        goes_on.send(()).unwrap();
        let output = finish(child.wait_with_output().unwrap());
        assert_eq!(output.code, 0, "{output:?}");
        assert!(
            output.stderr.contains("was removed meanwhile"),
            "{output:?}"
        );
    });
    world.server.clear_hook();
    assert_eq!(uploads(&requests), Vec::<String>::new());
    assert_eq!(marked(&world), Vec::<String>::new());
}
