//! Verify: whether what a snapshot needs is in the store, as it was put there.
//!
//! Every segment is read and compared with its digest in the commit record. Contents are compared
//! by what the store knows of them (size, and the checksum it verified when they arrived and has
//! kept, or the ETag), without reading them; or all of them are read back and hashed; or a share is,
//! which rotates with time so that every object gets its turn. Nothing is changed. The report says
//! what each object was compared by.
//!
//! An object in an archive class is compared like any other, and not read: that it is cold is a
//! state, and nothing is wrong with it. What arrives damaged is fetched again before it is called
//! damaged: bytes that differ between two reads say nothing about the store.

mod archives;
mod compare;
mod contents;
mod fetched;
mod report;
mod tally;
mod whole;
mod window;

use std::collections::HashSet;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::format::entry::Content;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{Entries, EntriesError};
use crate::snapshots::objects::{self, ObjectsError};
use crate::stop::Stop;
use crate::store::{Store, StoreError};

use self::archives::Archives;
use self::contents::Checker;
use self::report::Problem;
pub use self::report::{Compared, Finding, FindingKind, VerifyReport};
use self::tally::Tally;
pub use self::window::Window;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Depth {
    /// By what the store knows.
    Known,
    /// By reading the objects in this window back, and by what the store knows of the others.
    Read(Window),
}

impl Depth {
    fn reads(&self, content: &Content) -> bool {
        matches!(self, Self::Read(window) if window.holds(&content.sha256))
    }
}

/// Verifies one snapshot. Blocks; `progress` is told of each object, and of each file in an archive.
///
/// # Errors
/// The store fails, in a way that says nothing about the objects.
pub fn verify(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    depth: Depth,
    concurrency: usize,
    stop: &Arc<Stop>,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> Result<VerifyReport, StoreError> {
    let runtime = Handle::current();
    let mut report = VerifyReport {
        source: snapshot.source.to_string(),
        snapshot: snapshot.pass.to_string(),
        unreadable: snapshot.totals.unreadable,
        ..VerifyReport::default()
    };
    let objects = match runtime.block_on(objects::load(&**store, snapshot)) {
        Ok(objects) => Some(Arc::new(objects)),
        Err(ObjectsError::Store(error)) => return Err(error),
        Err(ObjectsError::Newer { key, error }) => {
            let problem = Problem::new(FindingKind::Record, format!("table of objects {error}"));
            report.findings.push(problem.at(".", key));
            None
        }
        Err(ObjectsError::Damaged { key, error, .. }) => {
            let problem = Problem::new(FindingKind::Record, format!("table of objects: {error}"));
            report.findings.push(problem.at(".", key));
            None
        }
    };
    // Without the table there is nothing to be said of what it names.
    let knows_objects = objects.is_some();
    let objects = objects.unwrap_or_default();
    let copied_through = snapshot.copied.as_ref().map(|copied| copied.through);
    let mut archives = Archives::look(store, &objects, copied_through, concurrency, stop)?;
    let checker = Arc::new(Checker::of(
        store,
        objects,
        copied_through,
        report,
        stop,
        progress,
    ));
    let mut tally = Tally::of(snapshot);
    let slots = Arc::new(Semaphore::new(concurrency.max(1)));
    let mut shared = HashSet::new();
    let mut tasks = Vec::new();
    let mut entries = Entries::of(store, snapshot);
    while let Some(entry) = entries.next_placed() {
        if stop.is_set() || checker.failure().is_some() {
            break;
        }
        let (place, entry) = match entry {
            Ok(placed) => placed,
            Err(EntriesError::Store(error)) => return Err(error),
            Err(EntriesError::Damaged { segment, error }) => {
                tally.leave_out(&segment.key);
                let problem = Problem::new(FindingKind::Segment, format!("segment: {error}"));
                checker.find(problem.at(&*segment.first, &*segment.key));
                continue;
            }
        };
        tally.count(place, &entry);
        let Some(content) = &entry.content else {
            continue;
        };
        let key = checker.key(content);
        let reads = depth.reads(content);
        if let Some(member) = content.member() {
            if !knows_objects {
                continue;
            }
            archives.note(member, &entry.path);
            let problem = archives.problem(member);
            let is_cold = archives.is_archived(member.of) || checker.is_refused(&key);
            if problem.is_some() || is_cold || !reads {
                if let Some(problem) = problem {
                    checker.find(problem.at(entry.path.to_string(), key));
                }
                checker.advance();
                continue;
            }
        } else if content.captured_as.is_some() || entry.hardlink.is_some() {
            // Names of one file share an object; what each has recorded of it is compared.
            let recorded = (key.clone(), content.sha256, entry.metadata.size);
            if !shared.insert(recorded) {
                continue;
            }
        }
        let slot = runtime.block_on(Arc::clone(&slots).acquire_owned());
        let checker = Arc::clone(&checker);
        tasks.retain(|task: &tokio::task::JoinHandle<()>| !task.is_finished());
        tasks.push(runtime.spawn(async move {
            checker.check(entry, key, reads).await;
            drop(slot);
        }));
    }
    for task in tasks {
        // A task that panicked has said so.
        let _ = runtime.block_on(task);
    }
    if let Some(error) = checker.failure() {
        return Err(error);
    }
    let (mut report, refused) = checker.take();
    let fetched = (depth == Depth::Read(Window::ALL)).then_some(&*checker.fetched);
    archives.settle(&mut report, &refused, fetched)?;
    if !stop.is_set() {
        report.findings.extend(tally.findings());
    }
    report.findings.sort_by(|a, b| a.path.cmp(&b.path));
    report.ended_early = stop.is_set().then(|| "interrupted".to_owned());
    Ok(report)
}
