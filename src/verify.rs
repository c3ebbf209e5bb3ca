//! Verify: whether what a snapshot needs is in the store, as it was put there.
//!
//! Every segment is read and compared with its digest in the commit record. Contents are compared
//! by what the store knows of them (length, and the checksum it verified when they arrived and has
//! kept), without reading them; or all of them are read back and hashed; or a share is, which
//! rotates with time so that every object gets its turn. Nothing is changed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::entries::{Entries, EntriesError};
use crate::manifest::entry::{Content, Entry};
use crate::manifest::keys::{self, SourceName};
use crate::manifest::snapshot::Snapshot;
use crate::manifest::totals::Totals;
use crate::stop::Stop;
use crate::store::{Store, StoreError, StoreErrorKind};

/// Read at a time.
const RANGE_BYTES: u64 = 8 << 20;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Depth {
    /// By what the store knows.
    Known,
    /// By reading the objects in this window back, and by what the store knows of the others.
    Read(Window),
}

/// A share of all objects, picked by their digests, which are as good as random.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    start: f64,
    share: f64,
}

/// How far the window moves in an hour. Found by search: with this number, runs every 1, 2, 3, 4, 6,
/// 8, 12, 24, 48, 168 or 720 hours all spread well, and cover everything within six times the
/// runs that would do if none overlapped, as the test below makes sure.
const TURNS_PER_HOUR: f64 = 0.391_980_059_031_013_1;

impl Window {
    /// All objects.
    pub const ALL: Self = Self {
        start: 0.0,
        share: 1.0,
    };

    /// The share of `0 < share <= 1` that is due at `now`. No state is kept: the window moves with
    /// time such that runs at any usual interval cover everything before long.
    #[must_use]
    pub fn at(now: Timestamp, share: f64) -> Self {
        let hours = now.as_second() as f64 / 3600.0;
        Self {
            start: (hours * TURNS_PER_HOUR).rem_euclid(1.0),
            share,
        }
    }

    /// Whether an object with this digest is in the window.
    #[must_use]
    pub fn holds(&self, sha256: &[u8; 32]) -> bool {
        let mut first = [0; 8];
        first.copy_from_slice(&sha256[..8]);
        let place = u64::from_be_bytes(first) as f64 / u64::MAX as f64;
        (place - self.start).rem_euclid(1.0) < self.share || self.share >= 1.0
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
    /// Objects looked at.
    pub objects: u64,
    /// Objects read back.
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

/// Verifies one snapshot. Blocks; `progress` is told of each object.
///
/// # Errors
/// The store fails, in a way that says nothing about the objects.
pub fn verify(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    depth: Depth,
    concurrency: usize,
    stop: &Stop,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> Result<Report, StoreError> {
    let runtime = Handle::current();
    let shared = Arc::new(Shared {
        store: Arc::clone(store),
        report: Mutex::new(Report {
            source: snapshot.source.clone(),
            snapshot: snapshot.pass.to_string(),
            ..Report::default()
        }),
        failure: Mutex::default(),
        progress: Box::new(progress),
    });
    let slots = Arc::new(Semaphore::new(concurrency.max(1)));
    let source = SourceName::parse(&snapshot.source).ok();
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
        let (Some(content), Some(source)) = (&entry.content, &source) else {
            continue;
        };
        let key = match &content.key {
            Some(key) => key.to_string(),
            None => keys::content(source, content.pass, &entry.path),
        };
        if content.key.is_some() && !shared_keys.insert(key.clone()) {
            continue;
        }
        let slot = runtime.block_on(Arc::clone(&slots).acquire_owned());
        let shared = Arc::clone(&shared);
        tasks.retain(|task: &tokio::task::JoinHandle<()>| !task.is_finished());
        tasks.push(runtime.spawn(async move {
            shared.object(&entry, &key, depth).await;
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

    async fn object(&self, entry: &Entry, key: &str, depth: Depth) {
        let Some(content) = &entry.content else {
            return;
        };
        let checked = match depth {
            Depth::Read(window) if window.holds(&content.sha256) => {
                self.read_back(entry, content, key).await
            }
            _ => self.ask(entry, content, key).await,
        };
        self.count(|report| report.objects += 1);
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
            // The store keeps checksums of nothing, or the request went to one that does not.
            (None, None, None) => {
                self.count(|report| report.by_length_only += 1);
                None
            }
            _ => Some("altered: the store's checksum is another one".to_owned()),
        })
    }

    /// Reads an object back and hashes it.
    async fn read_back(
        &self,
        entry: &Entry,
        content: &Content,
        key: &str,
    ) -> Result<Option<String>, StoreError> {
        let size = entry.metadata.size;
        let mut hasher = Sha256::new();
        let mut at = 0;
        while at < size {
            let end = size.min(at + RANGE_BYTES);
            let bytes = self.store.get_range(key, at..end).await?;
            hasher.update(&bytes);
            at = end;
        }
        self.count(|report| {
            report.read_objects += 1;
            report.read_bytes += size;
        });
        if hasher.finalize()[..] != content.sha256 {
            return Ok(Some("altered: its SHA-256 is another one".to_owned()));
        }
        // What lies beyond, and whether an empty object is there at all, no range can tell.
        let length = self.store.head(key).await?.size;
        Ok((length != size).then(|| size_problem(size, length)))
    }
}

fn size_problem(expected: u64, found: u64) -> String {
    let what = if found < expected {
        "truncated"
    } else {
        "altered"
    };
    format!("{what}: {found} bytes instead of {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs at `step_hours` until every object was read; how many that took, as a multiple of the
    /// number that would do if none was read twice.
    fn rounds(step_hours: u32, share: f64) -> f64 {
        let digests: Vec<[u8; 32]> = (0..4000_u32)
            .map(|n| Sha256::digest(n.to_be_bytes()).into())
            .collect();
        let mut unread: Vec<_> = digests.iter().collect();
        let mut runs = 0_u32;
        while !unread.is_empty() {
            let seconds = 1_766_800_800 + i64::from(runs) * i64::from(step_hours) * 3600;
            let now = Timestamp::from_second(seconds).unwrap();
            let window = Window::at(now, share);
            unread.retain(|digest| !window.holds(digest));
            runs += 1;
            assert!(runs < 10_000, "never done");
        }
        f64::from(runs) * share
    }

    #[test]
    fn a_rotating_share_covers_everything_in_time() {
        for hours in [1, 2, 3, 4, 6, 8, 12, 24, 48, 168, 720] {
            for share in [0.01, 0.05, 0.1, 0.25, 0.5] {
                let rounds = rounds(hours, share);
                assert!(rounds <= 6.0, "every {hours} h at {share}: {rounds} rounds");
            }
        }
    }

    #[test]
    fn a_share_is_a_share() {
        let window = Window::at(Timestamp::from_second(1_766_800_800).unwrap(), 0.05);
        let held = (0..20_000_u32)
            .filter(|n| window.holds(&Sha256::digest(n.to_be_bytes()).into()))
            .count();
        assert!((800..1200).contains(&held), "{held}");
        assert!((0..100_u32).all(|n| Window::ALL.holds(&Sha256::digest(n.to_be_bytes()).into())));
    }
}
