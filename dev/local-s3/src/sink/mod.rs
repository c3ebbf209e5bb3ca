//! A server that takes uploads as fast as it can and forgets them: for benchmarks.
//!
//! It answers as S3 does as far as the clients of benchmarks look, over bare hyper: bodies are
//! read and dropped, signatures and checksums are not looked at. What an upload was is
//! remembered (size, entity tag, time, user metadata), so that clients find an unchanged tree
//! unchanged. Content is kept where clients read back what they write about their own work
//! (manifests, indices, keys): that of objects up to 32 MiB, but never that of files, whose keys
//! have the component `files`, nor that of keys which are to be discarded. For benchmarks that restore
//! something, it keeps everything.
//!
//! `GET /_stats` tells how many requests of each operation there were, `POST /_stats/reset`
//! starts the count again.

mod answer;
mod listing;
mod multipart;
mod objects;
mod receive;
mod stats;
mod store;

use crate::listener::Listener;
use crate::operation::{Operation, Target};
use answer::Answer;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use s3s::{S3Result, s3_error};
use stats::Stats;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use store::Store;

/// A running sink; it stops when it is dropped.
#[derive(Debug)]
pub struct Sink {
    listener: Listener,
}

/// Options of a [`Sink`].
#[derive(Clone, Debug, Default)]
pub struct SinkOptions {
    /// Buckets to create at the start.
    pub buckets: Vec<String>,
    /// What entity tags are.
    pub entity_tags: EntityTags,
    /// What content is kept.
    pub keep: Keep,
}

/// What content a sink keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// What clients read back about their own work: objects up to 32 MiB, without contents of files.
    Records {
        /// Objects whose key contains one of these are not kept either.
        discard: Vec<String>,
    },
    /// All of it, for restores.
    Everything,
}

impl Default for Keep {
    fn default() -> Self {
        Self::Records {
            discard: Vec::new(),
        }
    }
}

/// Whether entity tags are the MD5 of the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntityTags {
    /// They look like those of multipart uploads, which no client takes for an MD5.
    #[default]
    Numbered,
    /// They are, which costs two seconds for each gigabyte.
    Md5,
}

impl Sink {
    /// Starts a sink.
    ///
    /// # Errors
    ///
    /// The address is not a loopback address or is taken.
    pub fn start(address: SocketAddr, options: SinkOptions) -> io::Result<Self> {
        let served = Arc::new(Served {
            store: Store::new(&options.buckets, options.keep),
            stats: Stats::default(),
            entity_tags: options.entity_tags,
        });
        let listener = Listener::start(address, move |request| {
            let served = Arc::clone(&served);
            async move { Ok::<_, Infallible>(served.serve(request).await) }
        })?;
        Ok(Self { listener })
    }

    /// Where it listens, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listener.address)
    }
}

#[derive(Debug)]
struct Served {
    store: Store,
    stats: Stats,
    entity_tags: EntityTags,
}

impl Served {
    async fn serve(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        if path.starts_with("/_stats") {
            return self.statistics(request.method(), path);
        }
        let target = Target::of(request.method(), request.uri(), request.headers());
        self.stats.count(target.operation);
        let handled = match (&target.bucket, &target.key) {
            (Some(bucket), Some(key)) => {
                self.object_operation(target.operation, bucket, key, request)
                    .await
            }
            (Some(bucket), None) => {
                self.bucket_operation(target.operation, bucket, request)
                    .await
            }
            (None, _) if target.operation == Operation::ListBuckets => Ok(self.list_buckets()),
            (None, _) => Err(s3_error!(NotImplemented)),
        };
        handled.unwrap_or_else(|error| answer::refusal(&error))
    }

    fn statistics(&self, method: &Method, path: &str) -> Answer {
        match (method, path) {
            (&Method::GET, "/_stats") => answer::json(&self.stats.snapshot()),
            (&Method::POST, "/_stats/reset") => {
                self.stats.reset();
                answer::empty(StatusCode::NO_CONTENT)
            }
            _ => answer::refusal(&s3_error!(NotImplemented)),
        }
    }

    async fn object_operation(
        &self,
        operation: Operation,
        bucket: &str,
        key: &str,
        request: Request<Incoming>,
    ) -> S3Result<Answer> {
        match operation {
            Operation::PutObject => self.put(bucket, key, request).await,
            Operation::UploadPart => self.upload_part(key, request).await,
            Operation::HeadObject => self.head(bucket, key),
            Operation::GetObject => self.get(bucket, key, request.headers()),
            Operation::DeleteObject => self.delete(bucket, key),
            Operation::CopyObject => self.copy(bucket, key, request.headers()),
            Operation::CreateMultipartUpload => self.create_upload(bucket, key, request.headers()),
            Operation::CompleteMultipartUpload => self.complete_upload(bucket, key, request).await,
            Operation::AbortMultipartUpload => self.abort_upload(request.uri()),
            _ => Err(s3_error!(NotImplemented)),
        }
    }

    async fn bucket_operation(
        &self,
        operation: Operation,
        bucket: &str,
        request: Request<Incoming>,
    ) -> S3Result<Answer> {
        match operation {
            Operation::CreateBucket => {
                self.store.create_bucket(bucket);
                Ok(answer::empty(StatusCode::OK))
            }
            Operation::HeadBucket => self
                .store
                .with_bucket(bucket, |_| answer::empty(StatusCode::OK)),
            Operation::GetBucketLocation => self
                .store
                .with_bucket(bucket, |_| answer::bucket_location()),
            Operation::ListObjectsV2 => self.list_v2(bucket, request.uri()),
            Operation::ListObjects => self.list_v1(bucket, request.uri()),
            Operation::DeleteObjects => self.delete_many(bucket, request).await,
            _ => Err(s3_error!(NotImplemented)),
        }
    }
}
