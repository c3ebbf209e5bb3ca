//! Putting an object in one request.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::attempts::Attempts;
use super::{S3Store, storage_class, tagging};
use crate::store::{Condition, ETag, Operation, Placement, Store as _, StoreResult};

impl S3Store {
    /// The headers of a content object, for the direct way.
    pub(super) fn headers(&self, placement: &Placement) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(class) = &placement.storage_class {
            headers.push(("x-amz-storage-class", class.clone()));
        }
        if let Some(tagging) = tagging(placement) {
            headers.push(("x-amz-tagging", tagging));
        }
        let (algorithm, key_id) = self.encryption();
        if let Some(algorithm) = algorithm {
            headers.push((
                "x-amz-server-side-encryption",
                algorithm.as_str().to_owned(),
            ));
        }
        if let Some(key_id) = key_id {
            headers.push(("x-amz-server-side-encryption-aws-kms-key-id", key_id));
        }
        headers
    }

    async fn put_once(
        &self,
        key: &str,
        body: Bytes,
        sha256: [u8; 32],
        condition: &Condition,
        placement: &Placement,
    ) -> StoreResult<ETag> {
        let (algorithm, key_id) = self.encryption();
        let (if_none_match, if_match) = match condition {
            Condition::Absent => (Some("*".to_owned()), None),
            Condition::Matches(etag) => (None, Some(etag.0.clone())),
            Condition::Any => (None, None),
        };
        let mut patience = self.patience(body.len());
        if let Condition::Matches(_) = condition {
            // A lease, which must not be lost behind the contents it is held for.
            patience = patience.http_client(self.clients.wire.unlimited().http_client());
        }
        let request = self.clients.s3.put_object();
        let answer = request
            .bucket(&self.settings.bucket)
            .key(self.key(key))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(BASE64_STANDARD.encode(sha256))
            .set_if_none_match(if_none_match)
            .set_if_match(if_match)
            .set_storage_class(storage_class(placement))
            .set_tagging(tagging(placement))
            .set_server_side_encryption(algorithm)
            .set_ssekms_key_id(key_id)
            .body(ByteStream::from(body))
            .customize()
            .config_override(patience)
            .send()
            .await
            .map_err(self.failed(Operation::Put, key))?;
        Ok(ETag(answer.e_tag.unwrap_or_default()))
    }

    /// Puts, again where that can help and the SDK does not.
    pub(super) async fn put_checked(
        &self,
        key: &str,
        body: &Bytes,
        sha256: [u8; 32],
        condition: &Condition,
        placement: &Placement,
    ) -> StoreResult<ETag> {
        let mut attempts = Attempts::new();
        loop {
            let put = self.put_once(key, body.clone(), sha256, condition, placement);
            if let Some(result) = attempts.settle(put.await).await {
                return result;
            }
        }
    }

    /// The version of the object under `key`, if it has these bytes.
    pub(super) async fn holds(&self, key: &str, body: &Bytes, sha256: [u8; 32]) -> Option<ETag> {
        let info = self.head(key).await.ok()?;
        if info.size != body.len() as u64 {
            return None;
        }
        match info.sha256 {
            Some(known) => (known == sha256).then(|| info.etag.unwrap_or_default()),
            None => {
                let object = self.get(key).await.ok()?;
                (object.bytes == *body).then_some(object.etag)
            }
        }
    }
}
