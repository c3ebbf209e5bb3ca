//! Taking the lock for a command that is no pass.

use std::sync::Arc;

use async_trait::async_trait;

use super::note;
use crate::boottime::boottime;
use crate::config::Job;
use crate::format::abilities::Abilities;
use crate::format::lock::Holder;
use crate::lease::{self, Claim, Held, Lease, LeaseError};
use crate::stop::Stop;
use crate::store::Store;

/// Takes the lock of a store, which is `claim`'s, as soon as whoever holds it gives it back.
pub(super) async fn take_lock(
    job: &Job,
    store: &Arc<dyn Store>,
    (holder, claim): (Holder, Claim),
    stop: &Stop,
) -> Result<Lease, LeaseError> {
    let request = lease::Request {
        holder,
        claim,
        sources: Vec::new(),
        ttl: job.pass.lock_ttl,
        wait: job.pass.lock_wait,
        random: fastrand::u16(..),
        boottime,
    };
    let (lease, _) = lease::acquire(store, &request, stop, &Waiting).await?;
    Ok(lease)
}

/// Says whom the lock is waited for.
struct Waiting;

#[async_trait]
impl lease::Observer for Waiting {
    async fn is_gone(&self, _: &Held) -> bool {
        false
    }

    fn waits(&self, held: &Held) {
        let Held { record, until, .. } = held;
        note(&format!(
            "waiting for the lock, which {} holds until {until}",
            record.holder
        ));
    }

    fn tried(&self, found: &Abilities) {
        if let Some(lacking) = found.lacking() {
            note(&format!("note: {lacking}"));
        }
    }
}
