//! What is kept of a source, by rules over time.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which snapshots of a source are kept: those that any of the rules keeps. A rule that is 0 keeps none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The newest so many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keep_last: u64,
    /// All that were committed at most so many seconds before the newest complete one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keep_within_seconds: u64,
    /// The newest of each of the last so many hours that have one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hourly: u64,
    /// The same for days.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub daily: u64,
    /// The same for weeks, which begin on Monday (ISO 8601).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weekly: u64,
    /// The same for months.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub monthly: u64,
    /// The same for years.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub yearly: u64,
    /// The time zone in which hours, days, weeks, months and years begin: a name of the IANA database.
    pub timezone: String,
    /// How long a condemned snapshot can be undeleted before its space may be freed.
    pub grace_seconds: u64,
}

/// UTC, the time zone unless another one is configured.
pub const UTC: &str = "UTC";
/// How long condemned snapshots can be undeleted, unless it is configured: seven days.
pub const GRACE_SECONDS: u64 = 7 * DAY;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Policy {
    /// A policy without any rule.
    #[must_use]
    pub fn none() -> Self {
        Self {
            keep_last: 0,
            keep_within_seconds: 0,
            hourly: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
            timezone: UTC.to_owned(),
            grace_seconds: GRACE_SECONDS,
        }
    }

    /// Everything of the last so many days.
    #[must_use]
    pub fn of_days(days: u64) -> Self {
        Self {
            keep_within_seconds: days.saturating_mul(DAY),
            ..Self::none()
        }
    }

    /// Whether it keeps what another one keeps.
    #[must_use]
    pub fn keeps_as(&self, other: &Self) -> bool {
        let grace_seconds = self.grace_seconds;
        *self
            == Self {
                grace_seconds,
                ..other.clone()
            }
    }

    /// Whether it has no rule, and so keeps nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let calendar = [
            self.hourly,
            self.daily,
            self.weekly,
            self.monthly,
            self.yearly,
        ];
        self.keep_last == 0 && self.keep_within_seconds == 0 && calendar == [0; 5]
    }
}

/// `keep_last 3, keep_within 14d, daily 30 (UTC)`.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules = Vec::new();
        let mut count = |name: &str, count: u64| {
            if count > 0 {
                rules.push(format!("{name} {count}"));
            }
        };
        count("keep_last", self.keep_last);
        if self.keep_within_seconds > 0 {
            rules.push(format!("keep_within {}", span(self.keep_within_seconds)));
        }
        let mut count = |name: &str, count: u64| {
            if count > 0 {
                rules.push(format!("{name} {count}"));
            }
        };
        count("hourly", self.hourly);
        count("daily", self.daily);
        count("weekly", self.weekly);
        count("monthly", self.monthly);
        count("yearly", self.yearly);
        write!(f, "{} ({})", rules.join(", "), self.timezone)
    }
}

/// A length of time as it can be written in a configuration.
#[must_use]
pub fn span(seconds: u64) -> String {
    let (days, hours) = (seconds / DAY, seconds % DAY / HOUR);
    match (days, hours, seconds % HOUR) {
        (0, 0, rest) if rest % 60 == 0 => format!("{}m", rest / 60),
        (0, 0, rest) => format!("{rest}s"),
        (0, hours, 0) => format!("{hours}h"),
        (days, 0, 0) => format!("{days}d"),
        (days, hours, 0) => format!("{days}d {hours}h"),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_like_its_configuration() {
        let policy = Policy {
            keep_last: 3,
            daily: 30,
            ..Policy::of_days(14)
        };
        let text = "keep_last 3, keep_within 14d, daily 30 (UTC)";
        assert_eq!(policy.to_string(), text);
        assert_eq!(span(36 * HOUR), "1d 12h");
        assert_eq!(span(90), "90s");
        assert!(!policy.is_empty() && Policy::none().is_empty());
    }
}
