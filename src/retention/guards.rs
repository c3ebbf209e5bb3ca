//! What keeps a prune from removing far more than anybody meant.

use super::plan::SourcePlan;
use crate::format::prune_record::{PruneRecord, PrunedSource};

/// Whether a source may be pruned without anybody having given the number of what goes; why not, otherwise.
pub(super) fn check(plan: &SourcePlan, last: Option<&PruneRecord>) -> Result<(), String> {
    let of_source = |record: &'_ PruneRecord| {
        let mut sources = record.sources.iter();
        sources.find(|pruned| pruned.source == plan.source).cloned()
    };
    why_not(plan, last.and_then(of_source).as_ref()).map_or(Ok(()), Err)
}

fn why_not(plan: &SourcePlan, last: Option<&PrunedSource>) -> Option<String> {
    let (removes, remaining) = (plan.removes(), plan.remaining());
    if removes == 0 {
        return None;
    }
    let source = &plan.source;
    let policy = last.and_then(|last| last.policy.as_ref());
    let is_known = policy.is_some_and(|policy| policy.keeps_as(&plan.policy));
    if !is_known && removes > remaining {
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
