//! A source of a kind and a store, and passes from the one to the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use jiff::Timestamp;
use local_s3::Operation;
use offsite::boottime::boottime;
use offsite::events::{Events, Files, Format, Level, Output};
use offsite::format::keys::SourceName;
use offsite::format::lock::Holder;
use offsite::pass::context::Limits;
use offsite::pass::job::{Method, SourceJob};
use offsite::run::{self, Pass, PassReport};
use offsite::stop::Stop;
use offsite::store::open::open;
use offsite::store::url::StoreUrl;
use offsite::store::{Placement, Store, StoreOptions};

use serde_json::Value;

use super::kind::{KindOfSource, Trouble};
use crate::support::tree::settle;
use crate::support::{BUCKET, PREFIX, SOURCE, World};

/// A source of a kind, and a store.
pub(super) struct Stand {
    pub(super) kind: &'static dyn KindOfSource,
    pub(super) world: World,
    pub(super) job: SourceJob,
    /// How long a pass that failed is tried again.
    pub(super) retry_for: Duration,
}

impl Stand {
    pub(super) fn new(kind: &'static dyn KindOfSource, method: &Method) -> Self {
        let world = World::new();
        let job = SourceJob {
            name: SourceName::parse(SOURCE).unwrap(),
            place: kind.place(world.home.path()),
            detect: offsite::pass::job::Detect::Metadata,
            allow_empty: false,
            afresh: false,
            method: method.clone(),
            sessions: None,
            placement: Placement::default(),
            retention: None,
            depends_on: Vec::new(),
        };
        Self {
            kind,
            world,
            job,
            retry_for: Duration::ZERO,
        }
    }

    pub(super) fn fill(&self, items: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let expected = self.kind.fill(self.world.home.path(), items);
        settle();
        expected
    }

    /// Whether the kind knows that trouble. Then it has it.
    pub(super) fn fill_with(&self, items: &[&str], trouble: (usize, Trouble)) -> bool {
        if !self.kind.troubles().contains(&trouble.1) {
            return false;
        }
        self.kind.fill_with(self.world.home.path(), items, trouble);
        settle();
        true
    }

    async fn store(&self) -> Arc<dyn Store> {
        let keys = self.world.server.credentials();
        let options = StoreOptions {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(self.world.server.endpoint()),
            credentials: Some(Credentials::new(
                &keys.access_key,
                &keys.secret_key,
                None,
                None,
                "test",
            )),
            request_timeout: Duration::from_secs(30),
            concurrency: 4,
            ..StoreOptions::default()
        };
        open(&StoreUrl::s3(BUCKET, PREFIX).unwrap(), &options).await
    }

    pub(super) async fn back_up(&self) -> PassReport {
        self.pass(&Arc::new(Stop::default())).await
    }

    pub(super) async fn pass(&self, stop: &Arc<Stop>) -> PassReport {
        let pass = Pass {
            stop_on_failure: false,
            store_owner: None,
            retention: None,
            copies: Vec::new(),
            sources: vec![self.job.clone()],
            limits: limits(),
            lock_ttl: Duration::from_secs(120),
            lock_wait: Duration::ZERO,
            retry_for: self.retry_for,
        };
        let world = run::World {
            store: self.store().await,
            events: events(),
            stop: Arc::clone(stop),
            interrupted_by: || None,
            holder: Holder::default(),
            random: fastrand::u16(..),
            clock: Timestamp::now,
            boottime,
        };
        run::run(&pass, &world).await
    }

    pub(super) async fn looking_only(&self) -> offsite::pass::context::PassContext {
        let store = self.store().await;
        offsite::pass::context::PassContext {
            store,
            events: events(),
            limits: limits(),
            pass: "20251227T020000Z-7f3a".parse().unwrap(),
            generation: 0,
            started_at: Timestamp::now(),
            stop: Arc::default(),
            clock: Timestamp::now,
        }
    }

    /// Objects of contents that were sent since the requests were last cleared.
    pub(super) fn contents_sent(&self) -> usize {
        let requests = self.world.server.requests();
        let sent = requests.iter().filter(|request| {
            request.status == Some(200) && is_of_contents(request.operation, request.key.as_deref())
        });
        sent.count()
    }

    /// Paths of the latest snapshot that are marked as unreadable.
    pub(super) fn marked(&self) -> Vec<String> {
        let listed = self.world.offsite(["list", "latest", "--json"]);
        let entries: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
        let marked = entries
            .iter()
            .filter(|entry| !entry["unreadable"].is_null());
        marked
            .map(|entry| entry["path"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What the store says of the source.
    pub(super) fn status(&self) -> Value {
        let status = self.world.offsite(["status", "--json"]);
        let status: Value = serde_json::from_str(&status.stdout).unwrap();
        status["sources"][SOURCE].clone()
    }

    pub(super) fn restored(&self) -> BTreeMap<String, Vec<u8>> {
        contents(&self.world.restored_latest())
    }
}

/// Whether a request sends contents.
pub(super) fn is_of_contents(operation: Operation, key: Option<&str>) -> bool {
    let key = key.and_then(|key| key.strip_prefix(PREFIX));
    let is_one = |key: &str| key.starts_with("files/") || key.starts_with("archives/");
    operation == Operation::PutObject && key.is_some_and(is_one)
}

/// The files in a directory.
pub(super) fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap();
    let entries = entries.map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn events() -> Events {
    Events::new(Output {
        format: Format::Text,
        level: Level::Error,
        files: Files::default(),
        run_id: "test".to_owned(),
        task: None,
        metrics_of: None,
    })
}

fn limits() -> Limits {
    Limits {
        copy_whole_bytes: 5 << 30,
        concurrency: 1,
        memory_bytes: 32 << 20,
        scan_threads: 1,
        read_threads: 1,
        segment_entries: 1000,
        checkpoint_entries: 4,
        checkpoint_interval: Duration::from_secs(60),
    }
}
