//! From what is configured and what there is to plans.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Retention;
use super::find::{self, FindError};
use super::guards::{self, Refused};
use super::plan::SourcePlan;
use crate::format::keys::SourceName;
use crate::format::pass_id::PassId;
use crate::format::prune_record::PruneRecord;
use crate::store::Store;

/// Clocks that differ by more than this are not believed.
const CLOCKS_APART: SignedDuration = SignedDuration::from_hours(1);

/// A source and what is kept of it.
pub type Kept = (SourceName, Retention);

/// What a prune would do with all sources.
#[derive(Debug)]
pub struct Plans {
    /// With each of them.
    pub sources: Vec<SourcePlan>,
    /// What the last prune decided.
    pub last: Option<PruneRecord>,
}

/// Why nothing can be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// What there is cannot be read.
    #[error("source `{source_name}`: {error}")]
    Source {
        /// Name of the source.
        source_name: SourceName,
        /// Why.
        error: FindError,
    },
    /// What the last prune decided cannot be read.
    #[error(transparent)]
    Last(FindError),
    /// Nobody knows what time it is.
    #[error(
        "the store says that it is {store}, and this machine that it is {machine}: nothing is removed by a clock that may be wrong"
    )]
    Clocks {
        /// The store's time.
        store: Timestamp,
        /// This machine's.
        machine: Timestamp,
    },
    /// A snapshot is later than now.
    #[error(
        "snapshot {snapshot} of source `{source_name}` was committed at {committed_at}, and it is {now}: nothing is removed by a clock that was wrong"
    )]
    Future {
        /// Name of the source.
        source_name: SourceName,
        /// The snapshot.
        snapshot: PassId,
        /// When it says that it was committed.
        committed_at: Timestamp,
        /// The store's time.
        now: Timestamp,
    },
}

impl PlanError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Source { .. } | Self::Last(_) => {
                let hint = "nothing was removed; what is damaged can be moved away by hand, and `offsite verify` shows what else is";
                Some(hint.to_owned())
            }
            Self::Clocks { .. } => Some("set the clock that is wrong, and prune again".to_owned()),
            Self::Future { .. } => Some(
                "the store's clock was ahead when it was committed; prune again once that time has come".to_owned(),
            ),
        }
    }
}

/// Reads what there is of each source, and decides.
///
/// # Errors
/// Something cannot be read or believed.
pub async fn plans(
    store: &Arc<dyn Store>,
    kept: &[Kept],
    machine: Timestamp,
) -> Result<Plans, PlanError> {
    let last = find::last_prune(&**store).await.map_err(PlanError::Last)?;
    let mut sources = Vec::new();
    for (source, retention) in kept {
        let found = find::snapshots(store, source).await;
        let found = found.map_err(|error| PlanError::Source {
            source_name: source.clone(),
            error,
        })?;
        let now = store.now();
        if now.duration_since(machine).abs() > CLOCKS_APART {
            return Err(PlanError::Clocks {
                store: now,
                machine,
            });
        }
        let is_future = |at: Timestamp| at.duration_since(now) > CLOCKS_APART;
        if let Some(future) = found
            .live
            .iter()
            .find(|known| is_future(known.committed_at))
        {
            return Err(PlanError::Future {
                source_name: source.clone(),
                snapshot: future.pass,
                committed_at: future.committed_at,
                now,
            });
        }
        let plan = SourcePlan::of(&found, &retention.policy, &retention.zone, now);
        sources.push(plan);
    }
    Ok(Plans { sources, last })
}

impl Plans {
    /// Whether all of it may be done. `expected` is the number of snapshots that somebody has said would go.
    ///
    /// # Errors
    /// It may not.
    pub fn check(&self, expected: Option<u64>) -> Result<(), Refused> {
        guards::check(&self.sources, self.last.as_ref(), expected)
    }

    /// How many snapshots go.
    #[must_use]
    pub fn removes(&self) -> u64 {
        self.sources.iter().map(SourcePlan::removes).sum()
    }

    /// How many stay.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.sources.iter().map(SourcePlan::remaining).sum()
    }

    /// At most so many bytes come free, once what was condemned is collected.
    #[must_use]
    pub fn frees_at_most(&self) -> u64 {
        let bytes = self.sources.iter().map(SourcePlan::frees_at_most);
        bytes.fold(0, u64::saturating_add)
    }
}
