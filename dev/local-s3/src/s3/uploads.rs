//! Multipart uploads as such: creating, aborting and listing them, and listing their parts.

use super::attributes::attributes_of;
use super::encoding::Encoding;
use super::{
    Backend, checksum_algorithm, checksum_type, set_checksum, set_encryption, size, timestamp,
};
use crate::checksum::{ChecksumAlgorithm, ChecksumType, ChecksumsOfParts};
use crate::listing::rolled_up;
use crate::object::{Terms, Upload, UploadedPart};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CommonPrefix,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, Part,
    StorageClass,
};
use s3s::{S3Result, s3_error};
use std::collections::BTreeMap;
use std::sync::Arc;

const LARGEST_PAGE: i32 = 1_000;

pub(super) fn create(
    backend: &Backend,
    mut input: CreateMultipartUploadInput,
) -> S3Result<CreateMultipartUploadOutput> {
    let algorithm = input
        .checksum_algorithm
        .as_ref()
        .map(|name| ChecksumAlgorithm::parse(name.as_str()))
        .transpose()?;
    let asked = input
        .checksum_type
        .as_ref()
        .map(|name| ChecksumType::parse(name.as_str()))
        .transpose()?;
    let (algorithm, asked) = match (backend.checksums_of_parts, algorithm) {
        (ChecksumsOfParts::Ignored, _) => (None, None),
        (ChecksumsOfParts::Older, Some(ChecksumAlgorithm::Crc64Nvme)) => {
            return Err(s3_error!(
                InvalidRequest,
                "Checksum algorithm provided is unsupported."
            ));
        }
        (_, algorithm) => (algorithm, asked),
    };
    let kind = kind(algorithm, asked)?;
    let attributes = attributes_of!(input)?;
    let upload_id = backend.new_upload_id();
    let mut output = CreateMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        upload_id: Some(upload_id.clone()),
        checksum_algorithm: algorithm.map(checksum_algorithm),
        checksum_type: algorithm.map(|_| checksum_type(kind)),
        ..Default::default()
    };
    set_encryption!(output, &attributes.encryption);
    let initiated = backend.clock.last_modified();
    backend.state.with_bucket(&input.bucket, |bucket| {
        let terms = Arc::new(Terms {
            attributes,
            algorithm,
            kind,
        });
        let upload = Upload {
            initiated,
            terms,
            parts: BTreeMap::new(),
        };
        bucket.uploads.insert((input.key, upload_id), upload);
        Ok(output)
    })
}

/// The type of checksum an upload gets, by the table in the S3 user guide, "Checking object
/// integrity".
fn kind(
    algorithm: Option<ChecksumAlgorithm>,
    asked: Option<ChecksumType>,
) -> S3Result<ChecksumType> {
    use ChecksumAlgorithm::{Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
    use ChecksumType::{Composite, FullObject};
    match (algorithm, asked) {
        (None, Some(_)) => Err(s3_error!(
            InvalidRequest,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm \
             header."
        )),
        (None, None) | (Some(Crc64Nvme), None | Some(FullObject)) => Ok(FullObject),
        (Some(Crc32 | Crc32c), asked) => Ok(asked.unwrap_or(Composite)),
        (Some(Sha1 | Sha256), None | Some(Composite)) => Ok(Composite),
        (Some(algorithm), Some(asked)) => Err(s3_error!(
            InvalidRequest,
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            asked.name(),
            algorithm.lower_name()
        )),
    }
}

pub(super) fn abort(
    backend: &Backend,
    input: AbortMultipartUploadInput,
) -> S3Result<AbortMultipartUploadOutput> {
    let name = (input.key, input.upload_id);
    backend.state.with_bucket(&input.bucket, |bucket| {
        bucket.upload(&name)?;
        bucket.uploads.remove(&name);
        Ok(AbortMultipartUploadOutput::default())
    })
}

pub(super) fn list_parts(backend: &Backend, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let marker = input.part_number_marker.unwrap_or(0);
    let max_parts = input
        .max_parts
        .unwrap_or(LARGEST_PAGE)
        .clamp(0, LARGEST_PAGE);
    let name = (input.key, input.upload_id);
    let upload = backend
        .state
        .with_bucket(&input.bucket, |bucket| bucket.upload(&name).cloned())?;
    let mut rest = upload.parts.range(marker.saturating_add(1)..);
    let page = rest
        .by_ref()
        .take(usize::try_from(max_parts).unwrap_or_default());
    let parts: Vec<Part> = page
        .map(|(number, part)| listed_part(&upload, *number, part))
        .collect();
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(name.0),
        upload_id: Some(name.1),
        checksum_algorithm: upload.terms.algorithm.map(checksum_algorithm),
        checksum_type: upload
            .terms
            .algorithm
            .map(|_| checksum_type(upload.terms.kind)),
        storage_class: Some(StorageClass::from(
            upload.terms.attributes.storage_class.clone(),
        )),
        part_number_marker: Some(marker),
        next_part_number_marker: parts.last().and_then(|part| part.part_number),
        max_parts: Some(max_parts),
        is_truncated: Some(rest.next().is_some()),
        parts: Some(parts),
        ..Default::default()
    })
}

fn listed_part(upload: &Upload, number: i32, part: &UploadedPart) -> Part {
    let mut output = Part {
        part_number: Some(number),
        e_tag: Some(ETag::Strong(part.bare_etag())),
        last_modified: Some(timestamp(part.last_modified)),
        size: Some(size(part.size())),
        ..Default::default()
    };
    if upload.terms.algorithm.is_some() {
        set_checksum!(output, &part.payload.checksum);
    }
    output
}

pub(super) fn list(
    backend: &Backend,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let encoding = Encoding::of(input.encoding_type.as_ref());
    let prefix = input.prefix.unwrap_or_default();
    let max_uploads = input
        .max_uploads
        .unwrap_or(LARGEST_PAGE)
        .clamp(0, LARGEST_PAGE);
    let is_after = |key: &str, upload_id: &str| match (&input.key_marker, &input.upload_id_marker) {
        (Some(marker), Some(id)) => (key, upload_id) > (marker.as_str(), id.as_str()),
        (Some(marker), None) => key > marker.as_str(),
        (None, _) => true,
    };
    let mut output = ListMultipartUploadsOutput::default();
    backend.state.with_bucket(&input.bucket, |bucket| {
        let mut found = bucket
            .uploads
            .iter()
            .filter(|((key, id), _)| key.starts_with(&prefix) && is_after(key, id));
        for ((key, upload_id), upload) in found
            .by_ref()
            .take(usize::try_from(max_uploads).unwrap_or_default())
        {
            output.next_key_marker = Some(encoding.apply(key));
            output.next_upload_id_marker = Some(upload_id.clone());
            match rolled_up(key, &prefix, input.delimiter.as_deref()) {
                Some(common) => add_prefix(&mut output, encoding.apply(common)),
                None => output
                    .uploads
                    .get_or_insert_default()
                    .push(listed_upload(key, upload_id, upload, encoding)),
            }
        }
        output.is_truncated = Some(found.next().is_some());
        Ok(())
    })?;
    if output.is_truncated != Some(true) {
        output.next_key_marker = None;
        output.next_upload_id_marker = None;
    }
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: Some(encoding.apply(&prefix)),
        delimiter: input
            .delimiter
            .as_deref()
            .map(|delimiter| encoding.apply(delimiter)),
        encoding_type: input.encoding_type,
        key_marker: input
            .key_marker
            .as_deref()
            .map(|marker| encoding.apply(marker)),
        upload_id_marker: input.upload_id_marker,
        max_uploads: Some(max_uploads),
        ..output
    })
}

fn add_prefix(output: &mut ListMultipartUploadsOutput, prefix: String) {
    let prefixes = output.common_prefixes.get_or_insert_default();
    let common = CommonPrefix {
        prefix: Some(prefix),
    };
    if prefixes.last() != Some(&common) {
        prefixes.push(common);
    }
}

fn listed_upload(
    key: &str,
    upload_id: &str,
    upload: &Upload,
    encoding: Encoding,
) -> MultipartUpload {
    MultipartUpload {
        key: Some(encoding.apply(key)),
        upload_id: Some(upload_id.to_owned()),
        initiated: Some(timestamp(upload.initiated)),
        checksum_algorithm: upload.terms.algorithm.map(checksum_algorithm),
        checksum_type: upload
            .terms
            .algorithm
            .map(|_| checksum_type(upload.terms.kind)),
        storage_class: Some(StorageClass::from(
            upload.terms.attributes.storage_class.clone(),
        )),
        ..Default::default()
    }
}
