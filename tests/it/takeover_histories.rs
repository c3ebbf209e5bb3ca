//! Random histories of passes that are killed, stopped for as long as it pleases, cut off from the store
//! in the middle of their commit, or robbed of their lock: whatever happens, there is one chain of
//! snapshots, and each of them restores to what was there.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::{Arc, Mutex};

use local_s3::{HookAction, RequestInfo};
use rustix::process::Signal;

use crate::support::tree::{self, Tree, assert_same, settle};
use crate::support::{World, finish};
use crate::takeover::{OnTheirWay, assert_one_chain, is_commit, is_record, lock, signal};

/// Steps of a history.
const STEPS: usize = 14;
/// A pass of this test makes some twenty requests.
const REQUESTS: usize = 20;

/// What is to become of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ends,
    /// Killed at its request of this number.
    Killed(usize),
    /// Stopped at its request of this number, until it is woken up.
    Stopped(usize),
    /// Its commit is on its way for long, and it hears nothing of it.
    CommitOnItsWay,
    /// So is everything that it writes under that key.
    RecordsOnTheirWay,
}

struct Running {
    fate: Fate,
    pid: Option<rustix::process::Pid>,
    requests: usize,
}

struct History {
    world: World,
    random: fastrand::Rng,
    late: OnTheirWay,
    /// Passes by the name that their requests carry.
    running: Arc<Mutex<BTreeMap<String, Running>>>,
    stopped: Vec<Child>,
    /// The source as the passes that began with it saw it.
    trees: Vec<Tree>,
}

/// The SDK puts this variable into the user agent of every request.
const NAME: &str = "AWS_SDK_UA_APP_ID";

impl History {
    fn new(seed: u64) -> Self {
        let mut world = World::new();
        world.set("LOCK__TTL_SECONDS", 3);
        let history = Self {
            world,
            random: fastrand::Rng::with_seed(seed),
            late: OnTheirWay::default(),
            running: Arc::default(),
            stopped: Vec::new(),
            trees: Vec::new(),
        };
        let (running, late) = (Arc::clone(&history.running), history.late.clone());
        history.world.server.on_request(move |request| {
            let mut running = running.lock().unwrap();
            let agent = request.header("user-agent").unwrap_or_default();
            let named = running
                .iter_mut()
                .find(|(name, _)| agent.contains(&format!("app/{name}")));
            match named {
                Some((_, running)) => strike(running, request, &late),
                None => HookAction::Proceed,
            }
        });
        history
    }

    fn fate(&mut self) -> Fate {
        let at = self.random.usize(..REQUESTS);
        match self.random.u32(..10) {
            0..3 => Fate::Ends,
            3..5 => Fate::Killed(at),
            5..8 => Fate::Stopped(at),
            8 => Fate::CommitOnItsWay,
            _ => Fate::RecordsOnTheirWay,
        }
    }

    fn step(&mut self, number: usize) {
        match self.random.u32(..10) {
            0..6 => self.pass(number),
            6..8 => self.wake(),
            8 => self.late.let_go(),
            // Refused where nobody holds the lock, or somebody is at it.
            _ => drop(self.world.offsite(["unlock", "--force"])),
        }
        assert_one_chain(&self.world);
    }

    fn pass(&mut self, number: usize) {
        self.world
            .write(&format!("file{}", number % 3), format!("{number}"));
        settle();
        self.trees.push(tree::read(&self.world.data()));
        if self.random.bool() {
            self.world.expire_leases();
        }
        let (name, fate) = (format!("p{number}x"), self.fate());
        let running = Running {
            fate,
            pid: None,
            requests: 0,
        };
        self.world.env(NAME, &name);
        // Until the process is known, its requests wait.
        let mut all = self.running.lock().unwrap();
        all.insert(name.clone(), running);
        let child = self.world.spawn(["run"]);
        let pid = rustix::process::Pid::from_child(&child);
        all.get_mut(&name).unwrap().pid = Some(pid);
        drop(all);
        self.world.unset(NAME);
        self.watch(child);
    }

    /// Waits for the end of a process, or until it is stopped.
    fn watch(&mut self, child: Child) {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let pid = rustix::process::Pid::from_child(&child);
        let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(pid), options).unwrap().unwrap();
        if status.stopped() {
            self.stopped.push(child);
            return;
        }
        let output = finish(child.wait_with_output().unwrap());
        assert!([0, 1, 11, -9].contains(&output.code), "{output:?}");
    }

    fn wake(&mut self) {
        if self.stopped.is_empty() {
            return;
        }
        let index = self.random.usize(..self.stopped.len());
        let child = self.stopped.swap_remove(index);
        signal(&child, Signal::CONT);
        let output = finish(child.wait_with_output().unwrap());
        assert!([0, 1, 11, -9].contains(&output.code), "{output:?}");
    }

    fn end(mut self) {
        while !self.stopped.is_empty() {
            self.wake();
            assert_one_chain(&self.world);
        }
        self.late.let_go();
        assert_one_chain(&self.world);
        self.world.server.clear_hook();
        self.world.expire_leases();
        self.world.back_up();
        self.late.let_go();
        assert_one_chain(&self.world);
        assert!(lock(&self.world)["to_void"].is_null());
        let now = tree::read(&self.world.data());
        assert_same(&now, &tree::read(&self.world.restored_latest()));
        for snapshot in self.world.snapshots() {
            let restored = tree::read(&self.world.restored(&snapshot));
            let is_known = self.trees.contains(&restored) || restored == now;
            assert!(is_known, "{snapshot} is of no time: {restored:?}");
        }
        let verified = self.world.offsite(["verify"]);
        assert_eq!(verified.code, 0, "{verified:?}");
    }
}

/// What becomes of a request of a pass whose fate is known.
fn strike(running: &mut Running, request: &RequestInfo, late: &OnTheirWay) -> HookAction {
    let number = running.requests;
    running.requests += 1;
    let send = |signal| {
        let _ = rustix::process::kill_process(running.pid.unwrap(), signal);
    };
    match running.fate {
        Fate::Killed(at) if at == number => {
            send(Signal::KILL);
            HookAction::DropBefore
        }
        Fate::Stopped(at) if at == number => {
            send(Signal::STOP);
            HookAction::Proceed
        }
        Fate::CommitOnItsWay if is_commit(request) => late.hold(),
        Fate::RecordsOnTheirWay if is_record(request) => late.hold(),
        _ => HookAction::Proceed,
    }
}

#[test]
fn whatever_happens_to_passes_there_is_one_chain_of_snapshots() {
    let seeds = std::env::var("OFFSITE_TEST_SEEDS");
    let seeds: u64 = seeds.map_or(6, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        println!("history {seed}");
        let mut history = History::new(seed);
        for number in 0..STEPS {
            history.step(number);
        }
        history.end();
    }
}
