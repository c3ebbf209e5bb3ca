//! Listings of the sink: the same pages as the real server's.

use super::Served;
use super::answer::{self, Answer};
use crate::operation::Query;
use crate::s3::listing;
use http::Uri;
use s3s::S3Result;
use s3s::dto::{
    Bucket, EncodingType, ListBucketsOutput, ListObjectsInput, ListObjectsV2Input, Timestamp,
};
use std::time::SystemTime;

impl Served {
    pub(super) fn list_v2(&self, bucket: &str, uri: &Uri) -> S3Result<Answer> {
        let query = Query::of(uri);
        let text = |name: &str| query.get(name).map(str::to_owned);
        let input = ListObjectsV2Input {
            bucket: bucket.to_owned(),
            prefix: text("prefix"),
            delimiter: text("delimiter"),
            start_after: text("start-after"),
            continuation_token: text("continuation-token"),
            encoding_type: text("encoding-type").map(EncodingType::from),
            max_keys: query.get("max-keys").and_then(|keys| keys.parse().ok()),
            ..ListObjectsV2Input::default()
        };
        let listed = self
            .store
            .with_bucket(bucket, |names| listing::v2(names, input, SystemTime::now()))?;
        listed.map(|page| answer::xml(&page))
    }

    pub(super) fn list_v1(&self, bucket: &str, uri: &Uri) -> S3Result<Answer> {
        let query = Query::of(uri);
        let text = |name: &str| query.get(name).map(str::to_owned);
        let input = ListObjectsInput {
            bucket: bucket.to_owned(),
            prefix: text("prefix"),
            delimiter: text("delimiter"),
            marker: text("marker"),
            encoding_type: text("encoding-type").map(EncodingType::from),
            max_keys: query.get("max-keys").and_then(|keys| keys.parse().ok()),
            ..ListObjectsInput::default()
        };
        let listed = self
            .store
            .with_bucket(bucket, |names| listing::v1(names, input, SystemTime::now()))?;
        listed.map(|page| answer::xml(&page))
    }

    pub(super) fn list_buckets(&self) -> Answer {
        let bucket = |name| Bucket {
            name: Some(name),
            creation_date: Some(Timestamp::from(SystemTime::now())),
            ..Bucket::default()
        };
        let buckets = self.store.bucket_names().into_iter().map(bucket).collect();
        answer::xml(&ListBucketsOutput {
            buckets: Some(buckets),
            ..ListBucketsOutput::default()
        })
    }
}
