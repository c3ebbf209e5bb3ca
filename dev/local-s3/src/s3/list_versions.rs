//! `ListObjectVersions`: every version and delete marker, the newest of a key first.
//!
//! A page counts versions, not keys, so it may end between two versions of a key.

use super::encoding::Encoding;
use super::listing::{Listed as _, count, max_keys, wants_restore_status};
use super::timestamp;
use crate::bucket::Bucket;
use crate::listing::{Names as _, PageQuery, rolled_up, successor};
use crate::object::StoredObject;
use crate::versions::{AllVersions, Marker, Version};
use s3s::S3Result;
use s3s::dto::{
    CommonPrefix, DeleteMarkerEntry, ListObjectVersionsInput, ListObjectVersionsOutput,
    ObjectVersion, ObjectVersionStorageClass,
};
use std::borrow::Cow;
use std::ops::Bound;
use std::time::SystemTime;

/// What a page is made of, in order.
enum Item {
    Version {
        key: String,
        version: Version,
        is_latest: bool,
    },
    Prefix(String),
}

pub(super) fn list(
    bucket: &Bucket,
    input: ListObjectVersionsInput,
    now: SystemTime,
) -> S3Result<ListObjectVersionsOutput> {
    let encoding = Encoding::of(input.encoding_type.as_ref());
    let restores_at =
        wants_restore_status(input.optional_object_attributes.as_deref()).then_some(now);
    let prefix = input.prefix.unwrap_or_default();
    let max_keys = max_keys(input.max_keys)?;
    let query = PageQuery {
        prefix: &prefix,
        delimiter: input.delimiter.as_deref(),
        after: input.key_marker.as_deref(),
        max_keys,
    };
    let (items, is_truncated) = page(bucket, query, input.version_id_marker.as_deref());
    let mut output = ListObjectVersionsOutput {
        is_truncated: Some(is_truncated),
        prefix: Some(encoding.apply(&prefix)),
        delimiter: encoding.apply_to(input.delimiter.as_ref()),
        key_marker: Some(encoding.apply(input.key_marker.as_deref().unwrap_or_default())),
        version_id_marker: input.version_id_marker,
        encoding_type: input.encoding_type,
        max_keys: Some(count(max_keys)),
        name: Some(input.bucket),
        ..ListObjectVersionsOutput::default()
    };
    if let Some(last) = items.last().filter(|_| is_truncated) {
        let (key, id) = match last {
            Item::Version { key, version, .. } => (key, Some(version.id().to_owned())),
            Item::Prefix(prefix) => (prefix, None),
        };
        output.next_key_marker = Some(encoding.apply(key));
        output.next_version_id_marker = id;
    }
    for item in items {
        add(&mut output, item, encoding, restores_at);
    }
    Ok(output)
}

fn add(
    output: &mut ListObjectVersionsOutput,
    item: Item,
    encoding: Encoding,
    restores_at: Option<SystemTime>,
) {
    match item {
        Item::Prefix(prefix) => {
            let prefix = Some(encoding.apply(&prefix));
            let prefixes = output.common_prefixes.get_or_insert_default();
            prefixes.push(CommonPrefix { prefix });
        }
        Item::Version {
            key,
            version,
            is_latest,
        } => {
            let key = encoding.apply(&key);
            match version {
                Version::Object(object) => {
                    let listed = listed_version(key, &object, is_latest, restores_at);
                    output.versions.get_or_insert_default().push(listed);
                }
                Version::Marker(marker) => {
                    let listed = listed_marker(key, marker, is_latest);
                    output.delete_markers.get_or_insert_default().push(listed);
                }
            }
        }
    }
}

/// The items of a page, and whether there are more after them.
fn page(bucket: &Bucket, query: PageQuery<'_>, after_version: Option<&str>) -> (Vec<Item>, bool) {
    let mut items = Vec::new();
    let Some(start) = query.start() else {
        return (items, false);
    };
    let names = AllVersions(bucket);
    // The rest of the key at which the last page ended.
    let ended_at = query.after.filter(|key| key.starts_with(query.prefix));
    let resumed = ended_at.zip(after_version).map(|(key, id)| {
        let versions = bucket.versions_of(key);
        let past = versions.iter().position(|version| version.id() == id);
        let rest = past.map_or(0, |at| at + 1);
        let left = versions.into_iter().enumerate().skip(rest).collect();
        (Cow::Borrowed(key), left)
    });
    let numbered = |(key, versions): (_, Vec<Version>)| -> (Cow<'_, str>, Vec<(usize, Version)>) {
        (key, versions.into_iter().enumerate().collect())
    };
    let mut resumed = resumed.into_iter();
    let mut rest = names.starting_at(start);
    while let Some((key, versions)) = resumed
        .next()
        .or_else(|| rest.next().map(numbered))
        .filter(|(key, _)| key.starts_with(query.prefix))
    {
        if let Some(common) = rolled_up(&key, query.prefix, query.delimiter) {
            if items.len() >= query.max_keys {
                return (items, true);
            }
            items.push(Item::Prefix(common.to_owned()));
            let Some(next) = successor(common) else { break };
            rest = names.starting_at(Bound::Included(next));
            continue;
        }
        for (at, version) in versions {
            if items.len() >= query.max_keys {
                return (items, true);
            }
            items.push(Item::Version {
                key: key.clone().into_owned(),
                version,
                is_latest: at == 0,
            });
        }
    }
    (items, false)
}

fn listed_version(
    key: String,
    object: &StoredObject,
    is_latest: bool,
    restores_at: Option<SystemTime>,
) -> ObjectVersion {
    let entry = object.entry();
    let class = entry.storage_class.map(|class| class.as_str().to_owned());
    ObjectVersion {
        key: Some(key),
        version_id: Some(object.version().to_owned()),
        is_latest: Some(is_latest),
        e_tag: entry.e_tag,
        last_modified: entry.last_modified,
        size: entry.size,
        storage_class: class.map(ObjectVersionStorageClass::from),
        checksum_algorithm: entry.checksum_algorithm,
        checksum_type: entry.checksum_type,
        restore_status: restores_at.and_then(|now| object.restore_status(now)),
        ..ObjectVersion::default()
    }
}

fn listed_marker(key: String, marker: Marker, is_latest: bool) -> DeleteMarkerEntry {
    DeleteMarkerEntry {
        key: Some(key),
        version_id: Some(marker.id),
        is_latest: Some(is_latest),
        last_modified: Some(timestamp(marker.last_modified)),
        ..DeleteMarkerEntry::default()
    }
}
