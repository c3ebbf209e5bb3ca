//! `marks/<source>/<pass>/<n>.json`: what was said of a snapshot after it was committed.
//!
//! Marks are events and are never changed. Where several of them speak of the same thing, the one with the
//! highest number counts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::damage::DamagedObject;
use super::drill::Drill;
use super::keys::SourceName;
use super::location::ETag;
use super::lock::Holder;
use super::pass_id::PassId;
use super::record::{self, RecordError};
use super::requires::Requires;

/// The largest mark.
pub const MARK_BYTES: u64 = 16 << 20;

/// One mark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    format: u32,
    /// What a reader has to know besides.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    requires: Requires,
    /// Name of the source.
    pub source: SourceName,
    /// The snapshot.
    pub snapshot: PassId,
    /// When the mark was made, in the store's time.
    pub at: Timestamp,
    /// On which machine.
    pub by: Holder,
    /// What it says.
    #[serde(flatten)]
    pub says: Says,
}

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Says {
    /// The snapshot is not to be condemned.
    Pin {
        /// Why.
        reason: String,
        /// Not after this; for ever, without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// It is no longer pinned.
    Unpin,
    /// What it lacks beside the snapshot before it is meant to be gone.
    Acknowledge {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Objects that it needs are damaged, and no copy had them. The next pass captures again what they held.
    Damaged {
        /// Which, and what is wrong with them.
        objects: Vec<DamagedObject>,
    },
    /// Objects were put back from a copy, and have another ETag than was recorded.
    Repaired {
        /// Which, and their ETags.
        objects: Vec<RepairedObject>,
    },
    /// Some of it was restored to see whether it can be.
    Drill(Box<Drill>),
    /// Something that this program does not know.
    #[serde(other)]
    Unknown,
}

/// An object that was put back from a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairedObject {
    /// Its key, under the prefix.
    pub key: String,
    /// The store's name for the version that was put back.
    pub etag: ETag,
}

impl Mark {
    /// A mark of this program's format.
    #[must_use]
    pub fn new(
        source: SourceName,
        snapshot: PassId,
        at: Timestamp,
        by: Holder,
        says: Says,
    ) -> Self {
        Self {
            format: FORMAT,
            requires: Requires::default(),
            source,
            snapshot,
            at,
            by,
            says,
        }
    }

    /// Reads a mark.
    ///
    /// # Errors
    /// It is damaged, or of a format this program does not know.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        record::parse(bytes)
    }

    /// The mark as it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        record::to_bytes(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(says: &str) -> String {
        format!(
            r#"{{"format":{FORMAT},"source":"a","snapshot":"20251227T020000Z-7f3a","at":"2025-12-28T00:00:00Z","by":{{"host":"h","pid":1}},{says}}}"#
        )
    }

    #[test]
    fn marks_are_read_back() {
        let says = Says::Pin {
            reason: "before the move".to_owned(),
            until: None,
        };
        let text = mark(r#""kind":"pin","reason":"before the move""#);
        let read = Mark::parse(text.as_bytes()).unwrap();
        assert_eq!(read.says, says);
        assert_eq!(Mark::parse(&read.to_bytes()).unwrap(), read);
    }

    #[test]
    fn a_drill_is_read_back_whatever_it_says() {
        let text =
            mark(r#""kind":"drill","outcome":"passed","entries":7,"projected":{"seconds":9}"#);
        let read = Mark::parse(text.as_bytes()).unwrap();
        assert!(
            matches!(&read.says, Says::Drill(drill) if drill.entries == 7),
            "{read:?}"
        );
        assert_eq!(Mark::parse(&read.to_bytes()).unwrap(), read);
        // Of a later version: it keeps no prune from reading the marks.
        let text = mark(r#""kind":"drill","outcome":"new","loud":[1]"#);
        assert!(Mark::parse(text.as_bytes()).is_ok());
    }

    #[test]
    fn a_kind_that_is_not_known_is_no_error_and_a_feature_is() {
        let read = Mark::parse(mark(r#""kind":"applause","loud":1"#).as_bytes());
        assert_eq!(read.unwrap().says, Says::Unknown);
        let read = Mark::parse(mark(r#""kind":"pin","requires":["x"],"reason":"""#).as_bytes());
        assert!(matches!(read, Err(RecordError::Unsupported(_))), "{read:?}");
    }
}
