//! The map of buckets and objects, under one mutex.
//!
//! Every check-then-act of an operation happens within one [`State::with_bucket`], so conditional
//! writes cannot race. Nothing slow (hashing, reading bodies) is done under the lock; with
//! persistence on, writing a file is, because the order of writes on disk has to be that of the
//! map.

use crate::bucket::Bucket;
use crate::object::StoredObject;
use crate::persist::folders;
use s3s::{S3Result, s3_error};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

pub(crate) type Buckets = BTreeMap<String, Bucket>;

#[derive(Debug, Default)]
pub(crate) struct State {
    buckets: Mutex<Buckets>,
}

impl State {
    /// What an earlier server has left below `root`, which is created if it is missing.
    pub(crate) fn load(root: &Path, now: SystemTime) -> io::Result<Self> {
        let mut buckets = Buckets::new();
        for (name, folder) in folders(root)? {
            buckets.insert(name, Bucket::load(folder, now)?);
        }
        Ok(Self {
            buckets: Mutex::new(buckets),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Buckets> {
        // A poisoned map means that a request handler panicked; the map itself is changed in single
        // steps only.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on a bucket, alone.
    pub(crate) fn with_bucket<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Bucket) -> S3Result<T>,
    ) -> S3Result<T> {
        match self.lock().get_mut(name) {
            Some(bucket) => act(bucket),
            None => Err(no_such_bucket()),
        }
    }

    /// An object, the current one unless a version is named, and the id of its version if clients are
    /// told it; or S3's errors for a missing bucket, key or version.
    pub(crate) fn object(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> S3Result<(Arc<StoredObject>, Option<String>)> {
        self.with_bucket(bucket, |bucket| {
            let object = bucket.find(key, version)?;
            let told = bucket.told_version(&object);
            Ok((object, told))
        })
    }
}

pub(crate) fn no_such_bucket() -> s3s::S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist")
}

pub(crate) fn no_such_key() -> s3s::S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

pub(crate) fn no_such_upload() -> s3s::S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may \
         have been aborted or completed."
    )
}
