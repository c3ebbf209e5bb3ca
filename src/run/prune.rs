//! A prune: under the lock, plan, guards, condemn. By itself, or at the end of a pass under that one's lock.

use std::time::{Duration, Instant};

use super::holders;
use super::report::{self, millis};
use super::world::{SourceOutcome, World};
use crate::events::Event;
use crate::exit::ExitCode;
use crate::format::condemned::Sentence;
use crate::format::keys::SourceName;
use crate::format::lock::Ending;
use crate::format::owner::StoreOwner;
use crate::lease::{self, Claim, Lease, LeaseError, Lost};
use crate::retention::condemn::{self, CondemnError};
use crate::retention::guards::Refused;
use crate::retention::prepare::{Kept, PlanError, Plans, plans};
use crate::stop::Stop;

/// On which terms a prune is made.
#[derive(Debug, Clone)]
pub struct Terms {
    /// How long the lease lasts without renewal.
    pub lock_ttl: Duration,
    /// How long to wait while a pass holds the lock.
    pub lock_wait: Duration,
    /// Whose store it has to be.
    pub store_owner: Option<StoreOwner>,
    /// How many snapshots are to go, if somebody has said it.
    pub expected: Option<u64>,
}

/// Why a prune did not condemn everything that it should.
#[derive(Debug, thiserror::Error)]
pub enum PruneFailure {
    /// The lock was not to be had.
    #[error(transparent)]
    NotLocked(#[from] LeaseError),
    /// It was lost.
    #[error(transparent)]
    Lost(Lost),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It removes a lot, and needs a word.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Something could not be condemned.
    #[error(transparent)]
    Condemn(CondemnError),
    /// It was told to stop.
    #[error("interrupted")]
    Stopped,
}

impl PruneFailure {
    /// The exit code of a command that ends with this.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        use crate::retention::find::FindError;
        use crate::snapshots::chain::ChainError;
        use crate::snapshots::marks::MarksError;
        match self {
            Self::NotLocked(error) => error.exit_code(),
            Self::Lost(lost) | Self::Condemn(CondemnError::Lost(lost)) => lost.exit_code(),
            Self::Refused(_) | Self::Plan(PlanError::Clocks { .. } | PlanError::Future { .. }) => {
                ExitCode::Usage
            }
            Self::Plan(PlanError::Source { error, .. } | PlanError::Last(error)) => match error {
                FindError::Store(error)
                | FindError::Chain(ChainError::Store(error))
                | FindError::Marks(MarksError::Store(error)) => error.kind.exit_code(),
                FindError::Chain(_) | FindError::Marks(_) | FindError::Prune { .. } => {
                    ExitCode::Integrity
                }
            },
            Self::Condemn(CondemnError::Store(error))
            | Self::Condemn(CondemnError::Chain(ChainError::Store(error))) => {
                error.kind.exit_code()
            }
            Self::Condemn(CondemnError::Chain(_)) => ExitCode::Integrity,
            Self::Condemn(CondemnError::Stopped) | Self::Stopped => ExitCode::Failed,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotLocked(error) => error.hint().map(str::to_owned),
            Self::Plan(error) => error.hint(),
            Self::Refused(refused) => Some(format!(
                "look at `offsite prune --dry-run`; if that is meant, say so with `offsite prune --expect-removed {}`",
                refused.removes()
            )),
            Self::Condemn(CondemnError::Store(error)) => error.kind.hint().map(str::to_owned),
            Self::Lost(_) | Self::Condemn(_) | Self::Stopped => None,
        }
    }
}

/// Condemns what the policies do not keep, and tells.
///
/// # Errors
/// Something was not condemned that should be.
pub async fn prune(world: &World, kept: &[Kept], terms: &Terms) -> Result<(), PruneFailure> {
    let began = Instant::now();
    let mut condemned = 0;
    let pruned = tokio::select! {
        pruned = under_own_lock(world, kept, terms, &mut condemned) => pruned,
        // The store does not answer any more; the lock expires.
        () = report::no_time_left(world) => Err(PruneFailure::Stopped),
    };
    tell(world, kept, pruned.as_ref(), condemned, began);
    pruned.map(drop)
}

/// Does the same for those sources of a pass that want it, under the pass's lock. What comes of it is told, and the
/// pass is what it was.
pub(super) async fn after_pass(world: &World, lease: &Lease, results: &[SourceOutcome<'_>]) {
    let wants_it = |(source, result): &SourceOutcome<'_>| {
        let retention = source.retention.as_ref().filter(|kept| kept.after_pass)?;
        let is_committed = result.is_ok();
        is_committed.then(|| (source.name.clone(), retention.clone()))
    };
    let kept: Vec<Kept> = results.iter().filter_map(wants_it).collect();
    if kept.is_empty() || world.stop.is_set() {
        return;
    }
    let began = Instant::now();
    let mut condemned = 0;
    let pruned = under_lock(world, lease, &kept, None, &mut condemned).await;
    tell(world, &kept, pruned.as_ref(), condemned, began);
}

fn tell(
    world: &World,
    kept: &[Kept],
    pruned: Result<&(Plans, Option<Sentence>), &PruneFailure>,
    condemned: u64,
    began: Instant,
) {
    let duration_ms = millis(began.elapsed());
    world.events.emit(&match pruned {
        Ok((plans, sentence)) => Event::PruneCompleted {
            prune: sentence.map(|sentence| sentence.prune),
            sources: kept.iter().map(|(source, _)| source.clone()).collect(),
            condemned,
            remaining: plans.remaining(),
            bytes_freed_at_most: plans.frees_at_most(),
            duration_ms,
        },
        Err(failure) => Event::PruneFailed {
            exit_code: failure.exit_code().code(),
            condemned,
            error: failure.to_string(),
            hint: failure.hint(),
            duration_ms,
        },
    });
}

async fn under_own_lock(
    world: &World,
    kept: &[Kept],
    terms: &Terms,
    condemned: &mut u64,
) -> Result<(Plans, Option<Sentence>), PruneFailure> {
    let world = &World {
        stop: Stop::within(&world.stop),
        ..world.clone()
    };
    let request = lease::Request {
        holder: world.holder.clone(),
        claim: Claim::Owner(terms.store_owner.clone()),
        sources: Vec::new(),
        ttl: terms.lock_ttl,
        wait: terms.lock_wait,
        random: world.random,
        boottime: world.boottime,
    };
    let observer = holders::Observer::new(world, terms.lock_wait, &[]);
    let taken = lease::acquire(&world.store, &request, &world.stop, &observer);
    let (lease, previous) = taken.await?;
    report::tell_of_owner(world, &lease, previous.as_ref(), previous.is_some()).await;
    let work = under_lock(world, &lease, kept, terms.expected, condemned);
    let pruned = tokio::select! {
        pruned = work => pruned,
        lost = lease.lost() => return Err(PruneFailure::Lost(lost)),
        () = world.stop.left() => Err(PruneFailure::Stopped),
    };
    // What passes have left is as it was.
    report::release(world, lease, Ending::Unfinished).await;
    pruned
}

async fn under_lock(
    world: &World,
    lease: &Lease,
    kept: &[Kept],
    expected: Option<u64>,
    condemned: &mut u64,
) -> Result<(Plans, Option<Sentence>), PruneFailure> {
    let plans = plans(&world.store, kept, (world.clock)()).await?;
    plans.check(expected)?;
    if plans.removes() == 0 {
        return Ok((plans, None));
    }
    let held = lease.record().await;
    let sentence = Sentence {
        prune: held.pass,
        at: world.store.now(),
    };
    let record = condemn::record(
        &plans.sources,
        plans.last.as_ref(),
        sentence,
        world.holder.clone(),
        held.store_owner,
    );
    let is_stopped = || world.stop.is_set();
    let tell = |source: &SourceName, snapshot: &crate::format::prune_record::CondemnedSnapshot| {
        *condemned += 1;
        world.events.emit(&Event::SnapshotCondemned {
            source: source.clone(),
            snapshot: snapshot.snapshot,
            committed_at: snapshot.committed_at,
            because: snapshot.because.clone(),
        });
    };
    let done = condemn::condemn(&world.store, lease, &record, is_stopped, tell).await;
    match done {
        Ok(()) => Ok((plans, Some(sentence))),
        Err(CondemnError::Lost(lost)) => Err(PruneFailure::Lost(lost)),
        Err(CondemnError::Stopped) => Err(PruneFailure::Stopped),
        Err(error) => Err(PruneFailure::Condemn(error)),
    }
}
