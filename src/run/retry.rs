//! When a pass that failed is tried again, and what of it.
//!
//! A pass is not worth less for having met an outage of the store: within the time that is set, counted
//! from the end of the first attempt, it is tried again, each time as a pass of its own, with a lock and an
//! id of its own. In between, others may have the lock. What an attempt has committed is not backed up
//! once more; what failed for another reason than the store or the credentials stays failed.

use std::time::{Duration, Instant};

use super::report::End;
use super::world::SourceOutcome;
use crate::format::lock::Holder;
use crate::lease::{LeaseError, Lost};
use crate::pass::error::SourceError;
use crate::pass::job::SourceJob;

/// A hiccup is over by then.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// A look each minute costs nothing, and finds the end of an outage soon enough.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The sources, of those an attempt was for, with which another one may well succeed. `may_be_ours` says
/// whether an earlier attempt may be who holds the lock.
pub(super) fn worth_another_attempt<'a>(
    tried: &[&'a SourceJob],
    results: &[SourceOutcome<'a>],
    end: &End,
    may_be_ours: impl Fn(&Holder) -> bool,
) -> Vec<&'a SourceJob> {
    let result_of = |source: &SourceJob| {
        let mut of_source = results
            .iter()
            .filter(|(other, _)| other.name == source.name);
        of_source.next().map(|(_, result)| result)
    };
    let is_worth_it = |source: &SourceJob| match end {
        End::NotLocked(LeaseError::Store(error) | LeaseError::Unsettled { error, .. }) => {
            error.kind.is_worth_another_pass()
        }
        End::NotLocked(LeaseError::Lost(Lost::NotRenewed(_))) => true,
        // The store may have taken the lock for an attempt that never heard of it. It expires.
        End::NotLocked(error) => error
            .held()
            .is_some_and(|held| may_be_ours(&held.record.holder)),
        End::Stopped { .. } => false,
        End::Locked { lost, .. } => match (lost, result_of(source)) {
            (_, Some(Ok(_))) | (Some(Lost::Taken), _) | (None, None) => false,
            (Some(Lost::NotRenewed(_)), _) => true,
            (None, Some(Err(error))) => error.is_worth_another_pass(),
        },
    };
    let mut again: Vec<&SourceJob> = Vec::new();
    for source in tried {
        // What was skipped for another one goes with it.
        let goes_along = match result_of(source) {
            Some(Err(SourceError::Skipped(because))) => {
                again.iter().any(|other| other.name == *because)
            }
            _ => false,
        };
        if goes_along || is_worth_it(source) {
            again.push(source);
        }
    }
    again
}

/// How long to wait before each further attempt.
#[derive(Debug)]
pub(super) struct Pauses {
    within: Duration,
    since: Option<Instant>,
    next: Duration,
}

impl Pauses {
    pub(super) fn new(within: Duration) -> Self {
        Self {
            within,
            since: None,
            next: FIRST_PAUSE,
        }
    }

    /// How long to wait after an attempt that failed at `now`; `None` once the time is over. `spread`,
    /// from 0 to 1, keeps those whom one outage has struck together from coming back together.
    pub(super) fn after_failure(&mut self, now: Instant, spread: f64) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let left = self.within.saturating_sub(now.duration_since(since));
        if left.is_zero() {
            return None;
        }
        let pause = self.next.mul_f64(0.5 + spread / 2.0);
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        Some(pause.min(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_end_when_the_time_is_over() {
        let mut now = Instant::now();
        let mut pauses = Pauses::new(Duration::from_secs(600));
        let mut taken = Vec::new();
        while let Some(pause) = pauses.after_failure(now, 1.0) {
            taken.push(pause.as_secs());
            now += pause;
            // An attempt takes its time as well.
            now += Duration::from_secs(1);
            assert!(taken.len() < 100);
        }
        assert_eq!(taken[..6], [5, 10, 20, 40, 60, 60]);
        let all: u64 = taken.iter().map(|pause| pause + 1).sum();
        assert_eq!(
            all, 601,
            "the last attempt begins when the time is over: {taken:?}"
        );
    }

    #[test]
    fn pauses_are_spread_over_half_their_length() {
        let now = Instant::now();
        let first = |spread| {
            let mut pauses = Pauses::new(Duration::from_secs(600));
            pauses.after_failure(now, spread).unwrap()
        };
        assert_eq!(first(0.0), FIRST_PAUSE / 2);
        assert_eq!(first(1.0), FIRST_PAUSE);
    }

    #[test]
    fn the_time_counts_from_the_first_failure_however_long_that_attempt_took() {
        let now = Instant::now();
        let mut pauses = Pauses::new(Duration::from_secs(3));
        assert_eq!(pauses.after_failure(now, 1.0), Some(Duration::from_secs(3)));
        assert_eq!(
            pauses.after_failure(now + Duration::from_secs(3), 1.0),
            None
        );
        assert_eq!(Pauses::new(Duration::ZERO).after_failure(now, 1.0), None);
    }
}
