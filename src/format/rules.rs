//! What the settings of a source leave out of its snapshots. Without it nobody can tell what a snapshot lacks because
//! it did not exist from what was never looked at.

use serde::{Deserialize, Serialize};

/// By what a pass has left something out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Globs: files that match none are left out. Without any, all files count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Globs: what matches one is left out, with what is in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// What is mounted in the source is left out, but for the directories.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub one_file_system: bool,
    /// Each directory is a session, and files beside them are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sessions: bool,
}

impl Rules {
    /// Whether everything counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
