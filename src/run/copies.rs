//! Copying what one store has to another, under the other one's lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::copied::AfterPass;
use super::holders;
use super::report::millis;
use super::world::{Pass, World};
use crate::copy::{Copied, CopyError, PlanError, Stores, copy_snapshot, newest, to_copy};
use crate::events::Event;
use crate::exit::ExitCode;
use crate::format::keys::SourceName;
use crate::format::lock::{Ending, Lock};
use crate::format::owner::StoreOwner;
use crate::format::pass_id::PassId;
use crate::format::status::CopyStatus;
use crate::lease::{self, Claim, Lease, LeaseError, Lost};
use crate::pass::context::Limits;
use crate::snapshots::select::sources;
use crate::stop::Stop;
use crate::store::open::open;
use crate::store::{Store, StoreError, StoreErrorKind};

/// For what is under way when the lock of the other store is lost.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// On which terms a copy is made.
#[derive(Debug, Clone)]
pub struct Terms {
    /// How much at once.
    pub limits: Limits,
    /// How long the lease lasts without renewal.
    pub lock_ttl: Duration,
    /// How long to wait while another pass holds the lock.
    pub lock_wait: Duration,
    /// Whose store it has to be.
    pub store_owner: Option<StoreOwner>,
    /// Whether the pass that is copied is incomplete without it.
    pub required: bool,
}

/// What is copied: these sources; of each everything that is new, or one snapshot.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Sources of the store that is copied.
    pub sources: Vec<SourceName>,
    /// Up to and including this snapshot, and of what is new that one alone.
    pub snapshot: Option<PassId>,
}

/// Why a copy was not made, or not of everything.
#[derive(Debug, thiserror::Error)]
pub enum CopyFailure {
    /// The other store's lock was not to be had.
    #[error(transparent)]
    NotLocked(#[from] LeaseError),
    /// It was lost.
    #[error(transparent)]
    Lost(Lost),
    /// A source was not copied.
    #[error("source `{source_name}`: {error}")]
    Source {
        /// Name of the source.
        source_name: SourceName,
        /// Why.
        error: CopyError,
    },
    /// The store that is copied fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is the store that is copied.
    #[error("it is `{0}` itself, under another name")]
    Itself(String),
    /// It was being stopped, and what was under way did not end in time.
    #[error("interrupted")]
    Stopped,
}

impl CopyFailure {
    /// The exit code of a command that ends with this.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotLocked(error) => error.exit_code(),
            Self::Lost(lost) => lost.exit_code(),
            Self::Source { error, .. } => error.exit_code(),
            Self::Store(error) => error.kind.exit_code(),
            Self::Itself(_) => ExitCode::Usage,
            Self::Stopped => ExitCode::Failed,
        }
    }

    /// What can be done about it, where `store` is what was copied to.
    #[must_use]
    pub fn hint(&self, store: &str) -> Option<String> {
        match self {
            Self::NotLocked(LeaseError::Held(_) | LeaseError::Doubtful { .. }) => Some(format!(
                "`offsite unlock --store {store}` shows the holder, and takes the lock away with --force if it is dead; the next copy brings what is missing"
            )),
            Self::NotLocked(LeaseError::OtherOwner { .. }) => Some(format!(
                "give the copy a prefix or directory of its own; if it is meant to become this backup's, run `offsite adopt --store {store}`"
            )),
            Self::NotLocked(LeaseError::Store(error) | LeaseError::Unsettled { error, .. })
            | Self::Store(error)
            | Self::Source {
                error: CopyError::Store(error),
                ..
            } => hint_of_store(error, store),
            Self::NotLocked(error) => error.hint().map(str::to_owned),
            Self::Itself(_) => Some("name another place for the copy".to_owned()),
            Self::Lost(_) | Self::Stopped => None,
            Self::Source { error, .. } => error.hint().map(str::to_owned),
        }
    }
}

/// What can be done about a store that fails: where it is the copy, what to check is of the copy.
fn hint_of_store(error: &StoreError, store: &str) -> Option<String> {
    let is_about_place = matches!(
        error.kind,
        StoreErrorKind::NoSuchBucket
            | StoreErrorKind::Transport(_)
            | StoreErrorKind::UnexpectedAnswer(_)
            | StoreErrorKind::WrongRegion(_)
    );
    match is_about_place && error.location.starts_with(store) {
        true => Some(format!(
            "check the name, the region and the endpoint of the copy, `{store}`, in `backup.copies` or of `offsite copy`"
        )),
        false => error.kind.hint().map(str::to_owned),
    }
}

/// Copies everything that a pass's store has to its further stores, one after the other.
pub(super) async fn after_pass(pass: &Pass, world: &World) -> AfterPass {
    let mut after = AfterPass::default();
    for job in &pass.copies {
        if world.stop.is_set() {
            return after;
        }
        let terms = Terms {
            limits: pass.limits.clone(),
            lock_ttl: pass.lock_ttl,
            lock_wait: pass.lock_wait,
            store_owner: pass.store_owner.clone(),
            required: job.required,
        };
        let ready = async {
            (
                open(&job.store, &job.options).await,
                sources(&*world.store).await,
            )
        };
        let copied = tokio::select! {
            (to, sources) = ready => match sources {
                Ok(sources) => Ok((to, Scope { sources, snapshot: None })),
                Err(error) => Err(error.into()),
            },
            () = world.stop.left() => Err(CopyFailure::Stopped),
        };
        let copied = match copied {
            Ok((to, scope)) => copy(world, to, &scope, &terms).await,
            Err(failure) => Err(failure),
        };
        if copied.is_err() && world.stop.is_set() {
            return after;
        }
        after.copies.push(CopyStatus {
            store: job.store.to_string(),
            required: job.required,
            finished_at: world.store.now(),
            error: copied.err().map(|error| error.to_string()),
        });
    }
    after.is_over = true;
    after
}

/// Copies what `world.store` has to another store, and tells.
///
/// # Errors
/// Something was not copied: the first reason. What was copied is, all the same.
pub async fn copy(
    world: &World,
    to: Arc<dyn Store>,
    scope: &Scope,
    terms: &Terms,
) -> Result<Copied, CopyFailure> {
    let began = Instant::now();
    let requests = to.requests();
    let store = to.location();
    world.events.emit(&Event::CopyStarted {
        store: store.clone(),
        sources: scope.sources.clone(),
    });
    let mut copied = Copied::default();
    let result = copy_under_lock(world, &to, scope, terms, &mut copied).await;
    let duration_ms = millis(began.elapsed());
    let requests = to.requests() - requests;
    world.events.emit(&match &result {
        Ok(()) => Event::CopyCompleted {
            store,
            snapshots: copied.snapshots,
            objects: copied.objects,
            bytes: copied.bytes,
            server_side_bytes: copied.server_side_bytes,
            duration_ms,
            requests,
        },
        Err(failure) => Event::CopyFailed {
            store,
            required: terms.required,
            snapshots: copied.snapshots,
            error: failure.to_string(),
            hint: failure.hint(&to.location()),
            duration_ms,
            requests,
        },
    });
    result.map(|()| copied)
}

async fn copy_under_lock(
    world: &World,
    to: &Arc<dyn Store>,
    scope: &Scope,
    terms: &Terms,
    copied: &mut Copied,
) -> Result<(), CopyFailure> {
    let there = World {
        store: Arc::clone(to),
        stop: Stop::within(&world.stop),
        ..world.clone()
    };
    let request = lease::Request {
        holder: world.holder.clone(),
        claim: Claim::Owner(terms.store_owner.clone()),
        // They are named one by one: what is committed are other passes' snapshots.
        sources: Vec::new(),
        ttl: terms.lock_ttl,
        wait: terms.lock_wait,
        random: world.random,
        boottime: world.boottime,
    };
    let observer = holders::Observer::new(&there, terms.lock_wait, &[]);
    let (lease, previous) = tokio::select! {
        taken = lease::acquire(to, &request, &there.stop, &observer) => taken?,
        // A directory may hang, and a lock that was just taken there expires.
        () = super::report::no_time_left(world) => return Err(CopyFailure::Stopped),
    };
    let stores = Stores::of(Arc::clone(&world.store), Arc::clone(to));
    let work = async {
        let was_in_use = previous.is_some();
        super::report::tell_of_owner(&there, &lease, previous.as_ref(), was_in_use).await;
        if is_held_by(&*world.store, &lease).await {
            return Err(CopyFailure::Itself(world.store.location()));
        }
        copy_sources(&there, &stores, &lease, scope, terms, copied).await
    };
    let watch = async {
        lease.lost().await;
        there.stop.stop();
        // What is under way may hang, and the lock is somebody else's.
        tokio::time::sleep(LAST_WORDS).await;
    };
    // Either store may hang. What was found out or committed by then counts.
    let result = tokio::select! {
        biased;
        result = work => result,
        () = watch => Err(CopyFailure::Stopped),
        () = there.stop.left() => Err(CopyFailure::Stopped),
    };
    if let Some(reason) = stores.refusal() {
        there.events.emit(&Event::Notice {
            message: format!(
                "{}: the store does not take contents from {} by itself, so they were read and written: {reason}",
                to.location(),
                world.store.location()
            ),
        });
    }
    if let Some(lost) = lease.is_lost() {
        return Err(CopyFailure::Lost(lost));
    }
    // A pass that comes later looks at everything itself.
    super::report::release_in_time(&there, lease, Ending::Unfinished).await;
    result
}

/// Whether a store's lock is this lease, so that the store is the one that is locked, however it is called: by a
/// link, through another address.
async fn is_held_by(store: &dyn Store, lease: &Lease) -> bool {
    let seen = lease::look(store).await;
    let own = lease.record().await;
    let is_own = |lock: &Lock| lock.is_of(&own) && lock.pass == own.pass;
    matches!(&seen, Ok(Some(seen)) if is_own(&seen.record))
}

/// Copies one source after the other. One that fails does not keep the others from being tried, unless
/// everything would.
async fn copy_sources(
    there: &World,
    stores: &Stores,
    lease: &Lease,
    scope: &Scope,
    terms: &Terms,
    copied: &mut Copied,
) -> Result<(), CopyFailure> {
    let mut first = None;
    for source in &scope.sources {
        let result = copy_source(
            there,
            stores,
            lease,
            (source, scope.snapshot),
            terms,
            copied,
        );
        let Err(error) = result.await else { continue };
        let is_over = error.is_fatal();
        first.get_or_insert(CopyFailure::Source {
            source_name: source.clone(),
            error,
        });
        if is_over || there.stop.is_set() {
            break;
        }
    }
    first.map_or(Ok(()), Err)
}

async fn copy_source(
    there: &World,
    stores: &Stores,
    lease: &Lease,
    (source, only): (&SourceName, Option<PassId>),
    terms: &Terms,
    copied: &mut Copied,
) -> Result<(), CopyError> {
    let mut after = newest(&*stores.to, source).await?;
    let passes = to_copy(&stores.from, source, after, only).await?;
    if let Some(last) = passes.last()
        && lease.record().await.pass <= *last
    {
        // Passes of the other store come after what is copied to it.
        let renamed = lease.rename_after(*last, there.random).await;
        renamed.map_err(|lost| CopyError::Commit(lost.into()))?;
    }
    for pass in passes {
        let one = copy_snapshot(
            stores,
            lease,
            (source, pass),
            after,
            &terms.limits,
            &there.stop,
        );
        let one = match one.await {
            // A prune has condemned it since.
            Err(CopyError::Plan(PlanError::Gone(_))) => continue,
            one => one?,
        };
        there.events.emit(&Event::SnapshotCopied {
            source: source.clone(),
            snapshot: pass,
            objects: one.objects,
            bytes: one.bytes,
            server_side_bytes: one.server_side_bytes,
            there: one.there,
        });
        *copied += one;
        after = Some(pass);
    }
    Ok(())
}
