//! The digests beside a segment, from the store: of contents that were read after the commit.
//!
//! They help where they are, and nobody needs them. So whatever keeps them from being had is told, and fails nothing.

use sha2::{Digest, Sha256};

use crate::format::digests::{Digests, DigestsError};
use crate::format::keys;
use crate::format::lines::OBJECT_BYTES;
use crate::format::segment::SegmentRef;
use crate::store::{ETag, Store, StoreError, StoreErrorKind};

/// How often they are fetched if they do not come the same twice.
const READS: usize = 4;

/// What lies beside a segment.
pub enum Beside {
    /// No digests.
    Nothing,
    /// Digests.
    Digests(Digests, ETag),
    /// Something that is not to be believed, in this version.
    Damaged(DigestsError, ETag),
    /// What only a newer program can read.
    Newer(DigestsError),
    /// The store does not say.
    Unknown(StoreError),
}

impl Beside {
    /// Why there are no digests, where there should be.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Nothing | Self::Digests(..) => None,
            Self::Damaged(error, _) => Some(format!("damaged: {error}")),
            Self::Newer(error) => Some(error.to_string()),
            Self::Unknown(error) => Some(error.kind.to_string()),
        }
    }
}

/// Loads what lies beside a segment. What is damaged on the way is fetched again.
pub async fn load(store: &dyn Store, segment: &SegmentRef) -> Beside {
    let Some(key) = keys::digests(&segment.key) else {
        return Beside::Nothing;
    };
    let mut last = None;
    let mut reads = 0;
    loop {
        let object = match store.get(&key, OBJECT_BYTES).await {
            Ok(object) => object,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Beside::Nothing,
            Err(error) => return Beside::Unknown(error),
        };
        reads += 1;
        let sha256: [u8; 32] = Sha256::digest(&object.bytes).into();
        match Digests::parse(object.bytes, &segment.sha256) {
            Ok(digests) => return Beside::Digests(digests, object.etag),
            Err(error) if error.is_newer() => return Beside::Newer(error),
            Err(error) if last == Some(sha256) || reads == READS => {
                return Beside::Damaged(error, object.etag);
            }
            Err(_) => last = Some(sha256),
        }
    }
}
