//! What a bucket says of an object: the metadata of an entry that is one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::{Kind, Metadata};
use super::location::ETag;

/// What a listing says of an object, and what nothing but a request for it alone does, where that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectMetadata {
    /// The bucket's name for this version of its bytes, which counts under its own key alone.
    pub etag: ETag,
    /// When it was written, by the bucket's clock, in whole seconds.
    pub last_modified: Timestamp,
    /// What it was backed up as.
    pub category: String,
    /// Its storage class, where it is not STANDARD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The name of the version that was copied, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What else it has, where its copy cannot have it: of an object that was read, not copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<ObjectHeaders>,
}

impl ObjectMetadata {
    /// What of it every entry has: its kind, its length and its time.
    #[must_use]
    pub fn common(&self, size: u64) -> Metadata {
        let mtime_ns = i64::try_from(self.last_modified.as_nanosecond());
        Metadata {
            kind: Kind::Object,
            size,
            mtime_ns: mtime_ns.unwrap_or_default(),
            ..Metadata::NOTHING
        }
    }
}

/// What an object has besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectHeaders {
    /// `Content-Type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// `Expires`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// User metadata, `x-amz-meta-…`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}
