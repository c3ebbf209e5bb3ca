//! Sessions: the directories directly in the root of a source, and the years they are from.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::format::path::EntryPath;

/// The session that a path lies in, or is; `None` for the root.
#[must_use]
pub(crate) fn name_of(path: &EntryPath) -> Option<&[u8]> {
    path.components().next()
}

/// Whether a path has no directory between it and the root.
#[must_use]
pub(crate) fn is_in_root(path: &EntryPath) -> bool {
    path.components().count() == 1
}

/// Where the year stands in a session's name: `{year}` for four digits, `*` for anything, `?` for
/// one character, everything else for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YearPattern(String);

impl YearPattern {
    /// Checks a pattern.
    ///
    /// # Errors
    /// What it must be.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        match text.matches("{year}").count() {
            1 => Ok(Self(text.to_owned())),
            _ => Err("a pattern with one `{year}`, as in `*_{year}????`"),
        }
    }

    /// The year in a name that matches.
    #[must_use]
    pub(crate) fn find<'a>(&self, name: &'a str) -> Option<&'a str> {
        find(&self.0, name, None)
    }
}

fn find<'a>(pattern: &str, name: &'a str, year: Option<&'a str>) -> Option<&'a str> {
    if let Some(rest) = pattern.strip_prefix("{year}") {
        let digits = name.get(..4)?;
        let is_year = digits.bytes().all(|b| b.is_ascii_digit());
        return is_year.then(|| find(rest, &name[4..], Some(digits)))?;
    }
    let mut rest = pattern.chars();
    match rest.next() {
        None if name.is_empty() => year,
        None => None,
        Some('*') => {
            let ends = name.char_indices().map(|(at, _)| at);
            let mut ends = ends.chain([name.len()]);
            ends.find_map(|at| find(rest.as_str(), &name[at..], year))
        }
        Some(wanted) => {
            let mut after = name.chars();
            let found = after.next()?;
            let fits = wanted == '?' || wanted == found;
            fits.then(|| find(rest.as_str(), after.as_str(), year))?
        }
    }
}

/// The year that a name shows where no pattern is set: its first four digits in a row, no more and
/// no fewer, that begin with 19 or 20, or the first four of eight that are a date.
#[must_use]
pub(crate) fn year_in(name: &str) -> Option<&str> {
    let runs = name.split(|c: char| !c.is_ascii_digit());
    let mut runs = runs.filter(|run| run.starts_with("19") || run.starts_with("20"));
    runs.find(|run| run.len() == 4 || is_date(run))
        .map(|run| &run[..4])
}

fn is_date(run: &str) -> bool {
    run.len() == 8 && jiff::civil::Date::strptime("%Y%m%d", run).is_ok()
}

/// The year of a time, in UTC.
#[must_use]
pub(crate) fn year_at(nanoseconds: i64) -> String {
    let time = Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default();
    format!("{:04}", time.to_zoned(TimeZone::UTC).year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_their_years() {
        for (name, year) in [
            ("M31_2024-01-02", Some("2024")),
            ("2020_NGC1999", Some("2020")),
            ("NGC1999", Some("1999")),
            ("NGC7000_20231105", Some("2023")),
            ("NGC7000_20231305", None),
            ("M31", None),
            ("run-12024", None),
            ("3024-01", None),
        ] {
            assert_eq!(year_in(name), year, "{name}");
        }
        assert_eq!(year_at(1_700_000_000_000_000_000), "2023");
        assert_eq!(year_at(-1), "1969");
    }

    #[test]
    fn a_pattern_says_which_digits_are_the_year() {
        for (pattern, name, year) in [
            ("*_{year}????", "NGC1999_20240102", Some("2024")),
            ("*_{year}????", "NGC1999_202401", None),
            ("{year}*", "2019", Some("2019")),
            ("*{year}", "Grüße-2019", Some("2019")),
            ("x?{year}", "xé2019", Some("2019")),
            ("a{year}", "b2019", None),
        ] {
            let pattern = YearPattern::parse(pattern).unwrap();
            assert_eq!(pattern.find(name), year, "{pattern:?} {name}");
        }
        assert!(YearPattern::parse("*").is_err());
        assert!(YearPattern::parse("{year}{year}").is_err());
    }
}
