//! s3s's trait, dispatching to the modules of the operations.
//!
//! Operations that are not here answer 501, which is s3s's default.

use super::{
    Backend, buckets, complete, copy, deletes, list_versions, listing, object_attributes, parts,
    reads, restore, tagging, uploads, writes,
};
use crate::bucket::Bucket;
use async_trait::async_trait;
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result};

type Answer<Output> = S3Result<S3Response<Output>>;

#[async_trait]
impl S3 for Backend {
    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> Answer<CreateBucketOutput> {
        buckets::create(self, &request.input).map(S3Response::new)
    }

    async fn delete_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> Answer<DeleteBucketOutput> {
        buckets::delete(self, &request.input).map(S3Response::new)
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        buckets::head(self, &request.input).map(S3Response::new)
    }

    async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> Answer<ListBucketsOutput> {
        Ok(S3Response::new(buckets::list(self, &request.input)))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        buckets::location(self, &request.input).map(S3Response::new)
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> Answer<GetBucketVersioningOutput> {
        buckets::versioning(self, &request.input).map(S3Response::new)
    }

    async fn put_bucket_versioning(
        &self,
        request: S3Request<PutBucketVersioningInput>,
    ) -> Answer<PutBucketVersioningOutput> {
        buckets::set_versioning(self, &request.input).map(S3Response::new)
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        writes::put(self, request).await.map(S3Response::new)
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        reads::get(self, request.input).map(S3Response::new)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        reads::head(self, request.input)
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> Answer<DeleteObjectOutput> {
        deletes::one(self, &request.input).map(S3Response::new)
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> Answer<DeleteObjectsOutput> {
        deletes::many(self, request.input).map(S3Response::new)
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        copy::copy(self, request).map(S3Response::new)
    }

    async fn restore_object(
        &self,
        request: S3Request<RestoreObjectInput>,
    ) -> Answer<RestoreObjectOutput> {
        let (output, status) = restore::restore(self, &request.input)?;
        Ok(S3Response::with_status(output, status))
    }

    async fn get_object_attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> Answer<GetObjectAttributesOutput> {
        object_attributes::get(self, &request.input).map(S3Response::new)
    }

    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> Answer<GetObjectTaggingOutput> {
        tagging::get(self, &request.input).map(S3Response::new)
    }

    async fn put_object_tagging(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> Answer<PutObjectTaggingOutput> {
        tagging::put(self, request.input).map(S3Response::new)
    }

    async fn delete_object_tagging(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> Answer<DeleteObjectTaggingOutput> {
        tagging::delete(self, &request.input).map(S3Response::new)
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> Answer<ListObjectsOutput> {
        let bucket = request.input.bucket.clone();
        let now = self.clock.now();
        let list = |bucket: &mut Bucket| listing::v1(bucket, request.input, now);
        self.state.with_bucket(&bucket, list).map(S3Response::new)
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        let bucket = request.input.bucket.clone();
        let now = self.clock.now();
        let list = |bucket: &mut Bucket| listing::v2(bucket, request.input, now);
        self.state.with_bucket(&bucket, list).map(S3Response::new)
    }

    async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> Answer<ListObjectVersionsOutput> {
        let bucket = request.input.bucket.clone();
        let now = self.clock.now();
        let list = |bucket: &mut Bucket| list_versions::list(bucket, request.input, now);
        self.state.with_bucket(&bucket, list).map(S3Response::new)
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        uploads::create(self, request.input).map(S3Response::new)
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        parts::upload(self, request).await.map(S3Response::new)
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> Answer<UploadPartCopyOutput> {
        parts::copy(self, request.input).map(S3Response::new)
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        complete::complete(self, request).map(S3Response::new)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        uploads::abort(self, request.input).map(S3Response::new)
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        uploads::list_parts(self, request.input).map(S3Response::new)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        uploads::list(self, request.input).map(S3Response::new)
    }
}
