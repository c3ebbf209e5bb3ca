//! The S3 operations over the map, one module per subject.
//!
//! They follow the S3 API reference and, where that is silent, what AWS was seen to do. Each is a
//! function of the [`Backend`] and s3s's input; the trait implementation in `service.rs` only
//! dispatches. HTTP, signatures and XML are s3s's business; faults and logging happen outside.

mod attributes;
mod buckets;
mod complete;
mod conditions;
mod copy;
mod deletes;
mod encoding;
mod list_versions;
pub(crate) mod listing;
mod object_attributes;
mod parts;
mod payload;
mod reads;
mod restore;
mod service;
mod tagging;
mod uploads;
mod writes;

use crate::checksum::ChecksumsOfParts;
use crate::clock::Clock;
use crate::object::{Encryption, StoredObject};
use crate::state::State;
use http::StatusCode;
use s3s::dto::{ETag, ServerSideEncryption, Timestamp};
use s3s::{S3Error, S3ErrorCode};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// API reference, "CopyObject" and "UploadPartCopy": the most bytes that one request copies.
pub(crate) const COPY_LIMIT: u64 = 5 << 30;

/// What the operations work on.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) state: Arc<State>,
    pub(crate) clock: Clock,
    pub(crate) persist_in: Option<PathBuf>,
    /// Archived objects never become readable; otherwise they do at once.
    pub(crate) restores_stay_pending: bool,
    /// Writes are applied although their `If-Match` does not hold.
    pub(crate) ignores_if_match: bool,
    /// Writes are applied although their `If-None-Match` does not hold.
    pub(crate) ignores_if_none_match: bool,
    /// Parts become an object although the condition of that does not hold.
    pub(crate) ignores_conditions_of_parts: bool,
    /// Copies are written although the condition on their target does not hold.
    pub(crate) ignores_conditions_of_copies: bool,
    /// Copies are made although the conditions on their source do not hold.
    pub(crate) ignores_conditions_of_sources: bool,
    /// The most bytes that one request copies.
    pub(crate) copy_limit: u64,
    /// What it keeps of objects that were sent in parts.
    pub(crate) checksums_of_parts: ChecksumsOfParts,
    next_upload: AtomicU32,
}

impl Backend {
    pub(crate) fn new(state: Arc<State>, clock: Clock) -> Self {
        Self {
            state,
            clock,
            persist_in: None,
            restores_stay_pending: false,
            ignores_if_match: false,
            ignores_if_none_match: false,
            ignores_conditions_of_parts: false,
            ignores_conditions_of_copies: false,
            ignores_conditions_of_sources: false,
            copy_limit: COPY_LIMIT,
            checksums_of_parts: ChecksumsOfParts::default(),
            next_upload: AtomicU32::new(1),
        }
    }

    /// Ids sort by creation and differ from those of an earlier run of the server.
    fn new_upload_id(&self) -> String {
        let number = self.next_upload.fetch_add(1, Ordering::SeqCst);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        format!("{number:08x}{:032x}", now.as_nanos())
    }
}

/// Puts a checksum into the field of its algorithm; s3s's types have one field for each.
macro_rules! set_checksum {
    ($output:expr, $checksum:expr) => {{
        let checksum: &$crate::checksum::Checksum = $checksum;
        $crate::s3::set_checksum!($output, checksum.algorithm, checksum.value.clone());
    }};
    ($output:expr, $algorithm:expr, $value:expr) => {{
        use $crate::checksum::ChecksumAlgorithm as Algorithm;
        let value = Some($value);
        match $algorithm {
            Algorithm::Crc32 => $output.checksum_crc32 = value,
            Algorithm::Crc32c => $output.checksum_crc32c = value,
            Algorithm::Crc64Nvme => $output.checksum_crc64nvme = value,
            Algorithm::Sha1 => $output.checksum_sha1 = value,
            Algorithm::Sha256 => $output.checksum_sha256 = value,
        }
    }};
}
use set_checksum;

/// Puts what an object says of its encryption into an output.
macro_rules! set_encryption {
    ($output:expr, $encryption:expr) => {{
        let encryption: &$crate::object::Encryption = $encryption;
        $output.server_side_encryption = Some($crate::s3::encryption_name(encryption));
        $output.ssekms_key_id = encryption.key_id.clone();
        $output.bucket_key_enabled = encryption.bucket_key;
    }};
}
use set_encryption;

fn encryption_name(encryption: &Encryption) -> ServerSideEncryption {
    ServerSideEncryption::from(encryption.algorithm.clone())
}

fn checksum_type(kind: crate::checksum::ChecksumType) -> s3s::dto::ChecksumType {
    s3s::dto::ChecksumType::from_static(kind.name())
}

fn checksum_algorithm(
    algorithm: crate::checksum::ChecksumAlgorithm,
) -> s3s::dto::ChecksumAlgorithm {
    s3s::dto::ChecksumAlgorithm::from_static(algorithm.name())
}

fn etag_of(object: &StoredObject) -> ETag {
    ETag::Strong(object.bare_etag().to_owned())
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::from(time)
}

/// A length as S3's types have it.
fn size(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// An error whose code s3s does not know.
fn custom_error(status: StatusCode, code: &'static str, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}
