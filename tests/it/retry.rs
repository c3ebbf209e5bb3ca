//! A pass that the store or the credentials have failed is tried again, within the time for it.

use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use local_s3::{Fault, Operation};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::tree::{assert_same, read, settle};
use crate::support::{BUCKET, Output, SOURCE, World, uploads};

fn world() -> World {
    let mut world = World::new();
    for index in 0..5 {
        world.write(&format!("{index}"), format!("contents of {index}"));
    }
    settle();
    world.set("RETRY__FOR", "10m");
    world
}

/// What makes a commit fail once, in all the requests that one attempt makes for it.
fn commit_fails(key: &str) -> Fault {
    let fault = Fault::on(Operation::PutObject).key_contains(key);
    fault
        .times(ATTEMPTS)
        .status(409, "ConditionalRequestConflict")
}

/// How often a put that is answered with 409 is sent.
const ATTEMPTS: usize = 4;

fn names(output: &Output) -> Vec<String> {
    let name = |event: &Value| event["event"].as_str().unwrap().to_owned();
    output.events().iter().map(name).collect()
}

/// Two sources, `data` and `other`.
fn world_of_two() -> World {
    let world = world();
    std::fs::create_dir(world.path("other")).unwrap();
    std::fs::write(world.path("other/file"), "of the other").unwrap();
    settle();
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources: [{}, {}]\n",
        format_args!("{{name: {SOURCE}, directory: {}}}", world.data().display()),
        format_args!(
            "{{name: other, directory: {}}}",
            world.path("other").display()
        ),
    ));
    world
}

#[test]
fn a_pass_that_the_store_fails_is_tried_again_as_a_pass_of_its_own() {
    let world = world();
    let struck = world.server.fault(commit_fails("/snapshots/"));
    let output = world.offsite(["run"]);
    assert_eq!(struck.fired(), ATTEMPTS);
    assert_eq!(output.code, 0, "{output:?}");
    let retried = output.event("pass_retried");
    assert_eq!(
        (&retried["attempt"], &retried["sources"][0]),
        (&2.into(), &SOURCE.into())
    );
    let pause = retried["waiting_ms"].as_u64().unwrap();
    assert!((2500..=5000).contains(&pause), "{retried}");
    let error = retried["error"].as_str().unwrap();
    assert!(error.contains("conflicting writes"), "{error}");

    let passes: Vec<_> = output.events_named("lock_acquired");
    let [first, second] = [0, 1].map(|index| passes[index]["pass"].as_str().unwrap());
    assert!(first < second, "{output:?}");
    assert_eq!(retried["pass"], first);
    // One attempt has given the lock back before the next one takes it.
    assert_eq!(passes[1].get("taken_from"), None);
    let last = output.events().pop().unwrap();
    assert_eq!(
        (&last["event"], &last["pass"]),
        (&"backup_completed".into(), &second.into())
    );
    let is_last = |name: &&String| name.starts_with("backup_") && *name != "backup_started";
    assert_eq!(names(&output).iter().filter(is_last).count(), 1);
    assert_eq!(
        names(&output)
            .iter()
            .filter(|n| *n == "backup_started")
            .count(),
        1
    );
    assert_eq!(world.snapshots(), [second]);

    // Each has a record of its own.
    let history = world.offsite(["status", "--history", "--json"]).stdout;
    let history: Value = serde_json::from_str(&history).unwrap();
    let codes = [0, 1].map(|index| history["history"][index]["exit_code"].as_u64().unwrap());
    assert_eq!(codes, [0, 1]);
    let requests = [0, 1].map(|index| history["history"][index]["requests"].as_u64().unwrap());
    assert!(
        requests.iter().sum::<u64>() < last["requests"].as_u64().unwrap(),
        "{last}"
    );
    assert_same(&read(&world.data()), &read(&world.restored_latest()));
}

#[test]
fn what_an_attempt_has_committed_or_sent_is_not_backed_up_once_more() {
    let mut world = world_of_two();
    world.set("MANIFEST__CHECKPOINT_ENTRIES", 1);
    world.server.fault(commit_fails("/snapshots/data/"));
    let mut output = None;
    let requests = world.requests_of(|| output = Some(world.offsite(["run"])));
    let output = output.unwrap();
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(
        output.event("pass_retried")["sources"],
        serde_json::json!([SOURCE])
    );
    let started = output.events_named("source_started");
    let started: Vec<_> = started
        .iter()
        .map(|event| event["source"].as_str().unwrap())
        .collect();
    assert_eq!(started, [SOURCE, "other", SOURCE]);
    assert_eq!(
        uploads(&requests).len(),
        5,
        "what was recorded is not sent again"
    );
    let last = output.event("backup_completed");
    assert_eq!((&last["sources"], &last["files"]), (&2.into(), &6.into()));

    let status = world.offsite(["status", "--json"]).stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    for source in [SOURCE, "other"] {
        assert_eq!(
            status["sources"][source]["last_outcome"], "complete",
            "{status}"
        );
    }
}

#[test]
fn a_store_that_fails_before_the_lock_is_waited_for() {
    let world = world();
    let outage = Fault::on(Operation::GetObject).key_contains("lock");
    // As often as one request is sent.
    let struck = world
        .server
        .fault(outage.times(8).status(503, "ServiceUnavailable"));
    let output = world.offsite(["run"]);
    assert_eq!(struck.fired(), 8);
    assert_eq!(output.code, 0, "{output:?}");
    let retried = output.event("pass_retried");
    assert_eq!(retried.get("pass"), None, "there was none yet");
    assert_eq!(names(&output)[..2], ["backup_started", "pass_retried"]);
}

#[test]
fn a_lock_that_an_attempt_could_not_release_does_not_stop_the_next() {
    let world = world();
    world.back_up();
    world.write("0", "changed");
    settle();
    world.server.fault(commit_fails("/snapshots/"));
    // The first put takes the lock, the second releases it.
    let lock = Fault::on(Operation::PutObject)
        .key_contains("team/lock")
        .skip(1);
    world
        .server
        .fault(lock.times(1).status(403, "AccessDenied"));
    let started = Instant::now();
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 0, "{output:?}");
    let acquired = output.events_named("lock_acquired");
    assert!(acquired[1]["taken_from"].is_string(), "{output:?}");
    // The lease lasts for two minutes.
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(world.snapshots().len(), 2);
}

#[test]
fn attempts_end_with_the_time_for_them() {
    let mut world = world();
    world.set("RETRY__FOR", "3s");
    let fault = Fault::on(Operation::PutObject).key_contains("/manifests/");
    let always = fault.always().status(409, "ConditionalRequestConflict");
    world.server.fault(always);
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 1, "{output:?}");
    let attempts = output.events_named("lock_acquired").len();
    assert!((2..=3).contains(&attempts), "{output:?}");
    assert_eq!(output.events_named("pass_retried").len(), attempts - 1);
    assert_eq!(output.event("backup_failed")["exit_code"], 1);
    assert_eq!(output.events_named("backup_completed").len(), 0);
    assert!(world.snapshots().is_empty());
}

#[test]
fn a_signal_ends_the_wait_for_the_next_attempt() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let world = world();
        world.server.fault(commit_fails("/snapshots/"));
        let mut child = world.spawn(["run"]);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("pass_retried") {
            line.clear();
            assert!(
                lines.read_line(&mut line).unwrap() > 0,
                "it did not try again"
            );
        }
        let told = Instant::now();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(told.elapsed() < Duration::from_secs(2));
        assert_eq!(rest.lines().count(), 1, "{rest}");
        let last: Value = serde_json::from_str(&rest).unwrap();
        assert_eq!(last["event"], "backup_failed");
        assert_eq!(last["exit_code"], code);
        let error = last["error"].as_str().unwrap();
        assert!(
            error.contains("interrupted") && error.contains("conflicting writes"),
            "{error}"
        );
        let lock = world
            .server
            .object(BUCKET, &world.full_key("lock"))
            .unwrap();
        assert!(String::from_utf8_lossy(&lock.bytes).contains("released"));
    }
}

#[test]
fn what_another_attempt_does_not_mend_ends_the_pass_at_once() {
    let ends_at_once = |world: &World, args: &[&str], code: i32| {
        let started = Instant::now();
        let output = world.offsite(args);
        assert_eq!(output.code, code, "{output:?}");
        assert!(output.events_named("pass_retried").is_empty(), "{output:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{args:?}");
    };
    let mut world = world();
    world.back_up();
    ends_at_once(&world, &["run", "--dirs", "/there/is/none"], 1);
    ends_at_once(&world, &["run", "--bucket", "other"], 10);
    ends_at_once(&world, &["run", "--bucket", "No_Bucket"], 2);
    world.env("AWS_SECRET_ACCESS_KEY", "wrong");
    ends_at_once(&world, &["run"], 12);
    world.unset("AWS_SECRET_ACCESS_KEY");

    let refused = Fault::on(Operation::PutObject).key_contains("/files/");
    world
        .server
        .fault(refused.always().status(400, "InvalidRequest"));
    world.write("refused", "by the store");
    settle();
    ends_at_once(&world, &["run"], 3);
    world.server.clear_faults();

    // Somebody else's lock is not ours.
    let lock = world.full_key("lock");
    let object = world.server.object(BUCKET, &lock).unwrap();
    let mut held: Value = serde_json::from_slice(&object.bytes).unwrap();
    held["state"] = "held".into();
    held["holder"]["host"] = "elsewhere".into();
    let bytes = serde_json::to_vec(&held).unwrap();
    world.server.replace(BUCKET, &lock, bytes);
    ends_at_once(&world, &["run"], 11);
}

#[test]
fn a_source_that_is_missing_does_not_keep_another_one_from_its_next_attempt() {
    let world = world_of_two();
    std::fs::remove_dir_all(world.path("other")).unwrap();
    world.server.fault(commit_fails("/snapshots/data/"));
    let output = world.offsite(["run"]);
    assert_eq!(
        output.event("pass_retried")["sources"],
        serde_json::json!([SOURCE])
    );
    assert_eq!(
        output.events_named("snapshot_committed").len(),
        1,
        "{output:?}"
    );
    let failed = output.event("backup_failed");
    assert!(
        failed["error"].as_str().unwrap().contains("`other`"),
        "{failed}"
    );
    assert_eq!(output.code, 1);
}
