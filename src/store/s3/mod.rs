//! The store in an S3 bucket, by the AWS SDK.
//!
//! Contents are put with `If-None-Match: *` and a checksum, so that nothing is ever overwritten and
//! what arrives is what was sent: SHA-256 for an object sent in one request, CRC-64/NVME over the
//! whole for one sent in parts (S3 keeps no whole-object SHA-256 for those), or what else the server was
//! found to keep. Retries on throttling
//! and transport errors are the SDK's. An answer that was lost on the way makes the retry of a
//! conditional put fail; then the object itself is asked whether it is the one that was sent.

mod abilities;
mod archived;
mod ask;
mod classify;
mod client;
mod copies;
mod direct;
mod headers;
mod list;
mod proof;
mod put;
mod read;
mod upload;
mod whole;
mod whole_copy;
mod wire;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, ServerSideEncryption, StorageClass};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use self::archived::is_archived;
use self::ask::may_have_happened;
use self::client::Clients;
use self::direct::encode_value;
use self::list::ObjectPages;
use self::proof::{Proofs, entity_tag};
use self::read::Extent;
use self::whole::of_parts;
use super::{
    Clock, Completed, Condition, Copies, ETag, Encryption, Listing, Object, ObjectInfo, OpenUpload,
    Operation, Pages, Part, Placement, Store, StoreError, StoreErrorKind, StoreOptions,
    StoreResult, Upload, UploadedPart,
};
use crate::format::abilities::Abilities;
use crate::memory::regions::Regions;
use crate::store::url::BucketUrl;

/// A bucket, or a part of one.
pub(super) struct S3Store {
    url: BucketUrl,
    options: StoreOptions,
    clients: Clients,
    /// For what is read.
    regions: Regions,
    /// What proves a put.
    puts: Proofs,
    /// What the server can do, as far as anybody has said, and whether it turned out to be otherwise.
    abilities: Mutex<Option<Abilities>>,
    misses_an_ability: AtomicBool,
}

impl S3Store {
    /// Whether the store itself says so.
    async fn says_there_is_no(&self, key: &str) -> bool {
        let first_byte = self.read(key, &Extent::Range(0..1)).await;
        first_byte.is_err_and(|error| error.kind == StoreErrorKind::NotFound)
    }

    /// Makes ready to talk to the bucket; sends nothing yet.
    pub(super) async fn connect(url: BucketUrl, options: StoreOptions) -> Self {
        let clients = client::connect(&url.bucket, &options).await;
        Self {
            url,
            options,
            clients,
            regions: Regions::default(),
            puts: Proofs::default(),
            abilities: Mutex::default(),
            misses_an_ability: AtomicBool::default(),
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.url.prefix)
    }

    fn error(&self, operation: Operation, key: &str, kind: StoreErrorKind) -> StoreError {
        StoreError {
            operation,
            location: format!("s3://{}/{}", self.url.bucket, self.key(key)),
            kind,
        }
    }

    fn patience(&self, bytes: usize) -> aws_sdk_s3::config::Builder {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(self.options.timeout(bytes))
            .build();
        aws_sdk_s3::config::Config::builder().timeout_config(timeouts)
    }

    /// What the server is relied on for: everything, until somebody says otherwise.
    fn abilities(&self) -> Abilities {
        let known = self.abilities.lock().expect("nothing panics holding this");
        known
            .clone()
            .unwrap_or_else(|| Abilities::all(self.address()))
    }

    /// Notes if what the server was relied on for has failed.
    fn noting<T>(&self, result: StoreResult<T>) -> StoreResult<T> {
        result.map_err(|mut error| {
            if let StoreErrorKind::Unsupported(_) = error.kind {
                error.kind =
                    StoreErrorKind::AbilityGone("does not take objects that are sent in parts so");
            }
            let is_ability = matches!(
                error.kind,
                StoreErrorKind::AbilityGone(_) | StoreErrorKind::Rejected(_)
            );
            self.misses_an_ability
                .fetch_or(is_ability, Ordering::Relaxed);
            error
        })
    }

    fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.options.encryption {
            Encryption::Bucket => (None, None),
            Encryption::Aes256 => (Some(ServerSideEncryption::Aes256), None),
            Encryption::Kms { key_id } => (Some(ServerSideEncryption::AwsKms), key_id.clone()),
        }
    }
}

#[async_trait]
impl Store for S3Store {
    fn location(&self) -> String {
        self.url.to_string()
    }

    fn requests(&self) -> u64 {
        self.clients.wire.requests()
    }

    fn clock(&self) -> &Clock {
        self.clients.wire.clock()
    }

    fn address(&self) -> String {
        self.clients.address.clone()
    }

    async fn try_out(&self) -> StoreResult<Abilities> {
        self.try_parts().await
    }

    fn rely_on(&self, abilities: Abilities) {
        let mut known = self.abilities.lock().expect("nothing panics holding this");
        *known = Some(abilities);
        self.misses_an_ability.store(false, Ordering::Relaxed);
    }

    fn misses_an_ability(&self) -> bool {
        self.misses_an_ability.load(Ordering::Relaxed)
    }

    fn copies(&self) -> Option<&dyn Copies> {
        Some(self)
    }

    async fn get(&self, key: &str, at_most: u64) -> StoreResult<Object> {
        self.read(key, &Extent::Whole { at_most }).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> StoreResult<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.ready(Operation::Get, key).await?;
        if let Some(bytes) = self.read_directly(key, &range).await {
            return Ok(bytes);
        }
        Ok(self.read(key, &Extent::Range(range)).await?.bytes)
    }

    async fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        let request = || {
            self.clients
                .s3
                .head_object()
                .bucket(&self.url.bucket)
                .key(self.key(key))
                .checksum_mode(ChecksumMode::Enabled)
                .send()
        };
        match self.learn(Operation::Head, key, request, info).await {
            // Some servers answer a HEAD of what is missing as a proxy does. A GET has a body that tells
            // them apart.
            Err(StoreError {
                kind: StoreErrorKind::UnexpectedAnswer(_),
                ..
            }) if self.says_there_is_no(key).await => {
                Err(self.error(Operation::Head, key, StoreErrorKind::NotFound))
            }
            other => other,
        }
    }

    async fn put(&self, key: &str, body: Bytes, condition: &Condition) -> StoreResult<ETag> {
        let sha256 = Sha256::digest(&body).into();
        let placement = Placement::default();
        let put = self.put_checked(key, &body, sha256, condition, &placement);
        match put.await {
            Err(error) if may_have_happened(&error.kind) => {
                match self.get(key, body.len() as u64).await {
                    Ok(object) if object.bytes == body => Ok(object.etag),
                    _ => Err(error),
                }
            }
            other => other,
        }
    }

    async fn put_content(
        &self,
        key: &str,
        body: Bytes,
        sha256: [u8; 32],
        condition: &Condition,
        placement: &Placement,
    ) -> StoreResult<ETag> {
        self.ready(Operation::Put, key).await?;
        if *condition == Condition::Absent
            && let Some(etag) = self.put_directly(key, &body, sha256, placement).await
        {
            return Ok(etag);
        }
        let put = self.put_checked(key, &body, sha256, condition, placement);
        match put.await {
            Err(error) if may_have_happened(&error.kind) => {
                self.holds(key, &body, sha256).await.ok_or(error)
            }
            other => other,
        }
    }

    async fn begin_upload(&self, key: &str, placement: &Placement) -> StoreResult<Upload> {
        let kept = self.abilities().checksum_of_parts;
        self.noting(self.begin(key, kept, placement).await)
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        part: Part,
        body: Bytes,
        crc64nvme: u64,
    ) -> StoreResult<UploadedPart> {
        self.send_part(upload, part.number, body, crc64nvme).await
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: Vec<UploadedPart>,
        size: u64,
        crc64nvme: u64,
        condition: &Condition,
    ) -> StoreResult<Completed> {
        self.complete(upload, parts, (size, crc64nvme), condition)
            .await
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        self.abort(upload).await
    }

    async fn open_uploads(&self, prefix: &str) -> StoreResult<Vec<OpenUpload>> {
        self.list_uploads(prefix).await
    }

    fn list<'a>(&'a self, listing: Listing<'a>) -> Box<dyn Pages + 'a> {
        Box::new(ObjectPages::new(self, listing))
    }
}

/// What an answer says of an object.
fn info(answer: HeadObjectOutput) -> Result<ObjectInfo, &'static str> {
    let size = answer
        .content_length
        .and_then(|length| u64::try_from(length).ok());
    let decode = |text: &str| BASE64_STANDARD.decode(text).ok();
    let sha256 = answer.checksum_sha256.as_deref();
    // That of the parts says nothing about the whole.
    let is_of_parts = answer.checksum_type == Some(ChecksumType::Composite)
        || sha256.is_some_and(|text| text.contains('-'));
    let sha256_of_parts = sha256.filter(|_| is_of_parts).and_then(of_parts);
    let sha256 = sha256.filter(|_| !is_of_parts).and_then(decode);
    let crc = answer.checksum_crc64_nvme.as_deref().and_then(decode);
    let others = [
        &answer.checksum_crc32,
        &answer.checksum_crc32_c,
        &answer.checksum_sha1,
    ];
    let has_foreign_checksum = others.iter().any(|other| other.is_some());
    let is_archived = is_archived(&answer);
    Ok(ObjectInfo {
        size: size.ok_or("an object without a length")?,
        etag: entity_tag(answer.e_tag)?,
        sha256: sha256.and_then(|bytes| bytes.try_into().ok()),
        crc64nvme: crc
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_be_bytes),
        sha256_of_parts,
        has_foreign_checksum,
        is_archived,
    })
}

/// A condition as the headers `If-None-Match` and `If-Match` take it.
fn conditional(condition: &Condition) -> (Option<String>, Option<String>) {
    match condition {
        Condition::Absent => (Some("*".to_owned()), None),
        Condition::Matches(etag) => (None, Some(etag.0.clone())),
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
    let pairs = placement
        .tags
        .iter()
        .map(|(key, value)| format!("{}={}", encode_value(key), encode_value(value)));
    Some(pairs.collect::<Vec<_>>().join("&"))
}
