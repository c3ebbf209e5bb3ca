//! `UploadPart` and `UploadPartCopy`.

use super::conditions::ReadConditions;
use super::{Backend, copy, payload, set_checksum, set_encryption, timestamp};
use crate::bucket::UploadName;
use crate::checksum::{ChecksumAlgorithm, ChecksumType, ChecksumsOfParts};
use crate::object::{Payload, Terms, UploadedPart};
use http::HeaderMap;
use s3s::dto::{
    CopyPartResult, ETag, Range, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Request, S3Result, s3_error};
use std::sync::Arc;

/// S3 user guide, "Amazon S3 multipart upload limits".
const MOST_PARTS: i32 = 10_000;

/// API reference, "UploadPartCopy", `x-amz-copy-source-range`: ranges only of what is greater than 5 MB.
const MOST_BYTES_WITHOUT_RANGES: usize = 5 << 20;

pub(super) async fn upload(
    backend: &Backend,
    mut request: S3Request<UploadPartInput>,
) -> S3Result<UploadPartOutput> {
    let input = &request.input;
    check_number(input.part_number)?;
    let name = (input.key.clone(), input.upload_id.clone());
    let terms = terms(backend, &input.bucket, &name)?;
    let algorithm = terms.algorithm.unwrap_or(ChecksumAlgorithm::Crc64Nvme);
    backend.forget_claims(&mut request.headers);
    let payload = payload::receive(&mut request, |input| input.body.take(), algorithm).await?;
    check_algorithm(&terms, &payload)?;
    let input = &request.input;
    let part = UploadedPart {
        payload: Arc::new(payload),
        last_modified: backend.clock.last_modified(),
    };
    let mut output = UploadPartOutput {
        e_tag: Some(ETag::Strong(part.bare_etag())),
        ..Default::default()
    };
    let is_told = backend.checksums_of_parts != ChecksumsOfParts::Ignored;
    if is_told && (terms.algorithm.is_some() || part.payload.is_claimed) {
        set_checksum!(output, &part.payload.checksum);
    }
    set_encryption!(output, &terms.attributes.encryption);
    add(backend, &input.bucket, &name, input.part_number, part)?;
    Ok(output)
}

pub(super) fn copy(
    backend: &Backend,
    mut input: UploadPartCopyInput,
) -> S3Result<UploadPartCopyOutput> {
    check_number(input.part_number)?;
    let name = (input.key, input.upload_id);
    let terms = terms(backend, &input.bucket, &name)?;
    let conditions = ReadConditions {
        if_match: input.copy_source_if_match.take(),
        if_none_match: input.copy_source_if_none_match.take(),
        if_modified_since: input.copy_source_if_modified_since.take(),
        if_unmodified_since: input.copy_source_if_unmodified_since.take(),
    };
    let (source, copy_source_version_id) = copy::source(backend, &input.copy_source, &conditions)?;
    if input.copy_source_range.is_some() && source.bytes.len() <= MOST_BYTES_WITHOUT_RANGES {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy source is not supported as a byte-range copy source"
        ));
    }
    let bytes = match input.copy_source_range.as_deref() {
        Some(range) => source.bytes.slice(parse_range(range, source.bytes.len())?),
        None => source.bytes.clone(),
    };
    copy::check_length(backend, bytes.len())?;
    let payload = Payload::unclaimed(
        bytes,
        terms.algorithm.unwrap_or(ChecksumAlgorithm::Crc64Nvme),
    );
    let part = UploadedPart {
        payload: Arc::new(payload),
        last_modified: backend.clock.last_modified(),
    };
    let mut result = CopyPartResult {
        e_tag: Some(ETag::Strong(part.bare_etag())),
        last_modified: Some(timestamp(part.last_modified)),
        ..Default::default()
    };
    if terms.algorithm.is_some() {
        set_checksum!(result, &part.payload.checksum);
    }
    add(backend, &input.bucket, &name, input.part_number, part)?;
    let mut output = UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id,
        ..Default::default()
    };
    set_encryption!(output, &terms.attributes.encryption);
    Ok(output)
}

impl Backend {
    /// Overlooks what a request for an upload in parts claims, where this server does.
    pub(super) fn forget_claims(&self, headers: &mut HeaderMap) {
        if self.checksums_of_parts == ChecksumsOfParts::Ignored {
            for algorithm in ChecksumAlgorithm::ALL {
                headers.remove(algorithm.header());
            }
        }
    }
}

fn terms(backend: &Backend, bucket: &str, name: &UploadName) -> S3Result<Arc<Terms>> {
    backend.state.with_bucket(bucket, |bucket| {
        let upload = bucket.upload(name)?;
        Ok(Arc::clone(&upload.terms))
    })
}

fn add(
    backend: &Backend,
    bucket: &str,
    name: &UploadName,
    number: i32,
    part: UploadedPart,
) -> S3Result<()> {
    backend.state.with_bucket(bucket, |bucket| {
        bucket.upload(name)?.parts.insert(number, part);
        Ok(())
    })
}

fn check_number(number: i32) -> S3Result<()> {
    if (1..=MOST_PARTS).contains(&number) {
        return Ok(());
    }
    Err(s3_error!(
        InvalidArgument,
        "Part number must be an integer between 1 and 10000, inclusive"
    ))
}

/// An upload that was created with an algorithm takes parts with that algorithm only. Composite
/// checksums are made of those of the parts, so there each part has to bring one; otherwise the
/// server adds it.
fn check_algorithm(terms: &Terms, payload: &Payload) -> S3Result<()> {
    let Some(expected) = terms.algorithm else {
        return Ok(());
    };
    let actual = payload.is_claimed.then_some(payload.checksum.algorithm);
    match actual {
        Some(actual) if actual == expected => Ok(()),
        None if terms.kind == ChecksumType::FullObject => Ok(()),
        _ => Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            expected.lower_name(),
            actual.map_or_else(|| "null".to_owned(), ChecksumAlgorithm::lower_name)
        )),
    }
}

/// Unlike `Range`, the range of a copy has both ends, and they have to be within the source.
fn parse_range(range: &str, length: usize) -> S3Result<std::ops::Range<usize>> {
    let invalid = || {
        s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy"
        )
    };
    match Range::parse(range) {
        Ok(Range::Int {
            first,
            last: Some(last),
        }) => {
            let index = |position| {
                usize::try_from(position)
                    .ok()
                    .filter(|position| *position < length)
            };
            match (index(first), index(last)) {
                (Some(first), Some(last)) => Ok(first..last + 1),
                _ => Err(s3_error!(
                    InvalidArgument,
                    "Range specified is not valid for source object of size: {length}"
                )),
            }
        }
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_range_has_to_lie_within_the_source() {
        assert_eq!(parse_range("bytes=1-3", 4).unwrap(), 1..4);
        for wrong in ["bytes=1-4", "bytes=4-4", "bytes=1-", "bytes=-1", "1-3"] {
            assert!(parse_range(wrong, 4).is_err(), "{wrong}");
        }
    }
}
