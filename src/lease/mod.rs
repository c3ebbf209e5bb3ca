//! The lease: one object that says who may commit.
//!
//! Only conditional puts are needed; no list, no local wall clock, no delete permission. A lease is
//! taken where there is none, or over one that was released or has expired, with the generation one
//! higher; it is renewed and released by `If-Match`. Whether it has expired is judged by the store's
//! own time: the `Date` of the answer against `Last-Modified`. The holder measures on its monotonic
//! clock, from before a renewal was sent, and stops committing when two thirds of the lease's time
//! have passed without a renewal, well before anybody else may take it. A lease whose holder is known
//! to be gone, as an ECS task that has stopped, need not expire first.
//!
//! The lock object is never deleted. Released, it carries the id and the outcome of its last pass:
//! the next id sorts after it, and the next pass knows whether anything was left unfinished.

mod keeper;
mod record;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

pub use self::keeper::{CommitError, Lease, Lost};
pub use self::record::{Holder, Outcome, Record, State};
use crate::exit::ExitCode;
use crate::manifest::keys;
use crate::manifest::pass_id::PassId;
use crate::stop::Stop;
use crate::store::{Condition, ETag, Store, StoreError, StoreErrorKind};

/// How often a pass that waits looks again. A look costs one small read.
const POLL: Duration = Duration::from_secs(3);

/// `Last-Modified` and `Date` are whole seconds; this much is never counted against a holder.
const CLOCK_STEP: SignedDuration = SignedDuration::from_secs(1);

/// Who has the lock, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What the lock object says.
    pub record: Record,
    /// When it was last renewed, in the store's time.
    pub renewed_at: Timestamp,
    /// When it expires unless it is renewed, in the store's time.
    pub until: Timestamp,
}

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another pass holds the lock.
    #[error("another pass holds the lock: {} since {}, until {}", .0.record.holder, .0.record.acquired_at, .0.until)]
    Held(Box<Held>),
    /// The object under the lock's key is something else.
    #[error("the lock object is not a lease: {0}")]
    Malformed(String),
    /// The store takes a conditional put whose condition does not hold.
    #[error("the store ignores conditional writes, so a lock cannot exclude anybody")]
    Unconditional,
    /// Answers come without the time.
    #[error("the store does not tell the time (its answers have no `Date` header)")]
    NoClock,
    /// The pass was stopped before it had the lock.
    #[error("interrupted while waiting for the lock")]
    Interrupted,
    /// A request failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LeaseError {
    /// The exit code of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Held(_) => ExitCode::Locked,
            Self::Malformed(_) | Self::Unconditional | Self::NoClock => ExitCode::Failed,
            Self::Interrupted => ExitCode::Terminated,
            Self::Store(error) => error.kind.exit_code(),
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Held(_) => Some(
                "wait for it with --wait-for-lock 10m; `offsite unlock` shows the holder, and takes the lock away with --force if it is dead",
            ),
            Self::Malformed(_) => Some(
                "look at it with `aws s3 cp`; a newer offsite may have written it, or something else uses this prefix",
            ),
            Self::Unconditional => Some(
                "use a store that honours If-None-Match and If-Match on PutObject, as AWS and recent MinIO do",
            ),
            Self::NoClock => Some("a proxy on the way may drop it; leases are judged by it"),
            Self::Interrupted => None,
            Self::Store(error) => error.kind.hint(),
        }
    }
}

/// What is known of the pass before this one, from the lock it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// Its id.
    pub pass: PassId,
    /// Its generation.
    pub generation: u64,
    /// How it ended; `None` when it never said.
    pub outcome: Option<Outcome>,
    /// Who it was.
    pub holder: Holder,
}

/// What the lock object says now.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The lease or what is left of it.
    pub record: Record,
    /// When it was last written, in the store's time.
    pub written_at: Timestamp,
    /// Its version.
    pub etag: ETag,
}

impl Seen {
    /// Whoever holds the lock at `now`, in the store's time.
    #[must_use]
    pub fn held_at(&self, now: Timestamp) -> Option<Held> {
        let ttl = SignedDuration::try_from(self.record.ttl()).unwrap_or(SignedDuration::MAX);
        let until = self
            .written_at
            .saturating_add(ttl)
            .unwrap_or(Timestamp::MAX);
        let expires = until.saturating_add(CLOCK_STEP).unwrap_or(Timestamp::MAX);
        let held = self.record.state == State::Held && now <= expires;
        held.then(|| Held {
            record: self.record.clone(),
            renewed_at: self.written_at,
            until,
        })
    }
}

/// Reads the lock; `None` where nobody ever took it.
///
/// # Errors
/// The request fails, or the object is no lease.
pub async fn look(store: &dyn Store) -> Result<Option<Seen>, LeaseError> {
    match store.get(keys::LOCK).await {
        Ok(object) => {
            let record = Record::parse(&object.bytes).map_err(LeaseError::Malformed)?;
            Ok(Some(Seen {
                record,
                written_at: object.last_modified,
                etag: object.etag,
            }))
        }
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Who wants the lease and on what terms.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whom to name.
    pub holder: Holder,
    /// How long the lease lasts without renewal.
    pub ttl: Duration,
    /// How long to wait while another pass holds it.
    pub wait: Duration,
    /// Spreads pass ids that start in the same second.
    pub random: u16,
}

/// Looks on while the lock is held by somebody else.
#[async_trait]
pub trait Observer: Sync {
    /// Whether the holder is known to be gone, so that its lease need not run out first. Only proof
    /// counts: a holder that is merely silent may still commit.
    async fn is_gone(&self, held: &Held) -> bool;
    /// The lock has to be waited for; told once.
    fn waits(&self, held: &Held);
}

/// Takes the lock. Must be awaited to its end, or a lock may be left that nobody renews or releases;
/// `stop` ends the waiting.
///
/// # Errors
/// The lock is held still after the wait; the store fails or does not honour conditions.
pub async fn acquire(
    store: &Arc<dyn Store>,
    request: &Request,
    stop: &Stop,
    observer: &dyn Observer,
) -> Result<(Lease, Option<Previous>), LeaseError> {
    let deadline = Instant::now() + request.wait;
    let mut told = false;
    loop {
        if stop.is_set() {
            return Err(LeaseError::Interrupted);
        }
        let seen = look(&**store).await?;
        if store.now() == Timestamp::UNIX_EPOCH {
            return Err(LeaseError::NoClock);
        }
        let held = seen.as_ref().and_then(|seen| seen.held_at(store.now()));
        if let Some(held) = held
            && !observer.is_gone(&held).await
        {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LeaseError::Held(Box::new(held)));
            }
            if !std::mem::replace(&mut told, true) {
                observer.waits(&held);
            }
            tokio::select! {
                () = tokio::time::sleep(POLL.min(left)) => {}
                () = stop.stopped() => {}
            }
            continue;
        }
        let previous = seen.as_ref().map(|seen| Previous {
            pass: seen.record.pass,
            generation: seen.record.generation,
            outcome: seen.record.outcome,
            holder: seen.record.holder.clone(),
        });
        let mut record = Record::new(request, store.now(), previous.as_ref());
        record.conditions_checked = seen
            .as_ref()
            .is_some_and(|seen| seen.record.conditions_checked);
        let condition = match seen {
            Some(seen) => Condition::Matches(seen.etag),
            None => Condition::Absent,
        };
        let sent = Instant::now();
        match store.put(keys::LOCK, record.to_bytes(), &condition).await {
            Ok(etag) => {
                if !record.conditions_checked {
                    check_conditions(&**store, &record).await?;
                    // Written down with the next renewal, or with the release.
                    record.conditions_checked = true;
                }
                return Ok((Lease::new(Arc::clone(store), record, etag, sent), previous));
            }
            // Somebody was faster; look who.
            Err(error) if error.kind == StoreErrorKind::PreconditionFailed => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes sure, before a store is relied on, that it refuses what it should refuse. Should it not, the
/// lock it has taken instead is nobody's.
async fn check_conditions(store: &dyn Store, record: &Record) -> Result<(), LeaseError> {
    let mut other = record.clone();
    other.state = State::Released;
    let no_version = ETag(format!("\"{:032}\"", 0));
    for condition in [Condition::Absent, Condition::Matches(no_version)] {
        match store.put(keys::LOCK, other.to_bytes(), &condition).await {
            Err(error) if error.kind == StoreErrorKind::PreconditionFailed => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(LeaseError::Unconditional),
        }
    }
    Ok(())
}

/// Takes the lease away from its holder, who will notice at its next renewal, or before a commit if the
/// last one was a while ago, and commit nothing from then on.
///
/// # Errors
/// The lock changed since it was looked at, or the request fails.
pub async fn force(store: &dyn Store, seen: &Seen) -> Result<(), LeaseError> {
    let mut record = seen.record.clone();
    record.state = State::Released;
    record.outcome = None;
    let condition = Condition::Matches(seen.etag.clone());
    store.put(keys::LOCK, record.to_bytes(), &condition).await?;
    Ok(())
}
