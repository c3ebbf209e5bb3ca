//! Hours, days, weeks, months and years in a time zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::format::retention::Policy;

/// A rule of a policy that keeps one snapshot of each period of the calendar, the finest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Calendar {
    /// Hours.
    Hourly,
    /// Days.
    Daily,
    /// Weeks, which begin on Monday (ISO 8601).
    Weekly,
    /// Months.
    Monthly,
    /// Years.
    Yearly,
}

impl Calendar {
    /// All of them, the finest first.
    pub const ALL: [Self; 5] = [
        Self::Hourly,
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::Yearly,
    ];

    /// As a configuration calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }

    /// What one of its periods is called.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Hourly => "hour",
            Self::Daily => "day",
            Self::Weekly => "week",
            Self::Monthly => "month",
            Self::Yearly => "year",
        }
    }

    /// Of how many periods a policy keeps one snapshot each.
    #[must_use]
    pub fn count(self, policy: &Policy) -> u64 {
        match self {
            Self::Hourly => policy.hourly,
            Self::Daily => policy.daily,
            Self::Weekly => policy.weekly,
            Self::Monthly => policy.monthly,
            Self::Yearly => policy.yearly,
        }
    }

    /// The period that a time is in. Later times never have lesser periods.
    #[must_use]
    pub fn period(self, at: Timestamp, zone: &TimeZone) -> Period {
        let local = at.to_zoned(zone.clone());
        let (year, month, day) = (
            i64::from(local.year()),
            i64::from(local.month()),
            i64::from(local.day()),
        );
        Period(match self {
            // When clocks are set back an hour comes twice, and those are two; only the minutes of an offset say
            // when hours begin.
            Self::Hourly => {
                let minutes = i64::from(local.offset().seconds()).rem_euclid(3600);
                (at.as_second() + minutes).div_euclid(3600)
            }
            Self::Daily => (year * 12 + month) * 32 + day,
            Self::Weekly => {
                let week = local.date().iso_week_date();
                i64::from(week.year()) * 54 + i64::from(week.week())
            }
            Self::Monthly => year * 12 + month,
            Self::Yearly => year,
        })
    }
}

/// One period of a rule; it can only be compared with others of the same rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(i64);

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(calendar: Calendar, zone: &str, one: &str, other: &str) -> bool {
        let zone = TimeZone::get(zone).unwrap();
        let period = |text: &str| calendar.period(text.parse().unwrap(), &zone);
        assert!(period(one) <= period(other), "{one} {other}");
        period(one) != period(other)
    }

    #[test]
    fn days_begin_at_midnight_of_the_time_zone() {
        let (before, after) = ("2025-06-30T21:59:59Z", "2025-06-30T22:00:00Z");
        assert!(!differ(Calendar::Daily, "UTC", before, after));
        for calendar in [Calendar::Hourly, Calendar::Daily, Calendar::Monthly] {
            assert!(differ(calendar, "Europe/Berlin", before, after));
        }
    }

    #[test]
    fn the_hour_that_comes_twice_is_two_hours_of_one_day() {
        // Clocks go from 3:00 back to 2:00 at 1:00 UTC.
        let (first, second) = ("2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z");
        assert!(differ(Calendar::Hourly, "Europe/Berlin", first, second));
        assert!(!differ(Calendar::Daily, "Europe/Berlin", first, second));
        // A day of 25 hours.
        let (begins, ends) = ("2025-10-25T22:00:00Z", "2025-10-26T22:59:59Z");
        assert!(!differ(Calendar::Daily, "Europe/Berlin", begins, ends));
    }

    #[test]
    fn hours_begin_where_the_time_zone_begins_them() {
        let (before, after) = ("2025-06-30T18:29:59Z", "2025-06-30T18:30:00Z");
        assert!(differ(Calendar::Hourly, "Asia/Kolkata", before, after));
        let (begins, ends) = ("2025-06-30T18:30:00Z", "2025-06-30T19:29:59Z");
        assert!(!differ(Calendar::Hourly, "Asia/Kolkata", begins, ends));
    }

    #[test]
    fn a_week_is_of_the_year_that_has_its_thursday() {
        // Monday to Sunday, over the end of a year.
        let (monday, sunday) = ("2025-12-29T00:00:00Z", "2026-01-04T23:59:59Z");
        assert!(!differ(Calendar::Weekly, "UTC", monday, sunday));
        assert!(differ(Calendar::Yearly, "UTC", monday, sunday));
        assert!(differ(
            Calendar::Weekly,
            "UTC",
            "2025-12-28T23:59:59Z",
            monday
        ));
        // 2020 had 53 weeks.
        assert!(differ(
            Calendar::Weekly,
            "UTC",
            "2021-01-03T12:00:00Z",
            "2021-01-04T12:00:00Z"
        ));
        assert!(!differ(
            Calendar::Weekly,
            "UTC",
            "2020-12-31T12:00:00Z",
            "2021-01-01T12:00:00Z"
        ));
    }
}
