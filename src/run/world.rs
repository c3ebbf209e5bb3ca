//! What a pass does, what it needs of the world around it, and what became of each source.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::boottime::Boottime;
use crate::events::Events;
use crate::exit::ExitCode;
use crate::format::keys::SourceName;
use crate::format::lock::Holder;
use crate::format::owner::StoreOwner;
use crate::pass::back_up::SourceReport;
use crate::pass::context::Limits;
use crate::pass::error::SourceError;
use crate::pass::job::SourceJob;
use crate::retention::Retention;
use crate::stop::Stop;
use crate::store::{CopyJob, Store};

/// What a pass does.
#[derive(Debug, Clone)]
pub struct Pass {
    /// What is backed up, in this order.
    pub sources: Vec<SourceJob>,
    /// Whether those that follow one that fails are skipped.
    pub stop_on_failure: bool,
    /// Whose store it has to be, if anybody's.
    pub store_owner: Option<StoreOwner>,
    /// How much at once.
    pub limits: Limits,
    /// How long the lease lasts without renewal.
    pub lock_ttl: Duration,
    /// How long to wait while another pass holds the lock.
    pub lock_wait: Duration,
    /// What is kept of sources that are not configured, once they are named.
    pub retention: Option<Retention>,
    /// Stores that it is copied to.
    pub copies: Vec<CopyJob>,
    /// For how long after its first failure by the store or the credentials it is tried again.
    pub retry_for: Duration,
}

/// What a pass needs of the world around it.
#[derive(Clone)]
pub struct World {
    /// Where backups go.
    pub store: Arc<dyn Store>,
    /// Where events go.
    pub events: Events,
    /// When to stop.
    pub stop: Arc<Stop>,
    /// Which signal was the reason to stop, once one was.
    pub interrupted_by: fn() -> Option<ExitCode>,
    /// Who we are.
    pub holder: Holder,
    /// Spreads pass ids that start in the same second.
    pub random: u16,
    /// This machine's wall clock.
    pub clock: fn() -> Timestamp,
    /// This machine's clock that only goes forward.
    pub boottime: Boottime,
}

/// One source, and what became of it.
pub(super) type SourceOutcome<'a> = (&'a SourceJob, Result<SourceReport, SourceError>);

/// Their names.
pub(super) fn names(sources: &[&SourceJob]) -> Vec<SourceName> {
    sources.iter().map(|source| source.name.clone()).collect()
}
