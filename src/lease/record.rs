//! What the lease writes into the lock object.

use jiff::Timestamp;

use super::{Previous, Request};
use crate::format::FORMAT;
use crate::format::keys::{self, SourceName};
use crate::format::lock::{Lock, LockState};
use crate::format::owner::StoreOwner;
use crate::format::pass_id::PassId;
use crate::format::requires::Requires;

/// The lock of a new holder, in a store that is `owner`'s.
pub(super) fn held(
    request: &Request,
    now: Timestamp,
    previous: Option<&Previous>,
    owner: Option<StoreOwner>,
) -> Lock {
    let pass = PassId::new(now, previous.map(|p| p.pass), request.random);
    Lock {
        format: FORMAT,
        requires: Requires::default(),
        state: LockState::Held,
        generation: previous.map_or(0, |p| p.generation) + 1,
        pass,
        holder: request.holder.clone(),
        store_owner: owner,
        acquired_at: now,
        ttl_seconds: request.ttl.as_secs().max(1),
        renewals: 0,
        abilities: None,
        outcome: None,
        commits: commit_keys(&request.sources, pass),
        to_void: previous.map_or_else(Vec::new, |p| p.to_void.clone()),
        damaged: previous.map_or_else(Vec::new, |p| p.damaged.clone()),
        probe: None,
    }
}

/// Gives the holder's pass another id, and with it other commit records.
pub(super) fn rename(lock: &mut Lock, sources: &[SourceName], pass: PassId) {
    lock.pass = pass;
    lock.commits = commit_keys(sources, pass);
}

fn commit_keys(sources: &[SourceName], pass: PassId) -> Vec<String> {
    let key = |source| keys::snapshot(source, pass);
    sources.iter().map(key).collect()
}
