//! The store: where backups go.
//!
//! [`Store`] is what the rest of the program needs of object storage, and no more: whole reads and
//! ranges, conditional puts, uploads in parts, ordered listing, and what the store knows of an
//! object. Keys are relative to the configured prefix. Every body is in memory: nothing larger than
//! a part or a manifest segment is ever asked for at once, and nothing is read beyond what was asked
//! for. Whatever is returned as written, missing or empty is so by the word of the store itself.
//!
//! Nothing here deletes an object.

mod clock;
mod copy_job;
mod directory;
pub mod error;
mod hashes;
mod listing;
pub mod open;
mod options;
mod part_sizes;
mod part_writer;
pub(crate) mod patience;
mod s3;
pub(crate) mod server_side;
pub mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::format::abilities::Abilities;
use crate::format::location::Checksum;
use crate::format::object::ObjectHeaders;

pub use crate::format::location::ETag;
pub use clock::Clock;
pub use copy_job::CopyJob;
pub use error::{Operation, StoreError, StoreErrorKind};
pub use listing::{Keys, ListedObject, Listing, Page, Pages, all_keys};
pub use options::{Encryption, StoreOptions};
pub use part_sizes::{Length, PART_BYTES, WHOLE_BYTES};
pub use part_writer::{NewObject, PartWriter, Uploader, WriteError, Written};

/// Result of a request to the store.
pub type StoreResult<T> = Result<T, StoreError>;

/// An object that was read whole.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its version, for a conditional put that replaces it.
    pub etag: ETag,
    /// When it was written, by the store's clock, in whole seconds; `None` where the answer does not
    /// say. Nobody may take that for a time.
    pub last_modified: Option<Timestamp>,
}

/// What the store knows of an object without its bytes being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Length in bytes.
    pub size: u64,
    /// Its version.
    pub etag: ETag,
    /// SHA-256 of the whole object, where the store checked and kept one.
    pub sha256: Option<[u8; 32]>,
    /// CRC-64/NVME of the whole object, where the store checked and kept one.
    pub crc64nvme: Option<u64>,
    /// SHA-256 of the SHA-256 of the parts it was sent in, where the store checked and kept those.
    pub sha256_of_parts: Option<[u8; 32]>,
    /// Whether the store keeps a checksum of a kind that this program never asks for.
    pub has_foreign_checksum: bool,
    /// Whether it is in an archive class or tier, and cannot be read before it is thawed.
    pub is_archived: bool,
}

/// When a put may take effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Only if there is no object under the key.
    Absent,
    /// Only over this version.
    Matches(ETag),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "`If-None-Match: *`",
            Self::Matches(_) => "`If-Match`",
        })
    }
}

/// How content objects are kept. Manifests and control objects are always in the default class, so
/// that they can be read at once whatever becomes of the contents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// S3 storage class; the bucket's default where there is none.
    pub storage_class: Option<String>,
    /// Object tags.
    pub tags: BTreeMap<String, String>,
    /// Headers and user metadata; those of no particular contents where there are none. Tags in them do not count.
    pub headers: Option<Box<ObjectHeaders>>,
}

/// Which part of an upload one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub number: i32,
    /// Where it begins in the object, in bytes.
    pub offset: u64,
}

/// One part of an upload that the store has taken.
#[derive(Debug, Clone)]
pub struct UploadedPart {
    /// From 1.
    pub number: i32,
    /// What the store answered.
    pub etag: ETag,
    /// CRC-64/NVME of the part.
    pub crc64nvme: u64,
    /// SHA-256 of the part, where the store was sent that in its place.
    pub sha256: Option<[u8; 32]>,
}

/// An object that parts have become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// Its version.
    pub etag: ETag,
    /// What of it the store checks and keeps.
    pub checksum: Checksum,
}

/// An upload in parts that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Where the object will be.
    pub key: String,
    /// The store's name for the upload.
    pub id: String,
}

/// An upload that was neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// What to abort.
    pub upload: Upload,
    /// When it was begun, by the store's clock; `None` where the store does not say.
    pub begun_at: Option<Timestamp>,
}

/// An object, as another store at the same address finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// What it is called there, whichever store it is in.
    pub name: String,
    /// Its version; no other one is taken for it.
    pub etag: ETag,
}

/// The largest object that S3 copies in one request (S3 API reference, "CopyObject").
pub const COPY_WHOLE_BYTES: u64 = 5 << 30;

/// What an object is, bytes aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Length in bytes.
    pub size: u64,
    /// Its version.
    pub etag: ETag,
    /// When it was written, by the store's clock; `None` where the store does not say.
    pub last_modified: Option<Timestamp>,
    /// Its storage class, where it is not the default.
    pub storage_class: Option<String>,
    /// Headers, user metadata and tags.
    pub headers: ObjectHeaders,
}

/// What becomes of an object's tags when it is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tags {
    /// The copy has them.
    #[default]
    Keep,
    /// The copy has none.
    Ignore,
}

/// How an object is copied as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeCopy {
    /// What is copied; no other version is.
    pub from: ObjectRef,
    /// Its length in bytes.
    pub size: u64,
    /// Where it goes.
    pub key: String,
    /// When it may go there; whatever is there, without.
    pub condition: Option<Condition>,
    /// Storage class of the copy; the bucket's default where there is none.
    pub storage_class: Option<String>,
    /// Whether the copy has the tags.
    pub tags: Tags,
}

/// A copy that the store has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Its version.
    pub etag: ETag,
    /// What the store has computed of it, or handed on.
    pub checksum: Checksum,
    /// The name of the version that was copied, where the bucket keeps versions.
    pub version: Option<String>,
}

/// What a store can that takes contents from another one at the same address, so that they do not pass through
/// here.
#[async_trait]
pub trait Copies: Send + Sync {
    /// How the other store finds an object of this one.
    fn named(&self, key: &str, etag: ETag) -> ObjectRef;

    /// Whether parts that are copied come with checksums that were computed of their bytes.
    fn proves_parts(&self) -> bool;

    /// Says what an object of this store is, with its tags or without: a request, and another one for those.
    ///
    /// # Errors
    /// The store fails, or there is no such object.
    async fn describe(&self, key: &str, tags: Tags) -> StoreResult<Described>;

    /// The tags of an object of this store.
    ///
    /// # Errors
    /// The store fails, or refuses it, or there is no such object.
    async fn tags(&self, key: &str) -> StoreResult<BTreeMap<String, String>>;

    /// Reads a range of one version of an object of this store.
    ///
    /// # Errors
    /// The store fails, or another version is there ([`StoreErrorKind::PreconditionFailed`]).
    async fn read_version(&self, key: &str, etag: &ETag, range: Range<u64>) -> StoreResult<Bytes>;

    /// Makes another store's object one of this store's, in one request that is sent once. Headers and user metadata
    /// come along.
    ///
    /// # Errors
    /// The store cannot do it, or may not read the other one; or it fails. Where a condition does not hold, of either
    /// object, it is [`StoreErrorKind::PreconditionFailed`].
    async fn copy_whole(&self, copy: &WholeCopy) -> StoreResult<Copied>;

    /// Whether the store keeps to a condition of copies that does not hold of an object that is there: tried by copying
    /// the object onto itself. Where it does not, that has changed nothing but the object's time.
    ///
    /// # Errors
    /// The store fails, or refuses such a copy for another reason.
    async fn keeps_to(&self, condition: &Condition, key: &str) -> StoreResult<bool>;

    /// The same as [`copy_whole`](Self::copy_whole) in parts of so many bytes, for what is too large for one request.
    /// Nothing comes along by itself: what the object is has to be said.
    ///
    /// # Errors
    /// As [`copy_whole`](Self::copy_whole). Nothing is left of what was begun.
    async fn copy_in_parts(
        &self,
        copy: &WholeCopy,
        like: &ObjectHeaders,
        part_bytes: u64,
    ) -> StoreResult<Copied>;

    /// Makes a range of another store's object a part. Its checksum is what this store has computed of the bytes
    /// that it has taken.
    ///
    /// # Errors
    /// The store cannot do it, or may not read the other one; or it fails.
    async fn copy_part(
        &self,
        upload: &Upload,
        part: Part,
        from: &ObjectRef,
        range: Range<u64>,
    ) -> StoreResult<UploadedPart>;
}

/// Object storage as the program needs it.
#[async_trait]
pub trait Store: Send + Sync {
    /// Where this is, for people: `s3://bucket/prefix`.
    fn location(&self) -> String;

    /// Requests sent so far, retries included.
    fn requests(&self) -> u64;

    /// What the store's answers tell about the time.
    fn clock(&self) -> &Clock;

    /// The store's time, in whole seconds; the epoch before its first answer.
    fn now(&self) -> Timestamp {
        self.clock().now().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Finds out the time where no answer to another request has told it, if there is a way.
    async fn learn_time(&self) -> StoreResult<()> {
        Ok(())
    }

    /// Where the store is asked. What answers elsewhere may be able to do less.
    fn address(&self) -> String {
        self.location()
    }

    /// Finds out by trying what the store can do. Writes nothing but [`keys::PROBE`]. Where all stores of a
    /// kind are alike, there is nothing to try.
    ///
    /// [`keys::PROBE`]: crate::format::keys::PROBE
    ///
    /// # Errors
    /// The store fails, or cannot do what is needed in any case; says what.
    async fn try_out(&self) -> StoreResult<Abilities> {
        Ok(Abilities::all(self.address()))
    }

    /// Relies from now on on what the store was found to be able to do.
    fn rely_on(&self, _: Abilities) {}

    /// Whether something that it was relied on for has turned out to be gone.
    fn misses_an_ability(&self) -> bool {
        false
    }

    /// Taking contents from another store at the same address, if it can.
    fn copies(&self) -> Option<&dyn Copies> {
        None
    }

    /// Reads an object whole, unless it has more than `at_most` bytes.
    async fn get(&self, key: &str, at_most: u64) -> StoreResult<Object>;

    /// Reads a range of an object; an empty range is read without a request.
    async fn get_range(&self, key: &str, range: Range<u64>) -> StoreResult<Bytes>;

    /// What the store knows of an object.
    async fn head(&self, key: &str) -> StoreResult<ObjectInfo>;

    /// Contents that were found under a key, and not written through this, are going to be relied on: they are on
    /// the disk before anything is put that may refer to them, and what is read of them from now on is what is there.
    /// To be called before they are compared. Where a store has kept what it shows, there is nothing to do.
    ///
    /// # Errors
    /// Nothing is there, or some of it may be lost.
    async fn make_durable(&self, _key: &str) -> StoreResult<()> {
        Ok(())
    }

    /// Writes a control object: the lease, a commit record, a segment, a report.
    ///
    /// An answer lost on the way is not an error when the object turns out to be the one sent.
    async fn put(&self, key: &str, body: Bytes, condition: &Condition) -> StoreResult<ETag>;

    /// Writes contents, with their SHA-256 for the store to check. Returns the object's version.
    async fn put_content(
        &self,
        key: &str,
        body: Bytes,
        sha256: [u8; 32],
        condition: &Condition,
        placement: &Placement,
    ) -> StoreResult<ETag>;

    /// Begins an upload in parts.
    async fn begin_upload(&self, key: &str, placement: &Placement) -> StoreResult<Upload>;

    /// Sends a part, with its checksum for the store to check.
    async fn upload_part(
        &self,
        upload: &Upload,
        part: Part,
        body: Bytes,
        crc64nvme: u64,
    ) -> StoreResult<UploadedPart>;

    /// Makes the parts one object, which the store checks as well as it can: against the CRC-64/NVME of the
    /// whole, unless it was found to be able to do less.
    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: Vec<UploadedPart>,
        size: u64,
        crc64nvme: u64,
        condition: &Condition,
    ) -> StoreResult<Completed>;

    /// Gives up an upload; its parts are freed.
    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()>;

    /// Uploads below a prefix that were begun and neither completed nor aborted.
    async fn open_uploads(&self, prefix: &str) -> StoreResult<Vec<OpenUpload>>;

    /// Lists what matches, page by page.
    fn list<'a>(&'a self, listing: Listing<'a>) -> Box<dyn Pages + 'a>;
}
