//! Which share of all that there is, is due now: for whatever looks at everything in time, and at little each time.

use jiff::Timestamp;

/// A share of many things, picked by digests of them, which are as good as random.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    start: f64,
    share: f64,
}

/// How far the window moves in an hour. Found by search: with this number, runs every 1, 2, 3, 4, 6,
/// 8, 12, 24, 48, 168 or 720 hours all spread well, and cover everything within six times the
/// runs that would do if none overlapped, as the test below makes sure.
const TURNS_PER_HOUR: f64 = 0.391_980_059_031_013_1;

impl Window {
    /// Everything.
    pub const ALL: Self = Self {
        start: 0.0,
        share: 1.0,
    };

    /// The share of `0 < share <= 1` that is due at `now`. No state is kept: the window moves with
    /// time such that runs at any usual interval cover everything before long.
    #[must_use]
    pub fn at(now: Timestamp, share: f64) -> Self {
        if share >= 1.0 {
            return Self::ALL;
        }
        let hours = now.as_second() as f64 / 3600.0;
        Self {
            start: (hours * TURNS_PER_HOUR).rem_euclid(1.0),
            share,
        }
    }

    /// Whether what has this digest is in the window.
    #[must_use]
    pub fn holds(&self, sha256: &[u8; 32]) -> bool {
        self.share >= 1.0 || self.distance(sha256) < self.share
    }

    /// How far what has this digest lies behind the beginning of the window.
    #[must_use]
    pub fn distance(&self, sha256: &[u8; 32]) -> f64 {
        let mut first = [0; 8];
        first.copy_from_slice(&sha256[..8]);
        let place = u64::from_be_bytes(first) as f64 / u64::MAX as f64;
        (place - self.start).rem_euclid(1.0)
    }

    /// The same window, so wide that it holds what lies at this distance.
    #[must_use]
    pub fn reaching(self, distance: f64) -> Self {
        let share = self.share.max(distance.next_up());
        Self { share, ..self }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// Runs at `step_hours` until every object was read; how many that took, as a multiple of the
    /// number that would do if none was read twice.
    fn rounds(step_hours: u32, share: f64) -> f64 {
        let digests: Vec<[u8; 32]> = (0..4000_u32)
            .map(|n| Sha256::digest(n.to_be_bytes()).into())
            .collect();
        let mut unread: Vec<_> = digests.iter().collect();
        let mut runs = 0_u32;
        while !unread.is_empty() {
            let seconds = 1_766_800_800 + i64::from(runs) * i64::from(step_hours) * 3600;
            let now = Timestamp::from_second(seconds).unwrap();
            let window = Window::at(now, share);
            unread.retain(|digest| !window.holds(digest));
            runs += 1;
            assert!(runs < 10_000, "never done");
        }
        f64::from(runs) * share
    }

    #[test]
    fn a_rotating_share_covers_everything_in_time() {
        for hours in [1, 2, 3, 4, 6, 8, 12, 24, 48, 168, 720] {
            for share in [0.01, 0.05, 0.1, 0.25, 0.5] {
                let rounds = rounds(hours, share);
                assert!(rounds <= 6.0, "every {hours} h at {share}: {rounds} rounds");
            }
        }
    }

    #[test]
    fn a_window_is_widened_just_as_far_as_is_needed() {
        let window = Window::at(Timestamp::from_second(1_766_800_800).unwrap(), 0.001);
        let digests = (0..100_u32).map(|n| Sha256::digest(n.to_be_bytes()).into());
        let mut digests: Vec<[u8; 32]> = digests.collect();
        digests.sort_by(|a, b| window.distance(a).total_cmp(&window.distance(b)));
        assert!(!window.holds(&digests[0]));
        let wide = window.reaching(window.distance(&digests[0]));
        assert!(wide.holds(&digests[0]) && !wide.holds(&digests[1]));
        assert_eq!(wide.reaching(0.0), wide);
        assert_eq!(Window::ALL.reaching(0.5), Window::ALL);
    }

    #[test]
    fn a_share_is_a_share() {
        let window = Window::at(Timestamp::from_second(1_766_800_800).unwrap(), 0.05);
        let held = (0..20_000_u32)
            .filter(|n| window.holds(&Sha256::digest(n.to_be_bytes()).into()))
            .count();
        assert!((800..1200).contains(&held), "{held}");
        assert!((0..100_u32).all(|n| Window::ALL.holds(&Sha256::digest(n.to_be_bytes()).into())));
    }
}
