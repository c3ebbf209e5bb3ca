//! Carrying out a plan.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::fchmod;
use rustix::io::Errno;
use serde::Serialize;

use super::directory::Directory;
use super::file::{self, Placed};
use super::links::{Links, Name};
use super::metadata::Refused;
use super::plan::{Action, Plan};
use super::{RestoreOptions, Wanted, target};
use crate::contents::{Contents, ContentsError};
use crate::entries::{EntriesError, Place};
use crate::manifest::entry::{Entry, Kind};
use crate::manifest::keys::SourceName;
use crate::manifest::path::EntryPath;
use crate::manifest::snapshot::Snapshot;
use crate::source::open::Root;
use crate::store::Store;

/// Files that wait for a thread, each with its directory open.
const QUEUE: usize = 64;

/// Failures that are named; the rest is counted.
const NAMED: usize = 1000;

/// Something that was not restored, or not fully.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// What.
    pub path: String,
    /// Why.
    pub error: String,
}

/// What a restore has done.
#[derive(Debug, Default, Serialize)]
pub struct Report {
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
    /// What was not restored, at most so many.
    pub failures: Vec<Failure>,
    /// How much was not restored.
    pub failure_count: u64,
    /// Why the restore ended early, if it did.
    pub ended_early: Option<String>,
}

/// What the threads of a restore share.
pub(super) struct Worker {
    pub(super) contents: Contents,
    pub(super) options: RestoreOptions,
    /// The target.
    pub(super) root: Root,
    pub(super) links: Arc<Links>,
    restored: AtomicU64,
    restored_bytes: AtomicU64,
    kept: AtomicU64,
    failures: Mutex<Vec<Failure>>,
    failure_count: AtomicU64,
    ended_early: Mutex<Option<String>>,
    progress: Box<dyn Fn(u64) + Send + Sync>,
}

impl Worker {
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
        self.failure_count.fetch_add(1, Ordering::Relaxed);
        let mut failures = self.failures.lock().expect("nothing panics holding this");
        if failures.len() < NAMED {
            failures.push(Failure {
                path: path.to_string(),
                error: error.to_owned(),
            });
        }
    }

    /// Something is there, and may lack some of its metadata.
    pub(super) fn given_metadata(&self, entry: &Entry, given: Result<(), Refused>) {
        if let Err(refused) = given {
            self.failed(&entry.path, &format!("restored {refused}"));
        }
    }

    /// Every file after this one would fail too.
    fn end_early(&self, reason: String) {
        let mut ended = self
            .ended_early
            .lock()
            .expect("nothing panics holding this");
        ended.get_or_insert(reason);
        drop(ended);
        self.options.stop.stop();
    }

    /// Deals with what became of one entry.
    fn settle(&self, path: &EntryPath, result: Result<(), ContentsError>) {
        match result {
            Ok(()) => {}
            Err(ContentsError::Stopped) => {
                self.end_early("interrupted".to_owned());
            }
            Err(ContentsError::Write(
                error @ (Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO),
            )) => {
                let error = std::io::Error::from(error);
                self.failed(path, &error.to_string());
                self.end_early(format!("the target cannot be written: {error}"));
            }
            Err(ContentsError::Store(error)) if error.kind.is_fatal() => {
                self.failed(path, &error.to_string());
                self.end_early(error.to_string());
            }
            Err(error) => self.failed(path, &error.to_string()),
        }
    }
}

/// Carries out a plan that has no conflicts. Blocks; `progress` is told of each file with its size.
///
/// # Errors
/// The target cannot be made, or is empty and cannot be written. Whatever fails later is in the report.
pub fn apply(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    plan: &Plan,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> std::io::Result<Report> {
    let (root, made) = target::create(&options.target)?;
    if plan.target_is_empty && !made {
        target::check_writable(&root)?;
    }
    let begins = made || plan.target_is_empty;
    let root_gets_metadata = (begins || target::is_unfinished(&root)) && options.wanted.is_empty();
    if made && root_gets_metadata {
        // For good, should its entry be lost.
        fchmod(&root, target::PRIVATE_DIRECTORY)?;
    }
    if begins && root_gets_metadata {
        target::begin(&root)?;
    }
    let source = SourceName::parse(&snapshot.source).map_err(std::io::Error::other)?;
    let worker = Arc::new(Worker {
        contents: Contents::of(store, source, options.memory_bytes, &options.stop),
        options: options.clone(),
        root: root.try_clone()?.into(),
        links: Arc::default(),
        restored: AtomicU64::new(0),
        restored_bytes: AtomicU64::new(0),
        kept: AtomicU64::new(0),
        failures: Mutex::default(),
        failure_count: AtomicU64::new(0),
        ended_early: Mutex::default(),
        progress: Box::new(progress),
    });
    let mut report = Report::default();
    let wanted = Wanted::of(store, snapshot, options);

    let (sender, receiver) = crossbeam_channel::bounded::<(Placed, Name)>(QUEUE);
    let threads: Vec<_> = (0..options.concurrency.clamp(1, 64))
        .map(|_| {
            let (worker, receiver) = (Arc::clone(&worker), receiver.clone());
            std::thread::spawn(move || {
                for (placed, name) in receiver {
                    if !worker.options.stop.is_set() {
                        let result = file::restore(&worker, &placed, name);
                        worker.settle(&placed.entry.path, result);
                    }
                }
            })
        })
        .collect();
    let mut filler = Filler {
        worker: &worker,
        report: &mut report,
        open: vec![(EntryPath::ROOT, Directory::new(root, None, &worker))],
        root_gets_metadata,
        files: sender,
    };
    for wanted in wanted {
        if options.stop.is_set() {
            break;
        }
        filler.take(plan, wanted);
    }
    let Filler { open, files, .. } = filler;
    let target = open.first().map(|(_, target)| Arc::clone(target));
    // Without a sender the threads end; without the directories, those are given their metadata.
    drop((open, files));
    for thread in threads {
        // A thread that panicked has said so; its file is missing and was never renamed.
        let _ = thread.join();
    }
    if root_gets_metadata && !options.stop.is_set() {
        worker.settle(
            &EntryPath::ROOT,
            target::finish(&worker.root).map_err(Into::into),
        );
    }
    drop(target);
    // One call instead of one for each file; what was restored survives a power failure then.
    if let Err(error) = rustix::fs::syncfs(&worker.root) {
        worker.end_early(format!(
            "the target cannot be written: {}",
            std::io::Error::from(error)
        ));
    }
    worker.finish(&mut report);
    Ok(report)
}

impl Worker {
    /// Adds to the report what the threads have counted.
    fn finish(&self, report: &mut Report) {
        let ended = self
            .ended_early
            .lock()
            .expect("nothing panics holding this");
        let interrupted = self.options.stop.is_set().then(|| "interrupted".to_owned());
        report.restored = self.restored.load(Ordering::Relaxed);
        report.restored_bytes = self.restored_bytes.load(Ordering::Relaxed);
        report.kept = self.kept.load(Ordering::Relaxed);
        report.failures = self
            .failures
            .lock()
            .expect("nothing panics holding this")
            .clone();
        report.failure_count = self.failure_count.load(Ordering::Relaxed);
        report.ended_early = ended.clone().or(interrupted);
    }
}

/// Goes through the entries in order: makes directories and links, hands files out.
struct Filler<'a> {
    worker: &'a Arc<Worker>,
    report: &'a mut Report,
    /// Directories on the way to the current entry.
    open: Vec<(EntryPath, Arc<Directory>)>,
    root_gets_metadata: bool,
    files: crossbeam_channel::Sender<(Placed, Name)>,
}

impl Filler<'_> {
    fn take(&mut self, plan: &Plan, wanted: Result<(Place, Entry), EntriesError>) {
        let (place, entry) = match wanted {
            Ok(wanted) => wanted,
            Err(EntriesError::Store(error)) => {
                return self.worker.end_early(error.to_string());
            }
            Err(damaged) => {
                let path = EntryPath::parse("(manifest)").unwrap_or_default();
                return self.worker.failed(&path, &damaged.to_string());
            }
        };
        self.report.earlier_state += u64::from(entry.unreadable.is_some());
        while self.open.len() > 1
            && self
                .open
                .last()
                .is_some_and(|(dir, _)| !entry.path.is_below(dir))
        {
            self.open.pop();
        }
        if entry.metadata.kind.is_skipped() {
            self.report.special += 1;
            return;
        }
        let Some(action) = plan.action(place) else {
            let error =
                "its segment could not be read when the target was looked at; restore again";
            return self.worker.failed(&entry.path, error);
        };
        if matches!(action, Action::Skip | Action::Conflict) {
            return;
        }
        let path = entry.path.clone();
        let result = match entry.metadata.kind {
            Kind::Directory => self.directory(entry, action),
            _ => self.other(entry, action),
        };
        self.worker.settle(&path, result);
    }

    fn directory(&mut self, entry: Entry, action: Action) -> Result<(), ContentsError> {
        self.report.directories += 1;
        let Some(name) = entry.path.name() else {
            if self.root_gets_metadata
                && let Some((_, root)) = self.open.first()
            {
                let fd = root.fd.try_clone().map_err(|_| Errno::MFILE)?;
                self.open[0].1 = Directory::new(fd, Some(entry), self.worker);
            }
            return Ok(());
        };
        let above = self.above(&entry)?;
        let fd = match action {
            Action::Keep => target::enter(&above.fd, name)?,
            Action::Replace => {
                target::remove(above.open_up(), name)?;
                target::make(&above.fd, name)?
            }
            _ => target::make(above.open_up(), name)?,
        };
        let path = entry.path.clone();
        let directory = Directory::new(fd, Some(entry), self.worker);
        self.open.push((path, directory));
        Ok(())
    }

    fn other(&mut self, entry: Entry, action: Action) -> Result<(), ContentsError> {
        let placed = Placed {
            directory: self.above(&entry)?,
            entry,
            action,
        };
        if placed.entry.metadata.kind == Kind::Symlink {
            return Ok(file::restore_symlink(self.worker, &placed)?);
        }
        let name = self.worker.links.name(&placed.entry);
        let sent = self.files.send((placed, name));
        sent.map_err(|_| ContentsError::Stopped)
    }

    /// The directory an entry goes into.
    fn above(&mut self, entry: &Entry) -> Result<Arc<Directory>, ContentsError> {
        let (last, _) = self.open.last().ok_or(Errno::NOENT)?;
        let missing: Vec<_> = entry.path.directories_below(last).collect();
        for path in missing {
            self.stand_in(path)?;
        }
        let (_, directory) = self.open.last().ok_or(Errno::NOENT)?;
        Ok(Arc::clone(directory))
    }

    /// Makes a directory whose own entry is lost with a damaged segment, so that what is in it is not
    /// lost as well. Only its owner gets in: nobody knows who else may.
    fn stand_in(&mut self, path: EntryPath) -> Result<(), ContentsError> {
        let (_, above) = self.open.last().ok_or(Errno::NOENT)?;
        let name = path.name().ok_or(Errno::NOENT)?;
        let fd = match target::make(above.open_up(), name) {
            Err(Errno::EXIST) => target::enter(&above.fd, name)?,
            made => made?,
        };
        let error = "made without its metadata: its own entry is lost or failed";
        self.worker.failed(&path, error);
        self.open
            .push((path, Directory::new(fd, None, self.worker)));
        Ok(())
    }
}
