//! `DeleteObject` and `DeleteObjects`.

use super::Backend;
use super::conditions::check_current;
use crate::state::Bucket;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ETagCondition, Error, ObjectIdentifier,
};
use s3s::{S3Result, s3_error};

/// S3 API reference, `DeleteObjects`.
const MOST_KEYS: usize = 1_000;

pub(super) fn one(backend: &Backend, input: &DeleteObjectInput) -> S3Result<DeleteObjectOutput> {
    if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "Conditions on size and time exist in directory buckets only."
        ));
    }
    backend.state.with_bucket(&input.bucket, |bucket| {
        remove(bucket, &input.key, input.if_match.as_ref())
    })?;
    Ok(DeleteObjectOutput::default())
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
    let is_quiet = input.delete.quiet == Some(true);
    let mut output = DeleteObjectsOutput::default();
    backend.state.with_bucket(&input.bucket, |bucket| {
        for ObjectIdentifier { key, e_tag, .. } in objects {
            match remove(bucket, &key, e_tag.map(ETagCondition::ETag).as_ref()) {
                Ok(()) if is_quiet => {}
                Ok(()) => output.deleted.get_or_insert_default().push(DeletedObject {
                    key: Some(key),
                    ..Default::default()
                }),
                Err(error) => output.errors.get_or_insert_default().push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    key: Some(key),
                    version_id: None,
                }),
            }
        }
        Ok(())
    })?;
    Ok(output)
}

fn remove(bucket: &mut Bucket, key: &str, if_match: Option<&ETagCondition>) -> S3Result<()> {
    check_current(if_match, bucket.objects().get(key))?;
    bucket.remove(key).map(|_| ())
}
