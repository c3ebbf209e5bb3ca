//! Objects in the sink.

use super::answer::{self, Answer};
use super::receive::{Received, Wanted, receive, stated_size};
use super::store::{Bucket, Entry, kept_headers};
use super::{EntityTags, Served};
use crate::object::quoted_hex;
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED,
    RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use s3s::dto::{
    CopyObjectResult, CopySource, Delete, DeleteObjectsOutput, DeletedObject, ETag, Range,
};
use s3s::xml::{Deserialize as _, Deserializer};
use s3s::{S3Result, s3_error};
use std::sync::Arc;
use std::time::SystemTime;

impl Served {
    pub(super) async fn put(
        &self,
        bucket: &str,
        key: &str,
        request: Request<Incoming>,
    ) -> S3Result<Answer> {
        let (head, body) = request.into_parts();
        let wanted = Wanted {
            is_hashed: self.entity_tags == EntityTags::Md5,
            is_kept: self.store.is_kept(key, stated_size(&head.headers)),
        };
        let received = receive(&head.headers, body, wanted).await?;
        let entry = Entry {
            size: received.size,
            etag: self.etag(&received),
            last_modified: SystemTime::now(),
            headers: kept_headers(&head.headers),
            bytes: received.bytes,
        };
        let answer = answer::with_etag(&entry.etag);
        self.put_entry(bucket, key, entry, &head.headers)?;
        Ok(answer)
    }

    /// Writes an entry if the conditions in the request hold.
    pub(super) fn put_entry(
        &self,
        bucket: &str,
        key: &str,
        entry: Entry,
        headers: &HeaderMap,
    ) -> S3Result<()> {
        self.store.with_bucket(bucket, |bucket| {
            check(headers, bucket, key)?;
            bucket.insert(key.to_owned(), Arc::new(entry));
            Ok(())
        })?
    }

    fn etag(&self, received: &Received) -> String {
        match received.md5 {
            Some(md5) => quoted_hex(&md5),
            None => format!("\"{:032x}-1\"", self.store.number()),
        }
    }

    pub(super) fn head(&self, bucket: &str, key: &str) -> S3Result<Answer> {
        let entry = self.store.entry(bucket, key)?;
        let mut answer = answer::empty(StatusCode::OK);
        describe(&entry, answer.headers_mut());
        let length = HeaderValue::from(entry.size);
        answer.headers_mut().insert(CONTENT_LENGTH, length);
        Ok(answer)
    }

    pub(super) fn get(&self, bucket: &str, key: &str, headers: &HeaderMap) -> S3Result<Answer> {
        let entry = self.store.entry(bucket, key)?;
        let Some(bytes) = &entry.bytes else {
            return Err(s3_error!(NotImplemented));
        };
        let mut answer = match headers.get(RANGE).and_then(|range| range.to_str().ok()) {
            Some(range) => part(bytes, range)?,
            None => answer::with_body(StatusCode::OK, bytes.clone()),
        };
        describe(&entry, answer.headers_mut());
        Ok(answer)
    }

    pub(super) fn delete(&self, bucket: &str, key: &str) -> S3Result<Answer> {
        self.store
            .with_bucket(bucket, |bucket| bucket.remove(key))?;
        Ok(answer::empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn delete_many(
        &self,
        bucket: &str,
        request: Request<Incoming>,
    ) -> S3Result<Answer> {
        let malformed = || s3_error!(MalformedXML);
        let body = request
            .into_body()
            .collect()
            .await
            .map_err(|_| malformed())?;
        let body = body.to_bytes();
        let mut parser = Deserializer::new(&body);
        let delete = Delete::deserialize(&mut parser).map_err(|_| malformed())?;
        let deleted = self.store.with_bucket(bucket, |bucket| {
            let remove = |object: s3s::dto::ObjectIdentifier| {
                bucket.remove(&object.key);
                DeletedObject {
                    key: Some(object.key),
                    ..DeletedObject::default()
                }
            };
            delete.objects.into_iter().map(remove).collect()
        })?;
        let output = DeleteObjectsOutput {
            deleted: Some(deleted),
            ..DeleteObjectsOutput::default()
        };
        Ok(answer::xml(&output))
    }

    /// Clients copy objects onto themselves to change their metadata.
    pub(super) fn copy(&self, bucket: &str, key: &str, headers: &HeaderMap) -> S3Result<Answer> {
        let source = headers.get("x-amz-copy-source");
        let source = source.and_then(|source| CopySource::parse(source.to_str().ok()?).ok());
        let Some(CopySource::Bucket {
            bucket: from_bucket,
            key: from_key,
            ..
        }) = source
        else {
            return Err(s3_error!(InvalidArgument));
        };
        let source = self.store.entry(&from_bucket, &from_key)?;
        let mut copy = Entry::clone(&source);
        copy.last_modified = SystemTime::now();
        if headers
            .get("x-amz-metadata-directive")
            .is_some_and(|directive| directive == "REPLACE")
        {
            copy.headers = kept_headers(headers);
        }
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(copy.etag.trim_matches('"').to_owned())),
            last_modified: Some(copy.last_modified.into()),
            ..CopyObjectResult::default()
        };
        self.put_entry(bucket, key, copy, headers)?;
        Ok(answer::xml(&result))
    }
}

/// Whether the conditions of a write hold.
fn check(headers: &HeaderMap, bucket: &Bucket, key: &str) -> S3Result<()> {
    let existing = bucket.get(key);
    if headers.contains_key(IF_NONE_MATCH) && existing.is_some() {
        return Err(s3_error!(PreconditionFailed));
    }
    match (headers.get(IF_MATCH), existing) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(s3_error!(NoSuchKey)),
        (Some(etag), Some(existing)) if *etag == *existing.etag || etag == "*" => Ok(()),
        (Some(_), Some(_)) => Err(s3_error!(PreconditionFailed)),
    }
}

fn describe(entry: &Entry, headers: &mut HeaderMap) {
    let modified = httpdate::fmt_http_date(entry.last_modified);
    let text = |name: HeaderName, value: &str| Some((name, HeaderValue::from_str(value).ok()?));
    headers.extend(text(ETAG, &entry.etag));
    headers.extend(text(LAST_MODIFIED, &modified));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.extend(entry.headers.clone());
}

fn part(bytes: &Bytes, range: &str) -> S3Result<Answer> {
    let unsatisfiable = || s3_error!(InvalidRange);
    let total = bytes.len();
    let range = Range::parse(range).map_err(|_| unsatisfiable())?;
    let range = range.check(total as u64).map_err(|_| unsatisfiable())?;
    let index = |position| usize::try_from(position).map_err(|_| unsatisfiable());
    let (start, end) = (index(range.start)?, index(range.end)?);
    let mut answer = answer::with_body(StatusCode::PARTIAL_CONTENT, bytes.slice(start..end));
    let described = HeaderValue::from_str(&format!("bytes {start}-{}/{total}", end - 1));
    let described = described.ok().map(|described| (CONTENT_RANGE, described));
    answer.headers_mut().extend(described);
    Ok(answer)
}
