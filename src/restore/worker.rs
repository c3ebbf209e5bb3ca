//! What the threads of a restore share, and what has become of it.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;
use serde::Serialize;

use super::links::Links;
use super::metadata::NotGiven;
use super::plan::Plan;
use super::staging::{StagingName, StagingRecord};
use super::{RestoreOptions, Shortfall};
use crate::contents::{Contents, ContentsError, Objects};
use crate::format::entry::Entry;
use crate::format::path::EntryPath;
use crate::source::directory::root::Root;
use crate::store::{Store, StoreErrorKind};
use crate::unnamed::Unnamed;

/// Failures that are named; the rest is counted.
const NAMED: usize = 1000;

/// What a restore has done.
#[derive(Debug, Default, Serialize)]
pub struct RestoreReport {
    /// Files and links made.
    pub restored: u64,
    /// Bytes of files made.
    pub restored_bytes: u64,
    /// Files and links that were there already.
    pub kept: u64,
    /// Directories.
    pub directories: u64,
    /// Sockets, pipes and devices, which are not restored.
    pub special: u64,
    /// Entries that show the state of an earlier pass, because the snapshot's could not read them.
    pub earlier_state: u64,
    /// What was not restored, or not fully; at most a thousand.
    pub failures: Vec<Shortfall>,
    /// How much was not restored.
    pub failure_count: u64,
    /// Those of them that the backup is to blame for: the store or the manifest has something else, or nothing.
    #[serde(skip)]
    pub damaged: Vec<Shortfall>,
    /// How many that are.
    #[serde(skip)]
    pub damaged_count: u64,
    /// Why the restore ended early, if it did.
    pub ended_early: Option<String>,
}

/// Why something was not restored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unrestored {
    /// It was not read from the store, or not written.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The target refuses it.
    #[error("cannot be written: {}", std::io::Error::from(*.0))]
    Target(#[from] Errno),
    /// Its place was free when the target was looked at.
    #[error("something else has come there since the restore began; restore again")]
    Appeared,
    /// Its name is free, and yet taken.
    #[error(
        "the target takes its name for that of another entry, as file systems do that ignore case"
    )]
    Alias,
}

impl Unrestored {
    /// Whether the backup is to blame: what was recorded of it is not what there is.
    fn is_damage(&self) -> bool {
        match self {
            Self::Contents(ContentsError::Altered(_) | ContentsError::Unknown(_)) => true,
            Self::Contents(ContentsError::Store(error)) => matches!(
                error.kind,
                StoreErrorKind::NotFound | StoreErrorKind::TooShort
            ),
            _ => false,
        }
    }

    /// Why everything that follows would fail too, if it would.
    fn is_fatal(&self) -> Option<String> {
        match self {
            Self::Contents(ContentsError::Stopped) => Some("interrupted".to_owned()),
            Self::Contents(ContentsError::Store(error)) if error.kind.is_fatal() => {
                Some(error.to_string())
            }
            Self::Contents(ContentsError::Write(error)) | Self::Target(error) => {
                let is_fatal = matches!(
                    *error,
                    Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO
                );
                let error = std::io::Error::from(*error);
                is_fatal.then(|| format!("the target cannot be written: {error}"))
            }
            _ => None,
        }
    }
}

/// What was not restored, or not fully.
#[derive(Default)]
struct Failures {
    all: Counted,
    damaged: Counted,
}

/// Shortfalls, the first of them by name.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) named: Vec<Shortfall>,
    pub(super) count: u64,
}

impl Counted {
    pub(super) fn add(&mut self, path: &impl fmt::Display, error: &str) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(Shortfall {
                path: path.to_string(),
                error: error.to_owned(),
            });
        }
    }
}

/// What the threads of a restore share.
pub(super) struct Worker {
    pub(super) contents: Contents,
    pub(super) options: RestoreOptions,
    pub(super) plan: Arc<Plan>,
    /// The target.
    pub(super) root: Root,
    pub(super) links: Arc<Links>,
    /// What staging directories are called.
    pub(super) staging_name: StagingName,
    pub(super) record: StagingRecord,
    /// Files that have no name while they are made.
    pub(super) unnamed: Unnamed,
    restored: AtomicU64,
    restored_bytes: AtomicU64,
    kept: AtomicU64,
    failures: Mutex<Failures>,
    ended_early: Mutex<Option<String>>,
    progress: Box<dyn Fn(u64) + Send + Sync>,
}

impl Worker {
    pub(super) fn new(
        store: &Arc<dyn Store>,
        objects: Objects,
        options: &RestoreOptions,
        plan: &Arc<Plan>,
        root: OwnedFd,
        record: StagingRecord,
        progress: Box<dyn Fn(u64) + Send + Sync>,
    ) -> Self {
        Self {
            contents: Contents::of(store, objects, options.memory_bytes, &options.stop),
            options: options.clone(),
            plan: Arc::clone(plan),
            root: root.into(),
            links: Arc::default(),
            staging_name: plan.staging_name.clone(),
            record,
            unnamed: Unnamed::default(),
            restored: AtomicU64::new(0),
            restored_bytes: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            failures: Mutex::default(),
            ended_early: Mutex::default(),
            progress,
        }
    }

    pub(super) fn restored(&self, bytes: u64) {
        self.restored.fetch_add(1, Ordering::Relaxed);
        self.restored_bytes.fetch_add(bytes, Ordering::Relaxed);
        (self.progress)(bytes);
    }

    pub(super) fn kept(&self) {
        self.kept.fetch_add(1, Ordering::Relaxed);
        (self.progress)(0);
    }

    pub(super) fn failed(&self, path: &EntryPath, error: &str) {
        let mut failures = self.failures.lock().expect("nothing panics holding this");
        failures.all.add(path, error);
    }

    /// The same for what the backup is to blame for.
    pub(super) fn found_damaged(&self, path: &EntryPath, error: &str) {
        let mut failures = self.failures.lock().expect("nothing panics holding this");
        failures.all.add(path, error);
        failures.damaged.add(path, error);
    }

    /// Something is there, and may lack some of its metadata.
    pub(super) fn given_metadata(&self, entry: &Entry, given: Result<(), NotGiven>) {
        if let Err(refused) = given {
            self.failed(entry.path(), &format!("restored {refused}"));
        }
    }

    /// A staging directory stays behind.
    pub(super) fn failed_to_clean(&self, directory: &EntryPath, name: &StagingName, error: Errno) {
        let error = std::io::Error::from(error);
        let path = directory.join(name.as_str().as_bytes());
        let path = path.unwrap_or_else(|_| directory.clone());
        let error = format!("what a restore has staged there cannot be removed: {error}");
        self.failed(&path, &error);
    }

    /// Every file after this one would fail too.
    pub(super) fn end_early(&self, reason: String) {
        let mut ended = self
            .ended_early
            .lock()
            .expect("nothing panics holding this");
        ended.get_or_insert(reason);
        drop(ended);
        self.options.stop.stop();
    }

    /// Deals with what became of one entry.
    pub(super) fn settle(&self, path: &EntryPath, result: Result<(), Unrestored>) {
        let Err(error) = result else { return };
        match &error {
            Unrestored::Contents(ContentsError::Stopped) => {}
            error if error.is_damage() => self.found_damaged(path, &error.to_string()),
            error => self.failed(path, &error.to_string()),
        }
        if let Some(reason) = error.is_fatal() {
            self.end_early(reason);
        }
    }

    /// Adds to the report what the threads have counted.
    pub(super) fn finish(&self, report: &mut RestoreReport) {
        let ended = self
            .ended_early
            .lock()
            .expect("nothing panics holding this");
        let interrupted = self.options.stop.is_set().then(|| "interrupted".to_owned());
        report.restored = self.restored.load(Ordering::Relaxed);
        report.restored_bytes = self.restored_bytes.load(Ordering::Relaxed);
        report.kept = self.kept.load(Ordering::Relaxed);
        let mut failures = self.failures.lock().expect("nothing panics holding this");
        let Failures { all, damaged } = std::mem::take(&mut *failures);
        (report.failures, report.failure_count) = (all.named, all.count);
        (report.damaged, report.damaged_count) = (damaged.named, damaged.count);
        report.ended_early = ended.clone().or(interrupted);
    }
}
