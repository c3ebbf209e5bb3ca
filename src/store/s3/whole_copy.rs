//! Copying objects as a whole, with what they have besides their bytes.
//!
//! `CopyObject` takes content headers, user metadata and tags along, and neither the storage class nor encryption (S3
//! API reference, "CopyObject"). It takes 5 GiB at most; what is larger goes in parts, to which nothing comes by
//! itself. Directives are sent only where they are not the default: some servers refuse the header for tags. A server
//! that keeps CRC-64/NVMEs is asked for one of the copy, so that reading it can be compared with something.
//!
//! `CopyObject` is sent once: whoever asks counts the times that the server is too busy, and asks again.

use std::collections::BTreeMap;
use std::ops::Range;

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::operation::copy_object::CopyObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::upload_part_copy::UploadPartCopyOutput;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedPart, MetadataDirective, StorageClass,
    TaggingDirective,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::CrcAlgorithm::Crc64Nvme;

use super::ask::Attempts;
use super::direct::encode_path;
use super::headers::with_headers;
use super::proof::{entity_tag, quoted};
use super::read::to_timestamp;
use super::whole::encode_crc;
use super::{S3Store, conditional};
use crate::format::abilities::ChecksumOfParts;
use crate::format::location::Checksum;
use crate::format::object::ObjectHeaders;
use crate::store::{
    Condition, Copied, Copies as _, Described, ETag, Operation, Placement, StoreErrorKind,
    StoreResult, Tags, Upload, WholeCopy,
};

/// The slowest copy that is waited for goes this many times as fast as the slowest transfer: no byte of it passes
/// through here.
const FASTER: u64 = 16;

/// A part that was copied: its number, its length, its version, its checksum where there is one, and the name of the
/// version that it is of where there are several.
struct CopiedPart {
    number: i32,
    length: u64,
    etag: ETag,
    crc64nvme: Option<u64>,
    of_version: Option<String>,
}

impl S3Store {
    pub(super) async fn described(&self, key: &str, tags: Tags) -> StoreResult<Described> {
        let request = || {
            self.clients
                .s3
                .head_object()
                .bucket(&self.url.bucket)
                .key(self.key(key))
                .send()
        };
        let mut described = self.learn(Operation::Head, key, request, described).await?;
        if tags == Tags::Keep {
            described.headers.tags = self.tags_of(key).await?;
        }
        Ok(described)
    }

    pub(super) async fn tags_of(&self, key: &str) -> StoreResult<BTreeMap<String, String>> {
        let request = || {
            self.clients
                .s3
                .get_object_tagging()
                .bucket(&self.url.bucket)
                .key(self.key(key))
                .send()
        };
        let answer = self.ask(Operation::Head, key, request).await?;
        let tags = answer.tag_set.into_iter();
        Ok(tags.map(|tag| (tag.key, tag.value)).collect())
    }

    pub(super) async fn copy_at_once(&self, copy: &WholeCopy) -> StoreResult<Copied> {
        let (encryption, key_id) = self.encryption();
        let condition = copy.condition.as_ref();
        let (if_none_match, if_match) = condition.map(conditional).unwrap_or_default();
        let ignores_tags = copy.tags == Tags::Ignore;
        let request = || {
            self.clients
                .s3
                .copy_object()
                .bucket(&self.url.bucket)
                .key(self.key(&copy.key))
                .copy_source(encode_path(&copy.from.name))
                .copy_source_if_match(quoted(&copy.from.etag))
                .set_if_none_match(if_none_match.clone())
                .set_if_match(if_match.clone())
                .set_storage_class(copy.storage_class.as_deref().map(StorageClass::from))
                .set_tagging_directive(ignores_tags.then_some(TaggingDirective::Replace))
                .set_checksum_algorithm(
                    self.keeps_crc64nvme()
                        .then_some(ChecksumAlgorithm::Crc64Nvme),
                )
                .set_server_side_encryption(encryption.clone())
                .set_ssekms_key_id(key_id.clone())
                .customize()
                .config_override(self.patience_of_copy(copy.size).retry_config(once()))
                .send()
        };
        let answer = self.ask(Operation::Copy, &copy.key, request).await?;
        copied(answer).map_err(|fault| self.unexpected(Operation::Copy, &copy.key, fault))
    }

    pub(super) async fn copy_by_parts(
        &self,
        copy: &WholeCopy,
        like: &ObjectHeaders,
        part_bytes: u64,
    ) -> StoreResult<Copied> {
        let tags = match copy.tags {
            Tags::Ignore => BTreeMap::new(),
            _ => like.tags.clone(),
        };
        let placement = Placement {
            storage_class: copy.storage_class.clone(),
            tags,
            headers: Some(Box::new(like.clone())),
        };
        let kept = match self.keeps_crc64nvme() {
            true => ChecksumOfParts::Crc64Nvme,
            false => ChecksumOfParts::None,
        };
        let upload = self.begin(&copy.key, kept, &placement).await?;
        let copied = self.copy_all_parts(&upload, copy, part_bytes).await;
        if copied.is_err() {
            // If that fails, the next pass does it, or the bucket's lifecycle rule.
            let _ = self.abort(&upload).await;
        }
        copied
    }

    /// Copies an object onto itself, as it is, on this condition, which does not hold. Whether that is refused.
    pub(super) async fn refuses_copy(&self, condition: &Condition, key: &str) -> StoreResult<bool> {
        let mut attempts = Attempts::new();
        loop {
            let described = self.described(key, Tags::Ignore).await?;
            let refused = match self.copy_onto_itself(condition, key, &described).await {
                Ok(()) => return Ok(false),
                Err(error) if error.kind == StoreErrorKind::PreconditionFailed => {
                    // Unless it is another version by now, which was not to be copied either.
                    let now = self.described(key, Tags::Ignore).await?;
                    if now.etag == described.etag {
                        return Ok(true);
                    }
                    self.error(Operation::Copy, key, StoreErrorKind::PreconditionFailed)
                }
                Err(error) => error,
            };
            let again = refused.kind == StoreErrorKind::PreconditionFailed
                || refused.kind.is_worth_repeating();
            if let Some(refused) = attempts.settle_if(again, Err(refused)).await {
                return refused;
            }
        }
    }

    /// S3 refuses to copy an object onto itself unless something of it is replaced (S3 API reference, "CopyObject"): here
    /// its headers, by the same ones.
    async fn copy_onto_itself(
        &self,
        condition: &Condition,
        key: &str,
        described: &Described,
    ) -> StoreResult<()> {
        let (if_none_match, if_match) = conditional(condition);
        let name = self.named(key, described.etag.clone()).name;
        let class = described.storage_class.as_deref().map(StorageClass::from);
        let request = || {
            let copy = self.clients.s3.copy_object();
            with_headers!(copy, Some(&described.headers))
                .bucket(&self.url.bucket)
                .key(self.key(key))
                .copy_source(encode_path(&name))
                .copy_source_if_match(quoted(&described.etag))
                .metadata_directive(MetadataDirective::Replace)
                .set_if_none_match(if_none_match.clone())
                .set_if_match(if_match.clone())
                .set_storage_class(class.clone())
                .customize()
                .config_override(self.patience_of_copy(described.size))
                .send()
        };
        self.ask(Operation::Copy, key, request).await.map(drop)
    }

    async fn copy_all_parts(
        &self,
        upload: &Upload,
        copy: &WholeCopy,
        part_bytes: u64,
    ) -> StoreResult<Copied> {
        let ranges = (0..copy.size.div_ceil(part_bytes)).map(|index| {
            let start = index * part_bytes;
            start..copy.size.min(start + part_bytes)
        });
        let mut left = (1..).zip(ranges);
        let mut parts = Vec::new();
        // Four at once: S3 copies one in a second or two, whatever asks for it.
        loop {
            let mut next = || self.copy_one_part(upload, copy, left.next());
            let (a, b, c, d) = (next(), next(), next(), next());
            let (a, b, c, d) = tokio::join!(a, b, c, d);
            let before = parts.len();
            for part in [a, b, c, d] {
                parts.extend(part?);
            }
            if parts.len() == before {
                break;
            }
        }
        let crc64nvme = whole_crc(&parts);
        // All are of one ETag. Should it have been put again with the same bytes, those before are as good.
        let version = parts.first().and_then(|part| part.of_version.clone());
        let parts: Vec<_> = parts.into_iter().map(completed).collect();
        let whole = crc64nvme.map_or(Checksum::None, Checksum::Crc64Nvme);
        let put = self.put_together(upload, parts, (copy.size, &whole), copy.condition.as_ref());
        let answer = match put.await {
            // An answer that was lost, it may be: the object says whether it was one.
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                return self.found_complete(copy, whole).await.ok_or(error);
            }
            answer => answer?,
        };
        let fault = |fault| self.unexpected(Operation::Copy, &copy.key, fault);
        Ok(Copied {
            etag: entity_tag(answer.e_tag).map_err(fault)?,
            checksum: whole,
            version,
        })
    }

    /// The object that an upload has become which is gone, if its length is that of the copy.
    async fn found_complete(&self, copy: &WholeCopy, checksum: Checksum) -> Option<Copied> {
        let described = self.described(&copy.key, Tags::Ignore).await.ok()?;
        (described.size == copy.size).then_some(Copied {
            etag: described.etag,
            checksum,
            version: None,
        })
    }

    async fn copy_one_part(
        &self,
        upload: &Upload,
        copy: &WholeCopy,
        next: Option<(i32, Range<u64>)>,
    ) -> StoreResult<Option<CopiedPart>> {
        let Some((number, range)) = next else {
            return Ok(None);
        };
        let (last, length) = (range.end.saturating_sub(1), range.end - range.start);
        let request = || {
            self.clients
                .s3
                .upload_part_copy()
                .bucket(&self.url.bucket)
                .key(self.key(&upload.key))
                .upload_id(&upload.id)
                .part_number(number)
                .copy_source(encode_path(&copy.from.name))
                .copy_source_range(format!("bytes={}-{last}", range.start))
                .copy_source_if_match(quoted(&copy.from.etag))
                .customize()
                .config_override(self.patience_of_copy(length))
                .send()
        };
        let understand = |answer| part(answer, number, length);
        let copied = self.learn(Operation::Copy, &copy.key, request, understand);
        copied.await.map(Some)
    }

    fn patience_of_copy(&self, size: u64) -> Builder {
        let bytes = usize::try_from(size / FASTER).unwrap_or(usize::MAX);
        self.patience(bytes)
    }
}

fn once() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(1)
}

fn described(answer: HeadObjectOutput) -> Result<Described, &'static str> {
    let size = answer.content_length;
    let size = size.and_then(|length| u64::try_from(length).ok());
    let class = answer.storage_class.map(|class| class.as_str().to_owned());
    Ok(Described {
        size: size.ok_or("an object without a length")?,
        etag: entity_tag(answer.e_tag)?,
        last_modified: answer.last_modified.and_then(to_timestamp),
        storage_class: class.filter(|class| class != "STANDARD"),
        headers: ObjectHeaders {
            content_type: answer.content_type,
            content_encoding: answer.content_encoding,
            content_language: answer.content_language,
            content_disposition: answer.content_disposition,
            cache_control: answer.cache_control,
            expires: answer.expires_string,
            metadata: answer.metadata.unwrap_or_default().into_iter().collect(),
            tags: BTreeMap::new(),
        },
    })
}

/// A success says which version has become of it; one that does not is none, whatever its status.
fn copied(answer: CopyObjectOutput) -> Result<Copied, &'static str> {
    let result = answer.copy_object_result;
    let result = result.ok_or("a success without a copy")?;
    let is_whole = result.checksum_type != Some(ChecksumType::Composite);
    let crc = result.checksum_crc64_nvme.as_deref().and_then(crc);
    let sha256 = result.checksum_sha256.as_deref();
    let sha256 = sha256.filter(|_| is_whole).and_then(|text| {
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        bytes.try_into().ok()
    });
    Ok(Copied {
        etag: entity_tag(result.e_tag)?,
        checksum: match (sha256, crc) {
            (Some(sha256), _) => Checksum::Sha256(sha256),
            (None, Some(crc)) => Checksum::Crc64Nvme(crc),
            (None, None) => Checksum::None,
        },
        version: answer.copy_source_version_id,
    })
}

fn part(
    answer: UploadPartCopyOutput,
    number: i32,
    length: u64,
) -> Result<CopiedPart, &'static str> {
    let part = answer.copy_part_result.ok_or("a success without a part")?;
    Ok(CopiedPart {
        number,
        length,
        etag: entity_tag(part.e_tag)?,
        crc64nvme: part.checksum_crc64_nvme.as_deref().and_then(crc),
        of_version: answer.copy_source_version_id,
    })
}

fn crc(text: &str) -> Option<u64> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// CRC-64/NVME of the whole, if the server has told that of each part.
fn whole_crc(parts: &[CopiedPart]) -> Option<u64> {
    let empty = crc_fast::checksum(Crc64Nvme, b"");
    parts.iter().try_fold(empty, |whole, part| {
        let crc = part.crc64nvme?;
        Some(crc_fast::checksum_combine(
            Crc64Nvme,
            whole,
            crc,
            part.length,
        ))
    })
}

fn completed(part: CopiedPart) -> CompletedPart {
    CompletedPart::builder()
        .part_number(part.number)
        .e_tag(part.etag.0)
        .set_checksum_crc64_nvme(part.crc64nvme.map(encode_crc))
        .build()
}
