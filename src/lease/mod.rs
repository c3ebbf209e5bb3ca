//! The lease: one object that says who may commit.
//!
//! Only conditional puts are needed; no list, no local wall clock, no delete permission. A lease is
//! taken where there is none, or over one that was released or has expired, with the generation one
//! higher; it is renewed and released by `If-Match`. Time is the store's where passes are compared with
//! one another (`expiry`), and `CLOCK_BOOTTIME` where the holder measures how long it may still commit
//! (`keeper`): it stops when two thirds of the lease's time have passed without a renewal, well before
//! anybody else may take it.
//!
//! A process may be stopped for hours between looking at its lease and sending its commit, and a request
//! may be on its way for as long. So the lease names the commit records its holder may write, and whoever
//! takes it over blocks those first, by void records (`settle`). Nothing is ever committed late.
//!
//! The lock object is never deleted. Released, it carries the id and the outcome of its last pass: the
//! next id sorts after it, and the next pass knows whether anything was left unfinished.

mod acquire;
mod claim;
mod expiry;
mod keeper;
mod record;
mod settle;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use self::acquire::{Observer, Request, acquire};
pub use self::claim::Claim;
pub use self::expiry::{Doubt, Held};
pub use self::keeper::{CommitError, Lease, Lost};
use crate::exit::ExitCode;
use crate::format::keys;
use crate::format::lock::{Ending, Holder, LOCK_BYTES, Lock, LockState};
use crate::format::owner::StoreOwner;
use crate::format::pass_id::PassId;
use crate::store::{Condition, ETag, Store, StoreError, StoreErrorKind};

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another pass holds the lock.
    #[error("another pass holds the lock: {} since {}, until {}", .0.record.holder, .0.record.acquired_at, .0.until)]
    Held(Box<Held>),
    /// The lease looks expired, and may not be.
    #[error("the lock was not released by {} and cannot be taken over: {doubt}", held.record.holder)]
    Doubtful {
        /// The lease.
        held: Box<Held>,
        /// Why it may still be in force.
        doubt: Doubt,
    },
    /// Somebody else backs up into this store.
    #[error("`{store}` belongs to `{recorded}`, and {}", configured(own.as_ref()))]
    OtherOwner {
        /// Where the store is.
        store: String,
        /// Whom its lock names.
        recorded: StoreOwner,
        /// Who wants it.
        own: Option<StoreOwner>,
    },
    /// The object under the lock's key is something else.
    #[error("the lock object is not a lease: {0}")]
    Malformed(String),
    /// The store takes a conditional put whose condition does not hold.
    #[error(
        "the store cannot be used: it ignores conditional writes ({0}), so two passes could run at once"
    )]
    Unconditional(Condition),
    /// Answers come without the time.
    #[error("the store does not tell the time (its answers have no `Date` header)")]
    NoClock,
    /// A commit of an earlier holder may still arrive.
    #[error("cannot block the commit of an earlier pass, `{key}`: {error}")]
    Unsettled {
        /// Key of the commit record.
        key: String,
        /// What the store says.
        error: StoreError,
    },
    /// The lease was lost again before anything was done under it.
    #[error(transparent)]
    Lost(#[from] Lost),
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
            Self::Held(_) | Self::Doubtful { .. } => ExitCode::Locked,
            Self::OtherOwner { .. } | Self::Unconditional(_) => ExitCode::Usage,
            Self::Malformed(_) | Self::NoClock => ExitCode::Failed,
            Self::Lost(lost) => lost.exit_code(),
            Self::Interrupted => ExitCode::Terminated,
            Self::Unsettled { error, .. } | Self::Store(error) => error.kind.exit_code(),
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Held(_) => Some(
                "wait for it with --wait-for-lock 10m; `offsite unlock` shows the holder, and takes the lock away with --force if it is dead",
            ),
            Self::Doubtful { .. } => {
                Some("if the holder is dead, `offsite unlock --force` takes the lock away")
            }
            Self::OtherOwner { own: Some(_), .. } => Some(
                "give this backup a prefix or directory of its own; if it is meant to take the store over, run `offsite adopt` with its configuration",
            ),
            Self::OtherOwner { own: None, .. } => Some(
                "set `backup.store_owner` to that owner if this is its backup; otherwise give it a prefix or directory of its own, or set an owner and take the store over with `offsite adopt`",
            ),
            Self::Malformed(_) => Some(
                "read it with `aws s3 cp`, in a directory with `cat`; a newer offsite may have written it, or something else uses this place",
            ),
            Self::Unconditional(_) => Some(
                "docs/STORES.md has a table of servers that honour conditions, and of those that do not; recent versions of some do",
            ),
            Self::NoClock => Some("a proxy on the way may drop it; leases are judged by it"),
            Self::Lost(_) | Self::Interrupted => None,
            Self::Unsettled { error, .. } | Self::Store(error) => error.kind.hint(),
        }
    }

    /// The lease that is in the way, if one is.
    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        match self {
            Self::Held(held) | Self::Doubtful { held, .. } => Some(held),
            _ => None,
        }
    }
}

fn configured(owner: Option<&StoreOwner>) -> String {
    match owner {
        Some(owner) => format!("`backup.store_owner` is `{owner}`"),
        None => "`backup.store_owner` is not set".to_owned(),
    }
}

/// What is known of the pass before this one, from the lock it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// Its id, the highest ever given.
    pub pass: PassId,
    /// Its generation.
    pub generation: u64,
    /// How it ended; `None` when it never said.
    pub outcome: Option<Ending>,
    /// Who it was.
    pub holder: Holder,
    /// Whose store it was.
    pub store_owner: Option<StoreOwner>,
    /// Keys of commit records that may still be written, its own and those it had not settled.
    pub to_void: Vec<String>,
    /// Keys of marks of damage that no pass has dealt with yet.
    pub damaged: Vec<String>,
}

/// What the lock object says now.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The lease or what is left of it.
    pub record: Lock,
    /// When it was last written, in the store's time; `None` where the store does not say.
    pub written_at: Option<Timestamp>,
    /// Its version.
    pub etag: ETag,
}

impl Seen {
    /// What this lease tells the pass that takes it over.
    fn to_previous(&self) -> Previous {
        let record = &self.record;
        let mut to_void = record.to_void.clone();
        if record.state == LockState::Held {
            to_void.extend(record.commits.iter().cloned());
        }
        Previous {
            pass: record.pass,
            generation: record.generation,
            outcome: record.outcome,
            holder: record.holder.clone(),
            store_owner: record.store_owner.clone(),
            to_void,
            damaged: record.damaged.clone(),
        }
    }
}

/// Reads the lock; `None` where nobody ever took it.
///
/// # Errors
/// The request fails, or the object is no lease.
pub async fn look(store: &dyn Store) -> Result<Option<Seen>, LeaseError> {
    match store.get(keys::LOCK, LOCK_BYTES).await {
        Ok(object) => {
            let record = Lock::parse(&object.bytes).map_err(LeaseError::Malformed)?;
            Ok(Some(Seen {
                record,
                written_at: object.last_modified,
                etag: object.etag,
            }))
        }
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) if matches!(error.kind, StoreErrorKind::TooLarge { .. }) => {
            Err(LeaseError::Malformed(error.kind.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes the lease away from its holder. What the holder has not committed by the time the next pass has
/// the lock, it never will.
///
/// # Errors
/// The lock changed since it was looked at, or the request fails.
pub async fn force(store: &dyn Store, seen: &Seen) -> Result<(), LeaseError> {
    let mut record = seen.record.clone();
    let commits = std::mem::take(&mut record.commits);
    record.generation += 1;
    record.outcome = None;
    record.end(commits);
    let condition = Condition::Matches(seen.etag.clone());
    store.put(keys::LOCK, record.to_bytes(), &condition).await?;
    Ok(())
}
