//! Which parts of a source a pass was asked for, as its commit records say.

use serde::{Deserialize, Serialize};

/// What of a source a pass was to look at. The rest of its snapshot is as the last one had it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionSelection {
    /// Names of sessions, or globs of names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<String>,
    /// Only sessions of this year.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub year: Option<String>,
    /// The most sessions to archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Only sessions that were never archived.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not_backed_up: bool,
    /// Categories of objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
}
