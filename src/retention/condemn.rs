//! Condemning: what a plan removes stops existing, until it is undeleted.
//!
//! The record of the prune is written first. Then each commit record becomes condemned by `If-Match`, so that
//! nothing is changed that is not as it was read. Killed in between, what was condemned is, and the next prune
//! decides on the rest again.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::plan::SourcePlan;
use crate::format::FORMAT;
use crate::format::condemned::{self, Sentence};
use crate::format::keys::{self, SourceName};
use crate::format::lock::Holder;
use crate::format::pass_id::PassId;
use crate::format::prune_record::{CondemnedSnapshot, KeptSnapshot, PruneRecord, PrunedSource};
use crate::format::requires::Requires;
use crate::lease::{Lease, Lost};
use crate::snapshots::chain::{self, AT_ONCE, ChainError, Standing};
use crate::store::{Condition, Store, StoreError, StoreErrorKind};

/// How often somebody else may change a record between reading and replacing it.
const ATTEMPTS: u32 = 4;

/// Why not everything was condemned.
#[derive(Debug, thiserror::Error)]
pub enum CondemnError {
    /// Somebody else has the lock now.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A commit record cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
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

/// Does what a record says. `tell` hears of each snapshot once it is condemned.
///
/// # Errors
/// Something is not condemned that should be.
pub async fn condemn(
    store: &Arc<dyn Store>,
    lease: &Lease,
    record: &PruneRecord,
    is_stopped: impl Fn() -> bool,
    mut tell: impl FnMut(&SourceName, &CondemnedSnapshot),
) -> Result<(), CondemnError> {
    let sentence = Sentence {
        prune: record.prune,
        at: record.at,
    };
    let key = keys::prune(record.prune);
    store
        .put(&key, record.to_bytes().into(), &Condition::Absent)
        .await?;
    for pruned in &record.sources {
        // Together, and yet so that what is left after a kill is the latest.
        for some in pruned.condemned.chunks(AT_ONCE) {
            if let Some(lost) = lease.is_lost() {
                return Err(lost.into());
            }
            if is_stopped() {
                return Err(CondemnError::Stopped);
            }
            let mut puts = JoinSet::new();
            for condemned in some {
                let (store, source) = (Arc::clone(store), pruned.source.clone());
                let pass = condemned.snapshot;
                puts.spawn(async move { condemn_one(&*store, &source, pass, sentence).await });
            }
            for done in puts.join_all().await {
                done?;
            }
            for condemned in some {
                tell(&pruned.source, condemned);
            }
        }
    }
    Ok(())
}

async fn condemn_one(
    store: &dyn Store,
    source: &SourceName,
    pass: PassId,
    sentence: Sentence,
) -> Result<(), CondemnError> {
    let mut attempt = 1;
    loop {
        let Some(stored) = chain::stored(store, source, pass).await? else {
            // Somebody has moved it away by hand.
            return Ok(());
        };
        if matches!(stored.standing, Standing::Condemned(_)) {
            return Ok(());
        }
        let record = condemned::condemn(&stored.record, sentence).expect("it was parsed");
        let key = keys::snapshot(source, pass);
        let unchanged = Condition::Matches(stored.etag);
        match store.put(&key, record.into(), &unchanged).await {
            Ok(_) => return Ok(()),
            Err(error)
                if error.kind == StoreErrorKind::PreconditionFailed && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
