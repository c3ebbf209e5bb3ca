//! What a snapshot needs that its ancestor does not.
//!
//! Along a chain of parents, whatever a later snapshot has of a pass that is not later than an earlier one, the
//! earlier one has as well: a pass refers to what its parent has, and to what it or passes after its parent
//! have captured. So the pass that captured something tells.

use std::collections::HashSet;
use std::sync::Arc;

use super::CopyError;
use crate::format::entry::{Digest, Entry};
use crate::format::location::{Checksum, Location, Stored};
use crate::format::objects::SharedObject;
use crate::format::pass_id::PassId;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{Entries, EntriesError};
use crate::snapshots::objects;
use crate::store::Store;

/// An object with contents.
#[derive(Debug, Clone)]
pub struct Need {
    /// Its key, under the prefix.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of it, where that is known.
    pub sha256: Option<[u8; 32]>,
    /// CRC-64/NVME of it, where that is known.
    pub crc64nvme: Option<u64>,
    /// Whether it has headers, user metadata and tags, which are recorded nowhere else: it is the copy of an object.
    pub has_headers: bool,
}

/// Tells of all that is needed, once each, until `tell` says that it is enough. Blocks.
pub(super) fn needs(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    after: Option<PassId>,
    mut tell: impl FnMut(Result<Need, CopyError>) -> bool,
) {
    let is_new = |pass: PassId| after.is_none_or(|after| pass > after);
    let table = tokio::runtime::Handle::current().block_on(objects::load(&**store, snapshot));
    let table = match table {
        Ok(table) => table,
        Err(error) => {
            tell(Err(error.into()));
            return;
        }
    };
    for object in table.iter().filter(|object| is_new(object.object.pass)) {
        if !tell(Ok(Need::of_shared(object))) {
            return;
        }
    }
    // Names of one file share an object. Those of other objects are told of once by themselves.
    let mut shared = HashSet::new();
    for entry in Entries::of(store, snapshot) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(EntriesError::Store(error)) => {
                tell(Err(error.into()));
                return;
            }
            Err(EntriesError::Damaged { segment, error }) => {
                tell(Err(CopyError::Segment {
                    key: segment.key,
                    snapshot: snapshot.pass,
                    error,
                }));
                return;
            }
        };
        let Some(content) = &entry.content else {
            continue;
        };
        let Location::Object(stored) = &content.location else {
            continue;
        };
        let has_names = content.captured_as.is_some() || entry.hardlink.is_some();
        if !is_new(content.pass) || has_names && !shared.insert(stored.key.to_string()) {
            continue;
        }
        if !tell(Ok(Need::of(stored, &entry, content.digest))) {
            return;
        }
    }
}

impl Need {
    /// An object that holds contents of an entry, of this digest, as they are.
    #[must_use]
    pub fn of(stored: &Stored, entry: &Entry, digest: Digest) -> Self {
        let object = entry.object.as_ref();
        Self {
            key: stored.key.to_string(),
            size: stored.size,
            sha256: digest.sha256().or(match stored.checksum {
                Checksum::Sha256(sha256) => Some(sha256),
                Checksum::Crc64Nvme(_) | Checksum::Sha256OfParts(_) | Checksum::None => None,
            }),
            crc64nvme: match stored.checksum {
                Checksum::Crc64Nvme(crc64nvme) => Some(crc64nvme),
                Checksum::Sha256(_) | Checksum::Sha256OfParts(_) | Checksum::None => None,
            },
            has_headers: object.is_some_and(|object| object.headers.is_none()),
        }
    }

    /// One that many files share.
    #[must_use]
    pub fn of_shared(object: &SharedObject) -> Self {
        Self {
            key: object.key.to_string(),
            size: object.size,
            sha256: match object.checksum {
                Checksum::Sha256(sha256) => Some(sha256),
                Checksum::Crc64Nvme(_) | Checksum::Sha256OfParts(_) | Checksum::None => None,
            },
            crc64nvme: u64::from_str_radix(&object.crc64nvme, 16).ok(),
            has_headers: false,
        }
    }
}
