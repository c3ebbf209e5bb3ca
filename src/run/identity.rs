//! Which pass this is.

use jiff::Timestamp;

use super::world::World;
use crate::format::pass_id::PassId;
use crate::format::status::Status;
use crate::lease::{Lease, LeaseError};
use crate::pass::job::SourceJob;
use crate::snapshots::chain;

/// What a pass is called, and since when it runs.
pub(super) struct Identity {
    /// Its id, greater than every earlier one of its sources.
    pub(super) pass: PassId,
    /// How often the lock has been taken, this time included.
    pub(super) generation: u64,
    /// When it took the lock, in the store's time. The id does not say: it follows the last one, and that
    /// may come from a clock that was ahead.
    pub(super) started_at: Timestamp,
    /// For each source, the latest id that has anything under a snapshot's key.
    pub(super) latest: Vec<Option<PassId>>,
}

/// Settles the id before anything is written under it. It follows the one in the lock, and nearly always
/// that is all; but the lock may have been lost, or snapshots have come from elsewhere.
pub(super) async fn settle(
    sources: &[&SourceJob],
    world: &World,
    lease: &Lease,
    status: Option<&Status>,
) -> Result<Identity, LeaseError> {
    let mut record = lease.record().await;
    let mut latest = Vec::new();
    for source in sources {
        latest.push(latest_of(world, source, status).await?);
    }
    if let Some(id) = latest.iter().copied().max().flatten()
        && id >= record.pass
    {
        record.pass = lease.rename_after(id, world.random).await?;
    }
    Ok(Identity {
        pass: record.pass,
        generation: record.generation,
        started_at: record.acquired_at,
        latest,
    })
}

/// Of a settled source the status knows it without a request.
async fn latest_of(
    world: &World,
    source: &SourceJob,
    status: Option<&Status>,
) -> Result<Option<PassId>, LeaseError> {
    if let Some(settled) = status.and_then(|status| status.settled(&source.name)) {
        return Ok(settled.snapshot);
    }
    let passes = chain::passes(&*world.store, &source.name).await?;
    Ok(passes.last().copied())
}
