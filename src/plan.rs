//! What a pass would do, without doing it: the merge, with nobody at its other end.

pub mod sessions;

use std::sync::Arc;

use serde::Serialize;

use crate::events::Events;
use crate::format::pass_id::PassId;
use crate::pass::continued::Continued;
use crate::pass::decisions::{Order, Sink, Step};
use crate::pass::error::SourceError;
use crate::pass::merge::{Merge, MergeError, Merged};
use crate::pass::previous::Cursor;
use crate::pass::{DirectorySource, Limits, Method, archive};
use crate::snapshots::chain;
use crate::snapshots::entries::Segments;
use crate::source::walk::{Walk, WalkOptions};
use crate::stop::Stop;
use crate::store::Store;

/// What a pass would do with one source.
#[derive(Debug, Serialize)]
pub struct SourcePlan {
    /// Name of the source.
    pub source: String,
    /// What would be backed up.
    pub directory: String,
    /// The snapshot it was compared with.
    pub parent: Option<PassId>,
    /// Entries that are not in it.
    pub new: u64,
    /// Entries that look different.
    pub changed: u64,
    /// Entries that are gone.
    pub removed: u64,
    /// Entries that are as they were.
    pub unchanged: u64,
    /// Entries that could not be looked at.
    pub unreadable: u64,
    /// Files to send.
    pub send_files: u64,
    /// Bytes of those.
    pub send_bytes: u64,
    /// Files of the same size to read, and to send if their contents are others.
    pub read_files: u64,
    /// Bytes of those.
    pub read_bytes: u64,
    /// Requests the source would take, files that are only read not counted.
    pub requests: u64,
    /// Whether its archive is a full one; missing where no archive is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<bool>,
    /// By year, with what it takes and costs, where the source has sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<sessions::SessionsPlan>,
}

/// Takes decisions and does nothing about them, but for counting the requests of sending.
#[derive(Default)]
struct Nobody;

impl Sink for Nobody {
    fn step(&mut self, _: Step) -> bool {
        true
    }

    fn order(&mut self, _: Order) -> bool {
        true
    }

    fn end(&mut self) -> bool {
        true
    }
}

/// Plans a pass over one source. Reads the source's metadata and its last manifest, nothing more.
///
/// # Errors
/// As a pass.
pub async fn plan(
    store: &Arc<dyn Store>,
    source: &DirectorySource,
    limits: &Limits,
    events: &Events,
    stop: &Arc<Stop>,
) -> Result<SourcePlan, SourceError> {
    let parent = chain::latest(&**store, &source.name).await?;
    let now = store.now();
    let is_full = source.is_full_due(parent.as_ref(), now);
    let source = &DirectorySource {
        afresh: source.afresh || is_full,
        ..source.clone()
    };
    let options = WalkOptions {
        filter: source.filter.clone(),
        one_file_system: source.one_file_system,
        threads: limits.scan_threads,
    };
    let root = source.open().await?;
    let walk = Walk::start(Arc::clone(&root), options).map_err(|error| source.not_walked(error))?;
    let segments = parent.as_ref().map_or(&[][..], |parent| &parent.segments);
    let segment_count = segments.len() as u64;
    let base = Segments::recorded(store, segments);
    let pass = PassId::new(now, None, 0);
    let merge = {
        let (source, events, stop) = (source.clone(), events.clone(), Arc::clone(stop));
        let root = Arc::clone(&root);
        move || -> Result<Merged, MergeError> {
            let inputs = (Cursor::new(base), Continued::default());
            Merge::new((&source, &root), pass, inputs, Nobody, &events, &stop).run(walk)
        }
    };
    let merged = match tokio::task::spawn_blocking(merge).await {
        Ok(Ok(merged)) => merged,
        Ok(Err(MergeError::Store(error))) => return Err(error.into()),
        Ok(Err(MergeError::Damaged(damaged))) => return Err(damaged.into()),
        Ok(Err(MergeError::Stopped)) => return Err(SourceError::Interrupted),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    if merged.is_missing(source) {
        let entries = parent.as_ref().map_or(0, |parent| parent.totals.entries);
        return Err(source.nothing_in(&root, entries).await);
    }
    source.confirm(&root).await?;
    Ok(SourcePlan {
        source: source.name.to_string(),
        directory: source.directory.display().to_string(),
        parent: parent.map(|parent| parent.pass),
        new: merged.new,
        changed: merged.changed,
        removed: merged.removed,
        unchanged: merged.unchanged,
        unreadable: merged.failed,
        send_files: merged.files_to_send,
        send_bytes: merged.bytes_to_send,
        read_files: merged.files_to_read,
        read_bytes: merged.bytes_to_read,
        requests: sending(&merged, source) + segment_count + 2 + written(&merged, limits),
        full: matches!(source.method, Method::Archive(_)).then_some(is_full),
        sessions: None,
    })
}

/// Requests that send contents. What an archive is compressed to is not known beforehand.
fn sending(merged: &Merged, source: &DirectorySource) -> u64 {
    match source.method {
        Method::Files => merged.requests_to_send,
        Method::Archive(_) if merged.new + merged.changed == 0 => 0,
        Method::Archive(_) => archive::requests_at_most(
            merged.bytes_to_send + merged.bytes_to_read,
            merged.new + merged.changed,
        ),
    }
}

/// Segments that would be written, roughly: none where nothing changed.
fn written(merged: &Merged, limits: &Limits) -> u64 {
    let touched = merged.new + merged.changed;
    match touched + merged.removed {
        0 => 0,
        _ => touched.div_ceil(limits.segment_entries).max(1),
    }
}
