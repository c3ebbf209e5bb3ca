//! Verify finds what is wrong, names it, and says so with its exit code.

mod against;
mod listed;
mod repaired;

use std::sync::mpsc;

use local_s3::{HookAction, Operation};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::tree::settle;
use crate::support::{BUCKET, Output, SOURCE, World, finish, noise};

fn world() -> World {
    let mut world = World::new();
    world.set("MANIFEST__SEGMENT_ENTRIES", 8);
    for index in 0..20 {
        world.write(&format!("{index:02}"), format!("contents of {index}"));
    }
    world.write("in parts", noise(1, 17 << 20));
    // It has no object.
    world.write("empty", "");
    world.write("zero", [0]);
    settle();
    world.back_up();
    world
}

/// What verify reports of the only source.
pub(crate) fn report(world: &World, args: &[&str]) -> (i32, Value) {
    let output = world.offsite(["verify", "--json"].iter().chain(args));
    let mut reports: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(reports.len(), 1, "{output:?}");
    (output.code, reports.remove(0))
}

/// What verify finds, as `path: problem`.
pub(crate) fn findings(world: &World, args: &[&str]) -> (i32, Vec<String>) {
    let (code, report) = report(world, args);
    let text = |f: &Value| {
        format!(
            "{}: {}",
            f["path"].as_str().unwrap(),
            f["problem"].as_str().unwrap()
        )
    };
    let found = report["findings"].as_array().unwrap().iter().map(text);
    (code, found.collect())
}

fn content(world: &World, name: &str) -> String {
    world.full_key(&world.key_like("files/", &format!("/{name}")))
}

#[test]
fn a_sound_snapshot_has_no_findings() {
    let world = world();
    for args in [&[][..], &["--read"], &["--read", "5%"], &["--read=100%"]] {
        assert_eq!(findings(&world, args), (0, vec![]), "{args:?}");
    }
    // The Terraform module takes this share, too.
    let (code, nothing_read) = report(&world, &["--read", "0%"]);
    assert_eq!((code, &nothing_read["read_objects"]), (0, &0.into()));
}

#[test]
fn what_the_store_knows_is_enough_to_find_most() {
    let world = world();
    world.server.remove(BUCKET, &content(&world, "03"));
    world.server.truncate(BUCKET, &content(&world, "05"), 4);
    world
        .server
        .replace(BUCKET, &content(&world, "07"), "contents of X");
    world
        .server
        .replace(BUCKET, &content(&world, "in parts"), noise(2, 17 << 20));
    world.server.remove(BUCKET, &content(&world, "zero"));
    // Without reading, all that is known of 07 is that something else has put it there.
    let altered = ["07: put again by something else", "07: altered"];
    for (args, altered) in [&[][..], &["--read"]].into_iter().zip(altered) {
        let (code, found) = findings(&world, args);
        assert_eq!(code, 4);
        assert_eq!(found.len(), 5, "{found:#?}");
        for (finding, expected) in found.iter().zip([
            "03: missing",
            "05: truncated",
            altered,
            "in parts: altered",
            "zero: missing",
        ]) {
            assert!(finding.starts_with(expected), "{finding} is not {expected}");
        }
    }
    let text = world.offsite(["verify"]);
    assert!(
        text.stderr.contains("error: 03: missing (files/data/"),
        "{text:?}"
    );
    assert!(text.stdout.contains("5 PROBLEMS"), "{text:?}");
}

#[test]
fn bit_rot_is_found_by_reading() {
    let world = world();
    world.server.corrupt(BUCKET, &content(&world, "11"), 0);
    world
        .server
        .corrupt(BUCKET, &content(&world, "in parts"), 10 << 20);
    assert_eq!(findings(&world, &[]), (0, vec![]));
    let (code, found) = findings(&world, &["--read"]);
    assert_eq!(code, 4);
    assert_eq!(
        found,
        [
            "11: altered: SHA-256 mismatch of what was read",
            "in parts: altered: SHA-256 mismatch of what was read"
        ]
    );
}

#[test]
fn damaged_segments_are_named_with_what_they_list() {
    let world = world();
    let manifests: Vec<_> = world
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("manifests/"))
        .collect();
    assert_eq!(manifests.len(), 3);
    world
        .server
        .corrupt(BUCKET, &world.full_key(&manifests[0]), 40);
    world.server.remove(BUCKET, &world.full_key(&manifests[2]));
    let (code, found) = findings(&world, &[]);
    assert_eq!(code, 4);
    assert_eq!(
        found,
        [
            ".: segment: its SHA-256 is not the one on record",
            "15: segment: it is missing"
        ]
    );
    let listed = world.offsite(["list", "latest"]);
    assert_eq!(listed.code, 4, "{listed:?}");
}

#[test]
fn a_pass_after_damage_captures_again_what_the_damage_covers() {
    let world = world();
    let manifests: Vec<_> = world
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("manifests/"))
        .collect();
    world
        .server
        .corrupt(BUCKET, &world.full_key(&manifests[1]), 40);
    let output = world.back_up();
    assert_eq!(output.event("segment_damaged")["key"], manifests[1]);
    assert_eq!(findings(&world, &["--read"]), (0, vec![]));
    let restored = crate::support::tree::read(&world.restored_latest());
    crate::support::tree::assert_same(&crate::support::tree::read(&world.data()), &restored);
}

#[test]
fn a_damaged_commit_record_is_an_integrity_error() {
    let world = world();
    let key = world.full_key(&world.key_like("snapshots/", ".json"));
    world.server.truncate(BUCKET, &key, 100);
    for command in [&["verify"][..], &["list"], &["restore", "--to", "x"]] {
        let output = world.offsite(command);
        assert_eq!(output.code, 4, "{output:?}");
        assert!(output.stderr.contains(".json"), "{output:?}");
    }
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 4, "{output:?}");
}

/// A record says that of its segments which later passes and prunes go by.
#[test]
fn a_commit_record_that_does_not_fit_its_segments_is_found() {
    let world = world();
    let key = world.full_key(&world.key_like("snapshots/", ".json"));
    let sound = world.server.object(BUCKET, &key).unwrap().bytes;
    let record: Value = serde_json::from_slice(&sound).unwrap();
    for (field, value, expected) in [
        ("first", Value::from("zzz"), "first and last path"),
        ("last", "aaa".into(), "first and last path"),
        ("oldest", "20200101T000000Z-0000".into(), "passes"),
        ("newest", Value::Null, "passes"),
        ("foreign", 1.into(), "contents captured elsewhere"),
        (
            "objects",
            serde_json::json!({"20200101T000000Z-0000/1": 1}),
            "shared objects",
        ),
    ] {
        let mut wrong = record.clone();
        wrong["segments"][0][field] = value;
        world.server.replace(BUCKET, &key, wrong.to_string());
        let (code, found) = findings(&world, &[]);
        assert_eq!((code, found.len()), (4, 1), "{field}: {found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
    world.server.replace(BUCKET, &key, sound);
    assert_eq!(findings(&world, &[]), (0, vec![]));
}

#[test]
fn a_snapshot_of_a_later_format_is_refused() {
    let world = world();
    let key = world.full_key(&world.key_like("snapshots/", ".json"));
    let object = world.server.object(BUCKET, &key).unwrap();
    let text = String::from_utf8(object.bytes.to_vec()).unwrap();
    world.server.replace(
        BUCKET,
        &key,
        text.replacen("\"format\":1", "\"format\":2", 1),
    );
    for command in [
        &["verify"][..],
        &["list"],
        &["restore", "--to", "x"],
        &["run"],
    ] {
        let output = world.offsite(command);
        assert_eq!(output.code, 4, "{output:?}");
        let said = output.stderr + &output.stdout;
        assert!(said.contains("format version 2"), "{said}");
    }
}

#[test]
fn an_archive_that_the_snapshot_does_not_name_is_found_without_download() {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.write("a", "contents");
    settle();
    world.back_up();
    assert_eq!(findings(&world, &[]), (0, vec![]));
    let key = world.full_key(&world.key_like("snapshots/", ".json"));
    let object = world.server.object(BUCKET, &key).unwrap();
    let mut snapshot: Value = serde_json::from_slice(&object.bytes).unwrap();
    snapshot["objects"] = Value::Null;
    world.server.replace(BUCKET, &key, snapshot.to_string());
    let (code, found) = findings(&world, &[]);
    assert_eq!(code, 4);
    assert!(found[0].contains("table of objects"), "{found:?}");
}

#[test]
fn without_its_table_of_objects_a_snapshot_is_damaged_and_gives_what_it_can() {
    let mut world = World::new();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__ARCHIVE__INCREMENTAL", true);
    world.write("together", "in an archive");
    world.write("together, too", "in the same");
    settle();
    world.back_up();
    world.set("DEFAULTS__METHOD", "files");
    world.write("apart", "in an object of its own");
    settle();
    world.back_up();
    world.set("DEFAULTS__METHOD", "archive");
    let table = world.full_key(&world.table_key());
    let sound = world.server.object(BUCKET, &table).unwrap().bytes;
    let damages: [&dyn Fn(); 2] = [&|| world.server.corrupt(BUCKET, &table, 20), &|| {
        assert!(world.server.remove(BUCKET, &table));
    }];
    for (index, damage) in damages.into_iter().enumerate() {
        damage();
        let (code, found) = findings(&world, &["--read"]);
        assert_eq!((code, found.len()), (4, 1), "{found:?}");
        assert!(found[0].contains("table of objects"), "{found:?}");
        // Nor is there a next one that would need another table.
        world.write("together", format!("changed {index}"));
        let run = world.offsite(["run"]);
        assert_eq!(run.code, 4, "{run:?}");
        assert_eq!(world.snapshots().len(), 2);
        let to = format!("out {index}");
        let restored = world.offsite(["restore", "--source", SOURCE, "--to", &to]);
        assert_eq!(restored.code, 3, "{restored:?}");
        assert!(
            restored.stderr.contains("together: table of objects"),
            "{restored:?}"
        );
        let text = std::fs::read_to_string(world.path(&to).join("apart")).unwrap();
        assert_eq!(text, "in an object of its own");
        assert!(!world.path(&to).join("together").exists());
    }
    world.server.replace(BUCKET, &table, sound);
    world.back_up();
    assert_eq!(findings(&world, &["--read"]), (0, vec![]));
}

/// The commands that the hints of `offsite verify` name, in order.
fn advised(world: &World, args: &[&str]) -> Vec<Vec<String>> {
    let output = world.offsite(["verify"].iter().chain(args));
    assert_eq!(output.code, 4, "{output:?}");
    let hints = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("hint:"));
    let commands = hints.flat_map(|hint| hint.split('`').skip(1).step_by(2));
    let commands = commands.filter_map(|code| code.strip_prefix("offsite "));
    let words = |command: &str| {
        let words = command.split(' ');
        words
            .map(|word| word.trim_matches('\'').to_owned())
            .collect()
    };
    commands.map(words).collect()
}

/// What is advised does what it says, and stores no more again than it has to.
#[test]
fn advice_fits_the_finding_and_works() {
    let run = |world: &World, command: &[String], code: i32| {
        let output = world.offsite(command);
        assert_eq!(output.code, code, "{command:?}: {output:?}");
        output
    };
    let sound = |world: &World| assert_eq!(findings(world, &["--read"]), (0, vec![]));

    let directory = world();
    directory.server.remove(BUCKET, &content(&directory, "03"));
    let commands = advised(&directory, &[]);
    assert_eq!(commands.len(), 1, "{commands:?}");
    assert_eq!(commands[0].last().unwrap(), "--repair");
    // There is no copy.
    run(&directory, &commands[0], 4);
    let commands = advised(&directory, &["--repair"]);
    assert_eq!(commands, [["run", "--source", "data"]]);
    run(&directory, &commands[0], 0);
    sound(&directory);

    let directory = world();
    let segments = directory.keys().into_iter();
    let segment = segments.filter(|key| key.starts_with("manifests/")).nth(1);
    let segment = directory.full_key(&segment.unwrap());
    directory.server.corrupt(BUCKET, &segment, 40);
    let commands = advised(&directory, &[]);
    assert_eq!(commands, [["run", "--source", "data"]]);
    run(&directory, &commands[0], 0);
    sound(&directory);

    let directory = world();
    directory
        .server
        .replace(BUCKET, &content(&directory, "07"), "contents of 7");
    let commands = advised(&directory, &["--checksums"]);
    assert_eq!(commands.len(), 1, "{commands:?}");
    assert_eq!(commands[0][0], "verify");
    run(&directory, &commands[0], 0);
}

#[test]
fn advice_on_a_session_archives_that_session_again_and_no_other() {
    let sessions = World::new();
    sessions.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n  \
         - {{name: data, sessions: {}}}\n",
        sessions.data().display()
    ));
    for (index, session) in ["M31_2020-01-02", "M42_2021-03-04"].iter().enumerate() {
        sessions.write(&format!("{session}/1.fits"), noise(index as u64, 5000));
        sessions.write(&format!("{session}/2.fits"), noise(index as u64, 700));
    }
    settle();
    sessions.back_up();
    let key = sessions.full_key(&sessions.key_like("raw/2020/", ""));
    let length = sessions.server.object(BUCKET, &key).unwrap().bytes.len();
    // A byte that no file has: the archive is named, with the directory of what is in it.
    sessions.server.truncate(BUCKET, &key, length - 1);
    let (code, found) = report(&sessions, &[]);
    assert_eq!((code, found["findings"].as_array().unwrap().len()), (4, 1));
    assert_eq!(found["findings"][0]["path"], "M31_2020-01-02");
    assert_eq!(found["findings"][0]["files"], 2);
    let commands = advised(&sessions, &[]);
    assert_eq!(commands[0].last().unwrap(), "--repair");
    assert_eq!(commands[1].last().unwrap(), "--read");
    assert_eq!(sessions.offsite(&commands[0]).code, 4);
    let output = sessions.back_up();
    let archived = output.event("backup_archive_uploaded");
    assert_eq!(archived["session"], "M31_2020-01-02");
    assert_eq!(findings(&sessions, &["--read"]), (0, vec![]));
}

/// Runs verify and interrupts it at its tenth object.
fn interrupted(world: &World, args: &[&str]) -> Output {
    let (tenth, reached) = mpsc::channel();
    let (go_on, wait) = mpsc::channel();
    let heads = std::sync::Mutex::new((0, wait));
    world.server.on_request(move |request| {
        if request.operation == Operation::HeadObject {
            let mut heads = heads.lock().unwrap();
            heads.0 += 1;
            if heads.0 == 10 {
                tenth.send(()).unwrap();
                heads.1.recv().unwrap();
            }
        }
        HookAction::Proceed
    });
    let child = world.spawn(["verify", "--checksums"].iter().chain(args));
    reached.recv().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    // Until the signal has been taken note of.
    std::thread::sleep(std::time::Duration::from_millis(300));
    go_on.send(()).unwrap();
    let output = finish(child.wait_with_output().unwrap());
    world.server.clear_hook();
    output
}

#[test]
fn what_was_interrupted_does_not_claim_to_be_complete() {
    let mut world = world();
    world.set("LIMITS__CONCURRENCY", 1);
    let said = interrupted(&world, &[]);
    assert_eq!(said.code, 130, "{said:?}");
    assert!(
        said.stdout
            .contains("ENDED EARLY (interrupted), nothing wrong so far"),
        "{said:?}"
    );
    world.server.remove(BUCKET, &content(&world, "03"));
    let said = interrupted(&world, &[]);
    assert_eq!(said.code, 130, "{said:?}");
    assert!(
        said.stdout
            .contains("ENDED EARLY (interrupted), 1 PROBLEM so far"),
        "{said:?}"
    );
    let said = interrupted(&world, &["--json"]);
    let reports: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(reports[0]["ended_early"], "interrupted");
    assert!(reports[0]["objects"].as_u64().unwrap() < 22, "{said:?}");
    let whole = world.offsite(["verify", "--json"]);
    let reports: Value = serde_json::from_str(&whole.stdout).unwrap();
    assert_eq!(reports[0]["ended_early"], Value::Null);
}
