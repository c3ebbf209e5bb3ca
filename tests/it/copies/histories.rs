//! Random histories of four stores that passes write to and that are copied to one another, while processes are
//! killed, stopped before a request for as long as it pleases, or hear nothing of what they have asked for, and
//! requests arrive after somebody else has taken the lock. In half of them two stores are backed up to.
//!
//! After every step, of each store: a snapshot that exists is whole, nothing that was there has changed or is
//! gone, its snapshots follow from one another, and those that were made elsewhere say so and are the same.

mod blow;
mod brought;
mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;
use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use local_s3::HookAction;
use offsite::format::pass_id::PassId;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use serde_json::Value;

use self::blow::{BLOWS, Blow, Fate, KINDS, Running};
use crate::support::tree::settle;
use crate::support::{BUCKET, Output, SOURCE, World, finish, long, noise};
use crate::takeover::{OnTheirWay, signal};

/// Prefixes of the stores.
const STORES: [&str; 4] = ["team/", "other/", "third/", "fourth/"];
/// Steps of a history.
const STEPS: usize = 16;
/// A copy of this test makes about this many requests, a pass a few less.
const REQUESTS: usize = 30;

fn url(store: usize) -> String {
    format!("s3://{BUCKET}/{}", STORES[store])
}

/// What there was of everything, for a test that should have seen it.
#[derive(Debug, Default)]
struct Counts {
    copied: usize,
    refused: usize,
    struck: usize,
    lost: usize,
    late: usize,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.copied += other.copied;
        self.refused += other.refused;
        self.struck += other.struck;
        self.lost += other.lost;
        self.late += other.late;
    }
}

struct History {
    world: World,
    random: fastrand::Rng,
    /// Whether leases last long enough for a process that is woken up to believe in its own.
    is_patient: bool,
    late: OnTheirWay,
    running: Arc<Mutex<Option<Running>>>,
    stopped: Vec<Child>,
    /// The store whose lock somebody holds who is not at work.
    held: Option<usize>,
    /// Which stores are backed up to.
    primaries: Vec<usize>,
    /// What was seen in the bucket, by key, but for what is meant to change.
    seen: BTreeMap<String, Bytes>,
    /// Parents of all snapshots that were ever seen.
    parents: BTreeMap<PassId, Option<PassId>>,
    counts: Counts,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new();
        let is_patient = seed.is_multiple_of(2);
        world.set("LOCK__TTL_SECONDS", if is_patient { 20 } else { 3 });
        world.set("MANIFEST__SEGMENT_ENTRIES", 4);
        if random.bool() {
            world.set("DEFAULTS__METHOD", "archive");
            world.set("DEFAULTS__ARCHIVE__INCREMENTAL", random.bool());
            // The same key in every store, whatever is in it.
            world.set("DEFAULTS__ARCHIVE__KEY", "mine/{source}.{ext}");
        }
        match seed % 6 {
            // Sent in parts, which the store copies itself.
            3 => world.write("large", noise(seed, (16 << 20) + 1)),
            0 | 5 => world.write("large", noise(seed, 9 << 20)),
            _ => {}
        }
        for index in 0..4 {
            world.write(&format!("sub/{index}"), format!("{index}"));
        }
        let primaries = match random.u8(..4) {
            0 => vec![0],
            1 => vec![0, 0, 0, 1],
            2 => vec![0, 1],
            _ => vec![0, 0, 1, 2],
        };
        let history = Self {
            world,
            random,
            is_patient,
            late: OnTheirWay::default(),
            running: Arc::default(),
            stopped: Vec::new(),
            held: None,
            primaries,
            seen: BTreeMap::new(),
            parents: BTreeMap::new(),
            counts: Counts::default(),
        };
        let (running, late) = (Arc::clone(&history.running), history.late.clone());
        history
            .world
            .server
            .on_request(move |request| match &mut *running.lock().unwrap() {
                Some(running) => running.strike(request, &late),
                None => HookAction::Proceed,
            });
        history
    }

    fn step(&mut self, number: usize) {
        if self.random.bool() {
            self.world.expire_leases();
        }
        let held = self.held.take();
        match self.random.u32(..20) {
            _ if held.is_some() && self.random.u8(..4) > 0 => {
                self.take_over(number, held.unwrap_or_default());
            }
            0..5 => {
                let store = self.primary();
                self.pass(number, store, None);
            }
            5..7 => {
                let (store, other) = (self.primary(), self.random.usize(..STORES.len()));
                self.pass(number, store, Some(other).filter(|other| *other != store));
            }
            7..13 => self.copy(),
            13..16 => self.wake(),
            16..18 => self.let_go(),
            _ => {
                // Refused where nobody holds the lock.
                let store = url(self.random.usize(..STORES.len()));
                drop(self.world.offsite(["unlock", "--force", "--store", &store]));
            }
        }
        self.look();
    }

    /// Somebody else works in a store whose lock is held, and its holder is woken up.
    fn take_over(&mut self, number: usize, store: usize) {
        self.world.expire_leases();
        if self.primaries.len() > 1 && self.random.bool() {
            self.pass(number, store, None);
        } else {
            self.copy_to(store);
        }
        self.look();
        if self.random.u8(..3) > 0 {
            self.wake();
        }
    }

    fn fate(&mut self) -> Option<Fate> {
        if self.random.u8(..3) == 0 {
            return None;
        }
        let (kind, among) = KINDS[self.random.usize(..KINDS.len())];
        self.counts.struck += 1;
        let blow = match BLOWS[self.random.usize(..BLOWS.len())] {
            // Whose sender would wait for a third of the lease's time.
            Blow::Late if self.is_patient => Blow::StoppedBefore,
            blow => blow,
        };
        Some(Fate {
            blow,
            kind,
            number: self.random.usize(..among),
        })
    }

    fn primary(&mut self) -> usize {
        self.primaries[self.random.usize(..self.primaries.len())]
    }

    /// A pass to a store, which is copied to another one after it, if so.
    fn pass(&mut self, number: usize, store: usize, copied_to: Option<usize>) {
        let path = format!("file{}", number % 3);
        self.world.write(&path, format!("{number}"));
        settle();
        let fate = self.fate();
        let Some(copied_to) = copied_to else {
            self.run(fate, store, &["run", "--store", &url(store)]);
            return;
        };
        let config = self.world.path("with-copy.yaml");
        let (prefix, to, data) = (STORES[store], url(copied_to), self.world.data());
        let text = format!(
            "backup:\n  s3: {{bucket: {BUCKET}, prefix: {prefix}}}\n  \
             copies: [{{store: \"{to}\", required: true}}]\n  \
             sources: [{{name: {SOURCE}, directory: {}}}]\n",
            data.display()
        );
        std::fs::write(&config, text).unwrap();
        let args = ["run", "--config", config.to_str().unwrap()];
        let ended = self.run(fate, copied_to, &args);
        let ended = ended.filter(|output| output.code == 0);
        if ended.is_some() {
            assert_eq!(self.newest(copied_to), self.newest(store));
        }
    }

    /// A copy of what a store has, or of one of its snapshots.
    fn copy(&mut self) {
        let from = match self.random.u8(..3) {
            0 => self.random.usize(..STORES.len()),
            _ => self.primary(),
        };
        let to = self.other_than(from);
        self.copy_some(from, to);
    }

    fn copy_to(&mut self, to: usize) {
        let from = self.other_than(to);
        self.copy_some(from, to);
    }

    fn other_than(&mut self, store: usize) -> usize {
        let others: Vec<_> = (0..STORES.len()).filter(|other| *other != store).collect();
        others[self.random.usize(..others.len())]
    }

    fn copy_some(&mut self, from: usize, to: usize) {
        let ids: Vec<_> = self.snapshots(from).into_keys().collect();
        let one = match self.random.u8(..6) {
            0 if !ids.is_empty() => Some(ids[self.random.usize(..ids.len())]),
            _ => None,
        };
        let fate = self.fate();
        self.copy_between(from, to, one, fate);
    }

    /// Runs the program, which works in a store, until it ends or is stopped. What it said, if nothing has
    /// happened to it.
    fn run(&mut self, fate: Option<Fate>, store: usize, args: &[&str]) -> Option<Output> {
        let (done, is_done) = mpsc::channel();
        // Until the process is known, its requests wait.
        let running = Arc::clone(&self.running);
        let mut running = running.lock().unwrap();
        let child = self.world.spawn(args);
        let pid = Pid::from_child(&child);
        *running = Some(Running {
            fate,
            store,
            pid,
            requests: 0,
            done,
        });
        drop(running);
        let output = self.watch(child, &is_done);
        let is_at_work = output.as_ref().is_some_and(|output| output.code != -9);
        self.held = (!is_at_work || self.late.count() > 0).then_some(store);
        output.filter(|_| fate.is_none())
    }

    /// What a process said that has ended; nothing if it was stopped.
    fn watch(&mut self, child: Child, is_done: &mpsc::Receiver<()>) -> Option<Output> {
        let pid = Pid::from_child(&child);
        let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(pid), options).unwrap().unwrap();
        if status.stopped() {
            // By then the request was applied, if it is to be.
            is_done.recv().unwrap();
            *self.running.lock().unwrap() = None;
            self.stopped.push(child);
            return None;
        }
        Some(self.ended(child))
    }

    fn ended(&mut self, child: Child) -> Output {
        let output = finish(child.wait_with_output().unwrap());
        *self.running.lock().unwrap() = None;
        let is_known = [0, 1, 2, 3, 4, 10, 11, -9].contains(&output.code);
        assert!(is_known, "{output:?}");
        output
    }

    fn wake(&mut self) {
        if self.stopped.is_empty() {
            return;
        }
        let index = self.random.usize(..self.stopped.len());
        let child = self.stopped.swap_remove(index);
        signal(&child, Signal::CONT);
        let output = self.ended(child);
        self.counts.lost += usize::from(output.code == 11);
    }

    fn let_go(&mut self) {
        self.counts.late += self.late.count();
        self.late.let_go();
    }

    fn end(mut self) -> Counts {
        while !self.stopped.is_empty() {
            self.wake();
            self.look();
        }
        self.let_go();
        self.look();
        self.world.server.clear_hook();
        self.world.expire_leases();
        // Nothing happens to these, however slow the machine is.
        self.world.set("LOCK__TTL_SECONDS", 120);
        let primaries = self.primaries.iter().copied().collect::<BTreeSet<_>>();
        for store in primaries {
            let output = self.world.offsite(["run", "--store", &url(store)]);
            assert_eq!(output.code, 0, "{output:?}");
        }
        for (from, to) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 3)] {
            self.copy_between(from, to, None, None);
            self.look();
        }
        for prefix in STORES {
            let key = format!("{prefix}lock");
            if let Some(object) = self.world.server.object(BUCKET, &key) {
                let lock: Value = serde_json::from_slice(&object.bytes).unwrap();
                assert!(lock["to_void"].is_null(), "{key}: {lock}");
                assert_eq!(lock["state"], "released", "{key}: {lock}");
            }
        }
        self.counts
    }
}

/// Histories at a time: they wait for one another's end more than they work.
const AT_ONCE: usize = 4;

#[test]
fn whatever_happens_to_copies_what_is_in_a_store_is_whole_and_stays() {
    let number = |name| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    // Among these few are some that have found a commit which did not look at its lock again.
    let first = number("OFFSITE_TEST_FIRST_SEED").unwrap_or(if long() { 0 } else { 18 });
    let few = if long() { 200 } else { 6 };
    let seeds = first..first + number("OFFSITE_TEST_SEEDS").unwrap_or(few);
    let next = Mutex::new(seeds);
    let total = Mutex::new(Counts::default());
    let work = || {
        loop {
            let Some(seed) = next.lock().unwrap().next() else {
                return;
            };
            // Whoever panics is named by it.
            let thread = std::thread::Builder::new().name(format!("history {seed}"));
            let counts = thread.spawn(move || history(seed)).unwrap().join();
            let counts = counts.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            println!("history {seed}: {counts:?}");
            total.lock().unwrap().add(&counts);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let failed = threads.into_iter().filter_map(|thread| thread.join().err());
        assert_eq!(failed.count(), 0, "histories failed");
    });
    let total = total.into_inner().unwrap();
    println!("{total:?}");
    // Otherwise nothing was tried.
    assert!(total.copied > 0 && total.refused > 0, "{total:?}");
    assert!(
        total.struck > 0 && total.lost > 0 && total.late > 0,
        "{total:?}"
    );
}

fn history(seed: u64) -> Counts {
    let mut history = History::new(seed);
    for number in 0..STEPS {
        history.step(number);
    }
    history.end()
}
