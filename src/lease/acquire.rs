//! Taking the lock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::claim::Claim;
use super::expiry::{Held, Standing, probe, stands};
use super::record;
use super::{Lease, LeaseError, Previous, Seen, look};
use crate::boottime::Boottime;
use crate::format::abilities::Abilities;
use crate::format::keys::{self, SourceName};
use crate::format::lock::{Ending, Holder, Lock, LockState};
use crate::format::owner::StoreOwner;
use crate::stop::Stop;
use crate::store::{Condition, ETag, Operation, Store, StoreError, StoreErrorKind};

/// How often a pass that waits looks again. A look costs one small read.
const POLL: Duration = Duration::from_secs(3);

/// How often in a row a lock may have been another one when it was to be taken.
const MOST_CHANGES: u32 = 20;

/// Pause after the first of these; after the second it is twice as long, and so on.
const CHANGE_PAUSE: Duration = Duration::from_millis(50);

/// Who wants the lease and on what terms.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whom to name.
    pub holder: Holder,
    /// Whose store it has to be.
    pub claim: Claim,
    /// The sources of which the holder may commit snapshots.
    pub sources: Vec<SourceName>,
    /// How long the lease lasts without renewal.
    pub ttl: Duration,
    /// How long to wait while another pass holds it.
    pub wait: Duration,
    /// Spreads pass ids that start in the same second.
    pub random: u16,
    /// What the holder measures the lease's time with.
    pub boottime: Boottime,
}

/// Looks on while the lock is held by somebody else.
#[async_trait]
pub trait Observer: Sync {
    /// Whether the holder is known to be gone, so that its lease need not run out first. Only proof
    /// counts: a holder that is merely silent may still commit.
    async fn is_gone(&self, held: &Held) -> bool;
    /// The lock has to be waited for; told once.
    fn waits(&self, held: &Held);
    /// The store was tried out.
    fn tried(&self, found: &Abilities);
}

/// Takes the lock, and makes sure that no earlier holder commits anything from then on: what is read
/// under the lease returned stays as it is. `stop` ends the waiting. If it is dropped before its end, a lock may be
/// left that nobody renews or releases; it expires. Only who is about to end the process may do so.
///
/// # Errors
/// The store is another owner's, which is said before anything is written; the lock is held still after the
/// wait; the store fails or does not honour conditions.
pub async fn acquire(
    store: &Arc<dyn Store>,
    request: &Request,
    stop: &Stop,
    observer: &dyn Observer,
) -> Result<(Lease, Option<Previous>), LeaseError> {
    let deadline = Instant::now() + request.wait;
    let mut told = false;
    let mut changes = 0;
    loop {
        if stop.is_set() {
            return Err(LeaseError::Interrupted);
        }
        let seen = look(&**store).await?;
        let lock = seen.as_ref().map(|seen| &seen.record);
        let owner = request.claim.owner_after(lock, &**store)?;
        let in_the_way = match free(store, request, observer, seen).await? {
            Free::Yes(seen) => match take(store, request, seen, owner, (stop, observer)).await? {
                Some(taken) => return Ok(taken),
                // Somebody was faster; look who.
                None => None,
            },
            Free::Changed => None,
            Free::No(in_the_way) => Some(in_the_way),
        };
        let Some(in_the_way) = in_the_way else {
            changes += 1;
            tokio::select! {
                changed = after_change(&**store, changes) => changed?,
                () = stop.stopped() => {}
            }
            continue;
        };
        changes = 0;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(in_the_way);
        }
        if let Some(held) = in_the_way.held()
            && !std::mem::replace(&mut told, true)
        {
            observer.waits(held);
        }
        tokio::select! {
            () = tokio::time::sleep(POLL.min(left)) => {}
            () = stop.stopped() => {}
        }
    }
}

/// Waits before the next look at a lock that was another one each time it was to be taken. Whoever was faster
/// holds it then, which ends this; a store that takes every version for another one is not asked for ever.
async fn after_change(store: &dyn Store, changes: u32) -> Result<(), LeaseError> {
    if changes < MOST_CHANGES {
        tokio::time::sleep(CHANGE_PAUSE * changes).await;
        return Ok(());
    }
    let what = "the lock was another one each time it was to be taken; a proxy may change ETags";
    Err(LeaseError::Store(StoreError {
        operation: Operation::Put,
        location: format!("{}{}", store.location(), keys::LOCK),
        kind: StoreErrorKind::Conflict(what.to_owned()),
    }))
}

/// Whether the lock may be taken.
enum Free {
    /// Over this, if anything is there.
    Yes(Option<Box<Seen>>),
    No(LeaseError),
    /// It may be another one by now.
    Changed,
}

/// Whether the lock that was seen may be taken.
async fn free(
    store: &Arc<dyn Store>,
    request: &Request,
    observer: &dyn Observer,
    seen: Option<Seen>,
) -> Result<Free, LeaseError> {
    if store.clock().now().is_none() {
        store.learn_time().await?;
    }
    let Some(now) = store.clock().now() else {
        return Err(LeaseError::NoClock);
    };
    let seen = match seen {
        Some(seen) if seen.record.state == LockState::Held => seen,
        free => return Ok(Free::Yes(free.map(Box::new))),
    };
    if let Some(held) = seen.held_at(now) {
        return Ok(match observer.is_gone(&held).await {
            true => Free::Yes(Some(Box::new(seen))),
            false => Free::No(stands(held)),
        });
    }
    let nonce = fastrand::u32(..);
    Ok(
        match probe(&**store, &seen, &request.holder, nonce).await? {
            Standing::Expired(seen) => Free::Yes(Some(seen)),
            Standing::Stands(error) => Free::No(error),
            Standing::Changed => Free::Changed,
        },
    )
}

/// Takes the lock of a store that is `owner`'s over what was seen; `None` if somebody else has taken it.
async fn take(
    store: &Arc<dyn Store>,
    request: &Request,
    seen: Option<Box<Seen>>,
    owner: Option<StoreOwner>,
    (stop, observer): (&Stop, &dyn Observer),
) -> Result<Option<(Lease, Option<Previous>)>, LeaseError> {
    let previous = seen.as_deref().map(Seen::to_previous);
    let mut record = record::held(request, store.now(), previous.as_ref(), owner);
    record.abilities = seen.as_ref().and_then(|seen| known(&**store, seen));
    let condition = match seen {
        Some(seen) => Condition::Matches(seen.etag),
        None => Condition::Absent,
    };
    let sent = (request.boottime)();
    let etag = match store.put(keys::LOCK, record.to_bytes(), &condition).await {
        Ok(etag) => etag,
        Err(error) if error.kind == StoreErrorKind::PreconditionFailed => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if record.abilities.is_none() {
        check_conditions(&**store, &record).await?;
    }
    let lease = Lease::new(Arc::clone(store), request, record, etag, sent);
    let ready = async {
        lease.settle().await?;
        learn_abilities(&**store, &lease, (stop, observer)).await
    };
    if let Err(error) = ready.await {
        // What is left to settle stays in the lock, and what is not known yet is tried by the next pass.
        let _ = lease.release(Ending::Unfinished).await;
        return Err(error);
    }
    Ok(Some((lease, previous)))
}

/// What an earlier pass has found out of the same server.
fn known(store: &dyn Store, seen: &Seen) -> Option<Abilities> {
    let found = seen.record.abilities.as_ref();
    found
        .filter(|found| found.address == store.address())
        .cloned()
}

/// Relies on what an earlier pass has found out, or else finds it out under the lease.
async fn learn_abilities(
    store: &dyn Store,
    lease: &Lease,
    (stop, observer): (&Stop, &dyn Observer),
) -> Result<(), LeaseError> {
    let abilities = match lease.record().await.abilities {
        Some(known) => known,
        None => {
            let found = tokio::select! {
                found = store.try_out() => found?,
                // The next pass tries.
                () = stop.stopped() => return Err(LeaseError::Interrupted),
            };
            observer.tried(&found);
            lease.note(found.clone()).await;
            found
        }
    };
    store.rely_on(abilities);
    Ok(())
}

/// Makes sure, before a store is relied on, that it refuses what it should refuse: otherwise two passes
/// could run at once. Should it not, the lock it has taken instead is nobody's, and nothing else is
/// written there.
async fn check_conditions(store: &dyn Store, record: &Lock) -> Result<(), LeaseError> {
    let mut other = record.clone();
    other.state = LockState::Released;
    let no_version = ETag(format!("\"{:032}\"", 0));
    for condition in [Condition::Absent, Condition::Matches(no_version)] {
        match store.put(keys::LOCK, other.to_bytes(), &condition).await {
            Err(error) if error.kind == StoreErrorKind::PreconditionFailed => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(LeaseError::Unconditional(condition)),
        }
    }
    Ok(())
}
