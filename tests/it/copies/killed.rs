//! Copies that are killed, or lose their lock while they are held up.

use std::sync::{Mutex, mpsc};

use local_s3::{HookAction, Operation};
use rustix::process::{Pid, Signal, kill_process};

use super::{OTHER, assert_copied, copy, pass, snapshots};
use crate::kill::{Moment, at_every_request, with_signal};
use crate::support::tree::Tree;
use crate::support::{BUCKET, World, finish, long};

/// Kills a copy at one of its requests. The next one finishes it.
fn killed_at(index: usize, moment: Moment) -> bool {
    let (world, trees) = small();
    let killed = with_signal(
        &world,
        &["copy", "--to", OTHER],
        index,
        moment,
        Signal::KILL,
    );
    world.expire_leases();
    let there = snapshots(&world, OTHER).len();
    assert_copied(&world, OTHER, &world.snapshots()[..there], &trees[..there]);
    let copied = copy(&world, OTHER);
    assert_eq!(copied.code, 0, "killed at {index}: {copied:?}");
    assert_copied(&world, OTHER, &world.snapshots(), &trees);
    killed.is_some()
}

fn small() -> (World, Vec<Tree>) {
    let mut world = World::new();
    world.set("LIMITS__CONCURRENCY", 1);
    world.write("a", "a");
    world.write("sub/b", "b");
    let mut trees = vec![pass(&world)];
    world.write("a", "changed");
    trees.push(pass(&world));
    (world, trees)
}

/// Each request in turn takes minutes.
fn stride() -> usize {
    if long() { 1 } else { 3 }
}

#[test]
fn a_copy_killed_before_any_of_its_requests_is_continued() {
    let requests = at_every_request(|index| killed_at(index * stride(), Moment::Before));
    assert!(requests * stride() > 20, "{requests} requests were tried");
}

#[test]
fn a_copy_killed_after_any_of_its_requests_is_continued() {
    let requests = at_every_request(|index| killed_at(index * stride() + 1, Moment::After));
    assert!(requests * stride() > 20, "{requests} requests were tried");
}

/// A copy is stopped while its commit is on its way, and another one does its work. Then the commit arrives, and
/// the first one goes on.
#[test]
fn a_copy_that_comes_back_late_commits_nothing() {
    let (world, trees) = small();
    let (arrived, has_arrived) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    let is_released = Mutex::new(Some(is_released));
    world.server.on_request(move |request| {
        let is_commit = request.operation == Operation::PutObject
            && request
                .key
                .as_ref()
                .is_some_and(|key| key.starts_with("other/snapshots/"));
        let held = is_released.lock().unwrap().take_if(|_| is_commit);
        if let Some(held) = held {
            arrived.send(()).unwrap();
            let _ = held.recv();
        }
        HookAction::Proceed
    });
    let mut late = world.spawn(["copy", "--to", OTHER]);
    has_arrived.recv().unwrap();
    let process = Pid::from_raw(i32::try_from(late.id()).unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    world.expire_leases();
    let copied = copy(&world, OTHER);
    assert_eq!(copied.code, 0, "{copied:?}");
    let records = records(&world);
    release.send(()).unwrap();
    kill_process(process, Signal::CONT).unwrap();
    assert!(!late.wait().unwrap().success());
    assert_eq!(records, self::records(&world));
    assert_copied(&world, OTHER, &world.snapshots(), &trees);
}

/// The commit records of the copy, as they are.
fn records(world: &World) -> Vec<(String, Vec<u8>)> {
    let keys = world.server.keys(BUCKET).into_iter();
    let keys = keys.filter(|key| key.starts_with("other/snapshots/"));
    let record = |key: String| {
        let bytes = world.server.object(BUCKET, &key).unwrap().bytes.to_vec();
        (key, bytes)
    };
    keys.map(record).collect()
}

/// A copy is held up at its look at what the key of its commit holds, and a pass takes the store over. Then the
/// copy goes on, and sees what was put there to keep it from committing.
#[test]
fn a_copy_that_looks_late_commits_nothing() {
    let (world, _) = small();
    let (arrived, has_arrived) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    let is_released = Mutex::new(Some(is_released));
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        let is_look = request.operation == Operation::GetObject;
        let is_look = is_look && key.starts_with("other/snapshots/");
        let held = is_released.lock().unwrap().take_if(|_| is_look);
        if let Some(held) = held {
            arrived.send(()).unwrap();
            let _ = held.recv();
        }
        HookAction::Proceed
    });
    let late = world.spawn(["copy", "--to", OTHER]);
    has_arrived.recv().unwrap();
    world.expire_leases();
    let run = world.offsite(["run", "--store", OTHER]);
    assert_eq!(run.code, 0, "{run:?}");
    let there = snapshots(&world, OTHER);
    let records = records(&world);
    release.send(()).unwrap();
    let late = finish(late.wait_with_output().unwrap());
    assert_eq!(late.code, 11, "{late:?}");
    assert_eq!(snapshots(&world, OTHER), there);
    assert_eq!(records, self::records(&world));
}
