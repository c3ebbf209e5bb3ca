//! Verify: whether what a snapshot needs is in the store, as it was put there.
//!
//! Every segment is read and compared with its digest in the commit record. Contents are compared
//! by what the store knows of them (length, and the checksum it verified when they arrived and has
//! kept), without reading them; or all of them are read back and hashed; or a share is, which
//! rotates with time so that every object gets its turn. Nothing is changed.

mod archives;
mod window;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::contents::{Contents, ContentsError};
use crate::entries::{Entries, EntriesError};
use crate::manifest::entry::{Content, Entry};
use crate::manifest::keys::{self, SourceName};
use crate::manifest::snapshot::Snapshot;
use crate::manifest::totals::Totals;
use crate::stop::Stop;
use crate::store::{Store, StoreError, StoreErrorKind};

use self::archives::Archives;
pub use self::window::Window;

/// What is read back is in memory up to so many bytes at once.
const MEMORY_BYTES: usize = 64 << 20;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Depth {
    /// By what the store knows.
    Known,
    /// By reading the objects in this window back, and by what the store knows of the others.
    Read(Window),
}

impl Depth {
    fn reads(&self, content: &Content) -> bool {
        matches!(self, Self::Read(window) if window.holds(&content.sha256))
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The file it concerns, or the first of a segment's.
    pub path: String,
    /// The object.
    pub key: String,
    /// What is wrong.
    pub problem: String,
}

/// What was looked at, and what was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Name of the source.
    pub source: String,
    /// The snapshot.
    pub snapshot: String,
    /// Objects looked at; an archive is one.
    pub objects: u64,
    /// Objects, and files in archives, read back.
    pub read_objects: u64,
    /// Bytes read back.
    pub read_bytes: u64,
    /// Objects of which the store keeps no checksum, so that only their length was compared.
    pub by_length_only: u64,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// Why not everything was looked at, if it was not.
    pub ended_early: Option<String>,
}

/// Verifies one snapshot. Blocks; `progress` is told of each object, and of each file in an archive.
///
/// # Errors
/// The store fails, in a way that says nothing about the objects.
pub fn verify(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    depth: Depth,
    concurrency: usize,
    stop: &Arc<Stop>,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> Result<Report, StoreError> {
    let runtime = Handle::current();
    let archives = Archives::of(store, snapshot, runtime.clone());
    let source = SourceName::parse(&snapshot.source).ok();
    let contents = source.as_ref().map(|source| {
        Contents::of(store, source.clone(), MEMORY_BYTES, stop).observed_by(archives.observer())
    });
    let shared = Arc::new(Shared {
        store: Arc::clone(store),
        contents,
        report: Mutex::new(Report {
            source: snapshot.source.clone(),
            snapshot: snapshot.pass.to_string(),
            ..Report::default()
        }),
        failure: Mutex::default(),
        progress: Box::new(progress),
    });
    let slots = Arc::new(Semaphore::new(concurrency.max(1)));
    let mut shared_keys = HashSet::new();
    let mut totals = Totals::default();
    let mut tasks = Vec::new();
    for entry in Entries::of(store, snapshot) {
        if stop.is_set() || shared.failure().is_some() {
            break;
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(EntriesError::Store(error)) => return Err(error),
            Err(EntriesError::Damaged { segment, error }) => {
                shared.find(&segment.first, &segment.key, format!("segment: {error}"));
                continue;
            }
        };
        totals += Totals::of(&entry);
        let (Some(content), Some(contents)) = (&entry.content, &shared.contents) else {
            continue;
        };
        let key = contents.key(&entry, content);
        if content.key.is_some() && !shared_keys.insert(key.clone()) {
            continue;
        }
        if let (Some(range), false) = (&content.archive, depth.reads(content)) {
            // One look at an archive tells of all its files.
            match archives.problem(range, content.pass) {
                Ok(None) => {}
                Ok(Some(problem)) => shared.find(&entry.path.to_string(), &key, problem),
                Err(error) => return Err(error),
            }
            (shared.progress)(1);
            continue;
        }
        let slot = runtime.block_on(Arc::clone(&slots).acquire_owned());
        let shared = Arc::clone(&shared);
        tasks.retain(|task: &tokio::task::JoinHandle<()>| !task.is_finished());
        tasks.push(runtime.spawn(async move {
            shared.object(entry, &key, depth).await;
            drop(slot);
        }));
    }
    for task in tasks {
        // A task that panicked has said so.
        let _ = runtime.block_on(task);
    }
    if let Some(error) = shared.failure() {
        return Err(error);
    }
    let mut report = std::mem::take(&mut *shared.report.lock().expect("nothing panics here"));
    report.objects += archives.looked_at();
    report.by_length_only += archives.by_length_only();
    if depth == Depth::Read(Window::ALL) && report.findings.is_empty() && !stop.is_set() {
        report.findings.extend(archives.read_the_rest()?);
    }
    if report.findings.is_empty() && !stop.is_set() && totals != snapshot.totals {
        report.findings.push(Finding {
            path: ".".to_owned(),
            key: format!(
                "{}{}/{}.json",
                keys::SNAPSHOTS,
                snapshot.source,
                snapshot.pass
            ),
            problem: "the totals in the commit record are not those of its segments".to_owned(),
        });
    }
    report.findings.sort_by(|a, b| a.path.cmp(&b.path));
    report.ended_early = stop.is_set().then(|| "interrupted".to_owned());
    Ok(report)
}

struct Shared {
    store: Arc<dyn Store>,
    contents: Option<Contents>,
    report: Mutex<Report>,
    failure: Mutex<Option<StoreError>>,
    progress: Box<dyn Fn(u64) + Send + Sync>,
}

impl Shared {
    fn failure(&self) -> Option<StoreError> {
        self.failure
            .lock()
            .expect("nothing panics holding this")
            .clone()
    }

    fn count(&self, count: impl FnOnce(&mut Report)) {
        count(&mut self.report.lock().expect("nothing panics holding this"));
    }

    fn find(&self, path: &str, key: &str, problem: String) {
        let finding = Finding {
            path: path.to_owned(),
            key: key.to_owned(),
            problem,
        };
        self.count(|report| report.findings.push(finding));
    }

    async fn object(self: Arc<Self>, entry: Entry, key: &str, depth: Depth) {
        let Some(content) = &entry.content else {
            return;
        };
        let is_archived = content.archive.is_some();
        let entry = Arc::new(entry.clone());
        let checked = match depth.reads(content) {
            true => Self::read_back(&self, &entry, key).await,
            false => self.ask(&entry, content, key).await,
        };
        self.count(|report| report.objects += u64::from(!is_archived));
        (self.progress)(1);
        match checked {
            Ok(None) => {}
            Ok(Some(problem)) => self.find(&entry.path.to_string(), key, problem),
            Err(error) => {
                let problem = match &error.kind {
                    StoreErrorKind::NotFound => "missing".to_owned(),
                    StoreErrorKind::TooShort => "truncated".to_owned(),
                    StoreErrorKind::Archived(says) => format!("archived ({says}); not read"),
                    _ => {
                        let mut failure = self.failure.lock().expect("nothing panics here");
                        failure.get_or_insert(error);
                        return;
                    }
                };
                self.find(&entry.path.to_string(), key, problem);
            }
        }
    }

    /// Compares the entry with what the store knows.
    async fn ask(
        &self,
        entry: &Entry,
        content: &Content,
        key: &str,
    ) -> Result<Option<String>, StoreError> {
        let info = self.store.head(key).await?;
        let size = entry.metadata.size;
        if info.size != size {
            return Ok(Some(size_problem(size, info.size)));
        }
        let same = match content.crc64nvme {
            Some(crc) => info.crc64nvme.map(|known| known == crc),
            None => info.sha256.map(|known| known == content.sha256),
        };
        Ok(match (same, info.sha256, info.crc64nvme) {
            (Some(true), ..) => None,
            (None, None, None) if info.has_foreign_checksum => Some(FOREIGN.to_owned()),
            // The store keeps checksums of nothing, or the request went to one that does not.
            (None, None, None) => {
                self.count(|report| report.by_length_only += 1);
                None
            }
            _ => Some("altered: the store's checksum is another one".to_owned()),
        })
    }

    /// Reads contents back and hashes them.
    async fn read_back(
        this: &Arc<Self>,
        entry: &Arc<Entry>,
        key: &str,
    ) -> Result<Option<String>, StoreError> {
        let size = entry.metadata.size;
        let (reader, read) = (Arc::clone(this), Arc::clone(entry));
        let result = tokio::task::spawn_blocking(move || {
            let (Some(contents), Some(content)) = (&reader.contents, &read.content) else {
                return Ok(());
            };
            contents.read(&read, content, |_, _| Ok(()))
        });
        match result.await {
            Ok(Err(ContentsError::Altered(_))) => {
                return Ok(Some("altered: its SHA-256 is another one".to_owned()));
            }
            Ok(Err(ContentsError::Store(error))) => return Err(error),
            // Nothing is written, and who is being stopped says so.
            Ok(Err(ContentsError::Write(_) | ContentsError::Stopped)) | Err(_) => return Ok(None),
            Ok(Ok(())) => {}
        }
        this.count(|report| {
            report.read_objects += 1;
            report.read_bytes += size;
        });
        if entry.content.as_ref().is_some_and(|c| c.archive.is_some()) {
            return Ok(None);
        }
        // What lies beyond, and whether an empty object is there at all, no range can tell.
        let length = this.store.head(key).await?.size;
        Ok((length != size).then(|| size_problem(size, length)))
    }
}

/// Of an object that offsite did not put, as its checksum of another kind shows.
const FOREIGN: &str = "put again by something else: the store has a checksum of another kind than what was put; `--read` compares contents";

fn size_problem(expected: u64, found: u64) -> String {
    let what = if found < expected {
        "truncated"
    } else {
        "altered"
    };
    format!("{what}: {found} bytes instead of {expected}")
}
