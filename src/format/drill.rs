//! What a drill came to: a part of a snapshot was restored, read back and removed again. Kept in a mark of the
//! snapshot, and shown by `status`.

use serde::{Deserialize, Serialize};

/// Entries that a drill names; the rest is counted.
pub const NAMED: usize = 20;

/// One drill. Fields may be added; a reader takes those that it does not find for nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Drill {
    /// How it went.
    pub outcome: DrillOutcome,
    /// The share of the snapshot that was asked for, from 0 to 1.
    pub share: f64,
    /// Files, directories and links that were to be restored: the sample, and the directories above it.
    pub entries: u64,
    /// Files that were read back and are what the manifest says.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// The whole drill.
    pub duration_ms: u64,
    /// The restore in it.
    pub restore_ms: u64,
    /// Requests to the store, retries included.
    pub requests: u64,
    /// What is not as the snapshot says, at most twenty of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<Mismatch>,
    /// How much is not.
    pub mismatch_count: u64,
    /// What could not be restored for another reason, at most twenty of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_restored: Vec<Mismatch>,
    /// How much could not.
    pub not_restored_count: u64,
    /// What a restore of the whole snapshot would take.
    pub projected: Projected,
}

/// How a drill went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillOutcome {
    /// Everything that was picked was restored, and is what the manifest says.
    Passed,
    /// Nothing is wrong with the backup, and yet something could not be restored.
    Incomplete,
    /// Something in the backup is missing or damaged.
    Damaged,
    /// Something that this program does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl std::fmt::Display for DrillOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Incomplete => "incomplete",
            Self::Damaged => "damaged",
            Self::Unknown => "unknown",
        })
    }
}

/// Something that is not as the snapshot says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// What.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What a restore of a whole snapshot would take, by what a drill has measured.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Projected {
    /// Time.
    pub seconds: u64,
    /// Requests that read.
    pub requests: u64,
    /// Bytes that are fetched.
    pub bytes: u64,
    /// What the store's region charges for requests and retrieval; absent without a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// What sending all of it out to the internet costs besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_usd: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_later_versions_say_of_a_drill_can_be_read() {
        let text = r#"{"outcome":"astonishing","share":0.01,"entries":3,"applause":true}"#;
        let read: Drill = serde_json::from_str(text).unwrap();
        assert_eq!(read.outcome, DrillOutcome::Unknown);
        assert_eq!((read.entries, read.files), (3, 0));
        let text = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Drill>(&text).unwrap(), read);
    }
}
