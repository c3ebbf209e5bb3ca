//! What keeps a prune from removing far more than anybody meant.

use std::collections::BTreeMap;

use super::plan::SourcePlan;
use crate::format::keys::SourceName;
use crate::format::prune_record::{PruneRecord, PrunedSource};

/// A prune that wants a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It removes a lot, and nobody has said how many.
    #[error("{}", reasons.join("; "))]
    NotExpected {
        /// Why, for each source.
        reasons: Vec<String>,
        /// How many snapshots it would remove.
        removes: u64,
    },
    /// It removes another number than was said.
    #[error("{removes} snapshots would be removed, not {expected}")]
    Unexpected {
        /// What was said.
        expected: u64,
        /// How many it would remove.
        removes: u64,
    },
}

impl Refused {
    /// How many snapshots the prune would remove.
    #[must_use]
    pub fn removes(&self) -> u64 {
        match self {
            Self::NotExpected { removes, .. } | Self::Unexpected { removes, .. } => *removes,
        }
    }
}

/// Whether a prune may go on. `expected` is the number that somebody has given.
pub(super) fn check(
    plans: &[SourcePlan],
    last: Option<&PruneRecord>,
    expected: Option<u64>,
) -> Result<(), Refused> {
    let removes = plans.iter().map(SourcePlan::removes).sum();
    if let Some(expected) = expected {
        return match expected == removes {
            true => Ok(()),
            false => Err(Refused::Unexpected { expected, removes }),
        };
    }
    let last: BTreeMap<&SourceName, &PrunedSource> = last
        .iter()
        .flat_map(|record| &record.sources)
        .map(|pruned| (&pruned.source, pruned))
        .collect();
    let reasons: Vec<_> = plans
        .iter()
        .filter_map(|plan| why_not(plan, last.get(&plan.source).copied()))
        .collect();
    match reasons.is_empty() {
        true => Ok(()),
        false => Err(Refused::NotExpected { reasons, removes }),
    }
}

fn why_not(plan: &SourcePlan, last: Option<&PrunedSource>) -> Option<String> {
    let (removes, remaining) = (plan.removes(), plan.remaining());
    if removes == 0 {
        return None;
    }
    let source = &plan.source;
    let policy = last.and_then(|last| last.policy.as_ref());
    if policy != Some(&plan.policy) && removes > remaining {
        let which = match policy {
            Some(_) => "the policy has changed since the last prune",
            None => "this is the first prune by this policy",
        };
        return Some(format!(
            "{which}, and it removes {removes} of the {} snapshots of source `{source}`",
            removes + remaining
        ));
    }
    let before = last.filter(|last| last.policy.is_some())?.remaining;
    (remaining < before.div_ceil(2)).then(|| {
        format!(
            "{remaining} snapshots of source `{source}` would remain, fewer than half of the {before} after the last prune"
        )
    })
}
