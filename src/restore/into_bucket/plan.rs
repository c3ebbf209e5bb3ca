//! What putting objects back will do, without doing it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::IntoBucket;
use super::beside::{Beside, SideBySide, Unread};
use super::sight::{Looker, Sight};
use crate::format::snapshot::Snapshot;
use crate::restore::Shortfall;
use crate::snapshots::entries::EntriesError;
use crate::store::server_side::copy_requests;
use crate::store::{ETag, Store, StoreError};

/// What is named of each kind; the rest is counted.
const NAMED: usize = 20;

/// What becomes of all objects.
#[derive(Debug, Default, Serialize)]
pub struct BucketPlan {
    /// Objects to put where nothing is.
    pub create: u64,
    /// Bytes of those.
    pub create_bytes: u64,
    /// Objects that are there already.
    pub keep: u64,
    /// Objects that replace something else.
    pub replace: u64,
    /// Bytes of those.
    pub replace_bytes: u64,
    /// Requests that this takes, listings not counted.
    pub requests: u64,
    /// What the snapshot does not have, at most twenty of them: objects that were never copied.
    pub lacking: Vec<Shortfall>,
    /// How much it does not have.
    pub lacking_count: u64,
    /// Keys under which something else is, at most twenty of them.
    pub conflicts: Vec<String>,
    /// How many there are.
    pub conflict_count: u64,
    /// Keys under which nothing can be put, at most twenty of them.
    pub impossible: Vec<Shortfall>,
    /// How many there are.
    pub impossible_count: u64,
    /// Segments of the manifest that cannot be read.
    pub damaged: Vec<String>,
    /// Versions that are to be replaced.
    #[serde(skip)]
    seen: Vec<u64>,
}

/// Compares the bucket with what is to be put back. Blocks.
///
/// # Errors
/// The bucket or the store cannot be read.
pub fn plan(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    what: &IntoBucket,
) -> Result<BucketPlan, StoreError> {
    let runtime = Handle::current();
    let looker = Looker::of(store, what);
    let plan = Arc::new(Mutex::new(BucketPlan::default()));
    let mut looking: JoinSet<Result<(), StoreError>> = JoinSet::new();
    for beside in SideBySide::of(store, snapshot, what) {
        let beside = match beside {
            Ok(beside) => beside,
            Err(Unread::Entries(EntriesError::Store(error)) | Unread::Target(error)) => {
                return Err(error);
            }
            Err(Unread::Entries(damaged)) => {
                locked(&plan).damaged.push(damaged.to_string());
                continue;
            }
        };
        let sight = Sight::of(&beside, what);
        if sight != Sight::Unclear {
            locked(&plan).add(&beside, sight, what);
            continue;
        }
        while looking.len() >= what.concurrency.max(1) {
            settle(runtime.block_on(looking.join_next()))?;
        }
        let (plan, looker) = (Arc::clone(&plan), Arc::clone(&looker));
        let look = async move {
            let sight = looker.look(&beside.entry, beside.key()).await?;
            locked(&plan).add(&beside, sight, &looker.what);
            Ok(())
        };
        looking.spawn_on(look, &runtime);
    }
    while !looking.is_empty() {
        settle(runtime.block_on(looking.join_next()))?;
    }
    let mut plan = std::mem::take(&mut *locked(&plan));
    plan.seen.sort_unstable();
    Ok(plan)
}

fn locked(plan: &Mutex<BucketPlan>) -> std::sync::MutexGuard<'_, BucketPlan> {
    plan.lock().expect("nothing panics holding this")
}

fn settle(
    looked: Option<Result<Result<(), StoreError>, tokio::task::JoinError>>,
) -> Result<(), StoreError> {
    match looked {
        Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        Some(Ok(result)) => result,
        None => Ok(()),
    }
}

impl BucketPlan {
    /// Whether nothing was wanted, of what could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let objects = [self.create, self.keep, self.replace, self.lacking_count];
        let wanted = objects.iter().sum::<u64>() + self.conflict_count + self.impossible_count;
        wanted == 0 && self.damaged.is_empty()
    }

    /// Whether this version was seen, and is to be replaced.
    pub(super) fn has_seen(&self, key: &str, etag: &ETag) -> bool {
        self.seen.binary_search(&version(key, etag)).is_ok()
    }

    fn add(&mut self, beside: &Beside, sight: Sight, what: &IntoBucket) {
        let (entry, key) = (&beside.entry, beside.key());
        let size = entry.metadata.size;
        let name = |list: &mut Vec<Shortfall>, error: &str| {
            if list.len() < NAMED {
                let (path, error) = (key.to_owned(), error.to_owned());
                list.push(Shortfall { path, error });
            }
        };
        if entry.content.is_none() {
            self.lacking_count += 1;
            return name(&mut self.lacking, "it was never copied");
        }
        match sight {
            Sight::Same => self.keep += 1,
            _ if what.cannot_hold(key).is_some() => {
                self.impossible_count += 1;
                name(
                    &mut self.impossible,
                    what.cannot_hold(key).unwrap_or_default(),
                );
            }
            Sight::Nothing => {
                self.create += 1;
                self.create_bytes = self.create_bytes.saturating_add(size);
                self.requests += copy_requests(size, what.whole_bytes);
            }
            Sight::Different | Sight::Unclear if what.overwrite => {
                self.replace += 1;
                self.replace_bytes = self.replace_bytes.saturating_add(size);
                self.requests += copy_requests(size, what.whole_bytes);
                if let Some(there) = &beside.there {
                    self.seen.push(version(key, &there.etag));
                }
            }
            Sight::Different | Sight::Unclear => {
                self.conflict_count += 1;
                if self.conflicts.len() < NAMED {
                    self.conflicts.push(key.to_owned());
                }
            }
        }
    }
}

/// A version of an object in eight bytes: some millions of them are in memory at once.
fn version(key: &str, etag: &ETag) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, etag.bare()).hash(&mut hasher);
    hasher.finish()
}
