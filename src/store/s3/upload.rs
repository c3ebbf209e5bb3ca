//! Uploads in parts.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::ask::{Attempts, may_have_happened};
use super::proof::Proofs;
use super::{S3Store, conditional, storage_class, tagging};
use crate::store::{
    Condition, ETag, Operation, Placement, Store as _, StoreErrorKind, StoreResult, Upload,
    UploadedPart,
};

impl S3Store {
    pub(super) async fn begin(&self, key: &str, placement: &Placement) -> StoreResult<Upload> {
        let (algorithm, key_id) = self.encryption();
        let request = || {
            self.clients
                .s3
                .create_multipart_upload()
                .bucket(&self.url.bucket)
                .key(self.key(key))
                .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
                .checksum_type(ChecksumType::FullObject)
                .set_storage_class(storage_class(placement))
                .set_tagging(tagging(placement))
                .set_server_side_encryption(algorithm.clone())
                .set_ssekms_key_id(key_id.clone())
                .send()
        };
        let id = self.learn(Operation::Upload, key, request, |answer| {
            let id = answer.upload_id.filter(|id| !id.is_empty());
            id.ok_or("an upload without an id")
        });
        Ok(Upload {
            key: key.to_owned(),
            id: id.await?,
        })
    }

    pub(super) async fn send_part(
        &self,
        upload: &Upload,
        number: i32,
        body: Bytes,
        crc64nvme: u64,
    ) -> StoreResult<UploadedPart> {
        let checksum = encode_crc(crc64nvme);
        let request = || {
            let part = self
                .clients
                .s3
                .upload_part()
                .bucket(&self.url.bucket)
                .key(self.key(&upload.key))
                .upload_id(&upload.id)
                .part_number(number)
                .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
                .checksum_crc64_nvme(&checksum)
                .body(ByteStream::from(body.clone()))
                .customize()
                .config_override(self.patience(body.len()));
            // Where nobody can change the payload on the way, its checksum, which is signed,
            // protects it; elsewhere the payload is signed as well, for one more SHA-256.
            match self.clients.protected {
                true => part.disable_payload_signing().send(),
                false => part.send(),
            }
        };
        // A part cannot be looked up alone: it is sent again. What the store has taken in its place, the
        // checksum of the whole tells.
        let etag = self.learn(Operation::Upload, &upload.key, request, |answer| {
            let reported = answer.checksum_crc64_nvme.as_deref();
            Proofs::default().of(answer.e_tag, reported, &checksum)
        });
        Ok(UploadedPart {
            number,
            etag: etag.await?,
            crc64nvme,
        })
    }

    pub(super) async fn complete(
        &self,
        upload: &Upload,
        parts: Vec<UploadedPart>,
        (size, crc64nvme): (u64, u64),
        condition: &Condition,
    ) -> StoreResult<ETag> {
        let (if_none_match, if_match) = conditional(condition);
        let number_of_parts = parts.len();
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
        let checksum = encode_crc(crc64nvme);
        let request = || {
            self.clients
                .s3
                .complete_multipart_upload()
                .bucket(&self.url.bucket)
                .key(self.key(&upload.key))
                .upload_id(&upload.id)
                .multipart_upload(parts.clone())
                .checksum_type(ChecksumType::FullObject)
                .checksum_crc64_nvme(&checksum)
                .mpu_object_size(i64::try_from(size).unwrap_or(i64::MAX))
                .set_if_none_match(if_none_match.clone())
                .set_if_match(if_match.clone())
                .send()
        };
        let mut attempts = Attempts::new();
        loop {
            let answer = self.ask(Operation::Upload, &upload.key, request).await;
            let completed = answer.and_then(|answer| {
                let reported = answer.checksum_crc64_nvme.as_deref();
                let proof = self.wholes.of(answer.e_tag, reported, &checksum);
                proof.map_err(|fault| self.unexpected(Operation::Upload, &upload.key, fault))
            });
            let error = match completed {
                Ok(etag) => return Ok(etag),
                Err(error) => error,
            };
            // After an answer was lost, the retry finds the object or finds the upload gone.
            if may_have_happened(&error.kind) || error.kind == StoreErrorKind::NotFound {
                let is_success = matches!(error.kind, StoreErrorKind::UnexpectedAnswer(_));
                // Where the store keeps no checksum, a success and an object of so many parts.
                let has_parts = |etag: &ETag| {
                    let etag = etag.0.trim_matches('"');
                    is_success && etag.ends_with(&format!("-{number_of_parts}"))
                };
                if let Ok(info) = self.head(&upload.key).await
                    && info.size == size
                    && info
                        .crc64nvme
                        .map_or(has_parts(&info.etag), |crc| crc == crc64nvme)
                {
                    if error.kind == StoreErrorKind::PreconditionFailed {
                        // Somebody else has put the same, and this upload is still open.
                        let _ = self.abort(upload).await;
                    }
                    return Ok(info.etag);
                }
            }
            if let Some(result) = attempts.settle(Err(error)).await {
                return result;
            }
        }
    }

    pub(super) async fn abort(&self, upload: &Upload) -> StoreResult<()> {
        let request = || {
            self.clients
                .s3
                .abort_multipart_upload()
                .bucket(&self.url.bucket)
                .key(self.key(&upload.key))
                .upload_id(&upload.id)
                .send()
        };
        self.ask(Operation::Upload, &upload.key, request).await?;
        Ok(())
    }
}

fn encode_crc(crc: u64) -> String {
    BASE64_STANDARD.encode(crc.to_be_bytes())
}
