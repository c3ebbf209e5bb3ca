//! Putting an object in one request.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::ask::Attempts;
use super::headers::with_headers;
use super::{S3Store, conditional, storage_class, tagging};
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
        body: &Bytes,
        sha256: [u8; 32],
        condition: &Condition,
        placement: &Placement,
    ) -> StoreResult<ETag> {
        let (algorithm, key_id) = self.encryption();
        let (if_none_match, if_match) = conditional(condition);
        let checksum = BASE64_STANDARD.encode(sha256);
        let request = || {
            let mut patience = self.patience(body.len());
            if let Condition::Matches(_) = condition {
                // A lease, which must not be lost behind the contents it is held for.
                patience = patience.http_client(self.clients.wire.unlimited().http_client());
            }
            let put = self.clients.s3.put_object();
            with_headers!(put, placement.headers.as_deref())
                .bucket(&self.url.bucket)
                .key(self.key(key))
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .checksum_sha256(&checksum)
                .set_if_none_match(if_none_match.clone())
                .set_if_match(if_match.clone())
                .set_storage_class(storage_class(placement))
                .set_tagging(tagging(placement))
                .set_server_side_encryption(algorithm.clone())
                .set_ssekms_key_id(key_id.clone())
                .body(ByteStream::from(body.clone()))
                .customize()
                .config_override(patience)
                .send()
        };
        let answer = self.ask(Operation::Put, key, request).await?;
        let reported = answer.checksum_sha256.as_deref();
        match self.puts.of(answer.e_tag, reported, &checksum) {
            Ok(etag) => Ok(etag),
            Err(fault) => match self.holds(key, body, sha256).await {
                Some(etag) => Ok(etag),
                None => Err(self.unexpected(Operation::Put, key, fault)),
            },
        }
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
            let put = self.put_once(key, body, sha256, condition, placement);
            if let Some(result) = attempts.settle(put.await).await {
                return result;
            }
        }
    }

    /// Puts contents by the direct way, which knows no headers of theirs. `None` where that has not led to an object that is known to be
    /// the one that was sent.
    pub(super) async fn put_directly(
        &self,
        key: &str,
        body: &Bytes,
        sha256: [u8; 32],
        placement: &Placement,
    ) -> Option<ETag> {
        let direct = self.clients.direct.as_ref();
        let direct = direct.filter(|_| placement.headers.is_none())?;
        let headers = self.headers(placement);
        let timeout = self.options.timeout(body.len());
        let checksum = BASE64_STANDARD.encode(sha256);
        let full_key = self.key(key);
        let put = direct.put(&full_key, &headers, body.clone(), sha256, timeout);
        let answer = put.await.ok()?;
        let proof = self
            .puts
            .of(answer.etag, answer.sha256.as_deref(), &checksum);
        match proof {
            Ok(etag) => Some(etag),
            Err(_) => self.holds(key, body, sha256).await,
        }
    }

    /// The version of the object under `key`, if it has these bytes.
    pub(super) async fn holds(&self, key: &str, body: &Bytes, sha256: [u8; 32]) -> Option<ETag> {
        let info = self.head(key).await.ok()?;
        let length = body.len() as u64;
        if info.size != length {
            return None;
        }
        match info.sha256 {
            Some(known) => (known == sha256).then_some(info.etag),
            None => {
                let object = self.get(key, length).await.ok()?;
                (object.bytes == *body).then_some(object.etag)
            }
        }
    }
}
