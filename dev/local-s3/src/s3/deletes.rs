//! `DeleteObject` and `DeleteObjects`.

use super::Backend;
use super::conditions::check_current;
use crate::bucket::Bucket;
use crate::versions::Deleted;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ETagCondition, Error, ObjectIdentifier,
};
use s3s::{S3Result, s3_error};
use std::time::SystemTime;

/// S3 API reference, `DeleteObjects`.
const MOST_KEYS: usize = 1_000;

pub(super) fn one(backend: &Backend, input: &DeleteObjectInput) -> S3Result<DeleteObjectOutput> {
    if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "Conditions on size and time exist in directory buckets only."
        ));
    }
    let now = backend.clock.last_modified();
    let deleted = backend.state.with_bucket(&input.bucket, |bucket| {
        let version = input.version_id.as_deref();
        remove(bucket, &input.key, version, input.if_match.as_ref(), now)
    })?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.marker.is_some().then_some(true),
        version_id: deleted.version.or(deleted.marker),
        ..Default::default()
    })
}

pub(super) fn many(backend: &Backend, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
    let objects = input.delete.objects;
    if objects.is_empty() || objects.len() > MOST_KEYS {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published \
             schema"
        ));
    }
    let now = backend.clock.last_modified();
    let is_quiet = input.delete.quiet == Some(true);
    let mut output = DeleteObjectsOutput::default();
    backend.state.with_bucket(&input.bucket, |bucket| {
        for ObjectIdentifier {
            key,
            e_tag,
            version_id,
            ..
        } in objects
        {
            let condition = e_tag.map(ETagCondition::ETag);
            match remove(bucket, &key, version_id.as_deref(), condition.as_ref(), now) {
                Ok(_) if is_quiet => {}
                Ok(deleted) => output.deleted.get_or_insert_default().push(DeletedObject {
                    key: Some(key),
                    delete_marker: deleted.marker.is_some().then_some(true),
                    delete_marker_version_id: deleted.marker,
                    version_id: deleted.version,
                }),
                Err(error) => output.errors.get_or_insert_default().push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    key: Some(key),
                    version_id,
                }),
            }
        }
        Ok(())
    })?;
    Ok(output)
}

fn remove(
    bucket: &mut Bucket,
    key: &str,
    version: Option<&str>,
    if_match: Option<&ETagCondition>,
    now: SystemTime,
) -> S3Result<Deleted> {
    let target = match version {
        None => bucket.get(key),
        Some(_) => bucket.find(key, version).ok(),
    };
    check_current(if_match, target.as_ref())?;
    match version {
        None => bucket.delete(key, now),
        Some(version) => bucket.delete_version(key, version),
    }
}
