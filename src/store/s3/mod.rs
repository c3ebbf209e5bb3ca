//! The store in an S3 bucket, by the AWS SDK.
//!
//! Contents are put with `If-None-Match: *` and a checksum, so that nothing is ever overwritten and
//! what arrives is what was sent: SHA-256 for an object sent in one request, CRC-64/NVME over the
//! whole for one sent in parts (S3 keeps no whole-object SHA-256 for those). Retries on throttling
//! and transport errors are the SDK's. An answer that was lost on the way makes the retry of a
//! conditional put fail; then the object itself is asked whether it is the one that was sent.

mod archived;
mod attempts;
mod classify;
mod client;
mod direct;
mod put;
mod read;
mod settings;
mod wire;

use std::error::Error;
use std::ops::Range;

use async_trait::async_trait;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
    ServerSideEncryption, StorageClass,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use self::archived::is_archived;
use self::attempts::{Attempts, may_have_happened};
use self::classify::classify;
use self::client::Clients;
pub use self::settings::{Encryption, S3Settings};
use super::{
    Clock, Condition, ETag, Listed, Listing, Object, ObjectInfo, Operation, Placement, Store,
    StoreError, StoreErrorKind, StoreResult, Upload, UploadedPart,
};
use crate::regions::Regions;

/// A bucket, or a part of one.
pub struct S3Store {
    settings: S3Settings,
    clients: Clients,
    /// For what is read.
    regions: Regions,
}

impl S3Store {
    /// Makes ready to talk to the bucket; sends nothing yet.
    pub async fn connect(settings: S3Settings) -> Self {
        let clients = client::connect(&settings).await;
        let regions = Regions::default();
        Self {
            settings,
            clients,
            regions,
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.settings.prefix)
    }

    fn error(&self, operation: Operation, key: &str, kind: StoreErrorKind) -> StoreError {
        StoreError {
            operation,
            location: format!("s3://{}/{}", self.settings.bucket, self.key(key)),
            kind,
        }
    }

    fn failed<E>(
        &self,
        operation: Operation,
        key: &str,
    ) -> impl Fn(SdkError<E, HttpResponse>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        move |error| self.error(operation, key, classify(&error))
    }

    fn patience(&self, bytes: usize) -> aws_sdk_s3::config::Builder {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(self.settings.timeout(bytes))
            .build();
        aws_sdk_s3::config::Config::builder().timeout_config(timeouts)
    }

    fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.settings.encryption {
            Encryption::Bucket => (None, None),
            Encryption::Aes256 => (Some(ServerSideEncryption::Aes256), None),
            Encryption::Kms { key_id } => (Some(ServerSideEncryption::AwsKms), key_id.clone()),
        }
    }
}

#[async_trait]
impl Store for S3Store {
    fn location(&self) -> String {
        self.settings.to_string()
    }

    fn requests(&self) -> u64 {
        self.clients.wire.requests()
    }

    fn clock(&self) -> &Clock {
        self.clients.wire.clock()
    }

    async fn get(&self, key: &str) -> StoreResult<Object> {
        let (bytes, etag, last_modified) = self.read(key, None).await?;
        Ok(Object {
            bytes,
            etag,
            last_modified,
        })
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> StoreResult<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let length = range.end - range.start;
        let (bytes, ..) = self.read(key, Some(range)).await?;
        if bytes.len() as u64 != length {
            return Err(self.error(Operation::Get, key, StoreErrorKind::TooShort));
        }
        Ok(bytes)
    }

    async fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        let answer = self
            .clients
            .s3
            .head_object()
            .bucket(&self.settings.bucket)
            .key(self.key(key))
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .map_err(self.failed(Operation::Head, key))?;
        // A composite checksum, `<base64>-<parts>`, says nothing about the whole.
        let decode = |text: &str| BASE64_STANDARD.decode(text).ok();
        let sha256 = answer.checksum_sha256.as_deref().and_then(decode);
        let crc = answer.checksum_crc64_nvme.as_deref().and_then(decode);
        let is_composite = answer.checksum_sha256.is_some() && sha256.is_none();
        let others = [
            &answer.checksum_crc32,
            &answer.checksum_crc32_c,
            &answer.checksum_sha1,
        ];
        let is_archived = is_archived(&answer);
        Ok(ObjectInfo {
            size: answer
                .content_length
                .and_then(|length| u64::try_from(length).ok())
                .unwrap_or_default(),
            sha256: sha256.and_then(|bytes| bytes.try_into().ok()),
            crc64nvme: crc
                .and_then(|bytes| bytes.try_into().ok())
                .map(u64::from_be_bytes),
            has_foreign_checksum: is_composite || others.iter().any(|other| other.is_some()),
            etag: answer.e_tag.map(ETag),
            is_archived,
        })
    }

    async fn put(&self, key: &str, body: Bytes, condition: &Condition) -> StoreResult<ETag> {
        let sha256 = Sha256::digest(&body).into();
        let placement = Placement::default();
        let put = self.put_checked(key, &body, sha256, condition, &placement);
        match put.await {
            Err(error) if may_have_happened(&error.kind) => match self.get(key).await {
                Ok(object) if object.bytes == body => Ok(object.etag),
                _ => Err(error),
            },
            other => other,
        }
    }

    async fn put_content(
        &self,
        key: &str,
        body: Bytes,
        sha256: [u8; 32],
        placement: &Placement,
    ) -> StoreResult<ETag> {
        if let Some(direct) = &self.clients.direct {
            let headers = self.headers(placement);
            let timeout = self.settings.timeout(body.len());
            let full_key = self.key(key);
            let put = direct.put(&full_key, &headers, body.clone(), sha256, timeout);
            if let Ok(etag) = put.await {
                return Ok(etag);
            }
        }
        let put = self.put_checked(key, &body, sha256, &Condition::Absent, placement);
        match put.await {
            Err(error) if may_have_happened(&error.kind) => {
                self.holds(key, &body, sha256).await.ok_or(error)
            }
            other => other,
        }
    }

    async fn begin_upload(&self, key: &str, placement: &Placement) -> StoreResult<Upload> {
        let (algorithm, key_id) = self.encryption();
        let answer = self
            .clients
            .s3
            .create_multipart_upload()
            .bucket(&self.settings.bucket)
            .key(self.key(key))
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject)
            .set_storage_class(storage_class(placement))
            .set_tagging(tagging(placement))
            .set_server_side_encryption(algorithm)
            .set_ssekms_key_id(key_id)
            .send()
            .await
            .map_err(self.failed(Operation::Upload, key))?;
        Ok(Upload {
            key: key.to_owned(),
            id: answer.upload_id.unwrap_or_default(),
        })
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        number: i32,
        body: Bytes,
        crc64nvme: u64,
    ) -> StoreResult<UploadedPart> {
        let mut attempts = Attempts::new();
        let answer = loop {
            let part = self
                .clients
                .s3
                .upload_part()
                .bucket(&self.settings.bucket)
                .key(self.key(&upload.key))
                .upload_id(&upload.id)
                .part_number(number)
                .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
                .checksum_crc64_nvme(encode_crc(crc64nvme))
                .body(ByteStream::from(body.clone()))
                .customize()
                .config_override(self.patience(body.len()));
            // Where nobody can change the payload on the way, its checksum, which is signed,
            // protects it; elsewhere the payload is signed as well, for one more SHA-256.
            let sent = if self.clients.protected {
                part.disable_payload_signing().send().await
            } else {
                part.send().await
            };
            let sent = sent.map_err(self.failed(Operation::Upload, &upload.key));
            if let Some(result) = attempts.settle(sent).await {
                break result?;
            }
        };
        Ok(UploadedPart {
            number,
            etag: ETag(answer.e_tag.unwrap_or_default()),
            crc64nvme,
        })
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: Vec<UploadedPart>,
        size: u64,
        crc64nvme: u64,
    ) -> StoreResult<ETag> {
        let parts = parts.into_iter().map(|part| {
            CompletedPart::builder()
                .part_number(part.number)
                .e_tag(part.etag.0)
                .checksum_crc64_nvme(encode_crc(part.crc64nvme))
                .build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        let mut attempts = Attempts::new();
        let completed = loop {
            let completed = self
                .clients
                .s3
                .complete_multipart_upload()
                .bucket(&self.settings.bucket)
                .key(self.key(&upload.key))
                .upload_id(&upload.id)
                .multipart_upload(parts.clone())
                .checksum_type(ChecksumType::FullObject)
                .checksum_crc64_nvme(encode_crc(crc64nvme))
                .mpu_object_size(i64::try_from(size).unwrap_or(i64::MAX))
                .if_none_match("*")
                .send()
                .await;
            let completed = completed.map_err(self.failed(Operation::Upload, &upload.key));
            if let Some(result) = attempts.settle(completed).await {
                break result;
            }
        };
        let error = match completed {
            Ok(answer) => return Ok(ETag(answer.e_tag.unwrap_or_default())),
            Err(error) => error,
        };
        // After an answer was lost, the retry finds the object or finds the upload gone.
        let lost = may_have_happened(&error.kind) || error.kind == StoreErrorKind::NotFound;
        if lost
            && let Ok(info) = self.head(&upload.key).await
            && info.size == size
            && info.crc64nvme == Some(crc64nvme)
        {
            return Ok(info.etag.unwrap_or_default());
        }
        Err(error)
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        self.clients
            .s3
            .abort_multipart_upload()
            .bucket(&self.settings.bucket)
            .key(self.key(&upload.key))
            .upload_id(&upload.id)
            .send()
            .await
            .map_err(self.failed(Operation::Upload, &upload.key))?;
        Ok(())
    }

    async fn open_uploads(&self, prefix: &str) -> StoreResult<Vec<Upload>> {
        let mut uploads = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let page = self
                .clients
                .s3
                .list_multipart_uploads()
                .bucket(&self.settings.bucket)
                .prefix(self.key(prefix))
                .set_key_marker(key_marker)
                .set_upload_id_marker(id_marker)
                .send()
                .await
                .map_err(self.failed(Operation::List, prefix))?;
            for upload in page.uploads.unwrap_or_default() {
                if let (Some(key), Some(id)) = (upload.key, upload.upload_id)
                    && let Some(key) = key.strip_prefix(&self.settings.prefix)
                {
                    let key = key.to_owned();
                    uploads.push(Upload { key, id });
                }
            }
            if !page.is_truncated.unwrap_or_default() {
                return Ok(uploads);
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }

    async fn list(&self, listing: &Listing<'_>) -> StoreResult<Listed> {
        let mut listed = Listed::default();
        let own = |key: String| key.strip_prefix(&self.settings.prefix).map(str::to_owned);
        let mut pages = self
            .clients
            .s3
            .list_objects_v2()
            .bucket(&self.settings.bucket)
            .prefix(self.key(listing.prefix))
            .set_start_after(listing.start_after.map(|key| self.key(key)))
            .set_delimiter(listing.folders.then(|| "/".to_owned()))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(self.failed(Operation::List, listing.prefix))?;
            let objects = page.contents.unwrap_or_default().into_iter();
            listed
                .keys
                .extend(objects.filter_map(|o| o.key.and_then(own)));
            let folders = page.common_prefixes.unwrap_or_default().into_iter();
            listed
                .folders
                .extend(folders.filter_map(|p| p.prefix.and_then(own)));
        }
        Ok(listed)
    }
}

fn storage_class(placement: &Placement) -> Option<StorageClass> {
    placement.storage_class.as_deref().map(StorageClass::from)
}

/// Tags as a query string, as the `x-amz-tagging` header takes them.
fn tagging(placement: &Placement) -> Option<String> {
    if placement.tags.is_empty() {
        return None;
    }
    let pairs = placement.tags.iter().map(|(key, value)| {
        let encode = |text: &str| direct::encode_path(text).replace('/', "%2F");
        format!("{}={}", encode(key), encode(value))
    });
    Some(pairs.collect::<Vec<_>>().join("&"))
}

fn encode_crc(crc: u64) -> String {
    BASE64_STANDARD.encode(crc.to_be_bytes())
}
