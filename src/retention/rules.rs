//! Which snapshots the rules of a policy keep. Pure: times come from the records.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::period::{Calendar, Period};
use crate::format::pass_id::PassId;
use crate::format::retention::Policy;

/// What the rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The snapshot.
    pub pass: PassId,
    /// When it was committed, in the store's time.
    pub at: Timestamp,
    /// Whether it has everything that was in the source.
    pub is_complete: bool,
}

/// A rule that keeps a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    /// `keep_last`.
    Last {
        /// Which of them this is, from 1, the newest.
        number: u64,
        /// How many are kept.
        of: u64,
    },
    /// `keep_within`.
    Within {
        /// The length of time.
        seconds: u64,
    },
    /// A rule of the calendar.
    Calendar {
        /// Which one.
        every: Calendar,
        /// Which of its periods this is, from 1, the newest.
        number: u64,
        /// Of how many one snapshot is kept.
        of: u64,
    },
    /// There are fewer periods yet than the coarsest rule keeps: the oldest snapshot stays until there are enough.
    Oldest {
        /// The coarsest rule.
        every: Calendar,
    },
}

/// What the rules say of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The snapshot.
    pub candidate: Candidate,
    /// What keeps it; nothing does where this is empty.
    pub kept_by: Vec<Rule>,
    /// Where nothing keeps it: the snapshot that is kept in its place, and of which period.
    pub superseded_by: Option<(PassId, Calendar)>,
}

/// Applies the rules; the answers are in the order of time, the oldest first.
#[must_use]
pub fn apply(policy: &Policy, zone: &TimeZone, snapshots: &[Candidate]) -> Vec<Verdict> {
    let mut verdicts: Vec<_> = snapshots
        .iter()
        .map(|candidate| Verdict {
            candidate: *candidate,
            kept_by: Vec::new(),
            superseded_by: None,
        })
        .collect();
    verdicts.sort_by_key(|verdict| (verdict.candidate.at, verdict.candidate.pass));
    keep_last(policy, &mut verdicts);
    keep_within(policy, &mut verdicts);
    let mut kept = Vec::new();
    for every in Calendar::ALL {
        let of = every.count(policy);
        if of > 0 {
            kept.push((every, keep_periods(every, of, zone, &mut verdicts)));
        }
    }
    keep_oldest(&kept, &mut verdicts);
    for verdict in &mut verdicts {
        if verdict.kept_by.is_empty() {
            let in_its_place = |(every, kept): &(Calendar, Kept)| {
                let period = every.period(verdict.candidate.at, zone);
                Some((*kept.by_period.get(&period)?, *every))
            };
            verdict.superseded_by = kept.iter().find_map(in_its_place);
        }
    }
    verdicts
}

/// The newest complete ones; those that are not complete in addition, until one comes that is.
fn keep_last(policy: &Policy, verdicts: &mut [Verdict]) {
    let of = policy.keep_last;
    let (mut complete, mut incomplete) = (0, 0);
    for verdict in verdicts.iter_mut().rev() {
        let count = match verdict.candidate.is_complete {
            true => &mut complete,
            false if complete == 0 => &mut incomplete,
            false => continue,
        };
        if *count < of {
            *count += 1;
            let number = *count;
            verdict.kept_by.push(Rule::Last { number, of });
        }
    }
}

/// From the newest complete one, not from now: what is kept does not dwindle while no backups are made.
fn keep_within(policy: &Policy, verdicts: &mut [Verdict]) {
    let seconds = policy.keep_within_seconds;
    if seconds == 0 {
        return;
    }
    let at = |verdict: &Verdict| verdict.candidate.at.as_second();
    let Some(newest) = verdicts.last().map(at) else {
        return;
    };
    let complete = verdicts.iter().rev().find(|v| v.candidate.is_complete);
    let complete = complete.map(at);
    for verdict in verdicts {
        // Incomplete ones since then are not kept for ever either.
        let since = complete.filter(|complete| at(verdict) <= *complete);
        let age = since.unwrap_or(newest).saturating_sub(at(verdict));
        if u64::try_from(age).unwrap_or(0) <= seconds {
            verdict.kept_by.push(Rule::Within { seconds });
        }
    }
}

/// What a rule of the calendar keeps.
struct Kept {
    by_period: BTreeMap<Period, PassId>,
    /// Whether it has found as many periods as it keeps.
    is_full: bool,
}

/// Of each period the newest complete snapshot. In one without any the newest is kept, and the period is counted
/// with others like it, so that it takes no complete one's place.
fn keep_periods(every: Calendar, of: u64, zone: &TimeZone, verdicts: &mut [Verdict]) -> Kept {
    let mut by_period = BTreeMap::new();
    let (mut complete_periods, mut others) = (0, 0);
    let mut end = verdicts.len();
    while end > 0 && complete_periods < of {
        let period = every.period(verdicts[end - 1].candidate.at, zone);
        let is_in = |verdict: &Verdict| every.period(verdict.candidate.at, zone) == period;
        let begin = verdicts[..end].iter().rposition(|verdict| !is_in(verdict));
        let begin = begin.map_or(0, |before| before + 1);
        let of_period = &mut verdicts[begin..end];
        let complete = of_period.iter().rposition(|v| v.candidate.is_complete);
        let chosen = &mut of_period[complete.unwrap_or(end - begin - 1)];
        let number = match complete {
            Some(_) => &mut complete_periods,
            None => &mut others,
        };
        *number += 1;
        let number = *number;
        if number <= of {
            by_period.insert(period, chosen.candidate.pass);
            chosen.kept_by.push(Rule::Calendar { every, number, of });
        }
        end = begin;
    }
    Kept {
        by_period,
        is_full: complete_periods >= of,
    }
}

fn keep_oldest(kept: &[(Calendar, Kept)], verdicts: &mut [Verdict]) {
    let oldest = verdicts.iter_mut().find(|v| v.candidate.is_complete);
    let (Some((every, kept)), Some(oldest)) = (kept.last(), oldest) else {
        return;
    };
    if !kept.is_full && oldest.kept_by.is_empty() {
        oldest.kept_by.push(Rule::Oldest { every: *every });
    }
}
