//! A bucket: its current objects, kept or computed, and its open uploads.
//!
//! A key is in one place only: in the map or in one of the series. Older versions and delete markers
//! are in `versions`.

use crate::listing::Names;
use crate::object::{OpenUpload, StoredObject, Upload};
use crate::persist::BucketFolder;
use crate::series::{self, Series};
use crate::state::{no_such_key, no_such_upload};
use crate::versions::{History, Versioning};
use s3s::S3Result;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::iter::{Peekable, from_fn};
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

/// How many completed uploads a bucket remembers, to answer a repeated completion as the first one.
/// Clients repeat within seconds; a thousand is hours of a test.
const REMEMBERED_COMPLETIONS: usize = 1_000;

/// Key and id of an upload; ordered as `ListMultipartUploads` lists them.
pub(crate) type UploadName = (String, String);

#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) created: SystemTime,
    objects: BTreeMap<String, Arc<StoredObject>>,
    series: Vec<Series>,
    pub(crate) versioning: Versioning,
    pub(crate) history: History,
    pub(crate) uploads: BTreeMap<UploadName, Upload>,
    completed: VecDeque<(UploadName, Arc<StoredObject>)>,
    folder: Option<BucketFolder>,
}

impl Bucket {
    pub(crate) fn new(created: SystemTime, folder: Option<BucketFolder>) -> Self {
        Self {
            created,
            objects: BTreeMap::new(),
            series: Vec::new(),
            versioning: Versioning::default(),
            history: History::new(),
            uploads: BTreeMap::new(),
            completed: VecDeque::new(),
            folder,
        }
    }

    /// Fills it with this many objects that are computed.
    pub(crate) fn generate(&mut self, count: u64) {
        self.series.push(Series::full(count, self.created));
    }

    /// The current object at a key.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<StoredObject>> {
        let kept = self.objects.get(key).cloned();
        kept.or_else(|| self.series.iter().find_map(|series| series.get(key)))
    }

    pub(crate) fn existing(&self, key: &str) -> S3Result<Arc<StoredObject>> {
        self.get(key).ok_or_else(no_such_key)
    }

    /// Puts an object in the place of the current one.
    pub(crate) fn set(&mut self, key: &str, object: Arc<StoredObject>) -> S3Result<()> {
        if let Some(folder) = &self.folder {
            folder
                .write(key, &object)
                .map_err(s3s::S3Error::internal_error)?;
        }
        for series in &mut self.series {
            series.remove(key);
        }
        self.objects.insert(key.to_owned(), object);
        Ok(())
    }

    /// Writes a copy and returns it as it is kept: a first copy of a computed object is computed too, so
    /// that millions of them need no memory.
    pub(crate) fn write_copy(
        &mut self,
        key: &str,
        object: Arc<StoredObject>,
    ) -> S3Result<Arc<StoredObject>> {
        match self.computed_copy(key, &object) {
            Some(computed) => Ok(computed),
            None => self.write(key, object),
        }
    }

    fn computed_copy(&mut self, key: &str, object: &StoredObject) -> Option<Arc<StoredObject>> {
        let (prefix, index) = series::split(key)?;
        let is_plain = self.folder.is_none() && self.versioning == Versioning::Off;
        if !is_plain || self.get(key).is_some() || object.bytes != series::content(index) {
            return None;
        }
        let known = self
            .series
            .iter()
            .position(|series| series.is_like(prefix, object));
        let at = known.unwrap_or_else(|| {
            self.series.push(Series::of_copies(prefix, object));
            self.series.len() - 1
        });
        let series = self.series.get_mut(at)?;
        series.insert(index);
        series.get(key)
    }

    /// Whether nothing of it can be kept on disk or in versions.
    pub(crate) fn is_persistent_or_computed(&self) -> bool {
        self.folder.is_some() || !self.series.is_empty()
    }

    /// The bucket that an earlier server has left in a folder.
    pub(crate) fn load(folder: BucketFolder, now: SystemTime) -> io::Result<Self> {
        let objects = folder.objects()?;
        let created = folder.created()?.unwrap_or(now);
        let mut bucket = Self::new(created, Some(folder));
        let objects = objects.into_iter();
        bucket.objects = objects
            .map(|(key, object)| (key, Arc::new(object)))
            .collect();
        Ok(bucket)
    }

    /// Takes the current object away.
    pub(crate) fn take(&mut self, key: &str) -> S3Result<Option<Arc<StoredObject>>> {
        if let Some(folder) = &self.folder {
            folder.remove(key).map_err(s3s::S3Error::internal_error)?;
        }
        let taken = self.get(key);
        self.objects.remove(key);
        for series in &mut self.series {
            series.remove(key);
        }
        Ok(taken)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.history.is_empty() && self.starting_at(Bound::Unbounded).next().is_none()
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

impl Names for Bucket {
    type Entry = Arc<StoredObject>;

    fn starting_at(
        &self,
        start: Bound<String>,
    ) -> impl Iterator<Item = (Cow<'_, str>, Arc<StoredObject>)> {
        let computed = self.series.iter();
        let mut sources: Vec<Source<'_, Arc<StoredObject>>> = computed
            .map(|series| source(series.starting_at(&start)))
            .collect();
        sources.push(source(self.objects.starting_at(start)));
        merged(sources)
    }
}

/// Names in order, one of several.
pub(crate) type Source<'a, Entry> = Peekable<Box<dyn Iterator<Item = (Cow<'a, str>, Entry)> + 'a>>;

pub(crate) fn source<'a, Entry>(
    names: impl Iterator<Item = (Cow<'a, str>, Entry)> + 'a,
) -> Source<'a, Entry> {
    let names: Box<dyn Iterator<Item = _>> = Box::new(names);
    names.peekable()
}

/// All names of all sources, in order.
pub(crate) fn merged<'a, Entry>(
    mut sources: Vec<Source<'a, Entry>>,
) -> impl Iterator<Item = (Cow<'a, str>, Entry)> {
    from_fn(move || {
        let mut least: Option<(usize, &str)> = None;
        for (at, source) in sources.iter_mut().enumerate() {
            if let Some((name, _)) = source.peek()
                && least.is_none_or(|(_, other)| &**name < other)
            {
                least = Some((at, name));
            }
        }
        let (at, _) = least?;
        sources.get_mut(at)?.next()
    })
}
