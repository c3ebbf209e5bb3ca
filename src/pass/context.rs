//! What everything has that is done in a pass, and what everything has that is done for one source.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::fatal::FirstError;
use super::job::SourceJob;
use crate::events::Events;
use crate::format::pass_id::PassId;
use crate::source::Source;
use crate::stop::Stop;
use crate::store::Store;

/// How much a pass may do at once, and how it cuts its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests that send contents, in flight at once.
    pub concurrency: usize,
    /// Bytes of contents in memory at once.
    pub memory_bytes: usize,
    /// The largest object that a store copies in one request; larger ones go in parts.
    pub copy_whole_bytes: u64,
    /// Threads that list and stat.
    pub scan_threads: usize,
    /// Threads that read and hash.
    pub read_threads: usize,
    /// Entries in a segment.
    pub segment_entries: u64,
    /// Entries captured before a checkpoint.
    pub checkpoint_entries: u64,
    /// Time before a checkpoint, if anything was captured.
    pub checkpoint_interval: Duration,
}

/// What a pass has for all its sources.
#[derive(Clone)]
pub struct PassContext {
    /// Where backups go.
    pub store: Arc<dyn Store>,
    /// Where events go.
    pub events: Events,
    /// How much at once.
    pub limits: Limits,
    /// The pass.
    pub pass: PassId,
    /// Generation of its lease; 0 for a command that only looks.
    pub generation: u64,
    /// When it started, in the store's time.
    pub started_at: Timestamp,
    /// When to stop.
    pub stop: Arc<Stop>,
    /// This machine's wall clock, which file times are compared with.
    pub clock: fn() -> Timestamp,
}

/// What everybody has who works for one source in one pass.
pub(crate) struct SourceContext {
    /// Where backups go.
    pub(crate) store: Arc<dyn Store>,
    /// Where events go.
    pub(crate) events: Events,
    /// How much at once.
    pub(crate) limits: Limits,
    /// The pass.
    pub(crate) pass: PassId,
    /// Generation of its lease; 0 for a command that only looks.
    pub(crate) generation: u64,
    /// When it started, in the store's time.
    pub(crate) started_at: Timestamp,
    /// What is to be done.
    pub(crate) job: SourceJob,
    /// The source, open.
    pub(crate) source: Arc<dyn Source>,
    /// When it was opened, by this machine's clock: whatever changed later may have been seen as it was before.
    pub(crate) opened_ns: i64,
    /// When to stop. A fatal error of the source sets it too.
    pub(crate) stop: Arc<Stop>,
    /// Where that error goes.
    pub(crate) first_error: FirstError,
}

impl PassContext {
    /// The same for one of its sources, opened since `opened_ns`, which can be stopped alone.
    pub(super) fn for_source(
        &self,
        job: &SourceJob,
        source: Arc<dyn Source>,
        opened_ns: i64,
    ) -> Arc<SourceContext> {
        let stop = Stop::within(&self.stop);
        Arc::new(SourceContext {
            store: Arc::clone(&self.store),
            events: self.events.clone(),
            limits: self.limits.clone(),
            pass: self.pass,
            generation: self.generation,
            started_at: self.started_at,
            job: job.clone(),
            source,
            opened_ns,
            first_error: FirstError::stopping(&stop),
            stop,
        })
    }
}

impl PassContext {
    /// This machine's time in nanoseconds since 1970.
    #[must_use]
    pub(super) fn now_ns(&self) -> i64 {
        i64::try_from((self.clock)().as_nanosecond()).unwrap_or(i64::MAX)
    }
}
