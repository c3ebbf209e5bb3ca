//! From what is configured and what there is to plans.

use std::sync::Arc;

use jiff::Timestamp;

use super::Retention;
use super::find::{self, FindError};
use super::guards;
use super::plan::{CLOCKS_APART, Snapshots, SourcePlan};
use crate::format::keys::SourceName;
use crate::format::prune_record::PruneRecord;
use crate::snapshots::chain::ChainError;
use crate::snapshots::marks::MarksError;
use crate::store::{Store, StoreError};

/// A source and what is kept of it.
pub type Kept = (SourceName, Retention);

/// What a prune would do with all sources.
#[derive(Debug)]
pub struct Plans {
    /// With each of them that something is known of.
    pub sources: Vec<SourcePlan>,
    /// Those of which something cannot be understood. Nothing of them is removed.
    pub unread: Vec<(SourceName, FindError)>,
    /// What the last prune decided.
    pub last: Option<PruneRecord>,
}

/// Why nothing can be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
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
}

impl PlanError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => error.kind.hint(),
            Self::Last(_) => Some(HINT),
            Self::Clocks { .. } => Some("set the clock that is wrong, and prune again"),
        }
    }
}

/// What to do where something cannot be read.
pub const HINT: &str = "nothing of it was removed; what is damaged can be moved away by hand, and `offsite verify` shows what else is";

/// Reads what there is of each source, and decides.
///
/// # Errors
/// The store fails, or clocks disagree.
pub async fn plans(
    store: &Arc<dyn Store>,
    kept: &[Kept],
    machine: Timestamp,
) -> Result<Plans, PlanError> {
    let last = match find::last_prune(&**store).await {
        Ok(last) => last,
        Err(FindError::Store(error)) => return Err(error.into()),
        Err(error) => return Err(PlanError::Last(error)),
    };
    let mut plans = Plans {
        sources: Vec::new(),
        unread: Vec::new(),
        last,
    };
    let mut read = Vec::new();
    for (source, retention) in kept {
        match find::snapshots(store, source).await {
            Ok(found) => read.push((found, retention)),
            Err(
                FindError::Store(error)
                | FindError::Chain(ChainError::Store(error))
                | FindError::Marks(MarksError::Store(error)),
            ) => return Err(error.into()),
            Err(error) => plans.unread.push((source.clone(), error)),
        }
    }
    // Now the store has told the time.
    let now = store.now();
    if now.duration_since(machine).abs() > CLOCKS_APART {
        return Err(PlanError::Clocks {
            store: now,
            machine,
        });
    }
    let plan = |(found, retention): (Snapshots, &Retention)| {
        SourcePlan::of(&found, &retention.policy, &retention.zone, now)
    };
    plans.sources = read.into_iter().map(plan).collect();
    Ok(plans)
}

impl Plans {
    /// Takes out the sources of which so much would go that somebody has to give the number; why, for each. If
    /// somebody has, it is what they say of all together.
    ///
    /// # Errors
    /// Another number would go.
    pub fn guard(&mut self, expected: Option<u64>) -> Result<Vec<String>, u64> {
        if let Some(expected) = expected {
            let removes = self.removes();
            return match expected == removes {
                true => Ok(Vec::new()),
                false => Err(removes),
            };
        }
        let mut reasons = Vec::new();
        let last = self.last.as_ref();
        self.sources.retain(|plan| match guards::check(plan, last) {
            Ok(()) => true,
            Err(reason) => {
                reasons.push(reason);
                false
            }
        });
        Ok(reasons)
    }

    /// Why sources would be left alone without a number.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let last = self.last.as_ref();
        let refusal = |plan| guards::check(plan, last).err();
        self.sources.iter().filter_map(refusal).collect()
    }

    /// Whether this is news: something goes, or there is another policy or number than the last prune had.
    #[must_use]
    pub fn is_news(&self) -> bool {
        let recorded = self.last.iter().flat_map(|record| &record.sources);
        let recorded: Vec<_> = recorded.collect();
        self.sources.iter().any(|plan| {
            let before = recorded.iter().find(|pruned| pruned.source == plan.source);
            plan.removes() > 0
                || before.is_none_or(|before| {
                    before.policy.as_ref() != Some(&plan.policy)
                        || before.remaining != plan.remaining()
                })
        })
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
