//! Contents of an object in a bucket: the store of the backups takes them itself, or they are read.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use tokio::runtime::Handle;

use super::{Produce, Refused};
use crate::format::location::ETag;
use crate::format::object::{ObjectMetadata, tags_sha256};
use crate::store::{Described, ObjectRef, Store, StoreErrorKind, StoreResult, Tags};

/// Read at a time, in one request.
const RANGE_BYTES: u64 = 8 << 20;

/// One version of an object.
#[derive(Clone)]
pub struct Remote {
    /// The bucket that it is in.
    pub store: Arc<dyn Store>,
    /// Its key there.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its version.
    pub etag: ETag,
    /// Its storage class, where it is not the default.
    pub class: Option<String>,
    /// What becomes of its tags.
    pub tags: Tags,
}

/// What an object looks like when it is looked at again.
#[derive(Debug)]
pub struct Seen {
    /// What it is.
    pub described: Described,
    /// What a manifest has of it, which was found to be as `before`.
    pub metadata: ObjectMetadata,
}

/// Whether a copy has, besides its bytes, what was looked at of its object: a request to the store of the copy.
///
/// # Errors
/// That store fails, or refuses it, or has no such copy.
pub async fn is_like(object: &ObjectMetadata, store: &dyn Store, copy: &str) -> StoreResult<bool> {
    let (Some(tags), Some(copies)) = (&object.tags_sha256, store.copies()) else {
        return Ok(false);
    };
    Ok(tags_sha256(&copies.tags(copy).await?) == *tags)
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, etag, .. } = self;
        f.debug_struct("Remote")
            .field("key", key)
            .field("etag", etag)
            .finish_non_exhaustive()
    }
}

impl Remote {
    /// How the store of the backups finds it, if it can take it itself.
    #[must_use]
    pub fn reference(&self) -> Option<ObjectRef> {
        let copies = self.store.copies()?;
        Some(copies.named(&self.key, self.etag.clone()))
    }

    /// Looks at the object again, with its tags where they are kept. What it counts as is as `before`: its name says
    /// so.
    ///
    /// # Errors
    /// The bucket fails, or the object is gone.
    pub async fn look(&self, before: &ObjectMetadata) -> StoreResult<Seen> {
        let copies = self.store.copies().expect("a bucket can do this");
        let described = copies.describe(&self.key, self.tags).await?;
        let metadata = ObjectMetadata {
            etag: ETag(described.etag.bare().to_owned()),
            last_modified: described.last_modified.unwrap_or(before.last_modified),
            class: described.storage_class.clone(),
            version: None,
            tags_sha256: (before.tags_sha256.as_ref())
                .map(|_| tags_sha256(&described.headers.tags)),
            headers: None,
            ..before.clone()
        };
        Ok(Seen {
            described,
            metadata,
        })
    }

    /// The object as it was seen.
    #[must_use]
    pub fn seen(self, seen: &Seen) -> Self {
        Self {
            size: seen.described.size,
            etag: seen.described.etag.clone(),
            class: seen.described.storage_class.clone(),
            ..self
        }
    }

    /// Reads it, this version and no other.
    #[must_use]
    pub fn stream(self, runtime: Handle) -> Box<dyn Produce> {
        Box::new(Stream {
            remote: self,
            runtime,
            at: 0,
            ready: Bytes::new(),
        })
    }
}

/// An object that is being read.
#[derive(Debug)]
struct Stream {
    remote: Remote,
    runtime: Handle,
    /// Where the next range begins.
    at: u64,
    ready: Bytes,
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let remote = &self.remote;
        if self.ready.is_empty() && self.at < remote.size {
            let range = self.at..remote.size.min(self.at + RANGE_BYTES);
            let copies = remote.store.copies().expect("a bucket can do this");
            let read = copies.read_version(&remote.key, &remote.etag, range.clone());
            self.ready = self.runtime.block_on(read).map_err(|error| {
                let kind = match error.kind {
                    StoreErrorKind::NotFound => io::ErrorKind::NotFound,
                    StoreErrorKind::PreconditionFailed => io::ErrorKind::StaleNetworkFileHandle,
                    _ => io::ErrorKind::Other,
                };
                io::Error::new(kind, error)
            })?;
            self.at = range.end;
        }
        let length = self.ready.len().min(into.len());
        self.ready.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}

impl Produce for Stream {
    fn finish(self: Box<Self>) -> Result<(), Refused> {
        match self.at == self.remote.size && self.ready.is_empty() {
            true => Ok(()),
            false => Err(Refused::Unreadable(io::Error::other("it broke off"))),
        }
    }

    fn abort(self: Box<Self>) {}
}
