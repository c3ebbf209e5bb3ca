//! A running server, and what a test may do to it from outside of S3.
//!
//! Direct access works on the same map as requests do and is atomic in the same way; it is not
//! logged, and faults and hooks do not see it. Methods that change the map panic if the bucket does
//! not exist: that is a mistake in the test.

use crate::auth::Credentials;
use crate::bucket::Bucket;
use crate::checksum::ChecksumAlgorithm;
use crate::clock::Clock;
use crate::faults::{Fault, FaultHandle};
use crate::hook::{HookAction, RequestInfo};
use crate::http::Frontend;
use crate::listener::Listener;
use crate::listing::Names as _;
use crate::log::LoggedRequest;
use crate::object::{OpenUpload, Payload, Restore, StoredObject};
use crate::state::State;
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

/// An S3 server on a thread of this process; it stops when it is dropped.
#[derive(Debug)]
pub struct LocalS3 {
    listener: Listener,
    frontend: Arc<Frontend>,
    state: Arc<State>,
    credentials: Credentials,
}

impl LocalS3 {
    pub(crate) fn listen(
        address: SocketAddr,
        frontend: Arc<Frontend>,
        state: Arc<State>,
        credentials: Credentials,
    ) -> io::Result<Self> {
        let served = Arc::clone(&frontend);
        let listener = Listener::start(address, move |request| {
            let frontend = Arc::clone(&served);
            async move { frontend.serve(request).await }
        })?;
        Ok(Self {
            listener,
            frontend,
            state,
            credentials,
        })
    }

    /// Where it listens, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listener.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.address
    }

    /// The key and secret that it accepts.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.frontend.clock
    }

    /// The requests since the start or the last [`clear_requests`](Self::clear_requests), in order
    /// of arrival, those that are still running included.
    #[must_use]
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.frontend.log.requests()
    }

    /// How many requests there were since the start or the last
    /// [`clear_requests`](Self::clear_requests).
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.frontend.log.count()
    }

    /// Forgets the requests so far; the next one has index 0.
    pub fn clear_requests(&self) {
        self.frontend.log.clear();
    }

    /// Adds a fault. The handle tells how often it has hit; it may be dropped.
    pub fn fault(&self, fault: Fault) -> FaultHandle {
        self.frontend.faults.add(fault)
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.frontend.faults.clear();
    }

    /// Calls `hook` for each request from now on, before it is handled, in place of any earlier
    /// hook.
    pub fn on_request(&self, hook: impl Fn(&RequestInfo) -> HookAction + Send + Sync + 'static) {
        self.frontend.hook.set(Some(Arc::new(hook)));
    }

    /// Removes the hook.
    pub fn clear_hook(&self) {
        self.frontend.hook.set(None);
    }

    /// The keys in a bucket, in order; none if there is no such bucket.
    #[must_use]
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let names = |bucket: &Bucket| {
            let names = bucket.starting_at(Bound::Unbounded);
            names.map(|(key, _)| key.into_owned()).collect()
        };
        self.read(bucket, names).unwrap_or_default()
    }

    /// An object as it is kept.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> Option<StoredObject> {
        let object = self.read(bucket, |bucket| bucket.get(key)).flatten()?;
        Some(Arc::unwrap_or_clone(object))
    }

    /// The multipart uploads that are neither completed nor aborted, by key and creation.
    #[must_use]
    pub fn uploads(&self, bucket: &str) -> Vec<OpenUpload> {
        self.read(bucket, Bucket::open_uploads).unwrap_or_default()
    }

    /// Takes an object away; whether there was one.
    ///
    /// # Panics
    ///
    /// If there is no such bucket, or its folder cannot be written.
    pub fn remove(&self, bucket: &str, key: &str) -> bool {
        let now = self.clock().last_modified();
        self.change(bucket, |bucket| {
            let was_there = bucket.get(key).is_some();
            bucket.delete(key, now)?;
            Ok(was_there)
        })
    }

    /// Writes an object as a stranger would: new content, new entity tag and checksum, no metadata.
    ///
    /// # Panics
    ///
    /// If there is no such bucket, or its folder cannot be written.
    pub fn replace(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) {
        let payload = Payload::unclaimed(bytes.into(), ChecksumAlgorithm::Crc64Nvme);
        let object = StoredObject::whole(payload, Default::default(), self.clock().last_modified());
        self.change(bucket, |bucket| bucket.write(key, Arc::new(object)));
    }

    /// Overwrites an object with its own first `length` bytes, as a stranger would.
    ///
    /// # Panics
    ///
    /// If there is no such bucket or object, or its folder cannot be written.
    pub fn truncate(&self, bucket: &str, key: &str, length: usize) {
        let bytes = self.change(bucket, |bucket| {
            bucket.existing(key).map(|object| object.bytes.clone())
        });
        self.replace(bucket, key, bytes.slice(..length.min(bytes.len())));
    }

    /// Flips a bit of the byte at `offset` and changes nothing else: what is stored no longer is
    /// what was written, and entity tag and checksum do not tell.
    ///
    /// # Panics
    ///
    /// If there is no such bucket or object, it is not that long, or its folder cannot be written.
    pub fn corrupt(&self, bucket: &str, key: &str, offset: usize) {
        self.change(bucket, |bucket| {
            bucket.amend(key, None, |object| {
                assert!(
                    offset < object.bytes.len(),
                    "`{key}` has {} bytes only",
                    object.bytes.len()
                );
                object.bytes = crate::body::flip(&object.bytes, offset);
            })
        });
    }

    /// Stops telling the checksum of an object, as a store does that keeps none.
    ///
    /// # Panics
    ///
    /// If there is no such bucket or object, or its folder cannot be written.
    pub fn strip_checksum(&self, bucket: &str, key: &str) {
        self.change(bucket, |bucket| {
            bucket.amend(key, None, |object| object.tells_checksum = false)
        });
    }

    /// Moves an object to another storage class, as a lifecycle rule does: content, entity tag and
    /// checksum stay, and an archived object is not restored.
    ///
    /// # Panics
    ///
    /// If there is no such bucket or object, or its folder cannot be written.
    pub fn transition(&self, bucket: &str, key: &str, storage_class: &str) {
        self.change(bucket, |bucket| {
            bucket.amend(key, None, |object| {
                object.attributes.storage_class = storage_class.to_owned();
                object.archive_tier = None;
                object.restore = Restore::NotAsked;
            })
        });
    }

    /// Lets an object in `INTELLIGENT_TIERING` sink to `ARCHIVE_ACCESS` or `DEEP_ARCHIVE_ACCESS`,
    /// as S3 does with what nobody reads for months.
    ///
    /// # Panics
    ///
    /// If there is no such bucket or object, it is in another class, or its folder cannot be
    /// written.
    pub fn sink_to_tier(&self, bucket: &str, key: &str, tier: &str) {
        self.change(bucket, |bucket| {
            bucket.amend(key, None, |object| {
                let class = &object.attributes.storage_class;
                assert_eq!(class, "INTELLIGENT_TIERING", "`{key}` has no tiers");
                object.archive_tier = Some(tier.to_owned());
                object.restore = Restore::NotAsked;
            })
        });
    }

    /// Makes an archived object readable for `time`, as a restoration does that has come to its end.
    ///
    /// # Panics
    ///
    /// If there is no such bucket or object, or its folder cannot be written.
    pub fn thaw(&self, bucket: &str, key: &str, time: Duration) {
        let end = self.clock().last_modified() + time;
        self.change(bucket, |bucket| {
            bucket.amend(key, None, |object| object.restore = Restore::Until(end))
        });
    }

    fn read<T>(&self, bucket: &str, read: impl FnOnce(&Bucket) -> T) -> Option<T> {
        self.state.lock().get(bucket).map(read)
    }

    fn change<T>(&self, bucket: &str, change: impl FnOnce(&mut Bucket) -> s3s::S3Result<T>) -> T {
        match self.state.with_bucket(bucket, change) {
            Ok(done) => done,
            Err(error) => panic!("bucket `{bucket}`: {error}"),
        }
    }
}
