//! Listing: pages that are the store's, whole, and not without end.
//!
//! The SDK takes what it finds in a document: a page that is cut off is a shorter one, and what is
//! missing an empty list. "There is nothing" has to be proven, because a pass that finds no last snapshot
//! sends everything again. So a page has to end where its document does, to be of the prefix that was
//! asked for, to say whether there is more, and to have no fewer keys than it says.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use jiff::Timestamp;

use super::S3Store;
use super::classify::Strange;
use super::read::to_timestamp;
use crate::store::{Listed, Listing, OpenUpload, Operation, StoreResult, Upload};

/// What the keys of one listing may take in memory: those of 800,000 commit records, which is a snapshot
/// an hour for ninety years.
const LISTED_BYTES: usize = 64 << 20;

/// Pages in a row that may bring nothing. Stores pass over what was deleted, a page at a time.
const EMPTY_PAGES: u32 = 100;

const INCOMPLETE: &str = "a listing that does not say whether it is complete";
const OTHER_PREFIX: &str = "a listing of another prefix";

impl S3Store {
    pub(super) async fn list_keys(&self, listing: &Listing<'_>) -> StoreResult<Listed> {
        let prefix = self.key(listing.prefix);
        let (mut keys, mut folders) = (Vec::<String>::new(), BTreeSet::new());
        let mut course = Course::default();
        loop {
            let request = || {
                self.clients
                    .s3
                    .list_objects_v2()
                    .bucket(&self.url.bucket)
                    .prefix(&prefix)
                    .set_start_after(listing.start_after.map(|key| self.key(key)))
                    .set_delimiter(listing.folders.then(|| "/".to_owned()))
                    .set_continuation_token(course.marker.clone())
                    .customize()
                    .interceptor(WholeDocument)
                    .send()
            };
            let understand = |answer| self.page_of_keys(answer, &prefix);
            let page = self.learn(Operation::List, listing.prefix, request, understand);
            let page = page.await?;
            let fault = |fault| self.unexpected(Operation::List, listing.prefix, fault);
            for key in page.keys {
                if keys.last().is_some_and(|last| key <= *last) {
                    return Err(fault("a listing that is out of order"));
                }
                course.brought += key.len();
                keys.push(key);
            }
            for folder in page.folders {
                let length = folder.len();
                course.brought += if folders.insert(folder) { length } else { 0 };
            }
            if !course.goes_on(page.next).map_err(fault)? {
                let folders = folders.into_iter().collect();
                return Ok(Listed { keys, folders });
            }
        }
    }

    fn page_of_keys(
        &self,
        answer: ListObjectsV2Output,
        prefix: &str,
    ) -> Result<Page<String, String>, &'static str> {
        let objects = answer.contents.unwrap_or_default().into_iter();
        let keys: Option<Vec<_>> = objects
            .map(|object| self.own(object.key.as_deref()?))
            .collect();
        let folders = answer.common_prefixes.unwrap_or_default().into_iter();
        let folders: Option<Vec<_>> = folders
            .map(|folder| self.own(folder.prefix.as_deref()?))
            .collect();
        if answer.prefix.as_deref().unwrap_or_default() != prefix {
            return Err(OTHER_PREFIX);
        }
        let (keys, folders) = keys.zip(folders).ok_or(OTHER_PREFIX)?;
        // Some stores do not count folders.
        let found = i32::try_from(keys.len() + folders.len()).unwrap_or(i32::MAX);
        if answer.key_count.is_some_and(|count| count > found) {
            return Err("a listing that lacks keys");
        }
        let next = match answer.is_truncated.ok_or(INCOMPLETE)? {
            true => Some(answer.next_continuation_token),
            false => None,
        };
        Ok(Page {
            keys,
            folders,
            next,
        })
    }

    pub(super) async fn list_uploads(&self, below: &str) -> StoreResult<Vec<OpenUpload>> {
        let prefix = self.key(below);
        let mut uploads = BTreeMap::new();
        let mut course = Course::default();
        loop {
            let marker: Option<&UploadMarker> = course.marker.as_ref();
            let request = || {
                self.clients
                    .s3
                    .list_multipart_uploads()
                    .bucket(&self.url.bucket)
                    .prefix(&prefix)
                    .set_key_marker(marker.map(|(key, _)| key.clone()))
                    .set_upload_id_marker(marker.and_then(|(_, id)| id.clone()))
                    .customize()
                    .interceptor(WholeDocument)
                    .send()
            };
            let understand = |answer| self.page_of_uploads(answer, &prefix);
            let page = self.learn(Operation::List, below, request, understand);
            let page = page.await?;
            for (key, id, begun_at) in page.keys {
                let length = key.len() + id.len();
                let is_new = uploads.insert((key, id), begun_at).is_none();
                course.brought += if is_new { length } else { 0 };
            }
            let fault = |fault| self.unexpected(Operation::List, below, fault);
            if !course.goes_on(page.next).map_err(fault)? {
                let upload = |((key, id), begun_at)| OpenUpload {
                    upload: Upload { key, id },
                    begun_at,
                };
                return Ok(uploads.into_iter().map(upload).collect());
            }
        }
    }

    fn page_of_uploads(
        &self,
        answer: ListMultipartUploadsOutput,
        prefix: &str,
    ) -> Result<Page<ListedUpload, UploadMarker>, &'static str> {
        let uploads = answer.uploads.unwrap_or_default().into_iter();
        let uploads: Option<_> = uploads
            .map(|upload| {
                let begun_at = upload.initiated.and_then(to_timestamp);
                Some((
                    self.own(upload.key.as_deref()?)?,
                    upload.upload_id?,
                    begun_at,
                ))
            })
            .collect();
        if answer.prefix.as_deref().unwrap_or_default() != prefix {
            return Err(OTHER_PREFIX);
        }
        let id_marker = answer.next_upload_id_marker;
        let next = match answer.is_truncated.ok_or(INCOMPLETE)? {
            true => Some(answer.next_key_marker.map(|key| (key, id_marker))),
            false => None,
        };
        Ok(Page {
            keys: uploads.ok_or(OTHER_PREFIX)?,
            folders: Vec::new(),
            next,
        })
    }

    /// A listed key without the configured prefix.
    fn own(&self, key: &str) -> Option<String> {
        key.strip_prefix(&self.url.prefix).map(str::to_owned)
    }
}

/// Key, id, and when it was begun.
type ListedUpload = (String, String, Option<Timestamp>);

/// Key and, where there are several uploads of it, id.
type UploadMarker = (String, Option<String>);

/// A page of a listing.
struct Page<K, M> {
    keys: Vec<K>,
    folders: Vec<String>,
    /// Of the next page, where there is one.
    next: Option<Option<M>>,
}

/// How a listing goes on from page to page.
struct Course<M> {
    /// Of the next page.
    marker: Option<M>,
    /// Bytes of keys so far, and before the last page.
    brought: usize,
    before: usize,
    empty_pages: u32,
}

impl<M> Default for Course<M> {
    fn default() -> Self {
        Self {
            marker: None,
            brought: 0,
            before: 0,
            empty_pages: 0,
        }
    }
}

impl<M: PartialEq> Course<M> {
    /// Whether another page is to be asked for.
    fn goes_on(&mut self, next: Option<Option<M>>) -> Result<bool, &'static str> {
        if self.brought > LISTED_BYTES {
            return Err("a listing of more than 64 MiB of keys");
        }
        let Some(next) = next else {
            return Ok(false);
        };
        let next = next.ok_or("a listing that says that there is more, and not where")?;
        if self.marker.as_ref() == Some(&next) {
            return Err("a listing that repeats its marker");
        }
        self.empty_pages = match self.brought > self.before {
            true => 0,
            false => self.empty_pages + 1,
        };
        if self.empty_pages > EMPTY_PAGES {
            return Err("a listing that goes on and brings nothing");
        }
        self.before = self.brought;
        self.marker = Some(next);
        Ok(true)
    }
}

/// Fails an answer that ends before its document does.
#[derive(Debug)]
struct WholeDocument;

impl Intercept for WholeDocument {
    fn name(&self) -> &'static str {
        "WholeDocument"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        let is_whole = ["ListBucketResult>", "ListMultipartUploadsResult>"]
            .iter()
            .any(|end| body.trim_ascii_end().ends_with(end.as_bytes()));
        match is_whole || context.output_or_error().is_err() {
            true => Ok(()),
            false => Err(Strange("a listing that is cut off").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_does_not_get_on_ends() {
        let mut course = Course::default();
        assert_eq!(course.goes_on(Some(Some(1))), Ok(true));
        assert!(course.goes_on(Some(Some(1))).is_err(), "the same marker");
        assert!(course.goes_on(Some(None)).is_err(), "no marker");
        assert_eq!(course.goes_on(None), Ok(false));

        let mut course = Course::default();
        let pages = (0..1000).take_while(|page| course.goes_on(Some(Some(*page))) == Ok(true));
        assert_eq!(pages.count(), 100);

        let mut course = Course {
            brought: LISTED_BYTES,
            ..Course::default()
        };
        assert_eq!(course.goes_on(Some(Some(1))), Ok(true));
        course.brought += 1;
        assert!(course.goes_on(Some(Some(2))).is_err(), "too much");
    }
}
