//! A clock that only goes forward, and goes on while the machine sleeps.
//!
//! Between two of the store's answers, and for how long a lease lasts, `CLOCK_BOOTTIME` counts:
//! `CLOCK_MONOTONIC`, which [`std::time::Instant`] and tokio's timers use, stands still while a
//! machine is suspended, and a lease does not.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Reads such a clock. Handed in, so that a test can let a machine sleep.
pub type Boottime = fn() -> Duration;

/// Time since the machine was started, its sleep included (Linux 2.6.39, `clock_gettime(2)`).
#[must_use]
pub fn boottime() -> Duration {
    // Neither part is negative: the machine was started first.
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}
