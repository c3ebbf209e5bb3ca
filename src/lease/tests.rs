//! What a lease does when time does what no test of the program can make it do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::{Claim, CommitError, Lost, Observer, Request, acquire};
use crate::boottime::boottime;
use crate::format::abilities::Abilities;
use crate::format::keys::{self, SourceName};
use crate::format::lock::Holder;
use crate::lease::Held;
use crate::stop::Stop;
use crate::store::{
    Clock, Completed, Condition, ETag, Listing, Object, ObjectInfo, OpenUpload, Operation, Pages,
    Part, Placement, Store, StoreError, StoreErrorKind, StoreResult, Upload, UploadedPart,
};

/// A store that can do what a lease needs.
struct Objects {
    clock: Clock,
    objects: Mutex<BTreeMap<String, (Bytes, u64)>>,
    puts: AtomicU64,
}

impl Objects {
    fn new() -> Arc<Self> {
        let clock = Clock::new(boottime);
        clock.tell(Timestamp::now());
        Arc::new(Self {
            clock,
            objects: Mutex::default(),
            puts: AtomicU64::new(0),
        })
    }

    fn error(key: &str, kind: StoreErrorKind) -> StoreError {
        StoreError {
            operation: Operation::Put,
            location: key.to_owned(),
            kind,
        }
    }
}

const NOT_ASKED_FOR: &str = "a lease reads and writes whole objects";

#[async_trait]
impl Store for Objects {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn requests(&self) -> u64 {
        0
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn get(&self, key: &str, at_most: u64) -> StoreResult<Object> {
        let objects = self.objects.lock().unwrap();
        let found = objects.get(key);
        let (bytes, version) = found.ok_or(Self::error(key, StoreErrorKind::NotFound))?;
        assert!(bytes.len() as u64 <= at_most);
        Ok(Object {
            bytes: bytes.clone(),
            etag: ETag(version.to_string()),
            last_modified: self.clock.now(),
        })
    }

    async fn put(&self, key: &str, body: Bytes, condition: &Condition) -> StoreResult<ETag> {
        let mut objects = self.objects.lock().unwrap();
        let there = objects.get(key).map(|(_, version)| version.to_string());
        let holds = match condition {
            Condition::Absent => there.is_none(),
            Condition::Matches(etag) => there.as_ref() == Some(&etag.0),
        };
        if !holds {
            return Err(Self::error(key, StoreErrorKind::PreconditionFailed));
        }
        let version = self.puts.fetch_add(1, Ordering::Relaxed);
        objects.insert(key.to_owned(), (body, version));
        Ok(ETag(version.to_string()))
    }

    async fn get_range(&self, _: &str, _: Range<u64>) -> StoreResult<Bytes> {
        panic!("{NOT_ASKED_FOR}")
    }

    async fn head(&self, _: &str) -> StoreResult<ObjectInfo> {
        panic!("{NOT_ASKED_FOR}")
    }

    async fn put_content(
        &self,
        _: &str,
        _: Bytes,
        _: [u8; 32],
        _: &Condition,
        _: &Placement,
    ) -> StoreResult<ETag> {
        panic!("{NOT_ASKED_FOR}")
    }

    async fn begin_upload(&self, _: &str, _: &Placement) -> StoreResult<Upload> {
        panic!("{NOT_ASKED_FOR}")
    }

    async fn upload_part(
        &self,
        _: &Upload,
        _: Part,
        _: Bytes,
        _: u64,
    ) -> StoreResult<UploadedPart> {
        panic!("{NOT_ASKED_FOR}")
    }

    async fn complete_upload(
        &self,
        _: &Upload,
        _: Vec<UploadedPart>,
        _: u64,
        _: u64,
        _: &Condition,
    ) -> StoreResult<Completed> {
        panic!("{NOT_ASKED_FOR}")
    }

    async fn abort_upload(&self, _: &Upload) -> StoreResult<()> {
        panic!("{NOT_ASKED_FOR}")
    }

    async fn open_uploads(&self, _: &str) -> StoreResult<Vec<OpenUpload>> {
        panic!("{NOT_ASKED_FOR}")
    }

    fn list<'a>(&'a self, _: Listing<'a>) -> Box<dyn Pages + 'a> {
        panic!("{NOT_ASKED_FOR}")
    }
}

struct Nobody;

#[async_trait]
impl Observer for Nobody {
    async fn is_gone(&self, _: &Held) -> bool {
        false
    }

    fn waits(&self, _: &Held) {}

    fn tried(&self, _: &Abilities) {}
}

fn request(boottime: fn() -> Duration) -> Request {
    Request {
        holder: Holder::default(),
        claim: Claim::Owner(None),
        sources: vec![SourceName::parse("data").unwrap()],
        ttl: Duration::from_secs(120),
        wait: Duration::ZERO,
        random: 0,
        boottime,
    }
}

static ASLEEP: AtomicU64 = AtomicU64::new(0);

/// The clock of a machine that has slept so long.
fn boottime_with_sleep() -> Duration {
    boottime() + Duration::from_secs(ASLEEP.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_machine_that_was_asleep_for_longer_than_its_lease_commits_nothing() {
    let objects = Objects::new();
    let store: Arc<dyn Store> = objects.clone();
    let stop = Stop::default();
    let request = request(boottime_with_sleep);
    let (lease, _) = acquire(&store, &request, &stop, &Nobody).await.unwrap();
    let pass = lease.record().await.pass;
    let key = keys::snapshot(&request.sources[0], pass);
    // Timers, which stand still meanwhile, have noticed nothing.
    ASLEEP.store(200, Ordering::Relaxed);
    let committed = lease.commit(&key, Bytes::from_static(b"{}")).await;
    let lost = matches!(committed, Err(CommitError::Lost(Lost::NotRenewed(_))));
    assert!(lost, "{committed:?}");
    assert!(!objects.objects.lock().unwrap().contains_key(&key));
}
