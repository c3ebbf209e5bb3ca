//! `GetObject` and `HeadObject`.

use super::conditions::{ReadConditions, Reader};
use super::{
    Backend, checksum_type, custom_error, etag_of, restore, set_checksum, set_encryption, size,
    timestamp,
};
use crate::object::StoredObject;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use s3s::dto::{
    ArchiveStatus, ChecksumMode, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, Range, StorageClass, StreamingBlob, Timestamp, TimestampFormat,
};
use s3s::{Body, S3Error, S3Response, S3Result, s3_error};
use std::ops;
use std::sync::Arc;

/// What S3 says of objects that were stored without a content type.
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// The head of an answer, the same for both operations, whose outputs have no common type.
macro_rules! head_of {
    ($output:expr, $object:expr, $now:expr, $is_checksum_wanted:expr) => {{
        let (output, object): (_, &StoredObject) = (&mut $output, $object);
        let attributes = &object.attributes;
        output.accept_ranges = Some("bytes".to_owned());
        output.content_type = attributes
            .content_type
            .clone()
            .or_else(|| Some(DEFAULT_CONTENT_TYPE.to_owned()));
        output.cache_control = attributes.cache_control.clone();
        output.content_disposition = attributes.content_disposition.clone();
        output.content_encoding = attributes.content_encoding.clone();
        output.content_language = attributes.content_language.clone();
        output.expires = attributes.expires.as_deref().and_then(parse_date);
        output.e_tag = Some(etag_of(object));
        output.last_modified = Some(timestamp(object.last_modified));
        output.metadata = Some(attributes.metadata.clone().into_iter().collect());
        output.storage_class = storage_class_header(object);
        output.restore = restore::header(object, $now);
        set_encryption!(output, &attributes.encryption);
        if $is_checksum_wanted && object.tells_checksum {
            set_checksum!(output, &object.checksum);
            output.checksum_type = Some(checksum_type(object.checksum.kind));
        }
    }};
}

pub(super) fn get(backend: &Backend, input: GetObjectInput) -> S3Result<GetObjectOutput> {
    refuse_parts(input.part_number)?;
    let (object, version_id) =
        backend
            .state
            .object(&input.bucket, &input.key, input.version_id.as_deref())?;
    let conditions = ReadConditions {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    conditions.check(&object, Reader::Client)?;
    if !object.is_readable(backend.clock.now()) {
        return Err(s3_error!(
            InvalidObjectState,
            "The operation is not valid for the object's storage class"
        ));
    }
    let range = select(input.range, &object)?;
    let bytes = match &range {
        Some(range) => object.bytes.slice(range.clone()),
        None => object.bytes.clone(),
    };
    let mut output = GetObjectOutput {
        version_id,
        content_length: Some(size(bytes.len() as u64)),
        content_range: range.as_ref().map(|range| content_range(range, &object)),
        tag_count: tag_count(&object),
        body: Some(StreamingBlob::from(Body::from(bytes))),
        ..Default::default()
    };
    head_of!(
        output,
        &object,
        backend.clock.now(),
        range.is_none() && is_enabled(input.checksum_mode.as_ref())
    );
    Ok(output)
}

pub(super) fn head(
    backend: &Backend,
    input: HeadObjectInput,
) -> S3Result<S3Response<HeadObjectOutput>> {
    refuse_parts(input.part_number)?;
    let (object, version_id) =
        backend
            .state
            .object(&input.bucket, &input.key, input.version_id.as_deref())?;
    let conditions = ReadConditions {
        if_match: input.if_match,
        if_none_match: input.if_none_match,
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    conditions.check(&object, Reader::Client)?;
    let range = select(input.range, &object)?;
    let length = range
        .as_ref()
        .map_or(object.bytes.len(), ExactSizeIterator::len);
    let mut output = HeadObjectOutput {
        version_id,
        content_length: Some(size(length as u64)),
        content_range: range.as_ref().map(|range| content_range(range, &object)),
        archive_status: object.archive_tier.clone().map(ArchiveStatus::from),
        ..Default::default()
    };
    head_of!(
        output,
        &object,
        backend.clock.now(),
        range.is_none() && is_enabled(input.checksum_mode.as_ref())
    );
    let status = if range.is_some() {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let mut response = S3Response::with_status(output, status);
    // s3s knows this header in the answers to `GetObject` only.
    if let Some(count) = tag_count(&object) {
        let name = HeaderName::from_static("x-amz-tagging-count");
        response.headers.insert(name, HeaderValue::from(count));
    }
    Ok(response)
}

/// Single parts are not kept apart.
fn refuse_parts(part_number: Option<i32>) -> S3Result<()> {
    match part_number {
        None => Ok(()),
        Some(_) => Err(s3_error!(
            NotImplemented,
            "Reading by part number is not implemented."
        )),
    }
}

fn select(range: Option<Range>, object: &Arc<StoredObject>) -> S3Result<Option<ops::Range<usize>>> {
    let Some(range) = range else { return Ok(None) };
    let length = object.bytes.len();
    let selected = range
        .check(length as u64)
        .map_err(|_| unsatisfiable(length))?;
    let index = |position| usize::try_from(position).map_err(S3Error::internal_error);
    Ok(Some(index(selected.start)?..index(selected.end)?))
}

fn unsatisfiable(length: usize) -> S3Error {
    let mut error = custom_error(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "InvalidRange",
        "The requested range is not satisfiable",
    );
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    headers.extend(
        HeaderValue::from_str(&format!("bytes */{length}"))
            .ok()
            .map(|value| (header::CONTENT_RANGE, value)),
    );
    error.set_headers(headers);
    error
}

fn content_range(range: &ops::Range<usize>, object: &StoredObject) -> String {
    format!(
        "bytes {}-{}/{}",
        range.start,
        range.end - 1,
        object.bytes.len()
    )
}

fn is_enabled(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

/// S3 does not name the class `STANDARD`.
fn storage_class_header(object: &StoredObject) -> Option<StorageClass> {
    let class = &object.attributes.storage_class;
    (class != StorageClass::STANDARD).then(|| StorageClass::from(class.clone()))
}

fn tag_count(object: &StoredObject) -> Option<i32> {
    let count = object.attributes.tags.len();
    i32::try_from(count).ok().filter(|count| *count > 0)
}

fn parse_date(text: &str) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, text).ok()
}
