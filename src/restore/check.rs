//! Reading everything that a restore would, and writing nothing.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio::runtime::Handle;

use super::links::Inode;
use super::wanted::Wanted;
use super::{RestoreOptions, Shortfall};
use crate::contents::{Contents, ContentsError, Objects};
use crate::format::entry::{Content, Entry};
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::EntriesError;
use crate::snapshots::objects::{self, ObjectsError};
use crate::store::{Store, StoreError};

/// Small files that are fetched together.
const MOST_FILES: usize = 16;

/// Batches that wait for a thread.
const QUEUE: usize = 64;

/// Failures that are named; the rest is counted.
const NAMED: usize = 1000;

/// What was read.
#[derive(Debug, Default, Serialize)]
pub struct TestReport {
    /// Entries that a restore would make or find: files, links and directories.
    pub entries: u64,
    /// Files whose contents were read. Names of one file are read once.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// What the snapshot does not have; at most a thousand.
    pub lacking: Vec<Shortfall>,
    /// How much it does not have.
    pub lacking_count: u64,
    /// What could not be read, or is not what it was; at most a thousand.
    pub failures: Vec<Shortfall>,
    /// How much that is.
    pub failure_count: u64,
    /// Why the test ended early, if it did.
    pub ended_early: Option<String>,
}

struct Checker {
    contents: Contents,
    options: RestoreOptions,
    files: AtomicU64,
    bytes: AtomicU64,
    failures: Mutex<Vec<Shortfall>>,
    failure_count: AtomicU64,
    ended_early: Mutex<Option<String>>,
    progress: Box<dyn Fn(u64) + Send + Sync>,
}

/// Reads and checks what a restore with these options would write. Blocks; `progress` is told of each file with its
/// size.
///
/// # Errors
/// The store does not say where archives are.
pub fn test(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> Result<TestReport, StoreError> {
    let objects: Objects = match Handle::current().block_on(objects::load(&**store, snapshot)) {
        Ok(objects) => Ok(Arc::new(objects)),
        Err(ObjectsError::Store(error)) => return Err(error),
        Err(error) => Err(error.to_string()),
    };
    let checker = Checker {
        contents: Contents::of(store, objects, options.memory_bytes, &options.stop),
        options: options.clone(),
        files: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        failures: Mutex::default(),
        failure_count: AtomicU64::new(0),
        ended_early: Mutex::default(),
        progress: Box::new(progress),
    };
    let mut report = TestReport::default();
    std::thread::scope(|scope| {
        let (sender, receiver) = crossbeam_channel::bounded::<Vec<Entry>>(QUEUE);
        for _ in 0..options.concurrency.clamp(1, 64) {
            let (receiver, checker) = (receiver.clone(), &checker);
            scope.spawn(move || {
                for batch in receiver {
                    checker.check(&batch);
                }
            });
        }
        drop(receiver);
        checker.hand_out(store, snapshot, &mut report, &sender);
    });
    checker.finish(&mut report);
    Ok(report)
}

impl Checker {
    fn hand_out(
        &self,
        store: &Arc<dyn Store>,
        snapshot: &Snapshot,
        report: &mut TestReport,
        files: &crossbeam_channel::Sender<Vec<Entry>>,
    ) {
        let mut seen = HashSet::new();
        let mut small = Vec::new();
        for wanted in Wanted::of(store, snapshot, &self.options) {
            if self.options.stop.is_set() {
                return;
            }
            let wanted = match wanted {
                Ok(wanted) => wanted,
                Err(EntriesError::Store(error)) => return self.end_early(error.to_string()),
                Err(damaged) => {
                    self.failed("(manifest)".to_owned(), damaged.to_string());
                    continue;
                }
            };
            let lacking = wanted.lacking();
            let entry = wanted.entry;
            if entry.metadata.kind.is_skipped() {
                continue;
            }
            report.entries += 1;
            if let Some(error) = lacking {
                report.lacking_count += 1;
                if report.lacking.len() < NAMED {
                    let path = entry.path().to_string();
                    report.lacking.push(Shortfall { path, error });
                }
            }
            let Some(content) = &entry.content else {
                continue;
            };
            if Inode::of(&entry).is_some_and(|inode| !seen.insert(inode)) {
                continue;
            }
            let sent = if Contents::is_small(&entry, content) {
                small.push(entry);
                match small.len() < MOST_FILES {
                    true => continue,
                    false => files.send(std::mem::take(&mut small)),
                }
            } else {
                files.send(vec![entry])
            };
            if sent.is_err() {
                return;
            }
        }
        // Where nobody takes it any more, the test has ended early.
        let _ = files.send(small);
    }

    fn check(&self, batch: &[Entry]) {
        if let [entry] = batch
            && let Some(content) = &entry.content
        {
            return self.settle(entry, self.read(entry, content));
        }
        let wanted = batch
            .iter()
            .filter_map(|entry| Some((entry, entry.content.as_ref()?)));
        for (entry, fetched) in batch.iter().zip(self.contents.fetch(wanted)) {
            if self.options.stop.is_set() {
                return;
            }
            self.settle(entry, fetched.map(drop));
        }
    }

    fn read(&self, entry: &Entry, content: &Content) -> Result<(), ContentsError> {
        match self.options.stop.is_set() {
            true => Err(ContentsError::Stopped),
            false => self.contents.read(entry, content, |_, _| Ok(())),
        }
    }

    fn settle(&self, entry: &Entry, read: Result<(), ContentsError>) {
        match read {
            Ok(()) => {
                let bytes = entry.metadata.size;
                self.files.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                (self.progress)(bytes);
            }
            Err(ContentsError::Stopped) => {}
            Err(error) => {
                if let ContentsError::Store(error) = &error
                    && error.kind.is_fatal()
                {
                    self.end_early(error.to_string());
                }
                self.failed(entry.path().to_string(), error.to_string());
            }
        }
    }

    fn failed(&self, path: String, error: String) {
        self.failure_count.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock().expect("nothing panics holding this");
        if failures.len() < NAMED {
            failures.push(Shortfall { path, error });
        }
    }

    fn end_early(&self, reason: String) {
        let mut ended = (self.ended_early.lock()).expect("nothing panics holding this");
        ended.get_or_insert(reason);
        self.options.stop.stop();
    }

    fn finish(self, report: &mut TestReport) {
        let interrupted = self.options.stop.is_set().then(|| "interrupted".to_owned());
        let ended = (self.ended_early.into_inner()).expect("nothing panics holding this");
        let failures = self.failures.into_inner();
        report.files = self.files.into_inner();
        report.bytes = self.bytes.into_inner();
        report.failures = failures.expect("nothing panics holding this");
        report.failure_count = self.failure_count.into_inner();
        report.ended_early = ended.or(interrupted);
    }
}
