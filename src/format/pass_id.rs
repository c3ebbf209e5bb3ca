//! The name of a pass: its UTC start in the store's time plus four hex digits.
//!
//! Ids sort by time as text, in listings and in memory, and a new id always sorts after the one it
//! follows, even within one second or when the store's clock has gone back.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

const LEN: usize = "20251227T020000Z-7f3a".len();

/// `20251227T020000Z-7f3a`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassId([u8; LEN]);

/// The text is not a pass id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a pass id; one looks like `20251227T020000Z-7f3a`")]
pub struct InvalidPassId(String);

impl PassId {
    /// Length of every id, in bytes.
    pub(crate) const LENGTH: usize = LEN;

    /// An id for a pass that starts at `now`, sorting after `previous`.
    ///
    /// `random` spreads ids that start in the same second; its low 16 bits are used.
    #[must_use]
    pub fn new(now: Timestamp, previous: Option<Self>, random: u16) -> Self {
        let id = Self::at(now, random);
        let Some(previous) = previous.filter(|previous| id <= *previous) else {
            return id;
        };
        // Close behind the previous one, so that many passes fit into one second.
        let (second, suffix) = (previous.started_at(), previous.suffix());
        match suffix.checked_add(1 + random % 256) {
            Some(suffix) => Self::at(second, suffix),
            None => Self::at(second + jiff::SignedDuration::from_secs(1), random % 256),
        }
    }

    fn at(second: Timestamp, suffix: u16) -> Self {
        let text = format!("{}-{suffix:04x}", second.strftime("%Y%m%dT%H%M%SZ"));
        let mut bytes = [b'0'; LEN];
        bytes.copy_from_slice(text.as_bytes());
        Self(bytes)
    }

    /// The second in which the pass started, in the store's time.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        parse_start(&self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn suffix(self) -> u16 {
        u16::from_str_radix(&self.as_str()[LEN - 4..], 16).unwrap_or(u16::MAX)
    }

    /// The id as it stands in keys.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The start written in the first characters; `None` where they are not a time.
///
/// Parsed by hand: each entry of a manifest names a pass, and `strptime` costs more than all the
/// rest of reading one.
fn parse_start(text: &[u8; LEN]) -> Option<Timestamp> {
    let number = |range: std::ops::Range<usize>| -> Option<i16> {
        text[range].iter().try_fold(0, |sum: i16, digit| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + i16::from(digit - b'0'))
        })
    };
    let small = |at: usize| number(at..at + 2).and_then(|n| i8::try_from(n).ok());
    if (text[8], text[15]) != (b'T', b'Z') {
        return None;
    }
    let civil = DateTime::new(
        number(0..4)?,
        small(4)?,
        small(6)?,
        small(9)?,
        small(11)?,
        small(13)?,
        0,
    );
    Offset::UTC.to_timestamp(civil.ok()?).ok()
}

impl FromStr for PassId {
    type Err = InvalidPassId;

    fn from_str(text: &str) -> Result<Self, InvalidPassId> {
        let invalid = || InvalidPassId(text.to_owned());
        let bytes: [u8; LEN] = text.as_bytes().try_into().map_err(|_| invalid())?;
        let suffix = &bytes[LEN - 4..];
        let is_hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if bytes[LEN - 5] != b'-' || !suffix.iter().all(is_hex) {
            return Err(invalid());
        }
        parse_start(&bytes).ok_or_else(invalid)?;
        Ok(Self(bytes))
    }
}

impl Serialize for PassId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PassId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = PassId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pass id")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PassId, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl fmt::Display for PassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for PassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_names_its_start() {
        let id = PassId::new(time("2025-12-27T02:00:00.75Z"), None, 0x7f3a);
        assert_eq!(id.to_string(), "20251227T020000Z-7f3a");
        assert_eq!(id.started_at(), time("2025-12-27T02:00:00Z"));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn ids_only_grow_whatever_the_clock_does() {
        let now = time("2025-12-27T02:00:00Z");
        let mut previous = PassId::new(now, None, 0xfff0);
        for step in 0..2000_u16 {
            let clock = now - jiff::SignedDuration::from_secs(i64::from(step % 7));
            let next = PassId::new(clock, Some(previous), step.wrapping_mul(40503));
            assert!(next > previous, "{next} after {previous}");
            previous = next;
        }
        assert!(previous.started_at() < time("2025-12-27T02:00:30Z"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "20251227T020000Z-7F3A",
            "20251327T020000Z-7f3a",
            "20251227T020000Z_7f3a",
            "2025-12-27",
            "20251227T020000Z-7f3",
        ] {
            assert!(text.parse::<PassId>().is_err(), "{text}");
        }
    }
}
