//! Numbers and names as people read them.

use std::time::Duration;

use indicatif::{HumanCount, HumanDuration};
use serde::Serialize;

/// `1 file`, `2 files`, `12,000 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = match (number, noun) {
        (1, _) => "",
        (_, noun) if noun.ends_with('y') && !noun.ends_with("ay") => {
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

/// Whether a character does something to the screen, or to how others are read, other than showing
/// itself: controls (C0, C1, delete), line and paragraph separators, what Unicode lists as
/// Default_Ignorable_Code_Point (DerivedCoreProperties 16.0: bidirectional controls, joiners, variation
/// selectors, tags and the like), and annotation marks. Names may contain any of them.
fn is_unseen(c: char) -> bool {
    match c {
        ' '..='~' => false,
        '\0'..='\u{9f}' => true,
        _ => matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'),
    }
}

/// A text with names in it, on one line: whatever would break the line, move the cursor or hide is
/// shown as `\n` or `\u{1b}`.
pub(crate) fn one_line(text: &str) -> String {
    escaped(text, is_unseen)
}

/// The same for a text of several lines.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |c| c != '\n' && is_unseen(c))
}

fn escaped(text: &str, must_be: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match must_be(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// Contents on their way to a terminal, in pieces: whatever could move the cursor or hide is shown as an escape, but
/// for line breaks and tabs, and so are bytes that are not UTF-8, as `\x9b`.
#[derive(Default)]
pub(crate) struct Escaper {
    /// The beginning of a character that the next piece may end.
    begun: Vec<u8>,
}

impl Escaper {
    /// What to show of the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(piece);
        let whole = match std::str::from_utf8(&bytes) {
            Ok(_) => bytes.len(),
            Err(_) => bytes.len() - begun_at_the_end(&bytes),
        };
        self.begun = bytes.split_off(whole);
        escaped_bytes(&bytes)
    }

    /// What to show of what is left.
    pub(crate) fn end(&mut self) -> String {
        escaped_bytes(&std::mem::take(&mut self.begun))
    }
}

/// How many bytes at the end begin a character that is not all there.
fn begun_at_the_end(bytes: &[u8]) -> usize {
    let most = bytes.len().min(3);
    let begins = |length: &usize| {
        let last = std::str::from_utf8(&bytes[bytes.len() - length..]);
        last.is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=most).find(begins).unwrap_or(0)
}

fn escaped_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text += &escaped(chunk.valid(), |c| !matches!(c, '\n' | '\t') && is_unseen(c));
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text
}

/// A value as JSON that can be shown on a terminal: what is unseen is in escapes, which every reader of
/// JSON takes for the same.
pub(crate) fn json(value: &impl Serialize) -> String {
    safe_json(serde_json::to_string(value).expect("what is shown is plain data"))
}

/// The same, laid out for people.
pub(crate) fn pretty_json(value: &impl Serialize) -> String {
    safe_json(serde_json::to_string_pretty(value).expect("what is shown is plain data"))
}

/// JSON with nothing unseen in it but line breaks. Those stand between values; everything else that is
/// unseen can only be in strings.
pub(crate) fn safe_json(json: String) -> String {
    let is_safe = |byte: u8| matches!(byte, b'\n' | b' '..=b'~');
    if json.bytes().all(is_safe) {
        return json;
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_unseen(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            shown.push_str(&format!("\\u{unit:04x}"));
        }
    }
    shown
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
    fn what_is_unseen_is_shown_and_what_is_seen_stays() {
        let unseen = "\u{7f}\u{85}\u{ad}\u{61c}\u{180e}\u{200b}\u{200d}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{3164}\u{fe0f}\u{feff}\u{fffa}\u{1d173}\u{e0041}\u{e0fff}";
        for c in unseen.chars() {
            let escape = format!("\\u{{{:x}}}", u32::from(c));
            assert_eq!(one_line(&c.to_string()), escape);
            assert_eq!(lines(&format!("a\n{c}")), format!("a\n{escape}"));
        }
        let seen = "aZ~ \u{a0}\u{fc}e\u{301}\u{5d0}\u{627}\u{65e5}\u{3000}\u{2010}\u{2030}\u{205f}\u{1f600}\u{fffd}\u{fe20}\u{f8ff}";
        assert_eq!(one_line(seen), seen);
    }

    #[test]
    fn json_in_escapes_has_the_same_value() {
        let text = "a\n\u{1b}\"\\ \u{7f}\u{9b}\u{202e}\u{feff}\u{e0041} Schl\u{fc}ssel \u{1f600}";
        let value = serde_json::json!({ text: [text, {"x": text}] });
        for shown in [json(&value), pretty_json(&value)] {
            assert!(!shown.replace('\n', "").contains(is_unseen), "{shown}");
            assert!(shown.contains("Schl\u{fc}ssel \u{1f600}"), "{shown}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
                value
            );
        }
        assert!(json(&text).contains("\\u007f\\u009b\\u202e\\ufeff\\udb40\\udc41"));
    }

    #[test]
    fn contents_are_shown_the_same_however_they_are_cut() {
        let contents = b"a\tb\r\n\x1b[2J \xe2\x82\xac \xc3\xbc \xf0\x9f\x98\x80 \xe2\x80\xae \x9b \xff\xe2\x82";
        let expected =
            "a\tb\\r\n\\u{1b}[2J \u{20ac} \u{fc} \u{1f600} \\u{202e} \\x9b \\xff\\xe2\\x82";
        for length in 1..=contents.len() {
            let mut escaper = Escaper::default();
            let mut text = String::new();
            for piece in contents.chunks(length) {
                text += &escaper.push(piece);
            }
            text += &escaper.end();
            assert_eq!(text, expected, "{length} bytes at a time");
        }
    }

    #[test]
    fn things_are_counted() {
        assert_eq!(count(1, "day"), "1 day");
        assert_eq!(count(3, "day"), "3 days");
        assert_eq!(count(3000, "entry"), "3,000 entries");
    }

    #[test]
    fn durations_are_as_exact_as_they_need_to_be() {
        let text = |millis| duration(Duration::from_millis(millis));
        assert_eq!(text(250), "0.2 s");
        assert_eq!(text(12_400), "12 s");
        assert_eq!(text(300_000), "5 minutes");
    }
}
