//! Multipart uploads into the sink.
//!
//! A completion takes every part that has arrived, in the order of their numbers. The CRC-64/NVME of the
//! whole is what the client says, or that of what was kept.

use super::answer::{self, Answer};
use super::receive::{Received, Wanted, receive, stated_size};
use super::store::{Entry, Upload, kept_headers};
use super::{EntityTags, Served};
use crate::checksum::{Checksum, ChecksumAlgorithm};
use crate::object::quoted_hex;
use crate::operation::Query;
use bytes::BytesMut;
use http::{HeaderMap, HeaderName, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{CompleteMultipartUploadOutput, CreateMultipartUploadOutput, ETag};
use s3s::{S3Error, S3Result, s3_error};
use std::collections::BTreeMap;
use std::time::SystemTime;

const CRC64: &str = "x-amz-checksum-crc64nvme";

fn no_such_upload() -> S3Error {
    s3_error!(NoSuchUpload)
}

fn upload_id(uri: &Uri) -> S3Result<String> {
    let id = Query::of(uri).get("uploadId").map(str::to_owned);
    id.ok_or_else(no_such_upload)
}

impl Served {
    pub(super) fn create_upload(
        &self,
        bucket: &str,
        key: &str,
        headers: &HeaderMap,
    ) -> S3Result<Answer> {
        self.store.with_bucket(bucket, |_| ())?;
        let id = format!("{:032x}", self.store.number());
        let algorithm = headers.get("x-amz-checksum-algorithm");
        let upload = Upload {
            headers: kept_headers(headers),
            has_crc64: algorithm.is_some_and(|name| name == ChecksumAlgorithm::Crc64Nvme.name()),
            parts: BTreeMap::new(),
        };
        self.store.uploads().insert(id.clone(), upload);
        Ok(answer::xml(&CreateMultipartUploadOutput {
            bucket: Some(bucket.to_owned()),
            key: Some(key.to_owned()),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    pub(super) async fn upload_part(
        &self,
        key: &str,
        request: Request<Incoming>,
    ) -> S3Result<Answer> {
        let (head, body) = request.into_parts();
        let id = upload_id(&head.uri)?;
        let number = Query::of(&head.uri)
            .get("partNumber")
            .and_then(|number| number.parse().ok());
        let number = number.ok_or_else(|| s3_error!(InvalidArgument))?;
        let wanted = Wanted {
            is_hashed: self.entity_tags == EntityTags::Md5,
            is_kept: self.store.is_kept(key, stated_size(&head.headers)),
        };
        let received = receive(&head.headers, body, wanted).await?;
        let etag = match received.md5 {
            Some(md5) => quoted_hex(&md5),
            None => format!("\"{:032x}\"", self.store.number()),
        };
        let mut uploads = self.store.uploads();
        let upload = uploads.get_mut(&id).ok_or_else(no_such_upload)?;
        upload.parts.insert(number, received);
        Ok(answer::with_etag(&etag))
    }

    pub(super) async fn complete_upload(
        &self,
        bucket: &str,
        key: &str,
        request: Request<Incoming>,
    ) -> S3Result<Answer> {
        let (head, body) = request.into_parts();
        let id = upload_id(&head.uri)?;
        let _ = body.collect().await;
        let upload = self.store.uploads().remove(&id);
        let upload = upload.ok_or_else(no_such_upload)?;
        let parts: Vec<Received> = upload.parts.into_values().collect();
        let size = parts.iter().map(|part| part.size).sum();
        let etag = self.joined_etag(&parts);
        let mut entry = Entry {
            size,
            etag,
            last_modified: SystemTime::now(),
            headers: upload.headers,
            bytes: self
                .store
                .is_kept(key, Some(size))
                .then(|| join(parts, size))
                .flatten()
                .map(BytesMut::freeze),
        };
        let crc64 = upload
            .has_crc64
            .then(|| crc64_of(&entry, &head.headers))
            .flatten();
        if let Some(value) = crc64.as_deref().and_then(|crc| crc.parse().ok()) {
            let name = HeaderName::from_static(CRC64);
            entry.headers.insert(name, value);
        }
        let output = CompleteMultipartUploadOutput {
            checksum_crc64nvme: crc64,
            bucket: Some(bucket.to_owned()),
            key: Some(key.to_owned()),
            location: Some(format!("/{bucket}/{key}")),
            e_tag: Some(ETag::Strong(entry.etag.trim_matches('"').to_owned())),
            ..CompleteMultipartUploadOutput::default()
        };
        self.put_entry(bucket, key, entry, &head.headers)?;
        Ok(answer::xml(&output))
    }

    pub(super) fn abort_upload(&self, uri: &Uri) -> S3Result<Answer> {
        let aborted = self.store.uploads().remove(&upload_id(uri)?);
        aborted.ok_or_else(no_such_upload)?;
        Ok(answer::empty(StatusCode::NO_CONTENT))
    }

    /// The MD5 of the MD5s of the parts if there are any, as S3 has it; clients compute it too.
    fn joined_etag(&self, parts: &[Received]) -> String {
        let digests: Option<Vec<[u8; 16]>> = parts.iter().map(|part| part.md5).collect();
        let digest = match digests {
            Some(digests) => hex::encode(Md5::checksum(&digests.concat())),
            None => format!("{:032x}", self.store.number()),
        };
        format!("\"{digest}-{}\"", parts.len())
    }
}

/// What the client claims of the whole, or else what was kept of it comes to.
fn crc64_of(entry: &Entry, headers: &HeaderMap) -> Option<String> {
    let claimed = headers.get(CRC64).and_then(|crc| crc.to_str().ok());
    claimed.map(str::to_owned).or_else(|| {
        let bytes = entry.bytes.as_ref()?;
        Some(Checksum::of(ChecksumAlgorithm::Crc64Nvme, bytes).value)
    })
}

/// The content of all parts, if that of each was kept.
fn join(parts: Vec<Received>, size: u64) -> Option<BytesMut> {
    let mut joined = BytesMut::with_capacity(usize::try_from(size).ok()?);
    for part in parts {
        joined.extend_from_slice(&part.bytes?);
    }
    Some(joined)
}
