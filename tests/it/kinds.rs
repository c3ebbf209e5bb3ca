//! Conformance of sources: what a pass does with every kind, asked through the trait that passes use.
//!
//! A new kind gets a [`Kind`] here and passes through the same cases.

mod directory;
mod lines;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use jiff::Timestamp;
use local_s3::{HookAction, Operation, RequestInfo};
use offsite::boottime::boottime;
use offsite::events::{Events, Files, Format, Level, Output};
use offsite::exit::ExitCode;
use offsite::format::codec::Codec;
use offsite::format::keys::SourceName;
use offsite::format::lock::Holder;
use offsite::pass::context::Limits;
use offsite::pass::job::ArchiveOptions;
use offsite::pass::job::{Method, SourceJob};
use offsite::run::{self, Pass, PassReport};
use offsite::source::Place;
use offsite::stop::Stop;
use offsite::store::open::open;
use offsite::store::url::StoreUrl;
use offsite::store::{Placement, Store, StoreOptions};

use crate::support::tree::settle;
use crate::support::{BUCKET, PREFIX, SOURCE, World};

/// A kind of source, with a place of its own in a directory that is empty at first.
trait Kind {
    /// The place.
    fn place(&self, home: &Path) -> Arc<dyn Place>;

    /// Gives the source these items, in this order, and no others. Returns what a restore is to show: names
    /// and contents.
    fn fill(&self, home: &Path, items: &[&str]) -> BTreeMap<String, Vec<u8>>;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory() {
    conform(&directory::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_file() {
    conform(&lines::Lines::AsFiles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_file_as_streams() {
    conform(&lines::Lines::AsStreams).await;
    for method in [Method::Files, archive()] {
        a_stream_that_breaks_off_is_not_kept(&method).await;
    }
}

async fn a_stream_that_breaks_off_is_not_kept(method: &Method) {
    let stand = Stand::new(&lines::Lines::AsStreams, method);
    let first = stand.fill(&["one", "two", "three"]);
    assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
    stand.fill(&["one", lines::BROKEN, "three"]);
    stand.world.server.clear_requests();
    assert_eq!(stand.back_up().await.exit_code, ExitCode::Incomplete);
    assert!(stand.world.server.uploads(BUCKET).is_empty());
    // The last version stays.
    assert_eq!(stand.restored(), first);
}

async fn conform(kind: &dyn Kind) {
    for method in [Method::Files, archive()] {
        everything_comes_back(kind, &method).await;
        what_has_not_changed_is_not_sent_again(kind, &method).await;
        what_was_interrupted_is_continued(kind, &method).await;
        a_plan_says_what_a_pass_does(kind, &method).await;
        an_empty_source_fails(kind, &method).await;
    }
}

async fn everything_comes_back(kind: &dyn Kind, method: &Method) {
    let stand = Stand::new(kind, method);
    let first = stand.fill(&["one", "", "three"]);
    assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
    assert_eq!(stand.restored(), first);
    let second = stand.fill(&["one", "two"]);
    assert_eq!(stand.back_up().await.exit_code, ExitCode::Complete);
    assert_eq!(stand.restored(), second);
    for args in [&["verify"][..], &["verify", "--read"]] {
        let output = stand.world.offsite(args);
        assert_eq!(output.code, 0, "{output:?}");
    }
    let earlier = stand.world.restored(&stand.world.snapshots()[0]);
    assert_eq!(contents(&earlier), first);
}

async fn what_has_not_changed_is_not_sent_again(kind: &dyn Kind, method: &Method) {
    let stand = Stand::new(kind, method);
    stand.fill(&["one", "two", "three"]);
    stand.back_up().await;
    stand.world.server.clear_requests();
    let report = stand.back_up().await;
    assert_eq!(report.exit_code, ExitCode::Complete);
    assert_eq!(report.committed[0].changes.uploaded_files, 0);
    assert_eq!(stand.contents_sent(), 0);
    let changed = stand.fill(&["one", "2", "three"]);
    let report = stand.back_up().await;
    assert_eq!(report.committed[0].changes.uploaded_files, 1);
    assert_eq!(stand.restored(), changed);
}

async fn what_was_interrupted_is_continued(kind: &dyn Kind, method: &Method) {
    if matches!(method, Method::Archive(_)) {
        // An archive counts once it is complete.
        return;
    }
    let stand = Stand::new(kind, method);
    let items: Vec<String> = (0..40).map(|n| format!("contents {n}")).collect();
    let expected = stand.fill(&items.iter().map(String::as_str).collect::<Vec<_>>());
    let stop = Arc::new(Stop::default());
    let stopping = Arc::clone(&stop);
    stand.world.server.on_request(move |request| {
        if is_checkpoint(request) {
            stopping.stop();
        }
        HookAction::Proceed
    });
    let report = stand.pass(&stop).await;
    assert!(report.committed.is_empty(), "{report:?}");
    stand.world.server.clear_hook();
    let sent = stand.contents_sent();
    assert!((1..=40).contains(&sent), "{sent}");
    let report = stand.back_up().await;
    assert_eq!(report.exit_code, ExitCode::Complete);
    let again = report.committed[0].changes.uploaded_files;
    assert!(
        again < 40,
        "nothing of the first pass is used: {sent} {again}"
    );
    assert_eq!(stand.restored(), expected);
}

async fn a_plan_says_what_a_pass_does(kind: &dyn Kind, method: &Method) {
    let stand = Stand::new(kind, method);
    stand.fill(&["one", "two", "three"]);
    stand.back_up().await;
    stand.fill(&["one", "zwei", "three"]);
    let context = stand.looking_only().await;
    let plan = offsite::plan::plan(&context, &stand.job).await.unwrap();
    let report = stand.back_up().await;
    let changes = report.committed[0].changes;
    assert_eq!(
        (plan.new, plan.changed, plan.removed, plan.unchanged),
        (
            changes.new,
            changes.changed,
            changes.removed,
            changes.unchanged
        )
    );
    assert_eq!(plan.send_files, changes.uploaded_files);
}

async fn an_empty_source_fails(kind: &dyn Kind, method: &Method) {
    let stand = Stand::new(kind, method);
    stand.fill(&["one"]);
    stand.back_up().await;
    stand.fill(&[]);
    let report = stand.back_up().await;
    assert_eq!(report.exit_code, ExitCode::Failed);
    assert_eq!(stand.world.snapshots().len(), 1);
}

/// A source of a kind, and a store.
struct Stand<'a> {
    kind: &'a dyn Kind,
    world: World,
    job: SourceJob,
}

impl<'a> Stand<'a> {
    fn new(kind: &'a dyn Kind, method: &Method) -> Self {
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
        };
        Self { kind, world, job }
    }

    fn fill(&self, items: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let expected = self.kind.fill(self.world.home.path(), items);
        settle();
        expected
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

    async fn back_up(&self) -> PassReport {
        self.pass(&Arc::new(Stop::default())).await
    }

    async fn pass(&self, stop: &Arc<Stop>) -> PassReport {
        let pass = Pass {
            store_owner: None,
            sources: vec![self.job.clone()],
            limits: limits(),
            lock_ttl: Duration::from_secs(120),
            lock_wait: Duration::ZERO,
            retry_for: Duration::ZERO,
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

    async fn looking_only(&self) -> offsite::pass::context::PassContext {
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
    fn contents_sent(&self) -> usize {
        let requests = self.world.server.requests();
        let sent = requests.iter().filter(|request| {
            let key = request.key.as_deref().unwrap_or_default();
            let key = key.strip_prefix(PREFIX).unwrap_or_default();
            request.operation == Operation::PutObject
                && request.status == Some(200)
                && (key.starts_with("files/") || key.starts_with("archives/"))
        });
        sent.count()
    }

    fn restored(&self) -> BTreeMap<String, Vec<u8>> {
        contents(&self.world.restored_latest())
    }
}

/// The files in a directory.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap();
    let entries = entries.map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn is_checkpoint(request: &RequestInfo) -> bool {
    let key = request.key.as_deref().unwrap_or_default();
    request.operation == Operation::PutObject && key.contains("/manifests/")
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
        concurrency: 1,
        memory_bytes: 32 << 20,
        scan_threads: 1,
        read_threads: 1,
        segment_entries: 1000,
        checkpoint_entries: 4,
        checkpoint_interval: Duration::from_secs(60),
    }
}

fn archive() -> Method {
    Method::Archive(ArchiveOptions {
        codec: Codec::Zstd,
        level: 3,
        template: offsite::archive::template::KeyTemplate::of_archives(),
        incremental: true,
        full_every: None,
    })
}
