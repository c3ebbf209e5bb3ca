//! Buckets: created, listed, deleted. Their only setting is whether they keep versions.

use super::{Backend, timestamp};
use crate::bucket::Bucket;
use crate::persist::BucketFolder;
use crate::state::no_such_bucket;
use crate::versions::Versioning;
use s3s::dto::{
    self, BucketVersioningStatus, CreateBucketInput, CreateBucketOutput, DeleteBucketInput,
    DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput, Owner, PutBucketVersioningInput, PutBucketVersioningOutput,
};
use s3s::{S3Error, S3Result, s3_error};

/// The region every bucket is in; `GetBucketLocation` leaves it empty, as AWS does for this one.
const REGION: &str = "us-east-1";

impl Backend {
    /// Creates a bucket unless it exists.
    pub(crate) fn create_bucket(&self, name: &str) -> S3Result<()> {
        let mut buckets = self.state.lock();
        if buckets.contains_key(name) {
            return Err(s3_error!(
                BucketAlreadyOwnedByYou,
                "Your previous request to create the named bucket succeeded and you already own it."
            ));
        }
        let folder = self
            .persist_in
            .as_deref()
            .map(|root| BucketFolder::create(root, name))
            .transpose();
        let folder = folder.map_err(S3Error::internal_error)?;
        buckets.insert(
            name.to_owned(),
            Bucket::new(self.clock.last_modified(), folder),
        );
        Ok(())
    }
}

pub(super) fn create(backend: &Backend, input: &CreateBucketInput) -> S3Result<CreateBucketOutput> {
    backend.create_bucket(&input.bucket)?;
    Ok(CreateBucketOutput {
        location: Some(format!("/{}", input.bucket)),
    })
}

pub(super) fn delete(backend: &Backend, input: &DeleteBucketInput) -> S3Result<DeleteBucketOutput> {
    let mut buckets = backend.state.lock();
    let bucket = buckets.get(&*input.bucket).ok_or_else(no_such_bucket)?;
    if !bucket.is_empty() {
        return Err(s3_error!(
            BucketNotEmpty,
            "The bucket you tried to delete is not empty"
        ));
    }
    bucket.delete_folder()?;
    buckets.remove(&*input.bucket);
    Ok(DeleteBucketOutput::default())
}

pub(super) fn head(backend: &Backend, input: &HeadBucketInput) -> S3Result<HeadBucketOutput> {
    backend.state.with_bucket(&input.bucket, |_| Ok(()))?;
    Ok(HeadBucketOutput {
        bucket_region: Some(REGION.to_owned()),
        ..Default::default()
    })
}

pub(super) fn location(
    backend: &Backend,
    input: &GetBucketLocationInput,
) -> S3Result<GetBucketLocationOutput> {
    backend
        .state
        .with_bucket(&input.bucket, |_| Ok(GetBucketLocationOutput::default()))
}

pub(super) fn versioning(
    backend: &Backend,
    input: &GetBucketVersioningInput,
) -> S3Result<GetBucketVersioningOutput> {
    backend.state.with_bucket(&input.bucket, |bucket| {
        let status = match bucket.versioning {
            Versioning::Off => None,
            Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
            Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
        };
        Ok(GetBucketVersioningOutput {
            status: status.map(BucketVersioningStatus::from_static),
            mfa_delete: None,
        })
    })
}

pub(super) fn set_versioning(
    backend: &Backend,
    input: &PutBucketVersioningInput,
) -> S3Result<PutBucketVersioningOutput> {
    let asked = input.versioning_configuration.status.as_ref();
    let versioning = match asked.map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        _ => {
            return Err(s3_error!(
                IllegalVersioningConfigurationException,
                "The Versioning element must be specified"
            ));
        }
    };
    backend
        .state
        .with_bucket(&input.bucket, |bucket| bucket.set_versioning(versioning))?;
    Ok(PutBucketVersioningOutput::default())
}

pub(super) fn list(backend: &Backend, input: &ListBucketsInput) -> ListBucketsOutput {
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let listed = |(name, bucket): (&String, &Bucket)| dto::Bucket {
        name: Some(name.clone()),
        creation_date: Some(timestamp(bucket.created)),
        bucket_region: Some(REGION.to_owned()),
    };
    let buckets = backend.state.lock();
    ListBucketsOutput {
        buckets: Some(
            buckets
                .iter()
                .filter(|(name, _)| name.starts_with(prefix))
                .map(listed)
                .collect(),
        ),
        owner: Some(Owner {
            display_name: None,
            id: Some("local".to_owned()),
        }),
        prefix: input.prefix.clone(),
        ..Default::default()
    }
}
