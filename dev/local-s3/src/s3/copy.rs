//! `CopyObject`, and finding the source of a copy.
//!
//! A copy is one object written by one request: its ETag is the MD5 of its content and its checksum
//! that of the whole content, even where the source came in parts. The algorithm is the source's,
//! unless another one is asked for; the source's checksum of the whole is handed on as it is (API reference,
//! "CopyObject": "that checksum value will be copied to the new object by default"), so that it says nothing
//! about the bytes that were copied.

use super::attributes::attributes_of;
use super::conditions::{ReadConditions, Reader, in_header};
use super::{Backend, checksum_type, etag_of, set_checksum, set_encryption, timestamp};
use crate::checksum::{ChecksumAlgorithm, ChecksumType};
use crate::object::{Attributes, Payload, StoredObject};
use http::header;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, MetadataDirective,
    TaggingDirective,
};
use s3s::{S3ErrorCode, S3Request, S3Result, s3_error};
use std::sync::Arc;

pub(super) fn copy(
    backend: &Backend,
    request: S3Request<CopyObjectInput>,
) -> S3Result<CopyObjectOutput> {
    let if_match = in_header(&request.headers, &header::IF_MATCH)?;
    let if_none_match = in_header(&request.headers, &header::IF_NONE_MATCH)?;
    let mut input = request.input;
    let conditions = ReadConditions {
        if_match: input.copy_source_if_match.take(),
        if_none_match: input.copy_source_if_none_match.take(),
        if_modified_since: input.copy_source_if_modified_since.take(),
        if_unmodified_since: input.copy_source_if_unmodified_since.take(),
    };
    let (source, copy_source_version_id) = source(backend, &input.copy_source, &conditions)?;
    refuse_copy_onto_itself(&input)?;
    let algorithm = match &input.checksum_algorithm {
        Some(name) => ChecksumAlgorithm::parse(name.as_str())?,
        None => source.checksum.algorithm,
    };
    let attributes = attributes(&mut input, &source.attributes)?;
    check_length(backend, source.bytes.len())?;
    let mut payload = Payload::unclaimed(source.bytes.clone(), algorithm);
    let is_of_whole = source.checksum.kind == ChecksumType::FullObject;
    if input.checksum_algorithm.is_none() && is_of_whole && source.tells_checksum {
        payload.checksum = source.checksum.clone();
    }
    let object = Arc::new(StoredObject::whole(
        payload,
        attributes,
        backend.clock.last_modified(),
    ));
    let (object, version_id) = backend.state.with_bucket(&input.bucket, |bucket| {
        if !backend.ignores_conditions_of_copies {
            backend.check_write(
                if_match.as_ref(),
                if_none_match.as_ref(),
                bucket.get(&input.key).as_ref(),
            )?;
        }
        let object = bucket.write_copy(&input.key, object)?;
        let version = bucket.told_version(&object);
        Ok((object, version))
    })?;
    let mut result = CopyObjectResult {
        e_tag: Some(etag_of(&object)),
        last_modified: Some(timestamp(object.last_modified)),
        checksum_type: Some(checksum_type(object.checksum.kind)),
        ..Default::default()
    };
    set_checksum!(result, &object.checksum);
    let mut output = CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id,
        version_id,
        ..Default::default()
    };
    set_encryption!(output, &object.attributes.encryption);
    Ok(output)
}

/// The object a copy is to be made of, if it may be, and the id of its version if clients are told it.
pub(super) fn source(
    backend: &Backend,
    source: &CopySource,
    conditions: &ReadConditions,
) -> S3Result<(Arc<StoredObject>, Option<String>)> {
    let CopySource::Bucket {
        bucket,
        key,
        version_id,
    } = source
    else {
        return Err(s3_error!(
            NotImplemented,
            "Access points are not implemented."
        ));
    };
    let found = backend.state.object(bucket, key, version_id.as_deref());
    let (object, version) = found.map_err(|error| match error.code() {
        S3ErrorCode::MethodNotAllowed => s3_error!(
            InvalidRequest,
            "The source of a copy request may not specifically refer to a delete marker by version id."
        ),
        _ => error,
    })?;
    if !backend.ignores_conditions_of_sources {
        conditions.check(&object, Reader::Copy)?;
    }
    if !object.is_readable(backend.clock.now()) {
        return Err(s3_error!(
            InvalidObjectState,
            "Operation is not valid for the source object's storage class"
        ));
    }
    Ok((object, version))
}

/// What is longer has to be copied in parts.
pub(super) fn check_length(backend: &Backend, length: usize) -> S3Result<()> {
    if length as u64 <= backend.copy_limit {
        return Ok(());
    }
    Err(s3_error!(
        InvalidRequest,
        "The specified copy source is larger than the maximum allowable size for a copy source: {}",
        backend.copy_limit
    ))
}

/// Storage class and encryption are never inherited; the rest is as the directives say.
fn attributes(input: &mut CopyObjectInput, source: &Attributes) -> S3Result<Attributes> {
    let replaces_tags = input
        .tagging_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == TaggingDirective::REPLACE);
    let replaces_metadata = replaces_metadata(input);
    let stated: Attributes = attributes_of!(*input)?;
    let tags = if replaces_tags {
        stated.tags.clone()
    } else {
        source.tags.clone()
    };
    if replaces_metadata {
        return Ok(Attributes { tags, ..stated });
    }
    Ok(Attributes {
        tags,
        storage_class: stated.storage_class,
        encryption: stated.encryption,
        ..source.clone()
    })
}

fn replaces_metadata(input: &CopyObjectInput) -> bool {
    input
        .metadata_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE)
}

fn refuse_copy_onto_itself(input: &CopyObjectInput) -> S3Result<()> {
    let CopySource::Bucket {
        bucket,
        key,
        version_id,
    } = &input.copy_source
    else {
        return Ok(());
    };
    // To copy an older version onto its key is to restore it.
    let is_itself = **bucket == *input.bucket && **key == *input.key && version_id.is_none();
    let changes = replaces_metadata(input)
        || input.storage_class.is_some()
        || input.server_side_encryption.is_some()
        || input.checksum_algorithm.is_some()
        || input.website_redirect_location.is_some();
    if is_itself && !changes {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself \
             without changing the object's metadata, storage class, website redirect location or \
             encryption attributes."
        ));
    }
    Ok(())
}
