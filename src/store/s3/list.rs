//! Listing: pages that are the store's, whole, and not without end.
//!
//! The SDK takes what it finds in a document: a page that is cut off is a shorter one, and what is
//! missing an empty list. "There is nothing" has to be proven, because a pass that finds no last snapshot
//! sends everything again. So a page has to end where its document does, to be of the prefix that was
//! asked for, to say whether there is more, and to have no fewer keys than it says.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{EncodingType, Object};
use jiff::Timestamp;

use super::S3Store;
use super::classify::Strange;
use super::proof::entity_tag;
use super::read::to_timestamp;
use crate::store::listing::KEPT_BYTES;
use crate::store::{
    ListedObject, Listing, OpenUpload, Operation, Page, Pages, StoreResult, Upload,
};

/// Pages in a row that may bring nothing. Stores pass over what was deleted, a page at a time.
const EMPTY_PAGES: u32 = 100;

const INCOMPLETE: &str = "a listing that does not say whether it is complete";
const OTHER_PREFIX: &str = "a listing of another prefix";

/// A listing of objects.
pub(super) struct ObjectPages<'a> {
    store: &'a S3Store,
    listing: Listing<'a>,
    /// With the store's own.
    prefix: String,
    course: Course<String>,
    /// The last key so far.
    last: Option<String>,
    is_over: bool,
}

impl<'a> ObjectPages<'a> {
    pub(super) fn new(store: &'a S3Store, listing: Listing<'a>) -> Self {
        Self {
            prefix: store.key(listing.prefix),
            store,
            listing,
            course: Course::default(),
            last: None,
            is_over: false,
        }
    }
}

#[async_trait]
impl Pages for ObjectPages<'_> {
    async fn next(&mut self) -> StoreResult<Option<Page>> {
        if self.is_over {
            return Ok(None);
        }
        let (store, listing) = (self.store, self.listing);
        let (prefix, marker) = (&self.prefix, &self.course.marker);
        let request = || {
            store
                .clients
                .s3
                .list_objects_v2()
                .bucket(&store.url.bucket)
                .prefix(prefix)
                .set_start_after(listing.start_after.map(|key| store.key(key)))
                .set_delimiter(listing.folders.then(|| "/".to_owned()))
                .set_encoding_type(listing.any_keys.then_some(EncodingType::Url))
                .set_continuation_token(marker.clone())
                .customize()
                .interceptor(WholeDocument)
                .send()
        };
        let understand = |answer| store.page_of_objects(answer, prefix);
        let answer = store.learn(Operation::List, listing.prefix, request, understand);
        let (page, next) = answer.await?;
        let fault = |fault| store.unexpected(Operation::List, listing.prefix, fault);
        for object in &page.objects {
            if self.last.as_ref().is_some_and(|last| object.key <= *last) {
                return Err(fault("a listing that is out of order"));
            }
            self.last = Some(object.key.clone());
        }
        let brings = !page.objects.is_empty() || !page.folders.is_empty();
        self.is_over = !self.course.goes_on(brings, next).map_err(fault)?;
        Ok(Some(page))
    }
}

impl S3Store {
    fn page_of_objects(
        &self,
        answer: ListObjectsV2Output,
        prefix: &str,
    ) -> Result<(Page, Option<Option<String>>), &'static str> {
        let is_encoded = answer.encoding_type == Some(EncodingType::Url);
        let decode = |text: String| decoded(text, is_encoded).ok_or("a key that cannot be read");
        let objects = answer.contents.unwrap_or_default().into_iter();
        let objects = objects.map(|mut object| {
            object.key = object.key.take().map(decode).transpose()?;
            self.listed(object)
        });
        let objects: Vec<_> = objects.collect::<Result<_, _>>()?;
        let folders = answer.common_prefixes.unwrap_or_default().into_iter();
        let folders = folders.map(|folder| folder.prefix.map(decode).transpose());
        let folders: Vec<_> = folders.collect::<Result<_, _>>()?;
        let folders = folders.iter().map(|folder| self.own(folder.as_deref()?));
        let folders: Vec<_> = folders.collect::<Option<_>>().ok_or(OTHER_PREFIX)?;
        let of = answer.prefix.map(decode).transpose()?.unwrap_or_default();
        if of != prefix {
            return Err(OTHER_PREFIX);
        }
        // Some stores do not count folders.
        let found = i32::try_from(objects.len() + folders.len()).unwrap_or(i32::MAX);
        if answer.key_count.is_some_and(|count| count > found) {
            return Err("a listing that lacks keys");
        }
        let next = match answer.is_truncated.ok_or(INCOMPLETE)? {
            true => Some(answer.next_continuation_token),
            false => None,
        };
        Ok((Page { objects, folders }, next))
    }

    fn listed(&self, object: Object) -> Result<ListedObject, &'static str> {
        let key = object.key.as_deref().and_then(|key| self.own(key));
        let size = object.size.and_then(|size| u64::try_from(size).ok());
        let class = object.storage_class.map(|class| class.as_str().to_owned());
        Ok(ListedObject {
            key: key.ok_or(OTHER_PREFIX)?,
            size: size.ok_or("a listing without lengths")?,
            etag: entity_tag(object.e_tag)?,
            last_modified: object.last_modified.and_then(to_timestamp),
            storage_class: class.filter(|class| class != "STANDARD"),
        })
    }

    pub(super) async fn list_uploads(&self, below: &str) -> StoreResult<Vec<OpenUpload>> {
        let prefix = self.key(below);
        let (mut uploads, mut kept) = (BTreeMap::new(), 0);
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
            let fault = |fault| self.unexpected(Operation::List, below, fault);
            let before = kept;
            for (key, id, begun_at) in page.0 {
                let length = key.len() + id.len();
                let is_new = uploads.insert((key, id), begun_at).is_none();
                kept += if is_new { length } else { 0 };
            }
            if kept > KEPT_BYTES {
                return Err(fault("a listing of more than 64 MiB of uploads"));
            }
            if !course.goes_on(kept > before, page.1).map_err(fault)? {
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
    ) -> Result<(Vec<ListedUpload>, Option<Option<UploadMarker>>), &'static str> {
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
        Ok((uploads.ok_or(OTHER_PREFIX)?, next))
    }

    /// A listed key without the configured prefix.
    fn own(&self, key: &str) -> Option<String> {
        key.strip_prefix(&self.url.prefix).map(str::to_owned)
    }
}

/// Text of a listing, which was asked to be encoded as in forms: a space is `+`.
fn decoded(text: String, is_encoded: bool) -> Option<String> {
    if !is_encoded {
        return Some(text);
    }
    let spaces = text.replace('+', "%20");
    let bytes = percent_encoding::percent_decode_str(&spaces);
    Some(bytes.decode_utf8().ok()?.into_owned())
}

/// Key, id, and when it was begun.
type ListedUpload = (String, String, Option<Timestamp>);

/// Key and, where there are several uploads of it, id.
type UploadMarker = (String, Option<String>);

/// How a listing goes on from page to page.
struct Course<M> {
    /// Of the next page.
    marker: Option<M>,
    empty_pages: u32,
}

impl<M> Default for Course<M> {
    fn default() -> Self {
        Self {
            marker: None,
            empty_pages: 0,
        }
    }
}

impl<M: PartialEq> Course<M> {
    /// Whether another page is to be asked for, after one that `brings` something or not.
    fn goes_on(&mut self, brings: bool, next: Option<Option<M>>) -> Result<bool, &'static str> {
        let Some(next) = next else {
            return Ok(false);
        };
        let next = next.ok_or("a listing that says that there is more, and not where")?;
        if self.marker.as_ref() == Some(&next) {
            return Err("a listing that repeats its marker");
        }
        self.empty_pages = match brings {
            true => 0,
            false => self.empty_pages + 1,
        };
        if self.empty_pages > EMPTY_PAGES {
            return Err("a listing that goes on and brings nothing");
        }
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
        assert_eq!(course.goes_on(true, Some(Some(1))), Ok(true));
        assert!(
            course.goes_on(true, Some(Some(1))).is_err(),
            "the same marker"
        );
        assert!(course.goes_on(true, Some(None)).is_err(), "no marker");
        assert_eq!(course.goes_on(true, None), Ok(false));

        let mut course = Course::default();
        let pages =
            (0..1000).take_while(|page| course.goes_on(false, Some(Some(*page))) == Ok(true));
        assert_eq!(pages.count(), 100);
    }
}
