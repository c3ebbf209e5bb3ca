//! Carrying out a plan.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{fchmod, fsync, syncfs};
use tokio::runtime::Handle;

use super::batch::Batch;
use super::directory::Directory;
use super::filler::Filler;
use super::names::Names;
use super::plan::Plan;
use super::staging::{self, StagingRecord};
use super::wanted::Wanted;
use super::worker::{RestoreReport, Worker};
use super::{RestoreOptions, leftover, target};
use crate::format::name::Order;
use crate::format::snapshot::Snapshot;
use crate::snapshots::objects::{self, ObjectsError};
use crate::source::directory::root::Root;
use crate::store::{Store, StoreError};

/// Batches that wait for a thread, each with its directory open.
const QUEUE: usize = 64;

/// Why a plan was not carried out at all.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The target cannot be made, or is empty and cannot be written.
    #[error(transparent)]
    Target(#[from] std::io::Error),
    /// The store does not say where archives are.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another restore is at work there.
    #[error("another restore is writing there{}", .0.as_ref().map_or(String::new(), |record| format!(" ({record})")))]
    InUse(Option<Box<StagingRecord>>),
}

/// Carries out a plan that has no conflicts. Blocks; `progress` is told of each file with its size.
///
/// # Errors
/// The target cannot be used at all. Whatever fails later is in the report.
pub fn apply(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    plan: &Arc<Plan>,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> Result<RestoreReport, ApplyError> {
    let objects = match Handle::current().block_on(objects::load(&**store, snapshot)) {
        Ok(objects) => Ok(Arc::new(objects)),
        Err(ObjectsError::Store(error)) => return Err(error.into()),
        Err(error) => Err(error.to_string()),
    };
    let (root, made) = target::create(&options.target)?;
    check_free(&root, plan)?;
    if plan.target_is_empty && !made {
        target::check_writable(&root).map_err(std::io::Error::from)?;
    }
    let is_all = options.is_all();
    if made && is_all && snapshot.order == Order::Path {
        // For good, should its entry be lost.
        fchmod(&root, target::PRIVATE_DIRECTORY).map_err(std::io::Error::from)?;
    }
    let record = StagingRecord {
        source: snapshot.source.to_string(),
        snapshot: snapshot.pass.to_string(),
        host: options.host.clone(),
        pid: std::process::id(),
        started_at: options.started_at,
        target_is_new: plan.target_is_unfinished || (is_all && (made || plan.target_is_empty)),
    };
    let worker = Arc::new(Worker::new(
        store,
        objects,
        options,
        plan,
        root.try_clone()?,
        record,
        Box::new(progress),
    ));
    let target = Directory::target(root, &worker);
    if worker.record.target_is_new {
        // The mark that there is more to come, before there is anything.
        target.staging().map_err(std::io::Error::from)?;
    }
    clean(&worker);
    let mut report = RestoreReport::default();
    fill(store, snapshot, &worker, &target, &mut report);
    // One call instead of one for each file; what was restored survives a power failure then.
    sync(&worker, |root| syncfs(root));
    drop(target);
    sync(&worker, |root| fsync(root));
    worker.finish(&mut report);
    Ok(report)
}

/// Makes sure that no other restore is at work in the target, here or, as far as its file system has
/// locks that hold there too, on another machine.
fn check_free(root: &OwnedFd, plan: &Plan) -> Result<(), ApplyError> {
    if !target::lock(root) {
        let there = Names::of(root).and_then(|names| leftover::find(root, &names));
        let mut there = there.into_iter().flatten();
        let record = there.find_map(|name| leftover::record(root, &name));
        return Err(ApplyError::InUse(record.map(Box::new)));
    }
    let root = Root::from(root.try_clone()?);
    for (directory, name) in &plan.leftovers {
        if let Ok(directory) = root.open_directory(directory)
            && leftover::is_in_use(&directory, name)
        {
            let record = leftover::record(&directory, name);
            return Err(ApplyError::InUse(record.map(Box::new)));
        }
    }
    Ok(())
}

/// Removes what restores that were killed have left.
fn clean(worker: &Worker) {
    for (path, name) in &worker.plan.leftovers {
        let removed = (worker.root.open_directory(path))
            .and_then(|directory| staging::remove(&directory, name));
        if let Err(error) = removed {
            worker.failed_to_clean(path, name, error);
        }
    }
}

/// Restores everything but the target's own metadata.
fn fill(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    worker: &Arc<Worker>,
    target: &Arc<Directory>,
    report: &mut RestoreReport,
) {
    let options = &worker.options;
    let (sender, receiver) = crossbeam_channel::bounded::<Batch>(QUEUE);
    let threads: Vec<_> = (0..options.concurrency.clamp(1, 64))
        .map(|_| {
            let (worker, receiver) = (Arc::clone(worker), receiver.clone());
            std::thread::spawn(move || {
                for batch in receiver {
                    if !worker.options.stop.is_set() {
                        batch.restore(&worker);
                    }
                }
            })
        })
        .collect();
    let mut filler = Filler::new(worker, report, Arc::clone(target), sender);
    for wanted in Wanted::of(store, snapshot, options) {
        if options.stop.is_set() {
            break;
        }
        filler.take(wanted);
    }
    filler.finish();
    // Without a sender the threads end; without the directories, those are given their metadata.
    for thread in threads {
        // A thread that panicked has said so; its file is missing and never got its name.
        let _ = thread.join();
    }
}

fn sync(worker: &Worker, sync: impl Fn(&Root) -> rustix::io::Result<()>) {
    if let Err(error) = sync(&worker.root) {
        let error = std::io::Error::from(error);
        worker.end_early(format!("the target cannot be written: {error}"));
    }
}
