//! What the server keeps: objects, their descriptions, and the parts of unfinished uploads.
//!
//! Values of these types never change once they are in the map: an overwrite puts another one in
//! their place.

use crate::checksum::{Checksum, ChecksumAlgorithm, ChecksumType};
use bytes::Bytes;
use s3s::crypto::{Checksum as _, Md5};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// An object as it lies in the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredObject {
    /// The content.
    #[serde(skip)]
    pub bytes: Bytes,
    /// The entity tag with its quotes, as clients see it.
    pub etag: String,
    /// The one checksum S3 keeps.
    pub checksum: Checksum,
    /// Whether the server tells the checksum, as stores do not that keep none.
    pub tells_checksum: bool,
    /// When it was written, in whole seconds of the server's clock.
    pub last_modified: SystemTime,
    /// What the writer said about it.
    pub attributes: Attributes,
    /// The parts it was completed from; empty if it was written by one request.
    pub parts: Vec<StoredPart>,
    /// The archive access tier of an object in `INTELLIGENT_TIERING`, if it has sunk to one:
    /// `ARCHIVE_ACCESS` or `DEEP_ARCHIVE_ACCESS`.
    pub archive_tier: Option<String>,
    /// Whether an archived object can be read.
    pub restore: Restore,
    /// The id of this version; there is none, and clients see `null`, where versioning was not enabled
    /// when it was written.
    #[serde(default)]
    pub version_id: Option<String>,
}

/// What a client says about an object besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`, without the `aws-chunked` that only concerns the transfer.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Expires`, an HTTP date.
    pub expires: Option<String>,
    /// User metadata: names without `x-amz-meta-`, in lower case.
    pub metadata: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The storage class; `STANDARD` if none was given.
    pub storage_class: String,
    /// How it is encrypted at rest: what was asked for, nothing is in fact encrypted.
    pub encryption: Encryption,
}

impl Default for Attributes {
    /// What S3 makes of a request that says nothing.
    fn default() -> Self {
        Self {
            content_type: None,
            cache_control: None,
            content_disposition: None,
            content_encoding: None,
            content_language: None,
            expires: None,
            metadata: BTreeMap::new(),
            tags: BTreeMap::new(),
            storage_class: "STANDARD".to_owned(),
            encryption: Encryption::default(),
        }
    }
}

/// Server-side encryption as the headers say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub algorithm: String,
    /// The KMS key.
    pub key_id: Option<String>,
    /// Whether a bucket key was asked for.
    pub bucket_key: Option<bool>,
}

impl Default for Encryption {
    /// S3 encrypts every object with its own keys and says so.
    fn default() -> Self {
        Self {
            algorithm: "AES256".to_owned(),
            key_id: None,
            bucket_key: None,
        }
    }
}

/// A part of a completed multipart object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPart {
    /// Its number, from 1.
    pub number: i32,
    /// Its length in bytes.
    pub size: u64,
    /// Its checksum, if the upload had one for each part.
    pub checksum: Option<Checksum>,
}

/// Where the restoration of an archived object stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restore {
    /// Nobody has asked for it.
    #[default]
    NotAsked,
    /// Asked for, and not there yet.
    Pending,
    /// Readable until the given time.
    Until(SystemTime),
}

/// The version of what was written without versioning.
pub(crate) const NULL_VERSION: &str = "null";

/// The storage classes whose objects cannot be read before they are restored.
const ARCHIVE_CLASSES: [&str; 2] = ["DEEP_ARCHIVE", "GLACIER"];

impl StoredObject {
    /// An object written by one request.
    pub(crate) fn whole(
        payload: Payload,
        attributes: Attributes,
        last_modified: SystemTime,
    ) -> Self {
        let etag = attributes.encryption.etag(&payload.md5, last_modified);
        let checksum = payload.checksum;
        let restore = Restore::NotAsked;
        Self {
            bytes: payload.bytes,
            etag,
            checksum,
            tells_checksum: true,
            last_modified,
            attributes,
            parts: Vec::new(),
            archive_tier: None,
            restore,
            version_id: None,
        }
    }

    /// Whether its class or its tier is an archive, restored or not.
    pub(crate) fn is_archived(&self) -> bool {
        self.archive_tier.is_some()
            || ARCHIVE_CLASSES.contains(&self.attributes.storage_class.as_str())
    }

    /// Whether its bytes can be read at `now`.
    pub(crate) fn is_readable(&self, now: SystemTime) -> bool {
        !self.is_archived() || matches!(self.restore, Restore::Until(end) if now < end)
    }

    /// The id of this version as clients name it.
    pub(crate) fn version(&self) -> &str {
        self.version_id.as_deref().unwrap_or(NULL_VERSION)
    }

    /// The entity tag without quotes.
    pub(crate) fn bare_etag(&self) -> &str {
        self.etag.trim_matches('"')
    }
}

impl Encryption {
    /// The entity tag of content with this MD5. Under a KMS key it is not the MD5, so nobody may
    /// take it for one (S3 API reference, `Object`, `ETag`).
    fn etag(&self, md5: &[u8; 16], written: SystemTime) -> String {
        if self.algorithm == "AES256" {
            return quoted_hex(md5);
        }
        let salted = format!("{} {} {written:?}", self.algorithm, hex::encode(md5));
        quoted_hex(&Md5::checksum(salted.as_bytes()))
    }
}

/// A digest as an entity tag.
pub(crate) fn quoted_hex(digest: &[u8]) -> String {
    format!("\"{}\"", hex::encode(digest))
}

/// A body that was received whole and verified.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    pub(crate) md5: [u8; 16],
    pub(crate) checksum: Checksum,
    /// Whether the client sent the checksum, or the server added it.
    pub(crate) is_claimed: bool,
}

impl Payload {
    /// Content that comes with no claim: the server adds its own checksum.
    pub(crate) fn unclaimed(bytes: Bytes, algorithm: ChecksumAlgorithm) -> Self {
        let md5 = Md5::checksum(&bytes);
        let checksum = Checksum::of(algorithm, &bytes);
        Self {
            bytes,
            md5,
            checksum,
            is_claimed: false,
        }
    }
}

/// A multipart upload that is neither completed nor aborted.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) initiated: SystemTime,
    pub(crate) terms: Arc<Terms>,
    pub(crate) parts: BTreeMap<i32, UploadedPart>,
}

/// What was laid down when an upload was created.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) attributes: Attributes,
    /// The algorithm the client chose; without one S3 adds a CRC64NVME of the whole object.
    pub(crate) algorithm: Option<ChecksumAlgorithm>,
    pub(crate) kind: ChecksumType,
}

/// A part of an open upload.
#[derive(Clone, Debug)]
pub(crate) struct UploadedPart {
    pub(crate) payload: Arc<Payload>,
    pub(crate) last_modified: SystemTime,
}

impl UploadedPart {
    pub(crate) fn bare_etag(&self) -> String {
        hex::encode(self.payload.md5)
    }

    pub(crate) fn size(&self) -> u64 {
        self.payload.bytes.len() as u64
    }
}

/// An open multipart upload, as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenUpload {
    /// The key it will have.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// When it was created.
    pub initiated: SystemTime,
    /// The numbers of the parts that have arrived.
    pub parts: Vec<i32>,
}
