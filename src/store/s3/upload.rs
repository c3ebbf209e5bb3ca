//! Uploads in parts.

use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadOutput;
use aws_sdk_s3::operation::upload_part::UploadPartOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::ask::{Attempts, may_have_happened};
use super::headers::with_headers;
use super::proof::{Proofs, entity_tag};
use super::whole::{Sight, Whole, encode_crc};
use super::{S3Store, conditional, storage_class, tagging};
use crate::format::abilities::ChecksumOfParts;
use crate::format::location::Checksum;
use crate::store::{
    Completed, Condition, ETag, Operation, Placement, Store as _, StoreError, StoreErrorKind,
    StoreResult, Upload, UploadedPart,
};

/// What a request says of its part.
#[derive(Clone, Default)]
pub(super) struct Claim {
    crc64nvme: Option<String>,
    sha256: Option<String>,
}

impl Claim {
    pub(super) fn crc64nvme(crc: u64) -> Self {
        Self {
            crc64nvme: Some(encode_crc(crc)),
            sha256: None,
        }
    }

    pub(super) fn sha256(sha256: [u8; 32]) -> Self {
        Self {
            crc64nvme: None,
            sha256: Some(BASE64_STANDARD.encode(sha256)),
        }
    }
}

/// A checksum as the requests of an upload name it.
fn algorithm(kept: ChecksumOfParts) -> Option<(ChecksumAlgorithm, ChecksumType)> {
    match kept {
        ChecksumOfParts::Crc64Nvme => {
            Some((ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject))
        }
        ChecksumOfParts::Sha256 => Some((ChecksumAlgorithm::Sha256, ChecksumType::Composite)),
        ChecksumOfParts::None => None,
    }
}

impl S3Store {
    /// Begins an upload whose parts have this checksum.
    pub(super) async fn begin(
        &self,
        key: &str,
        kept: ChecksumOfParts,
        placement: &Placement,
    ) -> StoreResult<Upload> {
        let (encryption, key_id) = self.encryption();
        let (algorithm, kind) = algorithm(kept).unzip();
        let request = || {
            let begin = self.clients.s3.create_multipart_upload();
            with_headers!(begin, placement.headers.as_deref())
                .bucket(&self.url.bucket)
                .key(self.key(key))
                .set_checksum_algorithm(algorithm.clone())
                .set_checksum_type(kind.clone())
                .set_storage_class(storage_class(placement))
                .set_tagging(tagging(placement))
                .set_server_side_encryption(encryption.clone())
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

    /// Sends a part once.
    pub(super) async fn put_part(
        &self,
        upload: &Upload,
        number: i32,
        body: &Bytes,
        claim: &Claim,
    ) -> StoreResult<UploadPartOutput> {
        let request = || {
            let part = self
                .clients
                .s3
                .upload_part()
                .bucket(&self.url.bucket)
                .key(self.key(&upload.key))
                .upload_id(&upload.id)
                .part_number(number)
                .set_checksum_crc64_nvme(claim.crc64nvme.clone())
                .set_checksum_sha256(claim.sha256.clone())
                .body(ByteStream::from(body.clone()));
            let part = match (&claim.crc64nvme, &claim.sha256) {
                (Some(_), _) => part.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme),
                (None, Some(_)) => part.checksum_algorithm(ChecksumAlgorithm::Sha256),
                (None, None) => part,
            };
            let part = part.customize().config_override(self.patience(body.len()));
            // Where nobody can change the payload on the way, its checksum, which is signed,
            // protects it; elsewhere, or without one, the payload is signed as well, for one more SHA-256.
            let has_checksum = claim.crc64nvme.is_some() || claim.sha256.is_some();
            match self.clients.protected && has_checksum {
                true => part.disable_payload_signing().send(),
                false => part.send(),
            }
        };
        self.ask(Operation::Upload, &upload.key, request).await
    }

    /// Sends a part until the store has taken it.
    pub(super) async fn send_part(
        &self,
        upload: &Upload,
        number: i32,
        body: Bytes,
        crc64nvme: u64,
    ) -> StoreResult<UploadedPart> {
        let (claim, sha256) = match self.abilities().checksum_of_parts {
            ChecksumOfParts::Crc64Nvme => (Claim::crc64nvme(crc64nvme), None),
            ChecksumOfParts::Sha256 => {
                let sha256 = Sha256::digest(&body).into();
                (Claim::sha256(sha256), Some(sha256))
            }
            ChecksumOfParts::None => (Claim::default(), None),
        };
        let mut attempts = Attempts::new();
        loop {
            let answer = self.put_part(upload, number, &body, &claim).await;
            // A part cannot be looked up alone: it is sent again. What the store has taken in its place,
            // the checksum of the whole tells.
            let taken = answer.and_then(|answer| {
                let of_part = Proofs::default();
                let proof = match (&claim.crc64nvme, &claim.sha256) {
                    (Some(sent), _) => {
                        of_part.of(answer.e_tag, answer.checksum_crc64_nvme.as_deref(), sent)
                    }
                    (None, Some(sent)) => {
                        of_part.of(answer.e_tag, answer.checksum_sha256.as_deref(), sent)
                    }
                    (None, None) => entity_tag(answer.e_tag),
                };
                proof.map_err(|fault| self.unexpected(Operation::Upload, &upload.key, fault))
            });
            if let Some(taken) = attempts.settle(taken).await {
                return Ok(UploadedPart {
                    number,
                    etag: self.noting(taken)?,
                    crc64nvme,
                    sha256,
                });
            }
        }
    }

    /// Asks once that parts become an object; `whole` is what they have to come to.
    pub(super) async fn put_together(
        &self,
        upload: &Upload,
        parts: Vec<CompletedPart>,
        (size, whole): (u64, &Checksum),
        condition: Option<&Condition>,
    ) -> StoreResult<CompleteMultipartUploadOutput> {
        let (if_none_match, if_match) = condition.map(conditional).unwrap_or_default();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts));
        let parts = parts.build();
        let (crc64nvme, kind) = match whole {
            Checksum::Crc64Nvme(crc) => (Some(encode_crc(*crc)), Some(ChecksumType::FullObject)),
            Checksum::Sha256OfParts(_) => (None, Some(ChecksumType::Composite)),
            Checksum::Sha256(_) | Checksum::None => (None, None),
        };
        let request = || {
            self.clients
                .s3
                .complete_multipart_upload()
                .bucket(&self.url.bucket)
                .key(self.key(&upload.key))
                .upload_id(&upload.id)
                .multipart_upload(parts.clone())
                .set_checksum_type(kind.clone())
                .set_checksum_crc64_nvme(crc64nvme.clone())
                .mpu_object_size(i64::try_from(size).unwrap_or(i64::MAX))
                .set_if_none_match(if_none_match.clone())
                .set_if_match(if_match.clone())
                .send()
        };
        self.ask(Operation::Upload, &upload.key, request).await
    }

    /// Makes parts an object, which is known to be the one that was sent.
    pub(super) async fn complete(
        &self,
        upload: &Upload,
        parts: Vec<UploadedPart>,
        (size, crc64nvme): (u64, u64),
        condition: &Condition,
    ) -> StoreResult<Completed> {
        let abilities = self.abilities();
        let whole = Whole::of(abilities.checksum_of_parts, &parts, (size, crc64nvme));
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| completed(part, abilities.checksum_of_parts))
            .collect();
        let looks_first = *condition == Condition::Absent && !abilities.parts_if_absent;
        let mut attempts = Attempts::new();
        loop {
            let is_free = match looks_first {
                true => self.is_free(&upload.key).await,
                false => Ok(()),
            };
            let answer = match is_free {
                Ok(()) => {
                    let as_sent = (size, &whole.checksum);
                    self.put_together(upload, parts.clone(), as_sent, Some(condition))
                        .await
                }
                Err(taken) => Err(taken),
            };
            let mut answered = None;
            let proven = answer.and_then(|answer| {
                let is_reported = whole.is_reported(&answer);
                answered = answer.e_tag.filter(|etag| !etag.is_empty()).map(ETag);
                answered.clone().filter(|_| is_reported).ok_or_else(|| {
                    let fault = "a success without the checksum that was sent";
                    self.unexpected(Operation::Upload, &upload.key, fault)
                })
            });
            let settled = match proven {
                Err(error) => self.look_up(upload, &whole, answered, error).await,
                proven => proven,
            };
            if let Some(etag) = attempts.settle(settled).await {
                return Ok(Completed {
                    etag: self.noting(etag)?,
                    checksum: whole.checksum,
                });
            }
        }
    }

    /// Looks whether the object is the one that was sent, after an answer that does not prove it: it was
    /// lost, cannot be understood, or comes from a store that keeps no checksum.
    async fn look_up(
        &self,
        upload: &Upload,
        whole: &Whole,
        answered: Option<ETag>,
        error: StoreError,
    ) -> StoreResult<ETag> {
        // After an answer was lost, the retry finds the object or finds the upload gone.
        let is_gone = error.kind == StoreErrorKind::NotFound;
        if !may_have_happened(&error.kind) && !is_gone {
            return Err(error);
        }
        let Ok(info) = self.head(&upload.key).await else {
            return Err(error);
        };
        let is_success = matches!(error.kind, StoreErrorKind::UnexpectedAnswer(_));
        let is_answered = answered.is_some_and(|etag| etag.bare() == info.etag.bare());
        let is_version = is_answered || whole.has_parts(&info.etag);
        match whole.compare(&info) {
            Sight::Same => {
                if error.kind == StoreErrorKind::PreconditionFailed {
                    // Somebody else has put the same, and this upload is still open.
                    let _ = self.abort(upload).await;
                }
                Ok(info.etag)
            }
            Sight::Unchecked if !is_version => Err(error),
            // Its length, its version and the store's word are all there is.
            Sight::Unchecked if whole.checksum == Checksum::None && (is_success || is_gone) => {
                Ok(info.etag)
            }
            Sight::Unchecked if is_success => {
                let kind = StoreErrorKind::AbilityGone(
                    "does not keep the checksum of an object that is sent in parts",
                );
                Err(self.error(Operation::Upload, &upload.key, kind))
            }
            Sight::Unchecked | Sight::Other => Err(error),
        }
    }

    /// Whether nothing is under a key, for a store that does not look itself.
    async fn is_free(&self, key: &str) -> StoreResult<()> {
        match self.head(key).await {
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(self.error(Operation::Upload, key, StoreErrorKind::PreconditionFailed)),
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

/// A part, as the request names it that makes parts an object.
pub(super) fn completed(part: UploadedPart, kept: ChecksumOfParts) -> CompletedPart {
    let crc64nvme = (kept == ChecksumOfParts::Crc64Nvme).then(|| encode_crc(part.crc64nvme));
    CompletedPart::builder()
        .part_number(part.number)
        .e_tag(part.etag.0)
        .set_checksum_crc64_nvme(crc64nvme)
        .set_checksum_sha256(part.sha256.map(|sha256| BASE64_STANDARD.encode(sha256)))
        .build()
}
