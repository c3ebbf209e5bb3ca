//! Stores that hang: a copy ends in time, says what it has done, and gives back what lock it can.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use local_s3::{Fault, Operation};
use rustix::process::Signal;
use serde_json::Value;

use super::{OTHER, pass, snapshots, with_copy};
use crate::kill::{Moment, with_signal_when};
use crate::support::{BUCKET, World};

/// A store with one snapshot.
fn world() -> World {
    let world = World::new();
    world.write("a", "a");
    pass(&world);
    world
}

/// What does not end in time was not copied, whoever asked for it.
#[test]
fn a_copy_that_hangs_until_it_is_cut_off_was_not_made() {
    std::thread::scope(|scope| {
        let (run, copy) = (&["run"][..], &["copy", "--to", OTHER][..]);
        let put = (Operation::PutObject, "other/files/");
        let look = (Operation::GetObject, "other/lock");
        for (command, (operation, key)) in [(run, put), (copy, put), (run, look), (copy, look)] {
            scope.spawn(move || {
                let world = world();
                with_copy(&world, OTHER, false);
                let of_the_copy = Fault::on(operation).key_contains(key);
                world.server.fault(of_the_copy.always().hang());
                let output = with_signal_when(
                    &world,
                    command,
                    move |request| request.key.as_deref().is_some_and(|it| it.starts_with(key)),
                    Moment::Before,
                    Signal::TERM,
                );
                let output = output.unwrap();
                assert_eq!(output.code, 143, "{output:?}");
                assert!(
                    output.events_named("copy_completed").is_empty(),
                    "{output:?}"
                );
                assert_eq!(output.event("copy_failed")["error"], "interrupted");
                let status = world.offsite(["status", "--json"]);
                let status: Value = serde_json::from_str(&status.stdout).unwrap();
                assert!(status["copies"].is_null(), "{status}");
            });
        }
    });
}

/// The store that is copied hangs right after the other one was locked: the lock is given back while that one answers.
#[test]
fn a_store_that_hangs_leaves_no_lock_in_its_copy() {
    let world = world();
    let looked_at = world.full_key("lock");
    let look = Fault::on(Operation::GetObject).key_contains(&looked_at);
    world.server.fault(look.always().hang());
    let output = with_signal_when(
        &world,
        &["copy", "--to", OTHER],
        move |request| request.key.as_ref() == Some(&looked_at),
        Moment::Before,
        Signal::TERM,
    );
    let output = output.unwrap();
    assert_eq!(output.code, 143, "{output:?}");
    assert_eq!(output.event("copy_failed")["error"], "interrupted");
    let lock = world.server.object(BUCKET, "other/lock").unwrap();
    let lock: Value = serde_json::from_slice(&lock.bytes).unwrap();
    assert_eq!(lock["state"], "released", "{lock}");
}

/// What was committed counts, also where the lock cannot be given back any more.
#[test]
fn a_copy_that_is_done_is_made_even_if_its_lock_is_not_released() {
    let world = world();
    let (release, is_released) = mpsc::channel::<()>();
    let (is_released, is_committed) = (Mutex::new(is_released), AtomicBool::new(false));
    let output = with_signal_when(
        &world,
        &["copy", "--to", OTHER],
        move |request| {
            let is_put = request.operation == Operation::PutObject;
            let key = request
                .key
                .as_deref()
                .filter(|_| is_put)
                .unwrap_or_default();
            if key == "other/lock" && is_committed.load(Ordering::SeqCst) {
                let _ = is_released.lock().unwrap().recv();
            }
            let is_commit = key.starts_with("other/snapshots/");
            is_committed.fetch_or(is_commit, Ordering::SeqCst);
            is_commit
        },
        Moment::Before,
        Signal::TERM,
    );
    drop(release);
    let output = output.unwrap();
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(output.event("copy_completed")["snapshots"], 1);
    let notices = output.events_named("notice");
    let said = |notice: &Value| notice["message"].as_str().unwrap().contains("not released");
    assert!(notices.iter().any(said), "{notices:?}");
    assert_eq!(snapshots(&world, OTHER), world.snapshots());
}

/// A pass that is being stopped ends by itself while the sources are listed that are to be copied.
#[test]
fn a_store_that_hangs_before_it_is_copied_ends_the_pass_in_time() {
    let world = world();
    let is_list = |operation| operation == Operation::ListObjectsV2;
    world.write("a", "b");
    world.server.clear_requests();
    pass(&world);
    let log = world.server.requests();
    let of_a_pass = log.iter().filter(|request| is_list(request.operation));
    let of_a_pass = of_a_pass.count();
    with_copy(&world, OTHER, true);
    world.write("a", "c");
    let list = Fault::on(Operation::ListObjectsV2).skip(of_a_pass);
    world.server.fault(list.always().hang());
    let lists = AtomicUsize::new(0);
    let output = with_signal_when(
        &world,
        &["run"],
        move |request| {
            is_list(request.operation) && lists.fetch_add(1, Ordering::SeqCst) == of_a_pass
        },
        Moment::Before,
        Signal::TERM,
    );
    let output = output.unwrap();
    assert_eq!(output.code, 143, "{output:?}");
    let failed = output.event("backup_failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("what was backed up is committed"), "{error}");
}
