//! What a policy will hold, if passes run as they are meant to.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::rules::{self, Candidate, Rule};
use crate::format::pass_id::PassId;
use crate::format::retention::Policy;

/// More snapshots than this are not gone through: 30 years of four an hour.
pub const MOST: u64 = 1 << 20;

/// What is held at the end.
#[derive(Debug)]
pub struct Held {
    /// How many snapshots were made.
    pub made: u64,
    /// When those were committed that are left, the oldest first, and which rules keep them.
    pub left: Vec<(Timestamp, Vec<Rule>)>,
}

/// Goes through passes `every` so often from `begin` on, `lasting` so long; `None` if that is more than [`MOST`].
#[must_use]
pub fn simulate(
    policy: &Policy,
    zone: &TimeZone,
    begin: Timestamp,
    (every, lasting): (Duration, Duration),
) -> Option<Held> {
    let steps = lasting.as_secs().checked_div(every.as_secs())?;
    let made = steps.checked_add(1).filter(|made| *made <= MOST)?;
    let mut candidates = Vec::new();
    for step in 0..made {
        let at = begin
            .checked_add(every.checked_mul(u32::try_from(step).ok()?)?)
            .ok()?;
        candidates.push(Candidate {
            pass: PassId::new(at, None, 0),
            at,
            is_complete: true,
        });
    }
    // Only once, at the end: of each period every prune before would have kept the same.
    let verdicts = rules::apply(policy, zone, &candidates);
    let newest = candidates.last()?.pass;
    let is_held = |v: &rules::Verdict| !v.kept_by.is_empty() || v.candidate.pass == newest;
    let held = verdicts.into_iter().filter(is_held);
    Some(Held {
        made,
        left: held.map(|held| (held.candidate.at, held.kept_by)).collect(),
    })
}

impl Held {
    /// How many are left of each day that has any, in a time zone.
    #[must_use]
    pub fn by_day(&self, zone: &TimeZone) -> Vec<(Date, u64)> {
        let mut days: Vec<(Date, u64)> = Vec::new();
        for (at, _) in &self.left {
            let day = at.to_zoned(zone.clone()).date();
            match days.last_mut() {
                Some((last, count)) if *last == day => *count += 1,
                _ => days.push((day, 1)),
            }
        }
        days
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_of_daily_passes_by_a_usual_policy() {
        let policy = Policy {
            daily: 7,
            weekly: 4,
            monthly: 6,
            ..Policy::none()
        };
        let begin: Timestamp = "2025-01-01T02:00:00Z".parse().unwrap();
        let day = Duration::from_secs(24 * 3600);
        let held = simulate(&policy, &TimeZone::UTC, begin, (day, day * 364)).unwrap();
        assert_eq!(held.made, 365);
        let days: Vec<_> = held
            .by_day(&TimeZone::UTC)
            .into_iter()
            .map(|(day, _)| day.to_string())
            .collect();
        assert_eq!(
            days,
            [
                "2025-07-31",
                "2025-08-31",
                "2025-09-30",
                "2025-10-31",
                "2025-11-30",
                "2025-12-14",
                "2025-12-21",
                "2025-12-25",
                "2025-12-26",
                "2025-12-27",
                "2025-12-28",
                "2025-12-29",
                "2025-12-30",
                "2025-12-31",
            ]
        );
    }
}
