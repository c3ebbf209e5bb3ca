//! Killed at every request of a pass, a backup loses nothing that was committed, shows nothing that
//! is half done, and goes on from where it was.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use local_s3::{Fault, HookAction, Operation, RequestInfo};
use offsite::format::segment::SegmentReader;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::tree::{self, Tree, assert_same, settle};
use crate::support::{BUCKET, Output, SOURCE, World, finish, long, noise, uploads};

/// When the process is killed, relative to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The store never gets the request.
    Before,
    /// The store has done what it was asked, and nobody hears of it.
    After,
}

fn world() -> World {
    let mut world = World::new();
    // Small enough that a short pass has several segments and checkpoints.
    world.set("MANIFEST__SEGMENT_ENTRIES", 12);
    world.set("MANIFEST__CHECKPOINT_ENTRIES", 2);
    world.set("LIMITS__CONCURRENCY", 3);
    world.set("LIMITS__READ_THREADS", 2);
    world
}

/// A tree with every kind of entry, small but for one file that is sent in parts.
fn fill(world: &World) {
    for index in 0..12 {
        world.write(
            &format!("dir{}/file{index:02}", index % 3),
            format!("contents {index}"),
        );
    }
    world.write("empty", "");
    world.write("in-parts", noise(7, (16 << 20) + 1));
    world.write("link/first", "linked");
    let data = world.data();
    std::fs::hard_link(data.join("link/first"), data.join("link/second")).unwrap();
    symlink("first", data.join("link/to")).unwrap();
    std::fs::create_dir(data.join("nothing-in-it")).unwrap();
    tree::set_mtime(&data.join("dir1/file01"), 1_000_000_000, 5);
    settle();
}

fn change(world: &World) {
    world.write("dir0/file00", "changed");
    world.write("dir1/added", "added");
    world.write("zzz/last", "last");
    let data = world.data();
    std::fs::remove_file(data.join("dir2/file02")).unwrap();
    std::fs::rename(data.join("dir1/file04"), data.join("dir2/moved")).unwrap();
    std::fs::remove_file(data.join("empty")).unwrap();
    std::fs::create_dir(data.join("empty")).unwrap();
    tree::set_mtime(&data.join("dir2/file05"), 1_000_000_001, 6);
    settle();
}

/// Runs a pass and sends its process a signal at request `index`. `None` if the pass had no such
/// request.
pub(crate) fn pass_with_signal(
    world: &World,
    index: usize,
    moment: Moment,
    signal: Signal,
) -> Option<Output> {
    with_signal(world, &["run"], index, moment, signal)
}

/// The same of any command.
pub(crate) fn with_signal(
    world: &World,
    args: &[&str],
    index: usize,
    moment: Moment,
    signal: Signal,
) -> Option<Output> {
    with_signal_when(
        world,
        args,
        move |request| request.index >= index,
        moment,
        signal,
    )
}

/// The same at the first request that `matches`.
pub(crate) fn with_signal_when(
    world: &World,
    args: &[&str],
    matches: impl Fn(&RequestInfo) -> bool + Send + Sync + 'static,
    moment: Moment,
    signal: Signal,
) -> Option<Output> {
    let pid = Arc::new(AtomicI32::new(0));
    let hit = Arc::new(AtomicBool::new(false));
    let (target, was_hit) = (Arc::clone(&pid), Arc::clone(&hit));
    let started = Arc::new(Mutex::new(()));
    let gate = Arc::clone(&started);
    let starting = started.lock().unwrap();
    world.server.clear_requests();
    world.server.on_request(move |request| {
        // The process is known once the gate is open.
        drop(gate.lock().unwrap());
        if !matches(request) || was_hit.swap(true, Ordering::SeqCst) {
            return HookAction::Proceed;
        }
        let target = Pid::from_raw(target.load(Ordering::SeqCst)).unwrap();
        let send = move || kill_process(target, signal).unwrap();
        if signal != Signal::KILL {
            send();
            return HookAction::Proceed;
        }
        match moment {
            Moment::Before => {
                send();
                HookAction::DropBefore
            }
            Moment::After => HookAction::handle_then_drop(send),
        }
    });
    let child = world.spawn(args);
    pid.store(i32::try_from(child.id()).unwrap(), Ordering::SeqCst);
    drop(starting);
    let output = finish(child.wait_with_output().unwrap());
    world.server.clear_hook();
    hit.load(Ordering::SeqCst).then_some(output)
}

/// Paths whose capture the killed pass has recorded, of passes that are not committed.
fn recorded(world: &World) -> BTreeSet<String> {
    let committed = world.snapshots();
    let mut paths = BTreeSet::new();
    for key in world
        .keys()
        .iter()
        .filter(|key| key.starts_with("manifests/"))
    {
        let pass = key.split('/').nth(2).unwrap();
        if committed.iter().any(|id| id == pass) {
            continue;
        }
        let object = world.server.object(BUCKET, &world.full_key(key)).unwrap();
        for entry in SegmentReader::open(object.bytes, u64::MAX).unwrap() {
            let entry = entry.unwrap();
            if entry
                .content
                .is_some_and(|content| content.pass.to_string() == pass)
            {
                paths.insert(entry.name.to_string());
            }
        }
    }
    paths
}

fn assert_restores(world: &World, snapshots: &[String], trees: &[&Tree]) {
    assert_eq!(snapshots.len(), trees.len());
    for (snapshot, tree) in snapshots.iter().zip(trees) {
        assert_same(tree, &tree::read(&world.restored(snapshot)));
    }
}

/// One pass that is killed, and what must hold afterwards. Whether there was a request to kill at.
fn killed_at(index: usize, moment: Moment, first_pass: bool) -> bool {
    let world = world();
    fill(&world);
    let mut trees = Vec::new();
    if !first_pass {
        world.back_up();
        trees.push(tree::read(&world.data()));
        change(&world);
    }
    let now = tree::read(&world.data());
    let Some(output) = pass_with_signal(&world, index, moment, Signal::KILL) else {
        return false;
    };
    assert_eq!(output.code, -9, "{output:?}");

    // Whatever is committed restores; the killed pass may have got that far or not.
    let committed = world.snapshots();
    if committed.len() > trees.len() {
        trees.push(now.clone());
    }
    assert_restores(&world, &committed, &trees.iter().collect::<Vec<_>>());

    // While the lease may be alive, nobody else gets in; once it has expired, the pass goes on.
    let recorded = recorded(&world);
    let locked = world.offsite(["run"]);
    if locked.code == 0 {
        // It died before it had the lock, or after it had given it back.
    } else {
        assert_eq!(locked.code, 11, "{locked:?}");
        world.expire_leases();
    }
    let requests = world.requests_of(|| {
        world.back_up();
    });
    let again: BTreeSet<String> = uploads(&requests).into_iter().collect();
    let twice: Vec<_> = again.intersection(&recorded).collect();
    assert!(twice.is_empty(), "recorded and sent again: {twice:?}");

    let snapshots = world.snapshots();
    let last = snapshots.last().cloned().into_iter().collect::<Vec<_>>();
    assert_restores(&world, &last, &[&now]);
    let verified = world.offsite(["verify", "--read"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(
        world.server.uploads(BUCKET).is_empty(),
        "an upload in parts was left open"
    );
    true
}

/// Tries every request, on as many threads as there are processors; every second one, unless tests may take
/// long. Returns how many there are.
pub(crate) fn at_every_request(trial: impl Fn(usize) -> bool + Sync) -> usize {
    let stride = if long() { 1 } else { 2 };
    let next = AtomicUsize::new(0);
    let end = AtomicUsize::new(usize::MAX);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(stride, Ordering::SeqCst);
                    if index >= end.load(Ordering::SeqCst) {
                        return;
                    }
                    if !trial(index) {
                        end.fetch_min(index, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    end.load(Ordering::SeqCst)
}

#[test]
fn a_first_pass_killed_before_any_of_its_requests_is_continued() {
    let requests = at_every_request(|index| killed_at(index, Moment::Before, true));
    assert!(requests > 25, "{requests} requests were tried");
}

#[test]
fn a_first_pass_killed_after_any_of_its_requests_is_continued() {
    let requests = at_every_request(|index| killed_at(index, Moment::After, true));
    assert!(requests > 25, "{requests} requests were tried");
}

#[test]
fn a_later_pass_killed_before_any_of_its_requests_is_continued() {
    let requests = at_every_request(|index| killed_at(index, Moment::Before, false));
    assert!(requests > 15, "{requests} requests were tried");
}

#[test]
fn a_later_pass_killed_after_any_of_its_requests_is_continued() {
    let requests = at_every_request(|index| killed_at(index, Moment::After, false));
    assert!(requests > 15, "{requests} requests were tried");
}

/// A world with the sources `one` and `two`, both backed up and changed since.
fn world_of_two() -> World {
    let world = World::new();
    world.write("one/a", "a");
    world.write("two/b", "b");
    world.configure(&format!(
        "backup:\n  s3: {{bucket: {BUCKET}, prefix: team/}}\n  sources:\n    \
         - {{name: one, directory: {0}/one}}\n    - {{name: two, directory: {0}/two}}\n",
        world.data().display()
    ));
    settle();
    world.back_up();
    world.write("one/a", "another a");
    world.write("two/large", noise(1, (16 << 20) + 1));
    settle();
    world
}

/// Runs a pass until a request that `matches`, at which it is killed. Its lease has expired then.
pub(crate) fn killed_when(
    world: &World,
    matches: impl Fn(&RequestInfo) -> bool + Send + Sync + 'static,
) {
    let (arrived, has_arrived) = mpsc::channel();
    let (killed, was_killed) = mpsc::channel::<()>();
    let was_killed = Mutex::new(was_killed);
    world.server.on_request(move |request| {
        if !matches(request) {
            return HookAction::Proceed;
        }
        let _ = arrived.send(());
        let _ = was_killed
            .lock()
            .unwrap()
            .recv_timeout(Duration::from_secs(10));
        HookAction::DropBefore
    });
    let mut child = world.spawn(["run"]);
    has_arrived.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(killed);
    world.server.clear_hook();
    world.expire_leases();
}

fn status_of(world: &World, source: &str) -> serde_json::Value {
    let status = world.offsite(["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    status["sources"][source].clone()
}

#[test]
fn what_a_killed_pass_committed_is_found_after_a_pass_over_other_sources() {
    let world = world_of_two();
    killed_when(&world, |request| {
        request.operation == Operation::CreateMultipartUpload
    });
    let of_one = |key: &String| key.starts_with("snapshots/one/");
    let committed = world.keys().into_iter().rfind(of_one).unwrap();
    let other = world.offsite(["run", "--source", "two"]);
    assert_eq!(other.code, 0, "{other:?}");
    assert_eq!(status_of(&world, "one")["settled"], false);
    assert_eq!(status_of(&world, "two")["settled"], true);

    let all = world.back_up();
    let started = &all.events_named("source_started")[0];
    assert_eq!(started["source"], "one");
    let parent = started["parent"].as_str().unwrap();
    assert!(committed.contains(parent), "{parent} is not {committed}");
    assert_eq!(status_of(&world, "one")["settled"], true);
}

/// An earlier pass may write the status once more, about its copies, while a later one runs. What that knows of
/// passes in between is not forgotten for it.
#[test]
fn what_a_killed_pass_committed_is_found_although_the_status_is_written_meanwhile() {
    let world = world_of_two();
    killed_when(&world, |request| {
        request.operation == Operation::CreateMultipartUpload
    });
    let of_one = |key: &String| key.starts_with("snapshots/one/");
    let committed = world.keys().into_iter().rfind(of_one).unwrap();
    // It is another version by now.
    let written = Fault::on(Operation::PutObject).key_contains("status.json");
    let written = world
        .server
        .fault(written.times(1).status(412, "PreconditionFailed"));
    let other = world.offsite(["run", "--source", "two"]);
    assert_eq!(other.code, 0, "{other:?}");
    assert_eq!(written.fired(), 1);
    assert_eq!(status_of(&world, "one")["settled"], false);
    assert_eq!(status_of(&world, "two")["settled"], true);
    let all = world.back_up();
    let started = &all.events_named("source_started")[0];
    let parent = started["parent"].as_str().unwrap();
    assert!(committed.contains(parent), "{parent} is not {committed}");
}

#[test]
fn what_a_killed_pass_left_is_continued_after_a_pass_over_other_sources() {
    let world = world_of_two();
    killed_when(&world, |request| request.operation == Operation::UploadPart);
    for _ in 0..2 {
        let other = world.offsite(["run", "--source", "one"]);
        assert_eq!(other.code, 0, "{other:?}");
        assert_eq!(world.server.uploads(BUCKET).len(), 1);
    }
    world.back_up();
    assert!(world.server.uploads(BUCKET).is_empty());
}

#[test]
fn what_a_killed_pass_left_without_attributes_is_not_continued_with_them() {
    let mut world = World::new();
    world.write("a", "a");
    tree::set_xattr(&world.data().join("a"), "user.x", b"1");
    settle();
    world.set("MANIFEST__CHECKPOINT_ENTRIES", 1);
    killed_when(&world, |request| {
        let key = request.key.as_deref().unwrap_or_default();
        request.operation == Operation::PutObject && key.contains("/snapshots/")
    });
    world.set("DEFAULTS__XATTRS", true);
    world.back_up();
    assert_same(
        &tree::read(&world.data()),
        &tree::read(&world.restored_latest()),
    );
}

#[test]
fn a_status_that_cannot_be_read_is_not_written_anew() {
    let world = world_of_two();
    world.back_up();
    let before = status_of(&world, "one");
    let fault = Fault::on(Operation::GetObject).key_contains("status.json");
    world
        .server
        .fault(fault.always().status(403, "AccessDenied"));
    let output = world.offsite(["run", "--source", "two"]);
    assert_eq!(output.code, 0, "{output:?}");
    let notice = output.event("notice");
    assert!(
        notice["message"].as_str().unwrap().contains("status.json"),
        "{notice}"
    );
    world.server.clear_faults();
    assert_eq!(status_of(&world, "one"), before);
    // It is out of date then, and the next pass looks for itself.
    world.back_up();
    assert_eq!(status_of(&world, "two")["settled"], true);
}

/// SIGTERM at a request: the pass says goodbye properly, and the next one need not wait.
fn terminated_at(index: usize) -> bool {
    let world = world();
    fill(&world);
    world.back_up();
    let before = tree::read(&world.data());
    change(&world);
    let now = tree::read(&world.data());
    let Some(output) = pass_with_signal(&world, index, Moment::Before, Signal::TERM) else {
        return false;
    };
    let committed = world.snapshots();
    match output.code {
        143 => assert_restores(&world, &committed, &[&before]),
        // The signal came when there was nothing left to stop.
        0 => assert_restores(&world, &committed, &[&before, &now]),
        _ => panic!("{output:?}"),
    }
    let recorded = recorded(&world);
    let requests = world.requests_of(|| {
        world.back_up();
    });
    let again: BTreeSet<String> = uploads(&requests).into_iter().collect();
    assert!(again.is_disjoint(&recorded), "{again:?} of {recorded:?}");
    assert_same(&now, &tree::read(&world.restored_latest()));
    assert!(world.server.uploads(BUCKET).is_empty());
    true
}

#[test]
fn a_pass_terminated_at_any_of_its_requests_releases_the_lock_and_is_continued() {
    let requests = at_every_request(terminated_at);
    assert!(requests > 15, "{requests} requests were tried");
}

/// How long a pass takes to end after SIGTERM when the store no longer answers `operation`.
fn end_of_a_pass_that_hangs_at(operation: Operation, is_archive: bool) -> Duration {
    let mut world = World::new();
    // Less than the parts of the file, so that some wait for others.
    world.set("LIMITS__MEMORY", "16MiB");
    world.set("ARCHIVE", is_archive);
    world.write("large", noise(1, 40 << 20));
    for operation in [operation, Operation::AbortMultipartUpload] {
        world.server.fault(Fault::on(operation).always().hang());
    }
    let (arrived, has_arrived) = mpsc::channel();
    world.server.on_request(move |request| {
        if request.operation == operation {
            let _ = arrived.send(());
        }
        HookAction::Proceed
    });
    let mut child = world.spawn(["run"]);
    has_arrived.recv().unwrap();
    // Until whoever reads the file waits for memory.
    thread::sleep(Duration::from_secs(1));
    let started = Instant::now();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    while child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(50));
    }
    let took = started.elapsed();
    let _ = child.kill();
    let output = finish(child.wait_with_output().unwrap());
    assert_eq!(output.code, 143, "{operation:?}: {output:?}");
    let lock = world.server.object(BUCKET, &world.full_key("lock"));
    let lock = String::from_utf8(lock.unwrap().bytes.to_vec()).unwrap();
    assert!(lock.contains("released"), "{operation:?}: {lock}");
    took
}

#[test]
fn a_store_that_hangs_in_an_upload_does_not_hold_up_the_end_of_a_pass() {
    thread::scope(|scope| {
        for operation in [
            Operation::CreateMultipartUpload,
            Operation::UploadPart,
            Operation::CompleteMultipartUpload,
        ] {
            for is_archive in [false, true] {
                scope.spawn(move || {
                    let took = end_of_a_pass_that_hangs_at(operation, is_archive);
                    assert!(took < Duration::from_secs(20), "{operation:?}: {took:?}");
                });
            }
        }
    });
}

/// A pass to which the store does not answer any more from a request on ends all the same, and in
/// time.
#[test]
fn a_store_that_answers_nothing_does_not_hold_up_the_end_of_a_pass() {
    let ends = ["lock", "/files/", "/manifests/", "/snapshots/"].map(|hangs_at| {
        thread::spawn(move || {
            let mut world = World::new();
            world.set("MANIFEST__CHECKPOINT_ENTRIES", 1);
            for index in 0..8 {
                world.write(&format!("{index}"), "contents");
            }
            settle();
            let (arrived, has_arrived) = mpsc::channel();
            let is_hanging = AtomicBool::new(false);
            let is_over = Arc::new(AtomicBool::new(false));
            let has_ended = Arc::clone(&is_over);
            world.server.on_request(move |request| {
                let key = request.key.as_deref().unwrap_or_default();
                if request.operation == Operation::PutObject && key.contains(hangs_at) {
                    is_hanging.store(true, Ordering::SeqCst);
                }
                if is_hanging.load(Ordering::SeqCst) {
                    let _ = arrived.send(());
                    while !has_ended.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(50));
                    }
                }
                HookAction::Proceed
            });
            let mut child = world.spawn(["run"]);
            has_arrived.recv().unwrap();
            let started = Instant::now();
            kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
            while child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(40)
            {
                thread::sleep(Duration::from_millis(50));
            }
            let took = started.elapsed();
            let _ = child.kill();
            let output = finish(child.wait_with_output().unwrap());
            is_over.store(true, Ordering::SeqCst);
            assert_eq!(output.code, 143, "{hangs_at}: {output:?}");
            assert_eq!(output.event("backup_failed")["exit_code"], 143);
            took
        })
    });
    for took in ends.map(|end| end.join().unwrap()) {
        assert!(took < Duration::from_secs(28), "{took:?}");
    }
}

#[test]
fn a_store_that_answers_nothing_does_not_hold_up_the_end_of_a_restore_or_a_look() {
    let world = World::new();
    for index in 0..8 {
        world.write(&format!("{index}"), "contents");
    }
    settle();
    world.back_up();
    let fault = Fault::on(Operation::GetObject).key_contains("/files/");
    world.server.fault(fault.always().hang());
    let commands = [
        &["restore", "--to", "out", "--source", SOURCE][..],
        &["verify", "--read"],
    ];
    let children = commands.map(|command| world.spawn(command));
    thread::sleep(Duration::from_secs(2));
    for child in &children {
        kill_process(Pid::from_child(child), Signal::TERM).unwrap();
    }
    let started = Instant::now();
    for mut child in children {
        while child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(40) {
            thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let output = finish(child.wait_with_output().unwrap());
        assert_eq!(output.code, 143, "{output:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(30));
    world.server.clear_faults();
    let out = world.path("out");
    let restored = world.offsite(["restore", "--to", out.to_str().unwrap(), "--source", SOURCE]);
    assert_eq!(restored.code, 0, "{restored:?}");
}

#[test]
fn sigint_exits_with_its_own_code() {
    let world = world();
    fill(&world);
    let of_a_file = |request: &RequestInfo| {
        let key = request.key.as_deref().unwrap_or_default();
        request.operation == Operation::PutObject && key.contains("files/data/")
    };
    let output = with_signal_when(&world, &["run"], of_a_file, Moment::Before, Signal::INT);
    let output = output.unwrap();
    assert_eq!(output.code, 130, "{output:?}");
    assert_eq!(output.event("backup_failed")["exit_code"], 130);
    assert_eq!(output.event("source_failed")["source"], SOURCE);
    world.back_up();
}
