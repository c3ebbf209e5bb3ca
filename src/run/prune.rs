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
use crate::retention::plan::{Decision, Removal};
use crate::retention::prepare::{HINT, Kept, PlanError, Plans, plans};
use crate::snapshots::chain::ChainError;
use crate::snapshots::marks::MarksError;
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
    /// Of some sources nothing was removed: a lot would go, and nobody has said how much.
    #[error("{}", reasons.join("; "))]
    Refused {
        /// Why, for each.
        reasons: Vec<String>,
        /// How many snapshots would go of them.
        removes: u64,
    },
    /// Another number of snapshots would go than was said.
    #[error("{removes} snapshots would be removed, not {expected}")]
    Unexpected {
        /// What was said.
        expected: u64,
        /// How many would go.
        removes: u64,
    },
    /// Of some sources nothing was removed, because something of them cannot be understood.
    #[error("{}", .0.join("; "))]
    Unread(Vec<String>),
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
        match self {
            Self::NotLocked(error) => error.exit_code(),
            Self::Lost(lost) | Self::Condemn(CondemnError::Lost(lost)) => lost.exit_code(),
            Self::Refused { .. }
            | Self::Unexpected { .. }
            | Self::Plan(PlanError::Clocks { .. }) => ExitCode::Usage,
            Self::Plan(PlanError::Store(error))
            | Self::Condemn(
                CondemnError::Store(error)
                | CondemnError::Chain(ChainError::Store(error))
                | CondemnError::Marks(MarksError::Store(error)),
            ) => error.kind.exit_code(),
            Self::Unread(_)
            | Self::Plan(PlanError::Last(_))
            | Self::Condemn(CondemnError::Chain(_) | CondemnError::Marks(_)) => ExitCode::Integrity,
            Self::Condemn(CondemnError::Stopped) | Self::Stopped => ExitCode::Failed,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotLocked(error) => error.hint().map(str::to_owned),
            Self::Plan(error) => error.hint().map(str::to_owned),
            Self::Refused { removes, .. } | Self::Unexpected { removes, .. } => Some(format!(
                "look at `offsite prune --dry-run`; if that is meant, run `offsite prune --expect-removed {removes}`"
            )),
            Self::Unread(_) => Some(HINT.to_owned()),
            Self::Condemn(CondemnError::Store(error)) => error.kind.hint().map(str::to_owned),
            Self::Lost(_) | Self::Condemn(_) | Self::Stopped => None,
        }
    }
}

/// What a prune has done.
struct Done {
    plans: Plans,
    sentence: Option<Sentence>,
    /// What it has not done, though it should.
    left: Option<PruneFailure>,
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
    tell(world, pruned.as_ref(), condemned, began);
    pruned?.left.map_or(Ok(()), Err)
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
    tell(world, pruned.as_ref(), condemned, began);
}

fn tell(world: &World, pruned: Result<&Done, &PruneFailure>, condemned: u64, began: Instant) {
    let duration_ms = millis(began.elapsed());
    let failure = match pruned {
        Ok(done) => done.left.as_ref(),
        Err(failure) => Some(failure),
    };
    if let Some(failure) = failure {
        world.events.emit(&Event::PruneFailed {
            exit_code: failure.exit_code().code(),
            condemned,
            error: failure.to_string(),
            hint: failure.hint(),
            duration_ms,
        });
        return;
    }
    if let Ok(Done {
        plans, sentence, ..
    }) = pruned
    {
        world.events.emit(&Event::PruneCompleted {
            prune: sentence.map(|sentence| sentence.prune),
            sources: plans
                .sources
                .iter()
                .map(|plan| plan.source.clone())
                .collect(),
            condemned,
            remaining: plans.remaining(),
            bytes_freed_at_most: plans.frees_at_most(),
            duration_ms,
        });
    }
}

async fn under_own_lock(
    world: &World,
    kept: &[Kept],
    terms: &Terms,
    condemned: &mut u64,
) -> Result<Done, PruneFailure> {
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
) -> Result<Done, PruneFailure> {
    let mut plans = plans(&world.store, kept, (world.clock)()).await?;
    let all = plans.removes();
    let unread: Vec<_> = plans
        .unread
        .iter()
        .map(|(source, error)| format!("source `{source}`: {error}"))
        .collect();
    let reasons = match plans.guard(expected) {
        Ok(reasons) => reasons,
        // The number may be right, and what it was made of cannot be seen.
        Err(_) if !unread.is_empty() => return Err(PruneFailure::Unread(unread)),
        Err(removes) => {
            let expected = expected.unwrap_or(0);
            return Err(PruneFailure::Unexpected { expected, removes });
        }
    };
    let left = match (reasons.is_empty(), unread.is_empty()) {
        (false, _) => Some(PruneFailure::Refused {
            reasons,
            removes: all - plans.removes(),
        }),
        (true, false) => Some(PruneFailure::Unread(unread)),
        (true, true) => None,
    };
    if !plans.is_news() {
        let sentence = None;
        return Ok(Done {
            plans,
            sentence,
            left,
        });
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
    let tell = |source: &SourceName, decision: &Decision, why: Removal| {
        *condemned += 1;
        world.events.emit(&Event::SnapshotCondemned {
            source: source.clone(),
            snapshot: decision.snapshot,
            committed_at: decision.committed_at,
            because: why.to_string(),
        });
    };
    let what = (&plans.sources[..], &record);
    let done = condemn::condemn(&world.store, lease, what, is_stopped, tell).await;
    match done {
        Ok(()) => Ok(Done {
            plans,
            sentence: Some(sentence),
            left,
        }),
        Err(CondemnError::Lost(lost)) => Err(PruneFailure::Lost(lost)),
        Err(CondemnError::Stopped) => Err(PruneFailure::Stopped),
        Err(error) => Err(PruneFailure::Condemn(error)),
    }
}
