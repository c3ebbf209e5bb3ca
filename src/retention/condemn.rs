//! Condemning: what a plan removes stops existing, until it is undeleted.
//!
//! The record of the prune is written first. Then pins are looked at again, and each commit record becomes condemned if it
//! still is the version that the plan has seen: whoever undeletes makes another one of it. Killed in between, what was
//! condemned is, and the next prune decides on the rest again.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::plan::{Decision, Removal, SourcePlan};
use crate::format::FORMAT;
use crate::format::condemned::{self, Sentence};
use crate::format::keys::{self, SourceName};
use crate::format::lock::Holder;
use crate::format::pass_id::PassId;
use crate::format::prune_record::{CondemnedSnapshot, KeptSnapshot, PruneRecord, PrunedSource};
use crate::format::requires::Requires;
use crate::lease::{Lease, Lost};
use crate::snapshots::chain::{self, AT_ONCE, ChainError, Standing};
use crate::snapshots::marks::{Marks, MarksError};
use crate::store::{Condition, ETag, Store, StoreError, StoreErrorKind};

/// Why not everything was condemned.
#[derive(Debug, thiserror::Error)]
pub enum CondemnError {
    /// Somebody else has the lock now.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A commit record cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A mark cannot be read.
    #[error(transparent)]
    Marks(#[from] MarksError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The prune was told to stop.
    #[error("interrupted")]
    Stopped,
}

/// What a prune is about to do, to be written down. `earlier` is the record of the last prune, for those sources
/// that this one leaves alone.
#[must_use]
pub fn record(
    plans: &[SourcePlan],
    earlier: Option<&PruneRecord>,
    sentence: Sentence,
    by: Holder,
    owner: Option<crate::format::owner::StoreOwner>,
) -> PruneRecord {
    let is_planned = |source: &SourceName| plans.iter().any(|plan| plan.source == *source);
    let others = earlier.iter().flat_map(|record| &record.sources);
    let others = others.filter(|pruned| !is_planned(&pruned.source));
    let others = others.map(|pruned| PrunedSource {
        kept: Vec::new(),
        condemned: Vec::new(),
        ..pruned.clone()
    });
    PruneRecord {
        format: FORMAT,
        requires: Requires::default(),
        prune: sentence.prune,
        at: sentence.at,
        by,
        owner,
        sources: plans.iter().map(pruned).chain(others).collect(),
        offsite: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn pruned(plan: &SourcePlan) -> PrunedSource {
    let kept = plan.snapshots.iter().filter(|one| one.removed.is_none());
    PrunedSource {
        source: plan.source.clone(),
        policy: Some(plan.policy.clone()),
        remaining: plan.remaining(),
        kept: kept
            .map(|decision| KeptSnapshot {
                snapshot: decision.snapshot,
                after: decision.after,
                because: decision.kept.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        condemned: plan
            .removed()
            .map(|(decision, why)| CondemnedSnapshot {
                snapshot: decision.snapshot,
                committed_at: decision.committed_at,
                uploaded_bytes: decision.uploaded_bytes,
                because: why.to_string(),
            })
            .collect(),
    }
}

/// Does what plans say, once `record` says so too. `tell` hears of each snapshot that is condemned. What somebody has
/// pinned or changed since the plan was made is left alone.
///
/// # Errors
/// Something is not condemned that should be.
pub async fn condemn(
    store: &Arc<dyn Store>,
    lease: &Lease,
    (plans, record): (&[SourcePlan], &PruneRecord),
    is_stopped: impl Fn() -> bool,
    mut tell: impl FnMut(&SourceName, &Decision, Removal),
) -> Result<(), CondemnError> {
    let sentence = Sentence {
        prune: record.prune,
        at: record.at,
    };
    let key = keys::prune(record.prune);
    store
        .put(&key, record.to_bytes().into(), &Condition::Absent)
        .await?;
    for plan in plans {
        let removed: Vec<_> = plan.removed().collect();
        if removed.is_empty() {
            continue;
        }
        let marks = Marks::read(store, &plan.source).await?;
        let is_pinned = |one: &Decision| marks.pin(one.snapshot, store.now()).is_some();
        let removed: Vec<_> = removed
            .into_iter()
            .filter(|(one, _)| !is_pinned(one))
            .collect();
        for some in removed.chunks(AT_ONCE) {
            lease.ensure().await?;
            if is_stopped() {
                return Err(CondemnError::Stopped);
            }
            let mut puts = JoinSet::new();
            for (index, (decision, _)) in some.iter().enumerate() {
                let (store, source) = (Arc::clone(store), plan.source.clone());
                let (pass, etag) = (decision.snapshot, decision.etag.clone());
                puts.spawn(async move {
                    let done = condemn_one(&*store, &source, pass, etag, sentence).await;
                    (index, done)
                });
            }
            let mut failed = None;
            let mut done = puts.join_all().await;
            done.sort_by_key(|(index, _)| *index);
            for (index, done) in done {
                let (decision, why) = some[index];
                match done {
                    Ok(true) => tell(&plan.source, decision, why),
                    Ok(false) => {}
                    Err(error) => drop(failed.get_or_insert(error)),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Condemns a snapshot whose record is still the version that the plan has seen; whether it is condemned now.
async fn condemn_one(
    store: &dyn Store,
    source: &SourceName,
    pass: PassId,
    planned: ETag,
    sentence: Sentence,
) -> Result<bool, CondemnError> {
    let Some(stored) = chain::stored(store, source, pass).await? else {
        // Somebody has moved it away by hand.
        return Ok(false);
    };
    if stored.etag != planned {
        return Ok(false);
    }
    let record = condemned::condemn(&stored.record, sentence).expect("it was parsed");
    let key = keys::snapshot(source, pass);
    let unchanged = Condition::Matches(planned);
    match store.put(&key, record.into(), &unchanged).await {
        Ok(_) => Ok(true),
        // An earlier try may have arrived although its answer did not. Whatever else it is, somebody meant it.
        Err(error) if error.kind == StoreErrorKind::PreconditionFailed => {
            let now = chain::stored(store, source, pass).await?;
            Ok(now.is_some_and(|now| match now.standing {
                Standing::Condemned(condemned) => condemned.sentence == sentence,
                Standing::Live(_) => false,
            }))
        }
        Err(error) => Err(error.into()),
    }
}
