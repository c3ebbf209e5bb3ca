//! Parts that the server copies from an object of another bucket, or of this one.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use aws_sdk_s3::operation::upload_part_copy::UploadPartCopyOutput;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::S3Store;
use super::direct::encode_path;
use super::proof::entity_tag;
use super::read::Extent;
use crate::format::abilities::ChecksumOfParts;
use crate::format::object::ObjectHeaders;
use crate::store::{
    Condition, Copied, Copies, Described, ETag, ObjectRef, Operation, Part, StoreResult, Tags,
    Upload, UploadedPart, WholeCopy,
};

impl S3Store {
    /// Whether it keeps, of an object in parts, the checksum by which a copy of parts is proven.
    pub(super) fn keeps_crc64nvme(&self) -> bool {
        self.abilities().checksum_of_parts == ChecksumOfParts::Crc64Nvme
    }
}

#[async_trait]
impl Copies for S3Store {
    fn named(&self, key: &str, etag: ETag) -> ObjectRef {
        ObjectRef {
            name: format!("{}/{}", self.url.bucket, self.key(key)),
            etag,
        }
    }

    fn proves_parts(&self) -> bool {
        self.keeps_crc64nvme()
    }

    async fn describe(&self, key: &str, tags: Tags) -> StoreResult<Described> {
        self.described(key, tags).await
    }

    async fn tags(&self, key: &str) -> StoreResult<BTreeMap<String, String>> {
        self.tags_of(key).await
    }

    async fn read_version(&self, key: &str, etag: &ETag, range: Range<u64>) -> StoreResult<Bytes> {
        let wanted = Extent::Range(range);
        Ok(self.read_only(key, &wanted, Some(etag)).await?.bytes)
    }

    async fn copy_whole(&self, copy: &WholeCopy) -> StoreResult<Copied> {
        self.copy_at_once(copy).await
    }

    async fn keeps_to(&self, condition: &Condition, key: &str) -> StoreResult<bool> {
        self.refuses_copy(condition, key).await
    }

    async fn copy_in_parts(
        &self,
        copy: &WholeCopy,
        like: &ObjectHeaders,
        part_bytes: u64,
    ) -> StoreResult<Copied> {
        self.copy_by_parts(copy, like, part_bytes).await
    }

    async fn copy_part(
        &self,
        upload: &Upload,
        part: Part,
        from: &ObjectRef,
        range: Range<u64>,
    ) -> StoreResult<UploadedPart> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let last = range.end.saturating_sub(1);
        let request = || {
            self.clients
                .s3
                .upload_part_copy()
                .bucket(&self.url.bucket)
                .key(self.key(&upload.key))
                .upload_id(&upload.id)
                .part_number(part.number)
                .copy_source(encode_path(&from.name))
                .copy_source_range(format!("bytes={}-{last}", range.start))
                .copy_source_if_match(&from.etag.0)
                .customize()
                .config_override(self.patience(length))
                .send()
        };
        let understand = |answer| copied(answer, part.number);
        self.learn(Operation::Upload, &upload.key, request, understand)
            .await
    }
}

/// A part that the server has made, with the checksum that it has computed of it.
fn copied(answer: UploadPartCopyOutput, number: i32) -> Result<UploadedPart, &'static str> {
    let part = answer.copy_part_result.ok_or("a success without a part")?;
    let crc = part.checksum_crc64_nvme.as_deref();
    let crc = crc.and_then(|crc| BASE64_STANDARD.decode(crc).ok()?.try_into().ok());
    let crc64nvme = crc.ok_or("a part that was copied without its checksum")?;
    Ok(UploadedPart {
        number,
        etag: entity_tag(part.e_tag)?,
        crc64nvme: u64::from_be_bytes(crc64nvme),
        sha256: None,
    })
}
