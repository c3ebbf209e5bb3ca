//! The map of buckets and objects, under one mutex.
//!
//! Every check-then-act of an operation happens within one [`State::with_bucket`], so conditional
//! writes cannot race. Nothing slow (hashing, reading bodies) is done under the lock; with
//! persistence on, writing a file is, because the order of writes on disk has to be that of the
//! map.

use crate::object::{OpenUpload, StoredObject, Upload};
use crate::persist::{BucketFolder, folders};
use s3s::{S3Result, s3_error};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How many completed uploads a bucket remembers, to answer a repeated completion as the first one.
/// Clients repeat within seconds; a thousand is hours of a test.
const REMEMBERED_COMPLETIONS: usize = 1_000;

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

    /// The object at a key, or S3's errors for a missing bucket or key.
    pub(crate) fn object(&self, bucket: &str, key: &str) -> S3Result<Arc<StoredObject>> {
        self.with_bucket(bucket, |bucket| bucket.existing(key).cloned())
    }
}

/// Key and id of an upload; ordered as `ListMultipartUploads` lists them.
pub(crate) type UploadName = (String, String);

#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) created: SystemTime,
    objects: BTreeMap<String, Arc<StoredObject>>,
    pub(crate) uploads: BTreeMap<UploadName, Upload>,
    completed: VecDeque<(UploadName, Arc<StoredObject>)>,
    folder: Option<BucketFolder>,
}

impl Bucket {
    pub(crate) fn new(created: SystemTime, folder: Option<BucketFolder>) -> Self {
        Self {
            created,
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            completed: VecDeque::new(),
            folder,
        }
    }

    pub(crate) fn objects(&self) -> &BTreeMap<String, Arc<StoredObject>> {
        &self.objects
    }

    pub(crate) fn existing(&self, key: &str) -> S3Result<&Arc<StoredObject>> {
        self.objects.get(key).ok_or_else(no_such_key)
    }

    pub(crate) fn put(&mut self, key: &str, object: Arc<StoredObject>) -> S3Result<()> {
        if let Some(folder) = &self.folder {
            folder
                .write(key, &object)
                .map_err(s3s::S3Error::internal_error)?;
        }
        self.objects.insert(key.to_owned(), object);
        Ok(())
    }

    /// The bucket that an earlier server has left in a folder.
    fn load(folder: BucketFolder, now: SystemTime) -> io::Result<Self> {
        let objects = folder.objects()?;
        let created = folder.created()?.unwrap_or(now);
        let mut bucket = Self::new(created, Some(folder));
        let objects = objects.into_iter();
        bucket.objects = objects
            .map(|(key, object)| (key, Arc::new(object)))
            .collect();
        Ok(bucket)
    }

    pub(crate) fn remove(&mut self, key: &str) -> S3Result<Option<Arc<StoredObject>>> {
        if let Some(folder) = &self.folder {
            folder.remove(key).map_err(s3s::S3Error::internal_error)?;
        }
        Ok(self.objects.remove(key))
    }

    /// Changes what is kept about an object, not its content.
    pub(crate) fn amend(
        &mut self,
        key: &str,
        change: impl FnOnce(&mut StoredObject),
    ) -> S3Result<()> {
        let mut object = StoredObject::clone(self.existing(key)?);
        change(&mut object);
        self.put(key, Arc::new(object))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub(crate) fn delete_folder(&self) -> S3Result<()> {
        self.folder
            .as_ref()
            .map_or(Ok(()), BucketFolder::delete)
            .map_err(s3s::S3Error::internal_error)
    }

    pub(crate) fn upload(&mut self, name: &UploadName) -> S3Result<&mut Upload> {
        self.uploads.get_mut(name).ok_or_else(no_such_upload)
    }

    pub(crate) fn remember_completion(&mut self, name: UploadName, object: Arc<StoredObject>) {
        if self.completed.len() == REMEMBERED_COMPLETIONS {
            self.completed.pop_front();
        }
        self.completed.push_back((name, object));
    }

    pub(crate) fn completion(&self, name: &UploadName) -> Option<Arc<StoredObject>> {
        self.completed
            .iter()
            .find(|(completed, _)| completed == name)
            .map(|(_, object)| Arc::clone(object))
    }

    pub(crate) fn open_uploads(&self) -> Vec<OpenUpload> {
        let describe = |((key, upload_id), upload): (&UploadName, &Upload)| OpenUpload {
            key: key.clone(),
            upload_id: upload_id.clone(),
            initiated: upload.initiated,
            parts: upload.parts.keys().copied().collect(),
        };
        self.uploads.iter().map(describe).collect()
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
