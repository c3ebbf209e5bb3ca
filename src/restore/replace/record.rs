//! What a replacement writes down: whose it is, how far it is, and what was kept.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::steps::Attributes;

/// How far a replacement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The new tree is being restored; the old one is untouched.
    Restoring,
    /// The new tree is complete and checked, and is being put in place. From here it only goes forward.
    Forward,
    /// A step was refused, and the old tree is being put back.
    Back,
}

/// The record in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaceRecord {
    /// Name of the source that is restored.
    pub source: String,
    /// The snapshot.
    pub snapshot: String,
    /// Where the restore runs.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// Since when.
    pub started_at: Timestamp,
    /// What is replaced, for people.
    pub target: String,
    /// Whether the tree is exchanged as a whole, or its entries one by one.
    pub whole: bool,
    /// Whether the target was given by a directory for several sources.
    pub by_source: bool,
    /// What the target's own directory had before the workspace was made in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) old: Option<Attributes>,
    /// What the old tree is called in the end; decided when the new one is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// Whether the file system exchanges two names in one step.
    #[serde(default)]
    pub exchanges: bool,
    /// How far it is.
    pub progress: Progress,
}

/// When a tree was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The part of the name that says when: `before-20251227T020000Z`.
    pub suffix: String,
    /// The same, for programs.
    pub at: Timestamp,
}

impl std::fmt::Display for ReplaceRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            source,
            snapshot,
            host,
            pid,
            started_at,
            ..
        } = self;
        write!(
            f,
            "snapshot {snapshot} of {source}, process {pid} on {host}, since {started_at:.0}"
        )
    }
}

/// The record beside an old tree. Only a directory with this inode number is ever discarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRecord {
    /// What was replaced.
    pub target: String,
    /// Name of the source it was replaced by.
    pub source: String,
    /// The snapshot.
    pub snapshot: String,
    /// When.
    pub replaced_at: Timestamp,
    /// Whether the target was given by a directory for several sources.
    pub by_source: bool,
    /// Inode number of the old tree's directory.
    pub inode: u64,
}
