//! `prunes/<id>.json`: what a prune decided, and why. Written before anything is condemned.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys::SourceName;
use super::lock::Holder;
use super::owner::StoreOwner;
use super::pass_id::PassId;
use super::record::{self, RecordError};
use super::requires::Requires;
use super::retention::Policy;

/// The largest record of a prune: a snapshot takes some 200 bytes of one.
pub const RECORD_BYTES: u64 = 64 << 20;

/// What a prune decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneRecord {
    /// Format version; see [`FORMAT`](super::FORMAT).
    pub format: u32,
    /// What a reader has to know besides.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// The prune; ids of prunes and of passes are of one kind.
    pub prune: PassId,
    /// When it was decided, in the store's time.
    pub at: Timestamp,
    /// Who ran it.
    pub by: Holder,
    /// Whose store it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<StoreOwner>,
    /// The sources, also those that this prune left alone.
    pub sources: Vec<PrunedSource>,
    /// Version of the program.
    pub offsite: String,
}

/// What became of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunedSource {
    /// Its name.
    pub source: SourceName,
    /// By which policy; absent of a source that was never pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// How many snapshots are live after it.
    pub remaining: u64,
    /// What stays, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptSnapshot>,
    /// What goes, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub condemned: Vec<CondemnedSnapshot>,
}

/// A snapshot that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSnapshot {
    /// The snapshot.
    pub snapshot: PassId,
    /// Its nearest ancestor that stays, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<PassId>,
    /// For people.
    pub because: Vec<String>,
}

/// A snapshot that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CondemnedSnapshot {
    /// The snapshot.
    pub snapshot: PassId,
    /// When it was committed, in the store's time.
    pub committed_at: Timestamp,
    /// Bytes that its pass put into the store.
    pub uploaded_bytes: u64,
    /// For people.
    pub because: String,
}

impl PruneRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// It is damaged, or of a format this program does not know.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        record::parse(bytes)
    }

    /// The record as it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        record::to_bytes(self)
    }
}
