//! `GetObjectAttributes`.
//!
//! Composite checksums come without their `-N` here, unlike everywhere else, as AWS has it.

use super::{Backend, checksum_type, etag_of, set_checksum, size, timestamp};
use crate::object::{StoredObject, StoredPart};
use s3s::S3Result;
use s3s::dto::{
    Checksum, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectAttributes, ObjectPart, StorageClass,
};

const LARGEST_PAGE: i32 = 1_000;

pub(super) fn get(
    backend: &Backend,
    input: &GetObjectAttributesInput,
) -> S3Result<GetObjectAttributesOutput> {
    let (object, version_id) =
        backend
            .state
            .object(&input.bucket, &input.key, input.version_id.as_deref())?;
    // Clients send one header with commas or a header for each.
    let wanted = |name: &str| {
        input
            .object_attributes
            .iter()
            .flat_map(|list| list.as_str().split(','))
            .any(|listed| listed.trim() == name)
    };
    let mut output = GetObjectAttributesOutput {
        version_id,
        last_modified: Some(timestamp(object.last_modified)),
        ..Default::default()
    };
    if wanted(ObjectAttributes::ETAG) {
        output.e_tag = Some(etag_of(&object));
    }
    if wanted(ObjectAttributes::CHECKSUM) && object.tells_checksum {
        output.checksum = Some(checksum(&object));
    }
    if wanted(ObjectAttributes::OBJECT_SIZE) {
        output.object_size = Some(size(object.bytes.len() as u64));
    }
    if wanted(ObjectAttributes::STORAGE_CLASS) {
        output.storage_class = Some(StorageClass::from(object.attributes.storage_class.clone()));
    }
    if wanted(ObjectAttributes::OBJECT_PARTS) && !object.parts.is_empty() {
        output.object_parts = Some(parts(&object, input.max_parts, input.part_number_marker));
    }
    Ok(output)
}

fn checksum(object: &StoredObject) -> Checksum {
    let mut checksum = Checksum {
        checksum_type: Some(checksum_type(object.checksum.kind)),
        ..Default::default()
    };
    set_checksum!(
        checksum,
        object.checksum.algorithm,
        object.checksum.bare_value().to_owned()
    );
    checksum
}

/// The number of parts, and the parts themselves if they have checksums of their own.
fn parts(
    object: &StoredObject,
    max_parts: Option<i32>,
    marker: Option<i32>,
) -> GetObjectAttributesParts {
    let total = i32::try_from(object.parts.len()).unwrap_or(i32::MAX);
    if object.parts.iter().any(|part| part.checksum.is_none()) {
        return GetObjectAttributesParts {
            total_parts_count: Some(total),
            ..Default::default()
        };
    }
    let marker = marker.unwrap_or(0);
    let max_parts = max_parts.unwrap_or(LARGEST_PAGE).clamp(0, LARGEST_PAGE);
    let mut rest = object.parts.iter().filter(|part| part.number > marker);
    let page: Vec<&StoredPart> = rest
        .by_ref()
        .take(usize::try_from(max_parts).unwrap_or_default())
        .collect();
    GetObjectAttributesParts {
        total_parts_count: Some(total),
        part_number_marker: Some(marker),
        next_part_number_marker: Some(page.last().map_or(0, |part| part.number)),
        max_parts: Some(max_parts),
        is_truncated: Some(rest.next().is_some()),
        parts: Some(page.into_iter().map(part).collect()),
    }
}

fn part(part: &StoredPart) -> ObjectPart {
    let mut output = ObjectPart {
        part_number: Some(part.number),
        size: Some(size(part.size)),
        ..Default::default()
    };
    if let Some(checksum) = &part.checksum {
        set_checksum!(output, checksum);
    }
    output
}
