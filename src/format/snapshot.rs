//! Commit records. A snapshot exists if and only if its commit record does.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::FORMAT;
use super::condemned::{CONDEMNED, Condemned};
use super::keys::SourceName;
use super::name::Order;
use super::objects::TableRef;
use super::origin::Origin;
use super::owner::StoreOwner;
use super::pass_id::PassId;
use super::record;
use super::requires::{Requires, Unsupported};
use super::rules::Rules;
use super::segment::SegmentRef;
use super::selection::SessionSelection;
use super::totals::Totals;

/// The largest commit record. A segment takes some 700 bytes of one, and as much as its first and last path
/// are long; so this has room for ten billion files.
pub const RECORD_BYTES: u64 = 64 << 20;

/// `snapshots/<source>/<pass>.json`, written last and once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Format version of the record and of the segments it names.
    pub format: u32,
    /// What a reader has to know besides.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// Name of the source.
    pub source: SourceName,
    /// The pass that committed it; with the source, this is the snapshot's name.
    pub pass: PassId,
    /// Generation of the lease under which that was done.
    pub generation: u64,
    /// How many snapshots came before it in its chain of parents.
    pub sequence: u64,
    /// Whose store it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<StoreOwner>,
    /// What the source is: `directory`, `bucket`.
    pub kind: String,
    /// Where it was, for people: a directory, the URL of a bucket.
    pub place: String,
    /// Where it came from, and where earlier snapshots did; this one's origin first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Origin>,
    /// What the pass was to look at, where that was not everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<SessionSelection>,
    /// What the source's settings left out.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub rules: Rules,
    /// When the pass started, in the store's time.
    pub created_at: Timestamp,
    /// When the record was written, in the store's time.
    pub committed_at: Timestamp,
    /// The snapshot this one was compared with.
    pub parent: Option<PassId>,
    /// SHA-256 of that one's record, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_sha256: Option<String>,
    /// Killed passes whose work went on in this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub continued: Vec<PassId>,
    /// Whether everything that is in the source is in the snapshot: no entry is unreadable, no session
    /// was never asked for, and not too much vanished while the pass ran.
    pub complete: bool,
    /// Whether extended attributes were recorded.
    #[serde(default)]
    pub xattrs: bool,
    /// The last full archive, where the source is archived incrementally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<FullArchive>,
    /// The table of the shared objects that entries point into, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<TableRef>,
    /// The order of its entries.
    pub order: Order,
    /// Where it was copied from, or an ancestor of it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
    /// What the snapshot holds.
    pub totals: Totals,
    /// Bytes of contents that the pass put into the store for it.
    #[serde(default)]
    pub uploaded_bytes: u64,
    /// How much more the snapshot before it held, where that was more than twice as much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// The manifest: segments in order.
    pub segments: Vec<SegmentRef>,
    /// Version of the program that wrote it.
    pub offsite: String,
    /// SHA-256 of the record that this was read from, in hex; empty until it was.
    #[serde(skip)]
    pub sha256: String,
}

/// Says that a snapshot, or an ancestor of it, was made in another store and copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// The store that it was copied from.
    pub from: String,
    /// The copied snapshot. What was captured up to then was put again by a copy, so that the stores' names for
    /// versions, which manifests have, are those of another store.
    pub through: PassId,
}

/// Says that a snapshot has less than half of what there was before: of entries, or of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The snapshot before it.
    pub before: PassId,
    /// Entries in that one.
    pub entries: u64,
    /// Bytes in its files.
    pub bytes: u64,
}

impl Loss {
    /// What was lost on the way from one snapshot to totals of another, if it is more than half.
    #[must_use]
    pub fn between(before: &Snapshot, after: &Totals) -> Option<Self> {
        let halved = |before: u64, after: u64| after < before.div_ceil(2);
        let is_loss = halved(before.totals.entries, after.entries)
            || halved(before.totals.bytes, after.bytes);
        is_loss.then_some(Self {
            before: before.pass,
            entries: before.totals.entries,
            bytes: before.totals.bytes,
        })
    }
}

/// An archive of everything in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullArchive {
    /// The pass that made it.
    pub pass: PassId,
    /// When that started, in the store's time.
    pub created_at: Timestamp,
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
    /// Written by a newer program.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// It says that it is another one.
    #[error("says that it is snapshot `{pass}` of source `{source_name}`")]
    Misplaced {
        /// The source it names.
        source_name: String,
        /// The pass it names.
        pass: PassId,
    },
}

/// What lies under the key of a snapshot. The snapshot exists if that is a live record, and only then.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A commit record.
    Live(Box<Snapshot>),
    /// A snapshot that a prune has condemned. It does not exist, and can be made to exist again.
    Condemned(Box<Condemned>),
    /// There is no such snapshot, and there never will be.
    Void(Void),
    /// A state that this program does not know. The snapshot does not exist.
    Other(String),
}

/// Blocks the commit of a pass whose lease somebody else has taken over: the pass may still be running,
/// or its commit on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Void {
    format: u32,
    state: String,
    /// Generation of the lease under which this was written.
    pub generation: u64,
    /// The pass that wrote it.
    pub by: PassId,
    /// When, in the store's time.
    pub at: Timestamp,
    /// Makes each void record another version of the object.
    #[serde(default)]
    pub nonce: u32,
}

const LIVE: &str = "live";
const VOID: &str = "void";

fn live() -> String {
    LIVE.to_owned()
}

impl Record {
    /// Reads what lies under the key of a snapshot.
    ///
    /// # Errors
    /// It is damaged, or of a format this program does not know.
    pub fn parse(bytes: &[u8]) -> Result<Self, SnapshotError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
            #[serde(default)]
            requires: Requires,
            #[serde(default = "live")]
            state: String,
        }
        let sha256 = Sha256::digest(bytes);
        // Further lines are no part of it.
        let bytes = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
        let Head {
            format,
            requires,
            state,
        } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(SnapshotError::Format(format));
        }
        requires.check()?;
        Ok(match state.as_str() {
            LIVE => Self::Live(Box::new(Snapshot {
                sha256: hex::encode(sha256),
                ..serde_json::from_slice(bytes)?
            })),
            CONDEMNED => Self::Condemned(Box::new(Condemned::parse(bytes)?)),
            VOID => Self::Void(serde_json::from_slice(bytes)?),
            _ => Self::Other(state),
        })
    }
}

impl Void {
    /// A void record of this program's format.
    #[must_use]
    pub fn new(generation: u64, by: PassId, at: Timestamp, nonce: u32) -> Self {
        Self {
            format: FORMAT,
            state: VOID.to_owned(),
            generation,
            by,
            at,
            nonce,
        }
    }

    /// The record as it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        record::to_bytes(self)
    }
}

impl Snapshot {
    /// The record as it is stored, in one line.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        record::to_bytes(self)
    }
}

/// The record of a copied snapshot: as it was, with what this program does not know, and where it comes from.
#[must_use]
pub fn as_copy(stored: &[u8], snapshot: &Snapshot, from: &str) -> Vec<u8> {
    let line = stored.split(|byte| *byte == b'\n').next().unwrap_or(stored);
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(line).expect("it was parsed as a record");
    let copied = Copied {
        from: from.to_owned(),
        through: snapshot.pass,
    };
    let copied = serde_json::to_value(copied).expect("records are plain data");
    fields.insert("copied".to_owned(), copied);
    record::to_bytes(&fields)
}
