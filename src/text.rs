//! Numbers and names as people read them.

use std::time::Duration;

use indicatif::{HumanCount, HumanDuration};

/// `1 file`, `2 files`, `12,000 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = match (number, noun) {
        (1, _) => "",
        (_, noun) if noun.ends_with('y') => {
            return format!("{} {}ies", HumanCount(number), &noun[..noun.len() - 1]);
        }
        _ => "s",
    };
    format!("{} {noun}{plural}", HumanCount(number))
}

/// `0.3 s`, `12 s`, `5 minutes`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs_f64() {
        short @ ..10.0 => format!("{short:.1} s"),
        medium @ ..60.0 => format!("{medium:.0} s"),
        _ => HumanDuration(duration).to_string(),
    }
}

/// What stands for a value that is nobody's business.
pub(crate) const REDACTED: &str = "[redacted]";

/// A text without the user and password of a URL that is in it.
pub(crate) fn redacted(text: &str) -> String {
    if let Some((scheme, rest)) = text.split_once("://")
        // A password may have any character in it, and messages may quote.
        && let Some((_, host)) = rest.rsplit_once('@')
    {
        return format!("{scheme}://{REDACTED}@{host}");
    }
    text.to_owned()
}

/// A text with names in it, on one line: whatever would break the line or move the cursor is shown
/// as `\n` or `\u{1b}`.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_with_their_nouns() {
        assert_eq!(count(0, "file"), "0 files");
        assert_eq!(count(1, "entry"), "1 entry");
        assert_eq!(count(12_000, "entry"), "12,000 entries");
    }

    #[test]
    fn a_name_cannot_break_its_line() {
        let name = "a\nb\t\u{1b}[31mred \u{9b}2J \u{fffd} Schl\u{fc}ssel's \"\\n\"";
        let shown = "a\\nb\\t\\u{1b}[31mred \\u{9b}2J \u{fffd} Schl\u{fc}ssel's \"\\n\"";
        assert_eq!(one_line(name), shown);
    }

    #[test]
    fn durations_are_as_exact_as_they_need_to_be() {
        let text = |millis| duration(Duration::from_millis(millis));
        assert_eq!(text(250), "0.2 s");
        assert_eq!(text(12_400), "12 s");
        assert_eq!(text(300_000), "5 minutes");
    }
}
