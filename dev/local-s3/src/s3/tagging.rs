//! Tags of objects.

use super::{Backend, custom_error};
use crate::operation::Query;
use http::StatusCode;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
};
use s3s::{S3Result, s3_error};
use std::collections::BTreeMap;

/// S3 user guide, "Categorizing your objects using tags": ten tags, names of 128 and values of 256
/// characters.
const MOST_TAGS: usize = 10;
const LONGEST_NAME: usize = 128;
const LONGEST_VALUE: usize = 256;

type Tags = BTreeMap<String, String>;

/// The tags of an `x-amz-tagging` header, which is written like a query string.
pub(super) fn parse_header(header: Option<&str>) -> S3Result<Tags> {
    collect(Query::parse(header.unwrap_or_default()).into_pairs())
}

fn collect(pairs: impl IntoIterator<Item = (String, String)>) -> S3Result<Tags> {
    let mut tags = Tags::new();
    for (name, value) in pairs {
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return Err(s3_error!(
                InvalidTag,
                "The TagKey you have provided is invalid"
            ));
        }
        if value.chars().count() > LONGEST_VALUE {
            return Err(s3_error!(
                InvalidTag,
                "The TagValue you have provided is invalid"
            ));
        }
        if tags.insert(name, value).is_some() {
            return Err(s3_error!(
                InvalidTag,
                "Cannot provide multiple Tags with the same key"
            ));
        }
    }
    if tags.len() > MOST_TAGS {
        return Err(custom_error(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "Object tags cannot be greater than 10",
        ));
    }
    Ok(tags)
}

pub(super) fn get(
    backend: &Backend,
    input: &GetObjectTaggingInput,
) -> S3Result<GetObjectTaggingOutput> {
    let (object, version_id) =
        backend
            .state
            .object(&input.bucket, &input.key, input.version_id.as_deref())?;
    let tag = |(key, value): (&String, &String)| Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    let tag_set = object.attributes.tags.iter().map(tag).collect();
    Ok(GetObjectTaggingOutput {
        tag_set,
        version_id,
    })
}

pub(super) fn put(
    backend: &Backend,
    input: PutObjectTaggingInput,
) -> S3Result<PutObjectTaggingOutput> {
    let pair = |tag: Tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
    let tags = collect(input.tagging.tag_set.into_iter().map(pair))?;
    let version = input.version_id.as_deref();
    let version_id = replace(backend, &input.bucket, &input.key, version, tags)?;
    Ok(PutObjectTaggingOutput { version_id })
}

pub(super) fn delete(
    backend: &Backend,
    input: &DeleteObjectTaggingInput,
) -> S3Result<DeleteObjectTaggingOutput> {
    let version = input.version_id.as_deref();
    let version_id = replace(backend, &input.bucket, &input.key, version, Tags::new())?;
    Ok(DeleteObjectTaggingOutput { version_id })
}

/// Gives an object other tags, and returns the id of its version if clients are told it.
fn replace(
    backend: &Backend,
    bucket: &str,
    key: &str,
    version: Option<&str>,
    tags: Tags,
) -> S3Result<Option<String>> {
    backend.state.with_bucket(bucket, |bucket| {
        bucket.amend(key, version, |object| object.attributes.tags = tags)?;
        let object = bucket.find(key, version)?;
        Ok(bucket.told_version(&object))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_decoded_like_a_query_string() {
        let tags = parse_header(Some("a=1&b%20c=x+y%2B")).unwrap();
        assert_eq!(
            tags,
            Tags::from([("a".into(), "1".into()), ("b c".into(), "x y+".into())])
        );
    }

    #[test]
    fn tags_beyond_the_limits_are_refused() {
        assert!(parse_header(Some("a=1&a=2")).is_err());
        assert!(parse_header(Some(&format!("{}=1", "n".repeat(129)))).is_err());
        assert!(
            parse_header(Some(
                &(0..11).map(|n| format!("t{n}=&")).collect::<String>()
            ))
            .is_err()
        );
    }
}
