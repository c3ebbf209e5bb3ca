//! Random histories of passes, prunes, pins and undeletes, killed and stopped before any of their requests, their
//! answers lost, their requests arriving late, side by side.
//!
//! After every step: every snapshot that was ever committed is live or condemned, and whole; the newest one that was
//! ever committed is live; what was pinned while nobody was on the way to condemn it is live; nothing that lies in the store has changed but what
//! may. In the end everything that is condemned is undeleted and restored.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use local_s3::HookAction;
use rustix::process::{Pid, Signal, kill_process};

use super::{record, restored};
use crate::support::tree::{self, Tree, assert_same, settle};
use crate::support::{BUCKET, SOURCE, World, finish, long};
use crate::takeover::OnTheirWay;

const STEPS: usize = 14;

/// What befalls a process before its request number `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    None,
    Killed,
    /// Its request takes effect, and it never hears of it.
    Deaf,
    /// It gives up, and its request arrives much later.
    Late,
    /// It is stopped, and wakes up after others have been at work.
    Stopped,
}

#[derive(Default)]
struct Strike {
    process: AtomicI32,
    requests: AtomicUsize,
    is_struck: AtomicUsize,
}

struct History {
    world: World,
    random: fastrand::Rng,
    late: OnTheirWay,
    stopped: Vec<Child>,
    /// Trees of the snapshots that were seen, where they are known.
    trees: BTreeMap<String, Tree>,
    seen: BTreeMap<String, Bytes>,
    ever: BTreeSet<String>,
    pinned: BTreeSet<String>,
    blows: usize,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut world = World::new();
        world.set("LOCK__TTL_SECONDS", 3);
        world.set("DEFAULTS__RETENTION__KEEP_LAST", 2);
        world.set("DEFAULTS__RETENTION__AFTER_PASS", seed.is_multiple_of(3));
        world.set("RETRY__FOR", 0);
        world.set("MANIFEST__SEGMENT_ENTRIES", 4);
        for index in 0..4 {
            world.write(&format!("sub/{index}"), format!("{index}"));
        }
        Self {
            world,
            random: fastrand::Rng::with_seed(seed),
            late: OnTheirWay::default(),
            stopped: Vec::new(),
            trees: BTreeMap::new(),
            seen: BTreeMap::new(),
            ever: BTreeSet::new(),
            pinned: BTreeSet::new(),
            blows: 0,
        }
    }

    fn step(&mut self, number: usize) {
        // A lease of three seconds has expired then; clocks are still less than an hour apart.
        self.world.server.clock().advance(Duration::from_secs(60));
        if self.random.u8(..3) == 0 {
            self.late.let_go();
        }
        if self.random.u8(..3) == 0 {
            self.wake();
        }
        match self.random.u8(..10) {
            0..4 => self.pass(number),
            4..7 => {
                let removed = self.world.snapshots().len().saturating_sub(2).to_string();
                self.run(&["prune", "--expect-removed", &removed]);
            }
            7 => self.pin(),
            _ => self.undelete(),
        }
        self.look();
    }

    fn pass(&mut self, number: usize) {
        let name = format!("sub/{}", self.random.u8(..6));
        self.world.write(&name, format!("{number}"));
        settle();
        let tree = tree::read(&self.world.data());
        let before: BTreeSet<_> = self.ids().into_keys().collect();
        self.run(&["run"]);
        // Not those of a process that is still at it.
        if self.stopped.is_empty() {
            for id in self.ids().into_keys().filter(|id| !before.contains(id)) {
                self.trees.insert(id, tree.clone());
            }
        }
    }

    fn pin(&mut self) {
        let live = self.world.snapshots();
        if let Some(snapshot) = self.random.choice(live) {
            let output = self.world.offsite(["pin", &snapshot, "--reason", "x"]);
            assert_eq!(output.code, 0, "{output:?}");
            // Nobody was on the way to condemn it.
            if self.stopped.is_empty() && self.late.count() == 0 {
                self.pinned.insert(snapshot);
            }
        }
    }

    fn undelete(&mut self) {
        let condemned = self
            .ids()
            .into_iter()
            .filter(|(_, state)| state == "condemned");
        let condemned: Vec<_> = condemned.map(|(id, _)| id).collect();
        if let Some(snapshot) = self.random.choice(condemned) {
            self.run(&["undelete", &snapshot]);
        }
    }

    /// Runs a command that something may befall.
    fn run(&mut self, args: &[&str]) {
        let blow = *self
            .random
            .choice(&[
                Blow::None,
                Blow::Killed,
                Blow::Deaf,
                Blow::Late,
                Blow::Stopped,
            ])
            .unwrap();
        let at = self.random.usize(..24);
        let strike = Arc::new(Strike::default());
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        let (struck, opened, late) = (Arc::clone(&strike), Arc::clone(&gate), self.late.clone());
        self.world.server.on_request(move |_| {
            drop(opened.lock().unwrap());
            strike_at(&struck, (blow, at), &late)
        });
        let mut child = self.world.spawn(args);
        let process = i32::try_from(child.id()).unwrap();
        strike.process.store(process, Ordering::SeqCst);
        drop(closed);
        while child.try_wait().unwrap().is_none() {
            if blow == Blow::Stopped && strike.is_struck.load(Ordering::SeqCst) > 0 {
                self.stopped.push(child);
                self.blows += 1;
                self.world.server.clear_hook();
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.blows += strike.is_struck.load(Ordering::SeqCst);
        self.world.server.clear_hook();
        drop(finish(child.wait_with_output().unwrap()));
    }

    /// Wakes up who was stopped, and waits until they are through.
    fn wake(&mut self) {
        for child in std::mem::take(&mut self.stopped) {
            let process = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
            kill_process(process, Signal::CONT).unwrap();
            drop(finish(child.wait_with_output().unwrap()));
        }
    }

    /// What lies at the keys of snapshots: the state of each.
    fn ids(&self) -> BTreeMap<String, String> {
        let start = format!("snapshots/{SOURCE}/");
        let keys = self.world.keys();
        let ids = keys
            .iter()
            .filter_map(|key| key.strip_prefix(&start)?.strip_suffix(".json"));
        ids.filter_map(|id| {
            let state = record(&self.world, id)["state"].clone();
            let state = state.as_str().unwrap_or("live").to_owned();
            (state != "void").then(|| (id.to_owned(), state))
        })
        .collect()
    }

    fn look(&mut self) {
        let ids = self.ids();
        self.ever.extend(ids.keys().cloned());
        for id in &self.ever {
            assert!(ids.contains_key(id), "{id} is gone: {ids:?}");
        }
        if let Some(newest) = self.ever.last() {
            assert_eq!(ids[newest], "live", "the newest, {ids:?}");
        }
        for pinned in &self.pinned {
            assert_eq!(ids[pinned], "live", "pinned, {ids:?}");
        }
        let keys = self.world.keys();
        for (key, bytes) in &self.seen {
            let object = self.world.server.object(BUCKET, &self.world.full_key(key));
            assert_eq!(
                object.map(|object| object.bytes),
                Some(bytes.clone()),
                "{key}"
            );
        }
        for key in keys {
            let may_change = ["lock", "status.json", "probe"].contains(&&*key);
            if !may_change && !key.starts_with("snapshots/") && !self.seen.contains_key(&key) {
                let object = self.world.server.object(BUCKET, &self.world.full_key(&key));
                self.seen.insert(key, object.unwrap().bytes);
            }
        }
    }

    /// Everybody is through, and everything that was ever committed can be had.
    fn end(&mut self) {
        self.wake();
        self.late.let_go();
        self.world.server.clock().advance(Duration::from_secs(60));
        let output = self.world.offsite(["run"]);
        assert_eq!(output.code, 0, "{output:?}");
        self.look();
        let condemned = self
            .ids()
            .into_iter()
            .filter(|(_, state)| state == "condemned");
        for (id, _) in condemned.collect::<Vec<_>>() {
            let output = self.world.offsite(["undelete", &id]);
            assert_eq!(output.code, 0, "{output:?}");
        }
        assert_eq!(
            self.world.snapshots(),
            self.ever.iter().cloned().collect::<Vec<_>>()
        );
        for (id, tree) in &self.trees {
            assert_same(tree, &restored(&self.world, id));
        }
        let verified = self.world.offsite(["verify", "--read"]);
        assert_eq!(verified.code, 0, "{verified:?}");
    }
}

fn strike_at(strike: &Strike, (blow, at): (Blow, usize), late: &OnTheirWay) -> HookAction {
    let number = strike.requests.fetch_add(1, Ordering::SeqCst);
    if blow == Blow::None || number < at || strike.is_struck.swap(1, Ordering::SeqCst) > 0 {
        return HookAction::Proceed;
    }
    let process = Pid::from_raw(strike.process.load(Ordering::SeqCst)).unwrap();
    match blow {
        Blow::None => HookAction::Proceed,
        Blow::Killed => {
            let _ = kill_process(process, Signal::KILL);
            HookAction::DropBefore
        }
        Blow::Deaf => HookAction::handle_then_drop(|| ()),
        Blow::Late => late.hold(),
        Blow::Stopped => {
            let _ = kill_process(process, Signal::STOP);
            HookAction::Proceed
        }
    }
}

#[test]
fn nothing_that_was_committed_is_ever_lost_whatever_befalls_passes_and_prunes() {
    let seeds: u64 = if long() { 120 } else { 6 };
    let mut blows = 0;
    for seed in 0..seeds {
        let mut history = History::new(seed);
        for number in 0..STEPS {
            history.step(number);
        }
        history.end();
        blows += history.blows;
    }
    assert!(blows > usize::try_from(seeds).unwrap() * 3, "{blows} blows");
}
