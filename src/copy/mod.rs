//! Copying snapshots from one store to another.
//!
//! A copy is a pass of the store that it goes to: under that store's lock, what a snapshot needs first, its
//! commit record last. Keys and ids stay, so that the copy is a store like the first, and takes its place by
//! being named instead. It only goes forward: what follows the newest snapshot there is copied, and what does
//! not follow it is refused.
//!
//! What a copy that was killed has brought over is not brought again.

mod by_store;
mod need;
mod not_carried;
mod objects;
mod plan;
mod put_back;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use self::by_store::ByStore;
pub use self::need::Need;
use self::need::needs;
use self::objects::{Brought, Carrier, LARGE_AT_ONCE};
pub use self::plan::{PlanError, newest, to_copy};
pub use self::put_back::PutBack;
use crate::exit::ExitCode;
use crate::format::keys::{self, SourceName};
use crate::format::pass_id::PassId;
use crate::format::snapshot::{self, Snapshot};
use crate::lease::{CommitError, Lease};
use crate::memory::budget::Budget;
use crate::pass::context::Limits;
use crate::snapshots::chain::{self, ChainError};
use crate::snapshots::entries::{Loaded, load};
use crate::snapshots::objects::{ObjectsError, load_bytes};
use crate::stop::Stop;
use crate::store::{Condition, Listing, Placement, Store, StoreError};

/// Objects that wait to be carried.
const QUEUED: usize = 256;

/// Where a copy comes from and goes to.
pub struct Stores {
    /// The store that is copied.
    pub from: Arc<dyn Store>,
    /// The store it is copied to.
    pub to: Arc<dyn Store>,
    /// Whether large objects are left to them.
    by_store: Arc<ByStore>,
}

impl Stores {
    /// Two stores; of the one that is copied to it is known what it can do.
    #[must_use]
    pub fn of(from: Arc<dyn Store>, to: Arc<dyn Store>) -> Self {
        let by_store = Arc::new(ByStore::between(&*from, &*to));
        Self { from, to, by_store }
    }

    /// Why contents pass through here that the stores could have copied by themselves, if that has turned out.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.by_store.refusal()
    }
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Copied {
    /// Snapshots that were committed.
    pub snapshots: u64,
    /// Objects with contents that were carried.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that have not passed through here: the store has taken them from the other one.
    pub server_side_bytes: u64,
    /// Objects with contents that were there already.
    pub there: u64,
}

/// Why a snapshot was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Its commit record cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// It cannot follow what is there.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Its table of objects cannot be read.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// A store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A segment of its manifest is damaged.
    #[error("segment `{key}` of snapshot {snapshot} is damaged: {error}")]
    Segment {
        /// Its key under the prefix.
        key: String,
        /// The snapshot.
        snapshot: PassId,
        /// What is wrong with it.
        error: String,
    },
    /// An object is not what was recorded.
    #[error("object `{key}`, which snapshot {snapshot} needs, {error}")]
    Object {
        /// Its key under the prefix.
        key: String,
        /// The snapshot.
        snapshot: PassId,
        /// What is wrong with it.
        error: String,
    },
    /// The commit record was not written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The command is being stopped.
    #[error("interrupted")]
    Stopped,
}

impl std::ops::AddAssign for Copied {
    fn add_assign(&mut self, other: Self) {
        self.snapshots += other.snapshots;
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.server_side_bytes += other.server_side_bytes;
        self.there += other.there;
    }
}

impl CopyError {
    /// Whether no other source will be copied either.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Store(error) | Self::Chain(ChainError::Store(error)) => error.kind.is_fatal(),
            Self::Commit(_) | Self::Stopped => true,
            Self::Chain(_) | Self::Plan(_) | Self::Objects(_) => false,
            Self::Segment { .. } | Self::Object { .. } => false,
        }
    }

    /// The exit code of a command that ends with this.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Store(error)
            | Self::Chain(ChainError::Store(error))
            | Self::Objects(ObjectsError::Store(error)) => error.kind.exit_code(),
            Self::Plan(PlanError::NotInHistory(_)) => ExitCode::NotFound,
            Self::Plan(_) => ExitCode::Usage,
            Self::Chain(_) | Self::Objects(_) => ExitCode::Integrity,
            Self::Segment { .. } | Self::Object { .. } => ExitCode::Integrity,
            Self::Commit(error) => error.exit_code(),
            Self::Stopped => ExitCode::Failed,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Chain(error) => error.hint(),
            Self::Plan(error) => error.hint(),
            Self::Objects(error) => error.hint(),
            Self::Store(error) => error.kind.hint(),
            Self::Segment { .. } | Self::Object { .. } => Some(
                "`offsite verify` shows what is damaged; a snapshot that lacks something is not copied",
            ),
            Self::Commit(_) | Self::Stopped => None,
        }
    }
}

/// Copies one snapshot, of which everything is there that its ancestor `after` needs.
///
/// # Errors
/// It was not committed there. What was brought over stays for the next copy.
pub async fn copy_snapshot(
    stores: &Stores,
    lease: &Lease,
    (source, pass): (&SourceName, PassId),
    after: Option<PassId>,
    limits: &Limits,
    stop: &Arc<Stop>,
) -> Result<Copied, CopyError> {
    let key = keys::snapshot(source, pass);
    let stored = chain::stored(&*stores.from, source, pass).await?;
    let stored = stored.ok_or(PlanError::Gone(pass))?;
    let record = stored.record;
    let snapshot = stored.standing.into_live().ok_or(PlanError::Gone(pass))?;
    let mut copied = carry_contents(stores, &snapshot, after, limits, stop).await?;
    for segment in &snapshot.segments {
        if is_older(&segment.key, source, after) {
            continue;
        }
        match load(&*stores.from, segment.clone()).await {
            Loaded::Segment(loaded) => put(stores, &segment.key, loaded.bytes.clone()).await?,
            Loaded::Failed(error) => return Err(error.into()),
            Loaded::Damaged(segment, error) => {
                return Err(CopyError::Segment {
                    key: segment.key,
                    snapshot: pass,
                    error,
                });
            }
        }
        if stop.is_set() {
            return Err(CopyError::Stopped);
        }
    }
    if let Some(table) = &snapshot.objects
        && !is_older(&table.key, source, after)
    {
        let bytes = load_bytes(&*stores.from, &snapshot, table).await?;
        put(stores, &table.key, bytes).await?;
    }
    let record = snapshot::as_copy(&record, &snapshot, &stores.from.location());
    lease.commit_copy(&key, record.into()).await?;
    copied.snapshots = 1;
    Ok(copied)
}

/// Whether a segment or a table was written by a pass that is not later than the snapshot that is there, which
/// needs it as well then.
fn is_older(key: &str, source: &SourceName, after: Option<PassId>) -> bool {
    let pass = keys::pass_of_manifest(source, key);
    pass.zip(after).is_some_and(|(pass, after)| pass <= after)
}

/// Puts a part of a manifest, whose digest is in its name or was checked.
async fn put(stores: &Stores, key: &str, bytes: Bytes) -> Result<(), StoreError> {
    stores.to.put(key, bytes, &Condition::Absent).await?;
    Ok(())
}

/// Carries the contents that a snapshot has and its ancestor has not.
async fn carry_contents(
    stores: &Stores,
    snapshot: &Snapshot,
    after: Option<PassId>,
    limits: &Limits,
    stop: &Arc<Stop>,
) -> Result<Copied, CopyError> {
    let runtime = tokio::runtime::Handle::current();
    let carrier = Arc::new(Carrier {
        from: Arc::clone(&stores.from),
        to: Arc::clone(&stores.to),
        memory: Budget::of_bytes(limits.memory_bytes, runtime.clone()),
        requests: Budget::of_requests(limits.concurrency, runtime),
        large: Semaphore::new(LARGE_AT_ONCE),
        by_store: Arc::clone(&stores.by_store),
        condition: Condition::Absent,
        placement: Placement::default(),
    });
    let (found, mut needed) = mpsc::channel::<Result<Need, CopyError>>(QUEUED);
    let (from, listed) = (Arc::clone(&stores.from), snapshot.clone());
    let stopped = Arc::clone(stop);
    let reading = tokio::task::spawn_blocking(move || {
        needs(&from, &listed, after, |need| {
            !stopped.is_set() && found.blocking_send(need).is_ok()
        });
    });
    let slots = Arc::new(Semaphore::new(limits.concurrency.max(1)));
    let mut begun = Begun::default();
    let mut carrying: JoinSet<Result<Brought, CopyError>> = JoinSet::new();
    let mut copied = Copied::default();
    let mut failed = None;
    while let Some(need) = needed.recv().await {
        while let Some(done) = carrying.try_join_next() {
            count(done, &mut copied, &mut failed);
        }
        if failed.is_some() {
            break;
        }
        let need = match need {
            Ok(need) => need,
            Err(error) => {
                failed.get_or_insert(error);
                break;
            }
        };
        let may_be_there = match begun.is_begun(stores, snapshot, &need).await {
            Ok(may_be_there) => may_be_there,
            Err(error) => {
                failed.get_or_insert(error.into());
                break;
            }
        };
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            break;
        };
        let (carrier, pass) = (Arc::clone(&carrier), snapshot.pass);
        carrying.spawn(async move {
            let brought = carrier.carry(&need, may_be_there).await;
            drop(slot);
            brought.map_err(|error| error.into_copy_error(need.key, pass))
        });
    }
    // Who reads ahead has nobody to tell any more.
    drop(needed);
    while let Some(done) = carrying.join_next().await {
        count(done, &mut copied, &mut failed);
    }
    if let Err(panic) = reading.await {
        std::panic::resume_unwind(panic.into_panic());
    }
    match failed {
        Some(error) => Err(error),
        None if stop.is_set() => Err(CopyError::Stopped),
        None => Ok(copied),
    }
}

fn count(
    done: Result<Result<Brought, CopyError>, tokio::task::JoinError>,
    copied: &mut Copied,
    failed: &mut Option<CopyError>,
) {
    match done {
        Ok(Ok(Brought::Carried(bytes))) => {
            copied.objects += 1;
            copied.bytes += bytes;
        }
        Ok(Ok(Brought::ByStore(bytes))) => {
            copied.objects += 1;
            copied.bytes += bytes;
            copied.server_side_bytes += bytes;
        }
        Ok(Ok(Brought::There)) => copied.there += 1,
        Ok(Err(error)) => {
            failed.get_or_insert(error);
        }
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Which passes' contents an earlier copy has begun to bring over: only those are worth a look each.
#[derive(Default)]
struct Begun {
    passes: HashMap<PassId, bool>,
}

impl Begun {
    async fn is_begun(
        &mut self,
        stores: &Stores,
        snapshot: &Snapshot,
        need: &Need,
    ) -> Result<bool, StoreError> {
        // Keys by template have no pass in them, and are few.
        let Some(pass) = keys::pass_of_contents(&snapshot.source, &need.key) else {
            return Ok(true);
        };
        if let Some(begun) = self.passes.get(&pass) {
            return Ok(*begun);
        }
        let prefix = keys::contents(&snapshot.source, pass);
        let mut pages = stores.to.list(Listing {
            prefix: &prefix,
            ..Listing::default()
        });
        let page = pages.next().await?;
        let begun = page.is_some_and(|page| !page.objects.is_empty());
        drop(pages);
        self.passes.insert(pass, begun);
        Ok(begun)
    }
}
