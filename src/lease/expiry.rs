//! Whether a lease has expired.
//!
//! The question is how long ago the holder renewed it, and only one clock counts: the one that gives the
//! lock object its `Last-Modified`. The `Date` of an answer is another clock's wherever a proxy writes it.
//! So a lease that looks expired is probed: written once more with a note of when it was renewed, which
//! gives it a new `Last-Modified` of the same clock. The difference of the two is its age. A holder that
//! is alive renews its lease over the probe, as it does over a renewal whose answer was lost.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::{LeaseError, Seen, look};
use crate::format::keys;
use crate::format::lock::{Holder, Lock, LockState, Probe};
use crate::store::{Condition, Store, StoreErrorKind};

/// The store's times are whole seconds; this much is never counted against a holder.
const CLOCK_STEP: SignedDuration = SignedDuration::from_secs(1);

/// Who has the lock, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What the lock object says.
    pub record: Lock,
    /// When it was last renewed, in the store's time; `None` where the store does not say.
    pub renewed_at: Option<Timestamp>,
    /// When it expires unless it is renewed, in the store's time.
    pub until: Timestamp,
}

/// Why a lease that looks expired may be in force all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Answers come without `Last-Modified`.
    Undated,
    /// The time in the store's answers has jumped.
    Jumped,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undated => {
                "the store does not say when the lock was renewed (its answers have no `Last-Modified` header)"
            }
            Self::Jumped => {
                "the time in the store's answers has jumped, so nobody can tell whether it has expired"
            }
        })
    }
}

/// What became of a lease that is in the way.
pub(super) enum Standing {
    /// It is in force, or may be.
    Stands(LeaseError),
    /// It has expired, and this is what the lock object says now.
    Expired(Box<Seen>),
    /// Somebody has written it in the meantime.
    Changed,
}

impl Seen {
    /// When the holder renewed the lease last, in the store's time.
    fn renewed_at(&self) -> Option<Timestamp> {
        let probed = self.record.probe.as_ref().map(|probe| probe.renewed_at);
        probed.or(self.written_at)
    }

    fn age_at(&self, now: Timestamp) -> Option<SignedDuration> {
        Some(now.duration_since(self.renewed_at()?))
    }

    fn ttl(&self) -> SignedDuration {
        SignedDuration::try_from(self.record.ttl()).unwrap_or(SignedDuration::MAX)
    }

    fn has_expired_at(&self, now: Timestamp) -> bool {
        let most = self.ttl().saturating_add(CLOCK_STEP);
        self.age_at(now).is_some_and(|age| age > most)
    }

    /// What the lock object says of its holder, whether or not the lease looks expired at `now`, in the
    /// store's time.
    #[must_use]
    pub fn held(&self, now: Timestamp) -> Held {
        let renewed_at = self.renewed_at();
        let until = renewed_at.unwrap_or(now).saturating_add(self.ttl());
        Held {
            record: self.record.clone(),
            renewed_at,
            until: until.unwrap_or(Timestamp::MAX),
        }
    }

    /// Whoever holds the lock at `now`, in the store's time, as far as one look can tell.
    #[must_use]
    pub fn held_at(&self, now: Timestamp) -> Option<Held> {
        let is_held = self.record.state == LockState::Held && !self.has_expired_at(now);
        is_held.then(|| self.held(now))
    }
}

/// Why a lease that does not look expired is in the way.
pub(super) fn stands(held: Held) -> LeaseError {
    let held = Box::new(held);
    match held.renewed_at {
        Some(_) => LeaseError::Held(held),
        None => LeaseError::Doubtful {
            held,
            doubt: Doubt::Undated,
        },
    }
}

/// Finds out whether a lease that looks expired has expired. `by` and `nonce` mark the probe.
///
/// # Errors
/// A request fails.
pub(super) async fn probe(
    store: &dyn Store,
    seen: &Seen,
    by: &Holder,
    nonce: u32,
) -> Result<Standing, LeaseError> {
    let doubtful = |doubt| {
        let held = Box::new(seen.held(store.now()));
        Ok(Standing::Stands(LeaseError::Doubtful { held, doubt }))
    };
    let Some(renewed_at) = seen.renewed_at() else {
        return doubtful(Doubt::Undated);
    };
    let mut record = seen.record.clone();
    record.probe = Some(Probe {
        by: by.clone(),
        nonce,
        renewed_at,
    });
    let condition = Condition::Matches(seen.etag.clone());
    let etag = match store.put(keys::LOCK, record.to_bytes(), &condition).await {
        Ok(etag) => etag,
        Err(error) if error.kind == StoreErrorKind::PreconditionFailed => {
            return Ok(Standing::Changed);
        }
        Err(error) => return Err(error.into()),
    };
    let probed = match look(store).await? {
        Some(probed) if probed.etag == etag => probed,
        _ => return Ok(Standing::Changed),
    };
    Ok(match probed.written_at {
        _ if store.clock().has_jumped() => return doubtful(Doubt::Jumped),
        None => return doubtful(Doubt::Undated),
        Some(now) if probed.has_expired_at(now) => Standing::Expired(Box::new(probed)),
        Some(now) => Standing::Stands(stands(probed.held(now))),
    })
}
