//! Carrying out a plan of putting objects back.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::beside::{Beside, SideBySide, Unread};
use super::one::{Done, NotPut, Putter};
use super::sight::{Looker, Sight};
use super::{BucketPlan, IntoBucket};
use crate::format::abilities::Abilities;
use crate::format::keys;
use crate::format::lock::{LOCK_BYTES, Lock};
use crate::format::snapshot::Snapshot;
use crate::memory::turns::{Turn, Turns};
use crate::restore::RestoreReport;
use crate::restore::worker::Counted;
use crate::snapshots::entries::EntriesError;
use crate::store::{Condition, ETag, Store, StoreError, StoreErrorKind, StoreResult, Uploader};

/// A version that no object has.
const NO_VERSION: &str = "\"00000000000000000000000000000000\"";

/// Why a plan was not carried out, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The server would overwrite what it was told not to.
    #[error(
        "the server of the bucket ignores {0} of copies: it would overwrite what others have put there meanwhile"
    )]
    IgnoresCondition(Condition),
    /// Nobody knows whether it would.
    #[error("cannot find out whether the server of the bucket keeps to conditions of copies: {0}")]
    Unproven(StoreError),
    /// The store or the bucket fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What has been found out about the server of the bucket.
#[derive(Default)]
struct Proofs {
    absent: bool,
    matches: bool,
    /// An object that this restore has made.
    made: Option<String>,
}

/// What has become of all objects so far.
#[derive(Default)]
struct Counts {
    report: RestoreReport,
    failures: Counted,
    damaged: Counted,
}

/// What the tasks of a restore share.
struct Work {
    putter: Arc<Putter>,
    counts: Mutex<Counts>,
    progress: Box<dyn Fn(u64) + Send + Sync>,
}

/// Carries out a plan that has no conflicts. Blocks; `progress` is told of each object with its size.
///
/// # Errors
/// The server of the bucket does not keep to conditions, or the store cannot be read at all. Whatever fails later is in
/// the report.
pub fn apply(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    what: &IntoBucket,
    plan: &Arc<BucketPlan>,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> Result<RestoreReport, BucketError> {
    let runtime = Handle::current();
    if let Some(abilities) = runtime.block_on(abilities(&**store, &*what.target))? {
        what.target.rely_on(abilities);
    }
    let putter = Putter {
        uploader: Uploader::new(
            Arc::clone(&what.target),
            what.memory_bytes / 2,
            what.concurrency,
        ),
        store: Arc::clone(store),
        looker: Looker::of(store, what),
        plan: Arc::clone(plan),
        copied_through: snapshot.copied.as_ref().map(|copied| copied.through),
    };
    let work = Arc::new(Work {
        putter: Arc::new(putter),
        counts: Mutex::default(),
        progress: Box::new(progress),
    });
    // Each task has a sender, and nothing is ever sent: once all have ended, there is none.
    let (task, mut ended) = mpsc::channel::<Infallible>(1);
    let handed_out = work.hand_out(store, snapshot, &task);
    drop(task);
    let _ = ended.blocking_recv();
    handed_out.map(|()| work.report())
}

/// What is known of the server of a bucket, where the store is on the same one.
async fn abilities(store: &dyn Store, target: &dyn Store) -> StoreResult<Option<Abilities>> {
    let lock = match store.get(keys::LOCK, LOCK_BYTES).await {
        Ok(object) => Lock::parse(&object.bytes).ok(),
        Err(error)
            if matches!(
                error.kind,
                StoreErrorKind::NotFound | StoreErrorKind::AccessDenied(_)
            ) =>
        {
            None
        }
        Err(error) => return Err(error),
    };
    let known = lock.and_then(|lock| lock.abilities);
    Ok(known.filter(|known| known.address == target.address()))
}

impl Work {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("nothing panics holding this")
    }

    fn hand_out(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        snapshot: &Snapshot,
        task: &mpsc::Sender<Infallible>,
    ) -> Result<(), BucketError> {
        let what = &self.putter.looker.what;
        let runtime = Handle::current();
        let turns = Turns::of(what.concurrency, runtime.clone());
        let mut proofs = Proofs::default();
        for beside in SideBySide::of(store, snapshot, what) {
            if what.stop.is_set() {
                return Ok(());
            }
            let beside = match beside {
                Ok(beside) => beside,
                Err(Unread::Entries(EntriesError::Store(error)) | Unread::Target(error)) => {
                    self.end_early(error.to_string());
                    return Ok(());
                }
                Err(Unread::Entries(damaged)) => {
                    self.found_damaged("(manifest)", &damaged.to_string());
                    continue;
                }
            };
            let Ok(turn) = turns.take() else {
                return Ok(());
            };
            let mut sight = Sight::of(&beside, what);
            if let Some(condition) = self.unproven(&beside, sight, &proofs) {
                sight =
                    runtime.block_on(self.prove(&beside, sight, &turn, condition, &mut proofs))?;
                if sight == Sight::Same {
                    continue;
                }
            }
            let (work, task) = (Arc::clone(self), task.clone());
            runtime.spawn(async move {
                work.put_back(&beside, sight, &turn).await;
                drop((turn, task));
            });
        }
        Ok(())
    }

    /// The condition that an object needs, if nobody knows yet whether the server keeps to it.
    fn unproven(&self, beside: &Beside, sight: Sight, proofs: &Proofs) -> Option<Condition> {
        let what = &self.putter.looker.what;
        let is_small = beside.entry.metadata.size <= what.whole_bytes;
        if what.unconditional || !is_small || !self.putter.can_copy(&beside.entry) {
            return None;
        }
        match sight {
            Sight::Nothing => (!proofs.absent).then_some(Condition::Absent),
            Sight::Same => None,
            Sight::Different | Sight::Unclear => {
                let no_version = ETag(NO_VERSION.to_owned());
                (!proofs.matches).then_some(Condition::Matches(no_version))
            }
        }
    }

    /// Finds out whether the server keeps to a condition, before much rests on it. What is made for that is the object
    /// itself, if nothing is in its place.
    async fn prove(
        &self,
        beside: &Beside,
        mut sight: Sight,
        turn: &Turn,
        condition: Condition,
        proofs: &mut Proofs,
    ) -> Result<Sight, BucketError> {
        let target = &self.putter.looker.what.target;
        if sight == Sight::Unclear {
            sight = self.putter.looker.look(&beside.entry, beside.key()).await?;
        }
        match sight {
            Sight::Same => {
                self.count(beside, Ok(Done::Kept));
                return Ok(Sight::Same);
            }
            Sight::Nothing => {
                let put = self.putter.put_back(beside, sight, turn).await;
                let is_made = put.is_ok();
                self.count(beside, put);
                if !is_made {
                    return Ok(Sight::Same);
                }
                proofs.made = Some(beside.key().to_owned());
                sight = Sight::Same;
            }
            Sight::Different | Sight::Unclear => {}
        }
        let copies = target.copies().expect("its server copies");
        let key = proofs.made.as_deref().unwrap_or(beside.key());
        match copies.keeps_to(&condition, key).await {
            Ok(true) => {}
            Ok(false) => return Err(BucketError::IgnoresCondition(condition)),
            Err(error) if matches!(error.kind, StoreErrorKind::Rejected(_)) => {
                return Err(BucketError::Unproven(error));
            }
            Err(error) => return Err(error.into()),
        }
        match condition {
            Condition::Absent => proofs.absent = true,
            Condition::Matches(_) => proofs.matches = true,
        }
        Ok(sight)
    }

    async fn put_back(&self, beside: &Beside, sight: Sight, turn: &Turn) {
        let put = self.putter.put_back(beside, sight, turn).await;
        self.count(beside, put);
    }

    fn count(&self, beside: &Beside, put: Result<Done, NotPut>) {
        let size = beside.entry.metadata.size;
        let mut counts = self.counts();
        match put {
            Ok(done) => {
                let report = &mut counts.report;
                report.earlier_state += u64::from(beside.entry.unreadable.is_some());
                match done {
                    Done::Put => {
                        report.restored += 1;
                        report.restored_bytes += size;
                    }
                    Done::Kept => report.kept += 1,
                }
                (self.progress)(if done == Done::Put { size } else { 0 });
            }
            Err(NotPut::Stopped) => {}
            Err(error) => {
                if error.is_damage() {
                    counts.damaged.add(&beside.key(), &error.to_string());
                }
                counts.failures.add(&beside.key(), &error.to_string());
                // Where others could be put, it is denied to this key alone.
                let is_alone = error.is_denied() && counts.report.restored > 0;
                drop(counts);
                if let Some(reason) = error.is_fatal().filter(|_| !is_alone) {
                    self.end_early(reason);
                }
            }
        }
    }

    fn found_damaged(&self, path: &str, error: &str) {
        let mut counts = self.counts();
        counts.damaged.add(&path, error);
        counts.failures.add(&path, error);
    }

    /// Every object after this one would fail too.
    fn end_early(&self, reason: String) {
        self.counts().report.ended_early.get_or_insert(reason);
        self.putter.looker.what.stop.stop();
    }

    fn report(&self) -> RestoreReport {
        let Counts {
            mut report,
            failures,
            damaged,
        } = std::mem::take(&mut *self.counts());
        let interrupted = (self.putter.looker.what.stop.is_set()).then(|| "interrupted".to_owned());
        report.ended_early = report.ended_early.or(interrupted);
        (report.failures, report.failure_count) = (failures.named, failures.count);
        (report.damaged, report.damaged_count) = (damaged.named, damaged.count);
        report
    }
}
