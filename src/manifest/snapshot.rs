//! Commit records. A snapshot exists if and only if its commit record does.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::archive::ArchiveRef;
use super::pass_id::PassId;
use super::segment::SegmentRef;
use super::totals::Totals;

/// `snapshots/<source>/<pass>.json`, written last and once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Format version of the record and of the segments it names.
    pub format: u32,
    /// Name of the source.
    pub source: String,
    /// The pass that committed it; with the source, this is the snapshot's name.
    pub pass: PassId,
    /// The directory that was backed up, for people.
    pub directory: String,
    /// When the pass started, in the store's time.
    pub created_at: Timestamp,
    /// When the record was written, in the store's time.
    pub committed_at: Timestamp,
    /// The snapshot this one was compared with.
    pub parent: Option<PassId>,
    /// Whether every entry shows the state of this pass.
    pub complete: bool,
    /// Whether extended attributes were recorded.
    #[serde(default)]
    pub xattrs: bool,
    /// The pass that made the last full archive, where the source is archived incrementally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<PassId>,
    /// The archives that entries point into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<ArchiveRef>,
    /// What the snapshot holds.
    pub totals: Totals,
    /// The manifest: segments in order.
    pub segments: Vec<SegmentRef>,
    /// Version of the program that wrote it.
    pub offsite: String,
}

/// A commit record that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Not the JSON of a commit record.
    #[error("is not a commit record: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error("has format version {0}, this program reads version {FORMAT}")]
    Format(u32),
    /// It says that it is another one.
    #[error("says that it is snapshot `{pass}` of source `{source_name}`")]
    Misplaced {
        /// The source it names.
        source_name: String,
        /// The pass it names.
        pass: PassId,
    },
}

impl Snapshot {
    /// Reads a commit record.
    ///
    /// # Errors
    /// It is damaged, or of a format this program does not know.
    pub fn parse(bytes: &[u8]) -> Result<Self, SnapshotError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(SnapshotError::Format(format));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The record as it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a commit record is plain data");
        bytes.push(b'\n');
        bytes
    }
}
