//! Whether what a bucket has under a key is what a snapshot has.

use std::sync::Arc;

use crc_fast::CrcAlgorithm::Crc64Nvme;

use super::IntoBucket;
use super::beside::Beside;
use crate::contents::{Contents, Expected};
use crate::format::entry::{Content, Entry};
use crate::format::location::{ETag, Location};
use crate::store::{ListedObject, Store, StoreErrorKind, StoreResult};

/// What a bucket has, compared with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// Nothing.
    Nothing,
    /// The same bytes.
    Same,
    /// Something else.
    Different,
    /// As many bytes, and a name for their version that says nothing of them: its checksum may tell.
    Unclear,
}

impl Sight {
    /// What the listing alone shows.
    pub(super) fn of(beside: &Beside, what: &IntoBucket) -> Self {
        match &beside.there {
            None => Self::Nothing,
            Some(there) => listed(&beside.entry, there, what.is_origin),
        }
    }
}

fn listed(entry: &Entry, there: &ListedObject, is_origin: bool) -> Sight {
    if there.size != entry.metadata.size {
        return Sight::Different;
    }
    let source = entry.object.as_ref().map(|object| &object.etag);
    // In its own place it is the version that was backed up.
    if is_origin && source.is_some_and(|etag| etag.bare() == there.etag.bare()) {
        return Sight::Same;
    }
    let copy = match entry.content.as_ref().map(|content| &content.location) {
        Some(Location::Object(stored)) => stored.etag.as_ref(),
        _ => None,
    };
    let is_same = |etag: &ETag| etag.bare() == there.etag.bare() && is_digest(etag);
    if source.into_iter().chain(copy).any(is_same) {
        return Sight::Same;
    }
    match entry.content.as_ref().map(Expected::of) {
        None | Some(Expected::Nothing) => Sight::Different,
        Some(_) => Sight::Unclear,
    }
}

/// Whether an ETag looks like the MD5 of an object, or of those of its parts. Those of encrypted objects look the same
/// and are as good as random, so that no two are equal.
fn is_digest(etag: &ETag) -> bool {
    let (md5, parts) = match etag.bare().split_once('-') {
        Some((md5, parts)) => (md5, parts),
        None => (etag.bare(), "1"),
    };
    let is_hex = md5.bytes().all(|byte| byte.is_ascii_hexdigit());
    md5.len() == 32 && is_hex && parts.parse::<u16>().is_ok()
}

/// Looks at objects of the bucket one by one.
pub(super) struct Looker {
    pub(super) what: IntoBucket,
    pub(super) contents: Contents,
}

impl Looker {
    /// Reads contents from `store`. To be called within a runtime.
    pub(super) fn of(store: &Arc<dyn Store>, what: &IntoBucket) -> Arc<Self> {
        // Contents of objects are objects, and never in archives.
        let objects = Ok(Arc::default());
        Arc::new(Self {
            contents: Contents::of(store, objects, what.memory_bytes / 2, &what.stop),
            what: what.clone(),
        })
    }

    /// Asks for the checksum of what the bucket has, and compares.
    pub(super) async fn look(self: &Arc<Self>, entry: &Entry, key: &str) -> StoreResult<Sight> {
        let info = match self.what.target.head(key).await {
            Ok(info) => info,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(Sight::Nothing),
            Err(error) => return Err(error),
        };
        let there = ListedObject {
            key: key.to_owned(),
            size: info.size,
            etag: info.etag.clone(),
            last_modified: None,
            storage_class: None,
        };
        let (sight, content) = (listed(entry, &there, self.what.is_origin), &entry.content);
        let (Sight::Unclear, Some(content)) = (sight, content) else {
            return Ok(sight);
        };
        let is_same = match (agrees(content, info.sha256, info.crc64nvme), info.crc64nvme) {
            (Some(agrees), _) => agrees,
            // Sent in parts: the server has another checksum of it than the snapshot.
            (None, Some(there)) => self.crc64nvme(entry, content).await == Some(there),
            (None, None) => false,
        };
        Ok(if is_same {
            Sight::Same
        } else {
            Sight::Different
        })
    }

    /// CRC-64/NVME of what the store has, if that can be read.
    async fn crc64nvme(self: &Arc<Self>, entry: &Entry, content: &Content) -> Option<u64> {
        let (looker, entry, content) = (Arc::clone(self), entry.clone(), content.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut digest = crc_fast::Digest::new(Crc64Nvme);
            let read = looker.contents.read(&entry, &content, |offset, piece| {
                if offset == 0 {
                    digest = crc_fast::Digest::new(Crc64Nvme);
                }
                digest.update(piece);
                Ok(())
            });
            read.ok().map(|()| digest.finalize())
        });
        read.await.ok().flatten()
    }
}

/// Whether these checksums are those of contents; `None` where there are none of a kind that is known of them.
pub(super) fn agrees(
    content: &Content,
    sha256: Option<[u8; 32]>,
    crc64nvme: Option<u64>,
) -> Option<bool> {
    let expected = Expected::of(content);
    let by_sha256 = expected.sha256().zip(sha256).map(|(a, b)| a == b);
    let by_crc64nvme = expected.crc64nvme().zip(crc64nvme).map(|(a, b)| a == b);
    let known = by_sha256.into_iter().chain(by_crc64nvme);
    known.reduce(|one, other| one && other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_that_may_be_a_digest_is_told_from_others() {
        let md5 = "0123456789abcdef0123456789abcdef";
        for (etag, expected) in [
            (md5.to_owned(), true),
            (format!("\"{md5}\""), true),
            (format!("{md5}-12"), true),
            (format!("{md5}-"), false),
            (format!("{md5}0"), false),
            ("0".to_owned(), false),
            ("x123456789abcdef0123456789abcdef".to_owned(), false),
        ] {
            assert_eq!(is_digest(&ETag(etag.clone())), expected, "{etag}");
        }
    }
}
