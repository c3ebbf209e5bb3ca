//! What a restore of everything would take, by what the restore of a sample has taken.

use std::time::Duration;

use crate::format::drill::Projected;

/// Fewer bytes than this say nothing of how many come in a second: their time is that of requests.
const MEASURABLE_BYTES: u64 = 8 << 20;

/// What the restore of a sample has taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) restored_in: Duration,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// How much there is to restore, each file once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Whole {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Requests that fetch it.
    pub(super) requests: u64,
    /// Bytes that come with them.
    pub(super) bytes_fetched: u64,
}

impl Whole {
    /// The time by files and the time by bytes, whichever is longer. So many files are restored at once: a sample of
    /// fewer has taken as long as that many would have.
    pub(super) fn projected(&self, measured: Measured, at_once: usize) -> Projected {
        let at_once = at_once.max(1) as u64;
        let rounds = |files: u64| files.div_ceil(at_once).max(1) as f64;
        let seconds = measured.restored_in.as_secs_f64();
        let by_files = seconds / rounds(measured.files) * rounds(self.files);
        let by_bytes = match measured.bytes >= MEASURABLE_BYTES {
            true => seconds / measured.bytes as f64 * self.bytes as f64,
            false => 0.0,
        };
        let time = Duration::try_from_secs_f64(by_files.max(by_bytes));
        Projected {
            seconds: time.map_or(u64::MAX, whole_seconds),
            requests: self.requests,
            bytes: self.bytes_fetched,
            usd: None,
            egress_usd: None,
        }
    }
}

/// Rounded up.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(files: u64, bytes: u64, whole: (u64, u64)) -> u64 {
        let measured = Measured {
            restored_in: Duration::from_secs(10),
            files,
            bytes,
        };
        let whole = Whole {
            files: whole.0,
            bytes: whole.1,
            ..Whole::default()
        };
        whole.projected(measured, 32).seconds
    }

    #[test]
    fn a_hundredth_says_a_hundred_times_as_much() {
        assert_eq!(seconds(3200, 1 << 20, (320_000, 100 << 20)), 1000);
        assert_eq!(seconds(3200, 1 << 30, (320_000, 100 << 30)), 1000);
        // All of it took what all of it takes.
        assert_eq!(seconds(3200, 1 << 30, (3200, 1 << 30)), 10);
    }

    #[test]
    fn the_longer_of_both_counts() {
        // One large file among small ones was not picked.
        assert_eq!(seconds(3200, 1 << 30, (320_000, 1000 << 30)), 10_000);
        // A large file was, and the others are small.
        assert_eq!(seconds(32, 1 << 30, (3200, 2 << 30)), 1000);
    }

    #[test]
    fn few_files_were_restored_at_once_and_few_bytes_say_nothing() {
        assert_eq!(seconds(1, 10, (32, 1 << 40)), 10);
        assert_eq!(seconds(1, 10, (64, 1 << 40)), 20);
        assert_eq!(seconds(0, 0, (0, 0)), 10);
    }
}
