//! The server's own time: the machine's clock plus an offset that a test moves.
//!
//! `Date` headers, `Last-Modified` and listings all come from here, so a test can make a lease
//! expire without waiting for it. Signatures are not judged by this clock (see `auth.rs`). Time
//! goes backwards only where a test sets it right.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A handle on the server's clock; clones share the offset.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_millis: Arc<AtomicU64>,
}

impl Clock {
    /// What time it is for the server.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_millis(self.ahead_millis.load(Ordering::SeqCst))
    }

    /// Moves the server's time forward, on top of the time that passes anyway.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_millis.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the server's time right, to the machine's.
    pub fn set_right(&self) {
        self.ahead_millis.store(0, Ordering::SeqCst);
    }

    /// The time as an object's `Last-Modified` has it: S3 keeps whole seconds.
    pub(crate) fn last_modified(&self) -> SystemTime {
        whole_seconds(self.now())
    }
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_offset() {
        let clock = Clock::default();
        let other = clock.clone();
        clock.advance(Duration::from_secs(3_600));
        assert!(other.now() > SystemTime::now() + Duration::from_secs(3_590));
    }

    #[test]
    fn last_modified_has_no_fraction() {
        let modified = Clock::default().last_modified();
        assert_eq!(
            modified.duration_since(UNIX_EPOCH).unwrap().subsec_nanos(),
            0
        );
    }
}
