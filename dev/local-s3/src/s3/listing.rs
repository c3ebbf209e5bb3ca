//! `ListObjectsV2` and `ListObjects`, over any sorted names.

use super::encoding::Encoding;
use super::{checksum_algorithm, checksum_type, etag_of, restore, size, timestamp};
use crate::listing::{LARGEST_PAGE, Names, Page, PageQuery, page};
use crate::object::StoredObject;
use s3s::dto::{
    CommonPrefix, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object, ObjectStorageClass, OptionalObjectAttributes, RestoreStatus,
};
use s3s::{S3Result, s3_error};
use std::sync::Arc;
use std::time::SystemTime;

/// What can stand in a listing.
pub(crate) trait Listed {
    /// The entry, without its key.
    fn entry(&self) -> Object;

    /// Where its restoration stands, if it is archived and was asked for.
    fn restore_status(&self, now: SystemTime) -> Option<RestoreStatus>;
}

impl Listed for StoredObject {
    fn entry(&self) -> Object {
        let class = self.attributes.storage_class.clone();
        let checksum = self.tells_checksum.then_some(&self.checksum);
        Object {
            e_tag: Some(etag_of(self)),
            last_modified: Some(timestamp(self.last_modified)),
            size: Some(size(self.bytes.len() as u64)),
            storage_class: Some(ObjectStorageClass::from(class)),
            checksum_algorithm: checksum
                .map(|checksum| vec![checksum_algorithm(checksum.algorithm)]),
            checksum_type: checksum.map(|checksum| checksum_type(checksum.kind)),
            ..Object::default()
        }
    }

    fn restore_status(&self, now: SystemTime) -> Option<RestoreStatus> {
        restore::status(self, now)
    }
}

impl<Entry: Listed> Listed for Arc<Entry> {
    fn entry(&self) -> Object {
        Entry::entry(self)
    }

    fn restore_status(&self, now: SystemTime) -> Option<RestoreStatus> {
        Entry::restore_status(self, now)
    }
}

pub(crate) fn v2<N: Names<Entry: Listed>>(
    names: &N,
    input: ListObjectsV2Input,
    now: SystemTime,
) -> S3Result<ListObjectsV2Output> {
    let encoding = Encoding::of(input.encoding_type.as_ref());
    let restores_at =
        wants_restore_status(input.optional_object_attributes.as_deref()).then_some(now);
    let prefix = input.prefix.unwrap_or_default();
    let max_keys = max_keys(input.max_keys)?;
    let resumed = input.continuation_token.as_deref().map(parse_token);
    let resumed = resumed.transpose()?;
    let query = PageQuery {
        prefix: &prefix,
        delimiter: input.delimiter.as_deref(),
        after: resumed.as_deref().or(input.start_after.as_deref()),
        max_keys,
    };
    let page = page(names, query);
    Ok(ListObjectsV2Output {
        key_count: Some(count(page.entries.len() + page.common_prefixes.len())),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_deref().map(token),
        contents: Some(entries(&page, encoding, restores_at).collect()),
        common_prefixes: Some(common_prefixes(&page, encoding)),
        prefix: Some(encoding.apply(&prefix)),
        delimiter: encoding.apply_to(input.delimiter.as_ref()),
        start_after: encoding.apply_to(input.start_after.as_ref()),
        continuation_token: input.continuation_token,
        encoding_type: input.encoding_type,
        max_keys: Some(count(max_keys)),
        name: Some(input.bucket),
        ..ListObjectsV2Output::default()
    })
}

pub(crate) fn v1<N: Names<Entry: Listed>>(
    names: &N,
    input: ListObjectsInput,
    now: SystemTime,
) -> S3Result<ListObjectsOutput> {
    let encoding = Encoding::of(input.encoding_type.as_ref());
    let restores_at =
        wants_restore_status(input.optional_object_attributes.as_deref()).then_some(now);
    let prefix = input.prefix.unwrap_or_default();
    let max_keys = max_keys(input.max_keys)?;
    let query = PageQuery {
        prefix: &prefix,
        delimiter: input.delimiter.as_deref(),
        after: input.marker.as_deref(),
        max_keys,
    };
    let page = page(names, query);
    // Without a delimiter S3 leaves it to the client to go on from the last key.
    let next = page.next.as_ref().filter(|_| input.delimiter.is_some());
    Ok(ListObjectsOutput {
        is_truncated: Some(page.next.is_some()),
        next_marker: encoding.apply_to(next),
        contents: Some(entries(&page, encoding, restores_at).collect()),
        common_prefixes: Some(common_prefixes(&page, encoding)),
        prefix: Some(encoding.apply(&prefix)),
        delimiter: encoding.apply_to(input.delimiter.as_ref()),
        marker: Some(encoding.apply(input.marker.as_deref().unwrap_or_default())),
        encoding_type: input.encoding_type,
        max_keys: Some(count(max_keys)),
        name: Some(input.bucket),
        ..ListObjectsOutput::default()
    })
}

fn entries<Entry: Listed>(
    page: &Page<'_, Entry>,
    encoding: Encoding,
    restores_at: Option<SystemTime>,
) -> impl Iterator<Item = Object> {
    page.entries.iter().map(move |(key, listed)| Object {
        key: Some(encoding.apply(key)),
        restore_status: restores_at.and_then(|now| listed.restore_status(now)),
        ..listed.entry()
    })
}

fn common_prefixes<Entry>(page: &Page<'_, Entry>, encoding: Encoding) -> Vec<CommonPrefix> {
    let listed = |prefix: &String| CommonPrefix {
        prefix: Some(encoding.apply(prefix)),
    };
    page.common_prefixes.iter().map(listed).collect()
}

/// Clients send one header with commas or a header for each.
pub(super) fn wants_restore_status(asked: Option<&[OptionalObjectAttributes]>) -> bool {
    let names = asked
        .unwrap_or_default()
        .iter()
        .flat_map(|name| name.as_str().split(','));
    names
        .map(str::trim)
        .any(|name| name == OptionalObjectAttributes::RESTORE_STATUS)
}

pub(super) fn max_keys(asked: Option<i32>) -> S3Result<usize> {
    match usize::try_from(asked.unwrap_or(i32::MAX)) {
        Ok(asked) => Ok(asked.min(LARGEST_PAGE)),
        Err(_) => Err(s3_error!(
            InvalidArgument,
            "Argument maxKeys must be an integer between 0 and 2147483647"
        )),
    }
}

pub(super) fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// Clients must not read anything into a continuation token, so it does not look like a key.
fn token(last: &str) -> String {
    hex::encode(last)
}

fn parse_token(token: &str) -> S3Result<String> {
    let bytes = hex::decode(token).ok();
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "The continuation token provided is incorrect"
        )
    })
}
