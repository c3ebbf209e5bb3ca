//! `offsite adopt`: a store goes on under another owner, because somebody has said so.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

use local_s3::{HookAction, Operation};
use rustix::process::Signal;
use serde_json::Value;

use super::{become_another, contents, owner, refused, world_of};
use crate::kill::{Moment, with_signal};
use crate::output::terminal;
use crate::support::tree::{self, assert_same, settle};
use crate::support::{Output, World, finish};
use crate::takeover::{OnTheirWay, assert_one_chain, is_commit, lock, signal};

const OLD: &str = "shop/offsite";
const NEW: &str = "blog/offsite";

/// A store of the old owner's, and a machine that is the new one's.
fn world() -> World {
    let mut world = world_of(OLD);
    become_another(&mut world, NEW);
    world
}

fn adopted(world: &World) -> Output {
    let output = world.offsite(["adopt", "--force"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(released_for(world), NEW);
    output
}

/// The owner in the lock, which nobody may hold.
fn released_for(world: &World) -> Value {
    assert_eq!(lock(world)["state"], "released");
    owner(world)
}

/// Runs a command that must not change anything.
fn unchanged<const N: usize>(world: &World, args: [&str; N], code: i32) -> Output {
    let before = contents(world);
    let output = world.offsite(args);
    assert_eq!(output.code, code, "{output:?}");
    assert_eq!(contents(world), before);
    output
}

#[test]
fn a_store_that_was_adopted_goes_on_and_its_old_owner_is_refused() {
    let mut world = world();
    let before = world.snapshots();
    let generation = lock(&world)["generation"].as_u64().unwrap();
    let output = adopted(&world);
    for told in [OLD, NEW, "s3://backups/team", "data", &before[0]] {
        assert!(output.stdout.contains(told), "{told}: {output:?}");
    }
    let data = world.data().display().to_string();
    assert!(output.stdout.contains(&data), "{output:?}");
    assert_eq!(world.snapshots(), before);
    assert_eq!(lock(&world)["generation"], generation + 1);

    let output = world.back_up();
    let started = output.event("source_started");
    assert_eq!(started["parent"], before[0].as_str());
    assert_eq!(output.event("snapshot_committed")["removed"], 8);
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
    assert_eq!(world.snapshots().len(), 2);

    world.set("STORE_OWNER", OLD);
    let failed = refused(&world, ["run"]).event("backup_failed");
    assert!(failed["error"].as_str().unwrap().contains(NEW), "{failed}");
}

#[test]
fn nothing_is_adopted_unasked() {
    let world = world();
    let output = unchanged(&world, ["adopt"], 2);
    assert!(
        output.stderr.contains("offsite adopt --force"),
        "{output:?}"
    );
    for told in [OLD, "data", &world.snapshots()[0]] {
        assert!(output.stdout.contains(told), "{told}: {output:?}");
    }
}

/// Runs `adopt` on a terminal, with `answer` to its question, or a signal in place of one.
fn answered(world: &World, answer: Option<&str>) -> Output {
    let (mut ours, theirs) = terminal();
    let mut command = world.command(["adopt"]);
    command.stdin(theirs).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut asked = String::new();
    let mut stderr = child.stderr.take().unwrap();
    while !asked.contains("Type yes:") {
        let mut some = [0; 4096];
        let length = stderr.read(&mut some).unwrap();
        assert!(length > 0, "{asked}");
        asked.push_str(std::str::from_utf8(&some[..length]).unwrap());
    }
    assert!(asked.contains(OLD) && asked.contains(NEW), "{asked}");
    assert!(asked.contains(&world.snapshots()[0]), "{asked}");
    assert_eq!(lock(world)["state"], "held");
    match answer {
        Some(answer) => ours.write_all(answer.as_bytes()).unwrap(),
        None => signal(&child, Signal::INT),
    }
    let mut output = finish(child.wait_with_output().unwrap());
    stderr.read_to_string(&mut output.stderr).unwrap();
    output
}

#[test]
fn on_a_terminal_it_asks() {
    let world = world();
    // The last one is the end of what is typed.
    for answer in ["no\n", "\n", "yes or no\n", "\u{4}"] {
        let output = answered(&world, Some(answer));
        assert_eq!(output.code, 1, "{output:?}");
        assert!(output.stderr.contains("not yes"), "{output:?}");
        assert_eq!(released_for(&world), OLD);
    }
    let interrupted = answered(&world, None);
    assert_eq!(interrupted.code, 130, "{interrupted:?}");
    assert_eq!(released_for(&world), OLD);

    let output = answered(&world, Some("Yes\n"));
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(released_for(&world), NEW);
    world.back_up();
}

#[test]
fn there_has_to_be_something_to_adopt_and_somebody_who_does() {
    let mut world = world();
    world.unset("OFFSITE_STORE_OWNER");
    let output = unchanged(&world, ["adopt", "--force"], 2);
    assert!(
        output.stderr.contains("`backup.store_owner` is not set"),
        "{output:?}"
    );

    // Who has it already changes nothing.
    world.set("STORE_OWNER", OLD);
    let output = unchanged(&world, ["adopt"], 0);
    assert!(output.stdout.contains("already"), "{output:?}");

    let mistyped = ["adopt", "--force", "--prefix", "mistyped"];
    let output = unchanged(&world, mistyped, 10);
    assert!(
        output.stderr.contains("there are no snapshots"),
        "{output:?}"
    );
}

#[test]
fn a_store_that_is_nobodys_can_be_adopted() {
    let mut world = World::new();
    world.write("a", "a");
    settle();
    world.back_up();
    world.set("STORE_OWNER", NEW);
    let output = world.offsite(["adopt", "--force", "--json"]);
    assert_eq!(output.code, 0, "{output:?}");
    let shown: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(shown["previous_owner"], Value::Null);
    assert_eq!(shown["store_owner"], NEW);
    assert_eq!(shown["adopted"], true);
    let source = &shown["sources"][0];
    assert_eq!(source["source"], "data");
    assert_eq!(source["snapshot"], world.snapshots()[0].as_str());
    assert_eq!(source["place"], world.data().display().to_string());
    assert!(source["machine"].as_str().unwrap().starts_with("host "));
    assert!(source["committed_at"].is_string());
    let output = world.back_up();
    assert!(output.events_named("store_owner_recorded").is_empty());
}

#[test]
fn a_store_is_not_adopted_while_somebody_holds_its_lock() {
    let mut world = world();
    world.set("STORE_OWNER", OLD);
    let (arrived, has_arrived) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let may_go_on = std::sync::Mutex::new(may_go_on);
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        if request.operation == Operation::PutObject && key.contains("/files/") {
            arrived.send(()).unwrap();
            let may_go_on = may_go_on.lock().unwrap();
            let _ = may_go_on.recv_timeout(Duration::from_secs(60));
        }
        HookAction::Proceed
    });
    let pass = world.spawn(["run"]);
    has_arrived.recv().unwrap();
    world.set("STORE_OWNER", NEW);
    let output = unchanged(&world, ["adopt", "--force"], 11);
    assert!(output.stderr.contains(&pass.id().to_string()), "{output:?}");

    let waiting = world.spawn(["adopt", "--force", "--wait-for-lock", "1m"]);
    go_on.send(()).unwrap();
    let pass = finish(pass.wait_with_output().unwrap());
    assert_eq!(pass.code, 0, "{pass:?}");
    let waiting = finish(waiting.wait_with_output().unwrap());
    assert_eq!(waiting.code, 0, "{waiting:?}");
    assert_eq!(released_for(&world), NEW);
}

#[test]
fn a_commit_of_the_old_owner_that_is_late_never_arrives_and_what_it_has_sent_is_used() {
    let mut world = world();
    let before = world.snapshots();
    world.set("STORE_OWNER", OLD);
    let on_their_way = OnTheirWay::default();
    let held = on_their_way.clone();
    world
        .server
        .on_request(move |request| match is_commit(request) {
            true => held.hold(),
            false => HookAction::Proceed,
        });
    let pass = world.spawn(["run"]);
    while on_their_way.count() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(&pass, Signal::KILL);
    finish(pass.wait_with_output().unwrap());
    world.server.clear_hook();
    world.expire_leases();
    world.set("STORE_OWNER", NEW);
    adopted(&world);
    on_their_way.let_go();
    assert_eq!(world.snapshots(), before);
    let output = world.back_up();
    let continued = &output.event("source_started")["continued_passes"];
    assert_eq!(continued, 1, "{output:?}");
    let sent = output.events_named("file_uploaded");
    assert!(sent.is_empty(), "{sent:?}");
    assert_one_chain(&world);
}

#[test]
fn killed_at_any_of_its_requests_it_leaves_a_store_with_one_owner_or_the_other() {
    let (mut of_old, mut of_new) = (0, 0);
    for moment in [Moment::Before, Moment::After] {
        for index in 0.. {
            let mut world = world();
            let before = world.snapshots();
            let adopt = ["adopt", "--force"];
            let Some(output) = with_signal(&world, &adopt, index, moment, Signal::KILL) else {
                assert!(index > 5, "{index}");
                break;
            };
            assert_eq!(output.code, -9, "{output:?}");
            assert_eq!(world.snapshots(), before);
            world.expire_leases();
            match owner(&world).as_str().unwrap() {
                OLD => {
                    of_old += 1;
                    refused(&world, ["run"]);
                    adopted(&world);
                }
                NEW => of_new += 1,
                other => panic!("{other}"),
            }
            let committed = world.back_up().event("snapshot_committed");
            assert_eq!(committed["removed"], 8);
            assert_one_chain(&world);
            world.set("STORE_OWNER", OLD);
            refused(&world, ["run"]);
        }
    }
    assert!(of_old > 5 && of_new > 0, "{of_old} {of_new}");
}
