//! Who takes the lock over from somebody that may be alive, and commits that arrive late: at any time
//! after they were sent, whatever became of their sender.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use local_s3::{Fault, HookAction, Operation, RequestInfo};
use offsite::format::snapshot::Record;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::tree::{self, assert_same, settle};
use crate::support::{BUCKET, Output, World, finish, noise};

fn world() -> World {
    let world = World::new();
    for index in 0..5 {
        world.write(&format!("{index}"), format!("{index}"));
    }
    settle();
    world
}

pub(crate) fn lock(world: &World) -> Value {
    let object = world
        .server
        .object(BUCKET, &world.full_key("lock"))
        .unwrap();
    serde_json::from_slice(&object.bytes).unwrap()
}

/// Whether a request writes a commit record, which is longer than a void record by far.
pub(crate) fn is_commit(request: &RequestInfo) -> bool {
    let length = request.header("content-length");
    is_record(request) && length.and_then(|l| l.parse().ok()).unwrap_or(0) > 400
}

/// Whether a request writes under the key of a snapshot.
pub(crate) fn is_record(request: &RequestInfo) -> bool {
    let key = request.key.as_deref().unwrap_or_default();
    request.operation == Operation::PutObject && key.contains("/snapshots/")
}

fn is_lock(request: &RequestInfo, operation: Operation) -> bool {
    let key = request.key.as_deref().unwrap_or_default();
    request.operation == operation && key.ends_with("/lock")
}

pub(crate) fn signal(child: &std::process::Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// What the keys of snapshots hold, the earliest first.
pub(crate) fn records(world: &World) -> Vec<(String, Record)> {
    let keys = world.keys();
    let keys = keys.iter().filter(|key| key.starts_with("snapshots/"));
    keys.map(|key| {
        let object = world.server.object(BUCKET, &world.full_key(key)).unwrap();
        (key.clone(), Record::parse(&object.bytes).unwrap())
    })
    .collect()
}

/// Each snapshot must have been made from the one before it.
pub(crate) fn assert_one_chain(world: &World) {
    let mut parent = None;
    for (key, record) in records(world) {
        if let Record::Live(snapshot) = record {
            assert_eq!(snapshot.parent, parent, "{key} is in a chain of its own");
            parent = Some(snapshot.pass);
        }
    }
}

/// Requests that are on their way until they are let go.
#[derive(Clone, Default)]
pub(crate) struct OnTheirWay(Arc<Mutex<Vec<Held>>>);

/// One request: what lets it go, and what tells that it was applied.
type Held = (mpsc::Sender<()>, mpsc::Receiver<()>);

impl OnTheirWay {
    /// Takes a request; its sender hears nothing of it any more.
    pub(crate) fn hold(&self) -> HookAction {
        let (go_on, may_go_on) = mpsc::channel();
        let (applied, was_applied) = mpsc::channel();
        self.0.lock().unwrap().push((go_on, was_applied));
        HookAction::drop_then_handle(
            move || may_go_on.recv().unwrap_or_default(),
            move || applied.send(()).unwrap_or_default(),
        )
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Lets all of them arrive.
    pub(crate) fn let_go(&self) {
        for (go_on, was_applied) in self.0.lock().unwrap().drain(..) {
            go_on.send(()).unwrap();
            was_applied.recv_timeout(Duration::from_secs(60)).unwrap();
        }
    }
}

/// Makes the first request that `matches` wait, and says when it has come.
fn hold(
    world: &World,
    matches: impl Fn(&RequestInfo) -> bool + Send + Sync + 'static,
) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (arrived, has_arrived) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let may_go_on = Mutex::new(may_go_on);
    let count = AtomicUsize::new(0);
    world.server.on_request(move |request| {
        if matches(request) && count.fetch_add(1, Ordering::SeqCst) == 0 {
            arrived.send(()).unwrap();
            let may_go_on = may_go_on.lock().unwrap();
            let _ = may_go_on.recv_timeout(Duration::from_secs(60));
        }
        HookAction::Proceed
    });
    (has_arrived, go_on)
}

fn is_content(request: &RequestInfo) -> bool {
    let key = request.key.as_deref().unwrap_or_default();
    request.operation == Operation::PutObject && key.contains("/files/")
}

/// The pass whose commit came late was told that its lock is gone, and nothing else is wrong.
fn assert_lost(world: &World, late: &Output, winner: &Output) {
    assert_eq!(late.code, 11, "{late:?}");
    assert!(late.events_named("snapshot_committed").is_empty());
    let winner = winner.event("backup_completed")["pass"].clone();
    assert_eq!(world.snapshots(), [winner.as_str().unwrap()]);
    assert_one_chain(world);
    let now = tree::read(&world.data());
    assert_same(&now, &tree::read(&world.restored_latest()));
}

#[test]
fn a_commit_that_was_on_its_way_while_its_holder_was_stopped_never_arrives() {
    let world = world();
    let (arrived, go_on) = hold(&world, is_commit);
    let first = world.spawn(["run"]);
    arrived.recv().unwrap();
    signal(&first, Signal::STOP);
    world.expire_leases();
    world.write("later", "later");
    settle();
    let second = world.offsite(["run"]);
    assert_eq!(second.code, 0, "{second:?}");
    go_on.send(()).unwrap();
    signal(&first, Signal::CONT);
    let first = finish(first.wait_with_output().unwrap());
    assert_lost(&world, &first, &second);
}

#[test]
fn a_commit_that_is_sent_after_the_lock_was_taken_away_never_arrives() {
    let world = world();
    let (arrived, go_on) = hold(&world, is_content);
    let first = world.spawn(["run"]);
    arrived.recv().unwrap();
    assert_eq!(world.offsite(["unlock", "--force"]).code, 0);
    let second = world.offsite(["run"]);
    assert_eq!(second.code, 0, "{second:?}");
    // It has renewed its lease a moment ago, and does not ask before it commits.
    go_on.send(()).unwrap();
    let first = finish(first.wait_with_output().unwrap());
    assert_lost(&world, &first, &second);
    assert_eq!(lock(&world)["outcome"], "committed");
}

#[test]
fn a_commit_on_its_way_when_the_lock_was_taken_away_is_blocked_by_the_next_pass() {
    let world = world();
    let late = OnTheirWay::default();
    let held = late.clone();
    world
        .server
        .on_request(move |request| match is_record(request) {
            true => held.hold(),
            false => HookAction::Proceed,
        });
    let first = world.spawn(["run"]);
    while late.count() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(&first, Signal::STOP);
    world.server.clear_hook();
    assert_eq!(world.offsite(["unlock", "--force"]).code, 0);
    assert_eq!(lock(&world)["to_void"].as_array().unwrap().len(), 1);
    let second = world.offsite(["run"]);
    assert_eq!(second.code, 0, "{second:?}");
    assert_eq!(lock(&world)["to_void"], Value::Null);
    late.let_go();
    signal(&first, Signal::CONT);
    let first = finish(first.wait_with_output().unwrap());
    assert_lost(&world, &first, &second);
}

#[test]
fn a_taker_that_dies_before_it_has_blocked_anything_leaves_that_to_the_next() {
    let world = world();
    let late = OnTheirWay::default();
    let held = late.clone();
    world
        .server
        .on_request(move |request| match is_record(request) {
            true => held.hold(),
            false => HookAction::Proceed,
        });
    let mut first = world.spawn(["run"]);
    while late.count() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    world.expire_leases();

    // The second one takes the lock and dies at its first void record.
    let (arrived, _never) = hold(&world, is_record);
    let mut second = world.spawn(["run"]);
    arrived.recv().unwrap();
    second.kill().unwrap();
    second.wait().unwrap();
    world.server.clear_hook();
    assert_eq!(lock(&world)["to_void"].as_array().unwrap().len(), 1);
    world.expire_leases();

    let third = world.offsite(["run"]);
    assert_eq!(third.code, 0, "{third:?}");
    let voids = records(&world).into_iter();
    let voids = voids.filter(|(_, record)| matches!(record, Record::Void(_)));
    assert_eq!(voids.count(), 2, "of the first and of the second");
    late.let_go();
    assert_eq!(world.offsite(["run"]).code, 0);
    assert_eq!(world.snapshots().len(), 2);
    assert_one_chain(&world);
}

#[test]
fn a_pass_whose_commit_is_not_answered_blocks_it_before_it_releases_the_lock() {
    let mut world = world();
    world.set("LOCK__TTL_SECONDS", 3);
    let late = OnTheirWay::default();
    let held = late.clone();
    world
        .server
        .on_request(move |request| match is_commit(request) {
            true => held.hold(),
            false => HookAction::Proceed,
        });
    let first = world.offsite(["run"]);
    assert_eq!(first.code, 1, "{first:?}");
    assert!(late.count() > 0);
    assert_eq!(lock(&world)["state"], "released");
    assert_eq!(lock(&world)["to_void"], Value::Null);
    assert!(matches!(records(&world)[..], [(_, Record::Void(_))]));
    late.let_go();
    world.server.clear_hook();
    let second = world.back_up();
    assert_eq!(second.event("source_started")["parent"], Value::Null);
    assert_eq!(world.snapshots().len(), 1);
    assert_one_chain(&world);
}

#[test]
fn a_commit_that_is_not_answered_and_is_there_is_a_commit() {
    let world = world();
    let commit = Fault::on(Operation::PutObject).key_contains("/snapshots/");
    world.server.fault(commit.drop_after());
    world.back_up();
    assert_eq!(world.snapshots().len(), 1);
    assert_eq!(lock(&world)["outcome"], "committed");
}

/// A pass that hears nothing any more of what it writes under the key of its snapshot.
fn ends_without_knowing(world: &mut World, terminated: bool) -> OnTheirWay {
    world.set("LOCK__TTL_SECONDS", 3);
    let late = OnTheirWay::default();
    let held = late.clone();
    world.server.on_request(move |request| {
        let key = request.key.as_deref().unwrap_or_default();
        match is_record(request) {
            true => held.hold(),
            false if key.contains("/snapshots/") => HookAction::DropBefore,
            false => HookAction::Proceed,
        }
    });
    let first = world.spawn(["run"]);
    while late.count() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    if terminated {
        signal(&first, Signal::TERM);
    }
    let first = finish(first.wait_with_output().unwrap());
    let code = if terminated { 143 } else { 1 };
    assert_eq!(first.code, code, "{first:?}");
    world.server.clear_hook();
    assert_eq!(lock(world)["state"], "released");
    assert_eq!(lock(world)["outcome"], "unfinished");
    assert_eq!(lock(world)["to_void"].as_array().unwrap().len(), 1);
    late
}

#[test]
fn a_commit_nobody_knows_of_counts_if_it_arrives_before_the_next_pass() {
    let mut world = world();
    let late = ends_without_knowing(&mut world, false);
    late.let_go();
    assert_eq!(world.snapshots().len(), 1);
    let second = world.back_up();
    let parent = second.event("source_started")["parent"].clone();
    assert_eq!(parent.as_str().unwrap(), world.snapshots()[0]);
    assert_eq!(lock(&world)["to_void"], Value::Null);
    assert_one_chain(&world);
}

#[test]
fn a_commit_nobody_knows_of_after_a_signal_is_blocked_by_the_next_pass() {
    let mut world = world();
    let late = ends_without_knowing(&mut world, true);
    let second = world.back_up();
    assert_eq!(second.event("source_started")["parent"], Value::Null);
    late.let_go();
    world.back_up();
    assert_eq!(world.snapshots().len(), 2);
    assert_one_chain(&world);
}

#[test]
fn a_pass_reads_nothing_before_it_knows_what_was_committed() {
    let mut world = world();
    drop(ends_without_knowing(&mut world, false));
    let void = Fault::on(Operation::PutObject).key_contains("/snapshots/");
    world
        .server
        .fault(void.always().status(403, "AccessDenied"));
    let requests = world.requests_of(|| {
        let second = world.offsite(["run"]);
        assert_eq!(second.code, 12, "{second:?}");
        let error = second.event("backup_failed")["error"].to_string();
        assert!(error.contains("commit of an earlier pass"), "{error}");
    });
    let is_lock_or_record = |key: &str| key.ends_with("/lock") || key.contains("/snapshots/data/");
    let others = requests.iter().filter_map(|request| request.key.as_deref());
    let others: Vec<_> = others.filter(|key| !is_lock_or_record(key)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(lock(&world)["state"], "released");
    assert_eq!(lock(&world)["to_void"].as_array().unwrap().len(), 1);
    world.server.clear_faults();
    world.back_up();
    assert_eq!(lock(&world)["to_void"], Value::Null);
}

/// A pass that is alive, in the middle of its work, while `others` happens; then it must commit.
fn alive_while(world: &World, others: impl FnOnce()) {
    let (arrived, go_on) = hold(world, is_content);
    let first = world.spawn(["run"]);
    arrived.recv().unwrap();
    others();
    go_on.send(()).unwrap();
    let first = finish(first.wait_with_output().unwrap());
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(world.snapshots().len(), 1);
}

/// Runs a pass that must find the lock held.
fn locked_out(world: &World) -> String {
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 11, "{output:?}");
    output.event("backup_failed")["error"].to_string()
}

#[test]
fn an_answer_without_last_modified_takes_no_lease_over() {
    let world = world();
    alive_while(&world, || {
        let undated = Fault::on(Operation::GetObject).key_contains("lock");
        world.server.fault(undated.always().undated());
        assert!(locked_out(&world).contains("Last-Modified"));
        world.server.clear_faults();
    });
}

#[test]
fn a_proxy_whose_date_is_ahead_takes_no_lease_over() {
    let world = world();
    let ahead = || {
        Fault::on_any()
            .always()
            .date_ahead(Duration::from_secs(200))
    };
    alive_while(&world, || {
        world.server.fault(ahead());
        assert!(locked_out(&world).contains("another pass holds the lock"));
        // Whoever only looks leaves it alone.
        assert!(lock(&world)["probe"]["by"]["pid"].is_u64());
        assert!(locked_out(&world).contains("another pass holds the lock"));
        world.server.clear_faults();
    });
    assert_eq!(lock(&world)["probe"], Value::Null);

    // The same proxy does not keep anybody from taking over a lease that has expired.
    let (arrived, _never) = hold(&world, |request| is_lock(request, Operation::PutObject));
    world.write("later", "later");
    let mut dead = world.spawn(["run"]);
    arrived.recv().unwrap();
    world.server.clear_hook();
    while lock(&world)["state"] != "held" {
        std::thread::sleep(Duration::from_millis(10));
    }
    dead.kill().unwrap();
    dead.wait().unwrap();
    world.server.fault(ahead());
    assert!(locked_out(&world).contains("another pass holds the lock"));
    world.server.clock().advance(Duration::from_secs(125));
    world.back_up();
}

#[test]
fn a_proxy_whose_date_is_ahead_keeps_nobody_from_taking_the_lock_away() {
    let world = world();
    let (arrived, _never) = hold(&world, is_content);
    let mut first = world.spawn(["run"]);
    arrived.recv().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    world.server.clear_hook();
    let ahead = Fault::on_any().always();
    world
        .server
        .fault(ahead.date_ahead(Duration::from_secs(200)));
    let shown = world.offsite(["unlock"]);
    assert!(shown.stdout.contains("was not released"), "{shown:?}");
    assert!(shown.stdout.contains(&first.id().to_string()), "{shown:?}");
    assert!(locked_out(&world).contains("another pass holds the lock"));
    let taken = world.offsite(["unlock", "--force"]);
    assert_eq!(taken.code, 0, "{taken:?}");
    assert!(taken.stdout.contains("was taken away"), "{taken:?}");
    let shown = world.offsite(["unlock"]);
    assert!(shown.stdout.contains("nobody holds the lock"), "{shown:?}");
    world.back_up();
}

#[test]
fn time_that_jumps_takes_no_lease_over() {
    let world = world();
    let (arrived, _never) = hold(&world, is_content);
    let mut first = world.spawn(["run"]);
    arrived.recv().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    world.server.clear_hook();
    world.expire_leases();
    let jumps = Fault::on_any().skip(1).always();
    world
        .server
        .fault(jumps.date_ahead(Duration::from_secs(60)));
    assert!(locked_out(&world).contains("has jumped"));
    world.server.clear_faults();
    world.back_up();
}

#[test]
fn a_pass_whose_sources_have_a_later_snapshot_takes_a_later_id() {
    let world = world();
    world
        .server
        .clock()
        .advance(Duration::from_secs(3 * 24 * 3600));
    let ahead = world.back_up();
    assert!(
        ahead.event("notice")["message"]
            .to_string()
            .contains("clock")
    );
    let before = world.snapshots();
    // The clock is right again, and the lock is gone, as after a bucket was copied by hand.
    world.server.clock().set_right();
    world.server.remove(BUCKET, &world.full_key("lock"));
    world.write("later", "later");
    let after = world.back_up();
    let pass = after.event("backup_completed")["pass"].clone();
    assert!(pass.as_str().unwrap() > before[0].as_str(), "{pass}");
    assert_eq!(lock(&world)["pass"], pass);
    assert_eq!(after.event("source_started")["parent"], *before[0]);
    assert_one_chain(&world);
}

/// A pass that wakes up after another one has taken its place, and looks for what killed ones have left
/// while the other one sends a large file in parts.
fn woken_in_the_middle_of_an_upload(world: &World) {
    world.write("large", noise(1, (40 << 20) + 1));
    settle();
    // What a store is tried out with is not meant.
    let is_probe = |request: &RequestInfo| {
        let key = request.key.as_deref().unwrap_or_default();
        key.ends_with("/probe") || request.query.contains("probe")
    };
    let (arrived, go_on) = hold(world, move |request| {
        request.operation == Operation::ListMultipartUploads && !is_probe(request)
    });
    let first = world.spawn(["run"]);
    arrived.recv().unwrap();
    signal(&first, Signal::STOP);
    world.expire_leases();
    let (uploading, finish_upload) = hold(world, move |request| {
        request.operation == Operation::CompleteMultipartUpload && !is_probe(request)
    });
    let second = world.spawn(["run"]);
    uploading.recv().unwrap();
    go_on.send(()).unwrap();
    signal(&first, Signal::CONT);
    let first = finish(first.wait_with_output().unwrap());
    assert_eq!(first.code, 11, "{first:?}");
    finish_upload.send(()).unwrap();
    let second = finish(second.wait_with_output().unwrap());
    assert_eq!(second.code, 0, "{second:?}");
    assert_lost(world, &first, &second);
}

#[test]
fn a_pass_that_was_stopped_gives_up_no_upload_of_a_later_one() {
    woken_in_the_middle_of_an_upload(&world());
    let mut world = world();
    world.set("DEFAULTS__METHOD", "archive");
    woken_in_the_middle_of_an_upload(&world);
}
