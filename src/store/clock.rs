//! The store's time, as its answers tell it.
//!
//! Snapshots and leases are dated by the store, never by this machine, whose clock may be wrong. Between
//! two answers the time goes on as `CLOCK_BOOTTIME` does. Where an answer contradicts that, one of the
//! two was wrong, and nothing that needs certainty may rest on either.

use std::sync::Mutex;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::boottime::Boottime;

/// How far an answer's time may be off what the last one makes us expect. Dates are whole seconds, and
/// an answer takes time to arrive; the shortest lease lasts 3 seconds, the usual one 120.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(15);

/// What the store has told about the time.
#[derive(Debug)]
pub struct Clock {
    boottime: Boottime,
    told: Mutex<Told>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    /// The time in the last answer, and when that came.
    last: Option<(Timestamp, Duration)>,
    has_jumped: bool,
}

impl Clock {
    /// A clock that has been told nothing.
    #[must_use]
    pub fn new(boottime: Boottime) -> Self {
        Self {
            boottime,
            told: Mutex::default(),
        }
    }

    /// An answer that has just come has this time.
    pub fn tell(&self, time: Timestamp) {
        let at = (self.boottime)();
        let mut told = self.told.lock().expect("nothing panics holding this");
        if let Some(last) = told.last {
            let off = time.duration_since(going_on(last, at)).abs();
            told.has_jumped |= off > TOLERANCE;
        }
        told.last = Some((time, at));
    }

    /// The time now, in whole seconds; `None` before the first answer that tells it.
    #[must_use]
    pub fn now(&self) -> Option<Timestamp> {
        let told = *self.told.lock().expect("nothing panics holding this");
        let now = going_on(told.last?, (self.boottime)());
        Timestamp::from_second(now.as_second()).ok()
    }

    /// Whether the time has ever jumped, so that it proves nothing.
    #[must_use]
    pub fn has_jumped(&self) -> bool {
        let told = self.told.lock().expect("nothing panics holding this");
        told.has_jumped
    }
}

fn going_on((time, told_at): (Timestamp, Duration), now: Duration) -> Timestamp {
    let since = SignedDuration::try_from(now.saturating_sub(told_at)).unwrap_or_default();
    time.saturating_add(since).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    static SECONDS: AtomicU64 = AtomicU64::new(0);

    fn boottime() -> Duration {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    }

    #[test]
    fn time_goes_on_between_answers_and_a_jump_is_remembered() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let clock = Clock::new(boottime);
        assert_eq!(clock.now(), None);
        clock.tell(at(1000));
        SECONDS.store(40, Ordering::Relaxed);
        assert_eq!(clock.now(), Some(at(1040)));
        clock.tell(at(1041));
        SECONDS.store(3600, Ordering::Relaxed);
        clock.tell(at(4600));
        assert!(!clock.has_jumped());
        clock.tell(at(4800));
        assert!(clock.has_jumped());
        clock.tell(at(4600));
        assert_eq!((clock.now(), clock.has_jumped()), (Some(at(4600)), true));
    }
}
