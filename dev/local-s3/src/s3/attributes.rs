//! What a request that writes says about the object, taken over and checked.

use crate::object::{Attributes, Encryption};
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::{S3Result, s3_error};

/// Classes a client may choose in a general-purpose bucket (S3 API reference, `PutObject`).
const STORAGE_CLASSES: [&str; 8] = [
    "DEEP_ARCHIVE",
    "GLACIER",
    "GLACIER_IR",
    "INTELLIGENT_TIERING",
    "ONEZONE_IA",
    "REDUCED_REDUNDANCY",
    "STANDARD",
    "STANDARD_IA",
];

/// Names and values of user metadata together (S3 user guide, "Working with object metadata").
const LARGEST_METADATA: usize = 2_048;

const ENCRYPTIONS: [&str; 3] = ["AES256", "aws:kms", "aws:kms:dsse"];

/// The attributes in the input of `PutObject`, `CreateMultipartUpload` or `CopyObject`, whose
/// fields have the same names but no common type.
macro_rules! attributes_of {
    ($input:expr) => {{
        let input = &mut $input;
        if input.sse_customer_algorithm.is_some() || input.sse_customer_key.is_some() {
            return Err(s3s::s3_error!(
                NotImplemented,
                "Encryption with the customer's keys is not implemented."
            ));
        }
        if input.object_lock_mode.is_some() || input.object_lock_legal_hold_status.is_some() {
            return Err(s3s::s3_error!(
                InvalidRequest,
                "Bucket is missing Object Lock Configuration"
            ));
        }
        $crate::s3::attributes::checked($crate::object::Attributes {
            content_type: input.content_type.take(),
            cache_control: input.cache_control.take(),
            content_disposition: input.content_disposition.take(),
            content_encoding: input
                .content_encoding
                .take()
                .and_then(|encoding| $crate::unsign::without_aws_chunked(&encoding)),
            content_language: input.content_language.take(),
            expires: input
                .expires
                .take()
                .and_then(|time| $crate::s3::attributes::http_date(&time)),
            metadata: input
                .metadata
                .take()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            tags: $crate::s3::tagging::parse_header(input.tagging.as_deref())?,
            storage_class: input
                .storage_class
                .take()
                .map_or_else(|| "STANDARD".to_owned(), |class| class.as_str().to_owned()),
            encryption: $crate::s3::attributes::encryption(
                input
                    .server_side_encryption
                    .as_ref()
                    .map(|algorithm| algorithm.as_str()),
                input.ssekms_key_id.take(),
                input.bucket_key_enabled,
            )?,
        })
    }};
}
pub(super) use attributes_of;

pub(super) fn checked(attributes: Attributes) -> S3Result<Attributes> {
    if !STORAGE_CLASSES.contains(&attributes.storage_class.as_str()) {
        return Err(s3_error!(
            InvalidStorageClass,
            "The storage class you specified is not valid"
        ));
    }
    let metadata_size: usize = attributes
        .metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if metadata_size > LARGEST_METADATA {
        return Err(s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size"
        ));
    }
    Ok(attributes)
}

pub(super) fn encryption(
    algorithm: Option<&str>,
    key_id: Option<String>,
    bucket_key: Option<bool>,
) -> S3Result<Encryption> {
    let Some(algorithm) = algorithm else {
        return Ok(Encryption::default());
    };
    if !ENCRYPTIONS.contains(&algorithm) {
        return Err(s3_error!(
            InvalidEncryptionAlgorithmError,
            "The encryption request that you specified is not valid."
        ));
    }
    if key_id.is_some() && algorithm == "AES256" {
        return Err(s3_error!(
            InvalidArgument,
            "Server Side Encryption with AWS KMS managed key requires HTTP header \
             x-amz-server-side-encryption : aws:kms"
        ));
    }
    Ok(Encryption {
        algorithm: algorithm.to_owned(),
        key_id,
        bucket_key,
    })
}

pub(super) fn http_date(time: &Timestamp) -> Option<String> {
    let mut text = Vec::new();
    time.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}
