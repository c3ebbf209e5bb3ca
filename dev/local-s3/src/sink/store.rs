//! What the sink remembers.

use super::Keep;
use super::receive::Received;
use crate::hook::detached;
use crate::s3::listing::Listed;
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use s3s::dto::{ETag, Object, ObjectStorageClass, RestoreStatus};
use s3s::{S3Result, s3_error};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Objects up to this size are kept unless their keys are to be discarded: what clients read back
/// about their own work is smaller.
const LARGEST_KEPT: u64 = 32 << 20;

/// Keys with this component are contents of files, of which a benchmark writes gigabytes.
const FILES: &str = "files/";
const BELOW_FILES: &str = "/files/";

/// An object, or what is left of it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) size: u64,
    /// With quotes.
    pub(super) etag: String,
    pub(super) last_modified: SystemTime,
    /// Content type and user metadata.
    pub(super) headers: HeaderMap,
    pub(super) bytes: Option<Bytes>,
}

impl Listed for Entry {
    fn entry(&self) -> Object {
        Object {
            e_tag: Some(ETag::Strong(self.etag.trim_matches('"').to_owned())),
            last_modified: Some(self.last_modified.into()),
            size: i64::try_from(self.size).ok(),
            storage_class: Some(ObjectStorageClass::from_static(
                ObjectStorageClass::STANDARD,
            )),
            ..Object::default()
        }
    }

    fn restore_status(&self, _: SystemTime) -> Option<RestoreStatus> {
        None
    }
}

/// The headers of a request that come back with the object.
pub(super) fn kept_headers(headers: &HeaderMap) -> HeaderMap {
    let is_kept = |name: &HeaderName| {
        *name == http::header::CONTENT_TYPE || name.as_str().starts_with("x-amz-meta-")
    };
    let kept = headers.iter().filter(|(name, _)| is_kept(name));
    detached(
        &kept
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

pub(super) type Bucket = BTreeMap<String, Arc<Entry>>;

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) headers: HeaderMap,
    /// Whether the object is to have a CRC-64/NVME.
    pub(super) has_crc64: bool,
    pub(super) parts: BTreeMap<u32, Received>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    keep: Keep,
    buckets: Mutex<BTreeMap<String, Bucket>>,
    uploads: Mutex<HashMap<String, Upload>>,
    next: AtomicU64,
}

impl Store {
    pub(super) fn new(buckets: &[String], keep: Keep) -> Self {
        let store = Self {
            keep,
            ..Self::default()
        };
        for name in buckets {
            store.create_bucket(name);
        }
        store
    }

    /// Whether the content of an object is to be kept. Nobody knows the size of a body before it
    /// has arrived if the client does not tell it.
    pub(super) fn is_kept(&self, key: &str, size: Option<u64>) -> bool {
        let Keep::Records { discard } = &self.keep else {
            return true;
        };
        let is_discarded = key.starts_with(FILES)
            || key.contains(BELOW_FILES)
            || discard.iter().any(|part| key.contains(part.as_str()));
        size.is_some_and(|size| size <= LARGEST_KEPT) && !is_discarded
    }

    pub(super) fn create_bucket(&self, name: &str) {
        self.buckets().entry(name.to_owned()).or_default();
    }

    pub(super) fn bucket_names(&self) -> Vec<String> {
        self.buckets().keys().cloned().collect()
    }

    pub(super) fn with_bucket<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Bucket) -> T,
    ) -> S3Result<T> {
        let mut buckets = self.buckets();
        let bucket = buckets.get_mut(name);
        bucket.map(act).ok_or_else(|| s3_error!(NoSuchBucket))
    }

    pub(super) fn entry(&self, bucket: &str, key: &str) -> S3Result<Arc<Entry>> {
        let found = self.with_bucket(bucket, |bucket| bucket.get(key).cloned())?;
        found.ok_or_else(|| s3_error!(NoSuchKey))
    }

    pub(super) fn uploads(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that was not given before.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn buckets(&self) -> MutexGuard<'_, BTreeMap<String, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
