//! Versions: what a bucket keeps besides the current objects.
//!
//! The current object of a key is the newest of its versions. If there is none, the newest version is
//! a delete marker, or the key has no versions at all.

use crate::bucket::{Bucket, merged, source};
use crate::listing::Names;
use crate::object::{NULL_VERSION, StoredObject};
use crate::state::no_such_key;
use http::{HeaderMap, HeaderValue, header};
use s3s::crypto::{Checksum as _, Md5};
use s3s::{S3Error, S3Result, s3_error};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Whether a bucket keeps versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Versioning {
    /// It never did.
    #[default]
    Off,
    Enabled,
    /// Not any more: what is written now has the version `null`.
    Suspended,
}

/// Older versions and delete markers by key, the newest first.
pub(crate) type History = BTreeMap<String, Vec<Version>>;

#[derive(Clone, Debug)]
pub(crate) enum Version {
    Object(Arc<StoredObject>),
    Marker(Marker),
}

/// A delete marker.
#[derive(Clone, Debug)]
pub(crate) struct Marker {
    pub(crate) id: String,
    pub(crate) last_modified: SystemTime,
}

impl Version {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Object(object) => object.version(),
            Self::Marker(marker) => &marker.id,
        }
    }
}

/// What a deletion did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deleted {
    /// The delete marker that was made or taken away.
    pub(crate) marker: Option<String>,
    /// The version that was taken away, if one was named.
    pub(crate) version: Option<String>,
}

impl Bucket {
    /// Changes whether versions are kept.
    pub(crate) fn set_versioning(&mut self, versioning: Versioning) -> S3Result<()> {
        if self.is_persistent_or_computed() {
            return Err(s3_error!(
                NotImplemented,
                "There are no versions in a bucket that is kept on disk or has generated objects."
            ));
        }
        self.versioning = versioning;
        Ok(())
    }

    /// Writes an object as the newest version, and returns it with its id.
    pub(crate) fn write(
        &mut self,
        key: &str,
        object: Arc<StoredObject>,
    ) -> S3Result<Arc<StoredObject>> {
        let mut object = object;
        if self.versioning == Versioning::Enabled {
            Arc::make_mut(&mut object).version_id = Some(new_id());
        }
        self.make_room(key)?;
        self.set(key, Arc::clone(&object))?;
        Ok(object)
    }

    /// Deletes as `DeleteObject` does without a version: with versioning, a marker is all that happens.
    pub(crate) fn delete(&mut self, key: &str, now: SystemTime) -> S3Result<Deleted> {
        let id = match self.versioning {
            Versioning::Off => {
                self.take(key)?;
                return Ok(Deleted::default());
            }
            Versioning::Enabled => new_id(),
            Versioning::Suspended => NULL_VERSION.to_owned(),
        };
        self.make_room(key)?;
        let marker = Marker {
            id: id.clone(),
            last_modified: now,
        };
        self.remember(key, Version::Marker(marker));
        Ok(Deleted {
            marker: Some(id),
            version: None,
        })
    }

    /// Deletes a version for good. S3 does not mind if there is no such version.
    pub(crate) fn delete_version(&mut self, key: &str, id: &str) -> S3Result<Deleted> {
        self.check_id(id)?;
        let mut deleted = Deleted {
            marker: None,
            version: Some(id.to_owned()),
        };
        if self.get(key).is_some_and(|current| current.version() == id) {
            self.take(key)?;
        } else if let Some(older) = self.history.get_mut(key)
            && let Some(at) = older.iter().position(|version| version.id() == id)
            && let Version::Marker(marker) = older.remove(at)
        {
            deleted.marker = Some(marker.id);
        }
        self.promote(key)?;
        Ok(deleted)
    }

    /// The current object, or the version that is named.
    pub(crate) fn find(&self, key: &str, id: Option<&str>) -> S3Result<Arc<StoredObject>> {
        let Some(id) = id else {
            let current = self.get(key);
            return current.ok_or_else(|| match self.history.get(key).and_then(|h| h.first()) {
                Some(Version::Marker(marker)) => deleted(no_such_key(), marker),
                _ => no_such_key(),
            });
        };
        self.check_id(id)?;
        let mut versions = self.versions_of(key).into_iter();
        match versions.find(|version| version.id() == id) {
            Some(Version::Object(object)) => Ok(object),
            Some(Version::Marker(marker)) => Err(deleted(
                s3_error!(
                    MethodNotAllowed,
                    "The specified method is not allowed against this resource."
                ),
                &marker,
            )),
            None if id == NULL_VERSION && self.versioning == Versioning::Off => Err(no_such_key()),
            None => Err(s3_error!(
                NoSuchVersion,
                "The specified version does not exist."
            )),
        }
    }

    /// Changes what is kept about an object or a version of it, not its content.
    pub(crate) fn amend(
        &mut self,
        key: &str,
        id: Option<&str>,
        change: impl FnOnce(&mut StoredObject),
    ) -> S3Result<()> {
        let found = self.find(key, id)?;
        let mut object = StoredObject::clone(&found);
        change(&mut object);
        let object = Arc::new(object);
        let older = self.history.get_mut(key).into_iter().flatten();
        for version in older {
            if version.id() == object.version() {
                *version = Version::Object(object);
                return Ok(());
            }
        }
        self.set(key, object)
    }

    /// The id that answers tell of a version: none where there never were versions.
    pub(crate) fn told_version(&self, object: &StoredObject) -> Option<String> {
        (self.versioning != Versioning::Off).then(|| object.version().to_owned())
    }

    /// All versions of a key, the newest first.
    pub(crate) fn versions_of(&self, key: &str) -> Vec<Version> {
        let current = self.get(key).map(Version::Object);
        let older = self.history.get(key).into_iter().flatten();
        current.into_iter().chain(older.cloned()).collect()
    }

    /// Moves the current object to the older versions, unless the next one takes its place: there is
    /// one version `null` at most.
    fn make_room(&mut self, key: &str) -> S3Result<()> {
        if self.versioning == Versioning::Off {
            return Ok(());
        }
        let current = self.take(key)?;
        if self.versioning == Versioning::Suspended
            && let Some(older) = self.history.get_mut(key)
        {
            older.retain(|version| version.id() != NULL_VERSION);
        }
        let is_kept = |object: &Arc<StoredObject>| {
            self.versioning == Versioning::Enabled || object.version_id.is_some()
        };
        if let Some(object) = current.filter(is_kept) {
            self.remember(key, Version::Object(object));
        }
        if self.history.get(key).is_some_and(Vec::is_empty) {
            self.history.remove(key);
        }
        Ok(())
    }

    fn remember(&mut self, key: &str, version: Version) {
        let older = self.history.entry(key.to_owned()).or_default();
        older.insert(0, version);
    }

    /// Makes the newest version the current object, if there is none and it is no marker.
    fn promote(&mut self, key: &str) -> S3Result<()> {
        let is_gone = self.get(key).is_none();
        let Some(older) = self.history.get_mut(key) else {
            return Ok(());
        };
        let newest = match older.first() {
            Some(Version::Object(object)) if is_gone => Some(Arc::clone(object)),
            _ => None,
        };
        if newest.is_some() {
            older.remove(0);
        }
        if older.is_empty() {
            self.history.remove(key);
        }
        newest.map_or(Ok(()), |object| self.set(key, object))
    }

    fn check_id(&self, id: &str) -> S3Result<()> {
        let is_ours = id.len() == ID_LENGTH && self.versioning != Versioning::Off;
        if is_ours || id == NULL_VERSION {
            return Ok(());
        }
        Err(s3_error!(InvalidArgument, "Invalid version id specified"))
    }
}

/// The names of a bucket with all versions of each, those under a delete marker as well.
pub(crate) struct AllVersions<'a>(pub(crate) &'a Bucket);

impl Names for AllVersions<'_> {
    type Entry = Vec<Version>;

    fn starting_at(
        &self,
        start: Bound<String>,
    ) -> impl Iterator<Item = (Cow<'_, str>, Vec<Version>)> {
        let current = self.0.starting_at(start.clone()).map(|(key, _)| (key, ()));
        let older = self.0.history.range((start, Bound::Unbounded));
        let older = older.map(|(key, _)| (Cow::Borrowed(key.as_str()), ()));
        let mut last: Option<String> = None;
        let names = merged(vec![source(current), source(older)]);
        let once = names.filter(move |(key, ())| {
            let is_new = last.as_deref() != Some(&**key);
            last = Some(key.clone().into_owned());
            is_new
        });
        once.map(|(key, ())| {
            let versions = self.0.versions_of(&key);
            (key, versions)
        })
    }
}

/// An error about a key whose newest version, or the version that was named, is a delete marker.
fn deleted(mut error: S3Error, marker: &Marker) -> S3Error {
    let mut headers = HeaderMap::new();
    let xml = HeaderValue::from_static("application/xml");
    headers.insert(header::CONTENT_TYPE, xml);
    headers.insert("x-amz-delete-marker", HeaderValue::from_static("true"));
    let id = HeaderValue::from_str(&marker.id).ok();
    headers.extend(id.map(|id| (header::HeaderName::from_static("x-amz-version-id"), id)));
    error.set_headers(headers);
    error
}

const ID_LENGTH: usize = 32;

/// An id into which nobody can read an order.
fn new_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    hex::encode(Md5::checksum(format!("version {number}").as_bytes()))
}
