//! Backing up one source, from its last snapshot to its next.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::capture::{CaptureOptions, Captures};
use super::continued::{self, Continued, Unfinished};
use super::latest::{self, LatestError};
use super::merge::{Merge, MergeError, Merged, Queues};
use super::previous::Cursor;
use super::writer::{Manifest, Writer, WriterError, WriterOptions};
use super::{DirectorySource, Limits};
use crate::entries::{self, Loaded};
use crate::events::{Changes, Event, Events};
use crate::exit::ExitCode;
use crate::lease::{CommitError, Lease};
use crate::manifest::keys;
use crate::manifest::pass_id::PassId;
use crate::manifest::snapshot::Snapshot;
use crate::source::open::Root;
use crate::source::walk::{Walk, WalkOptions};
use crate::stop::Stop;
use crate::store::{Store, StoreError};

/// Steps that wait for the manifest writer: how far captures may be ahead of the slowest one. A
/// step takes some 300 bytes.
const STEPS: usize = 8192;

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
    /// Whether the pass before this one may have left something unfinished.
    pub look_for_unfinished: bool,
    /// When to stop.
    pub stop: Arc<Stop>,
    /// This machine's wall clock, which file times are compared with.
    pub clock: fn() -> Timestamp,
}

/// A source that was backed up.
#[derive(Debug)]
pub struct SourceReport {
    /// Its new snapshot.
    pub snapshot: Snapshot,
    /// What changed and what was done about it.
    pub changes: Changes,
}

/// Why a source was not backed up.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The root is not there, or cannot be entered.
    #[error("cannot open `{}`: {}", directory.display(), std::io::Error::from(*error))]
    Root {
        /// The root.
        directory: PathBuf,
        /// What the system says.
        error: Errno,
    },
    /// The root is empty and was not before.
    #[error(
        "`{}` is empty, and the last snapshot has {entries} entries: this looks like a volume that is not mounted",
        directory.display()
    )]
    Empty {
        /// The root.
        directory: PathBuf,
        /// Entries of the last snapshot.
        entries: u64,
    },
    /// A commit record cannot be read.
    #[error(transparent)]
    Latest(#[from] LatestError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] WriterError),
    /// The commit record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The snapshot to be would not sort after the last one.
    #[error("the last snapshot, {0}, is later than this pass: the store's clock has gone back")]
    FromTheFuture(PassId),
    /// The pass is being stopped.
    #[error("interrupted")]
    Interrupted,
}

impl SourceError {
    /// The exit code of a pass that fails for this.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Root { .. } | Self::Empty { .. } | Self::FromTheFuture(_) => ExitCode::Failed,
            Self::Interrupted => ExitCode::Terminated,
            Self::Latest(LatestError::Record { .. }) => ExitCode::Integrity,
            Self::Manifest(WriterError::Segment(_)) => ExitCode::Integrity,
            Self::Latest(LatestError::Store(error))
            | Self::Store(error)
            | Self::Manifest(WriterError::Store(error)) => error.kind.exit_code(),
            Self::Commit(error) => error.exit_code(),
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Root { .. } => Some(
                "mount the volume, or take the directory out of `sources` or `include_dirs`"
                    .to_owned(),
            ),
            Self::Empty { .. } => Some(
                "mount the volume; if it is meant to be empty, set `allow_empty: true` for the source"
                    .to_owned(),
            ),
            Self::Latest(LatestError::Record { .. }) => Some(
                "read it with `aws s3 cp`; if it is damaged, move it away and the snapshot before it counts"
                    .to_owned(),
            ),
            Self::Latest(LatestError::Store(error))
            | Self::Store(error)
            | Self::Manifest(WriterError::Store(error)) => error.kind.hint().map(str::to_owned),
            Self::Manifest(WriterError::Segment(_))
            | Self::Commit(_)
            | Self::FromTheFuture(_)
            | Self::Interrupted => None,
        }
    }
}

/// Backs up one source and commits its snapshot. `hint` names the last snapshot, if it is known.
///
/// # Errors
/// The source was not backed up; no snapshot of this pass exists, and all earlier ones do.
pub async fn back_up(
    context: &PassContext,
    source: &DirectorySource,
    lease: &Lease,
    hint: Option<PassId>,
) -> Result<SourceReport, SourceError> {
    let context = &PassContext {
        stop: Stop::within(&context.stop),
        ..context.clone()
    };
    let started = Instant::now();
    let requests_before = context.store.requests();
    let parent = latest::latest(&*context.store, &source.name, hint).await?;
    if let Some(parent) = parent.as_ref().filter(|parent| parent.pass >= context.pass) {
        return Err(SourceError::FromTheFuture(parent.pass));
    }
    let unfinished = unfinished(context, source, parent.as_ref()).await?;

    let (manifest, merged) = capture_all(context, source, parent.as_ref(), unfinished).await?;

    let entries = parent.as_ref().map_or(0, |parent| parent.totals.entries);
    if merged.found <= 1 && merged.failed == 0 && entries > 1 && !source.allow_empty {
        return Err(SourceError::Empty {
            directory: source.directory.clone(),
            entries,
        });
    }
    let changes = changes(&manifest, &merged);
    let written = manifest.written;
    let snapshot = Snapshot {
        format: crate::manifest::FORMAT,
        source: source.name.to_string(),
        pass: context.pass,
        directory: source.directory.display().to_string(),
        created_at: context.pass.started_at(),
        committed_at: context.store.now(),
        parent: parent.map(|parent| parent.pass),
        complete: changes.failed == 0,
        xattrs: source.xattrs,
        totals: manifest.segments.iter().map(|segment| segment.totals).sum(),
        segments: manifest.segments,
        offsite: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let key = keys::snapshot(&source.name, context.pass);
    lease.commit(&key, snapshot.to_bytes().into()).await?;

    context.events.emit(&Event::SnapshotCommitted {
        source: source.name.clone(),
        complete: snapshot.complete,
        totals: snapshot.totals,
        changes,
        segments_written: written,
        segments_reused: snapshot.segments.len() as u64 - written,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        requests: context.store.requests() - requests_before,
    });
    Ok(SourceReport { snapshot, changes })
}

/// What passes since `parent` have left, where the pass before this one did not end well.
async fn unfinished(
    context: &PassContext,
    source: &DirectorySource,
    parent: Option<&Snapshot>,
) -> Result<Vec<Unfinished>, SourceError> {
    if !context.look_for_unfinished {
        return Ok(Vec::new());
    }
    let store = &*context.store;
    continued::abort_uploads(store, &source.name, context.pass).await;
    let committed = parent.map(|parent| parent.pass);
    Ok(continued::find(store, &source.name, committed, context.pass).await?)
}

/// Runs the merge, the captures and the writer together until all three are done.
async fn capture_all(
    context: &PassContext,
    source: &DirectorySource,
    parent: Option<&Snapshot>,
    unfinished: Vec<Unfinished>,
) -> Result<(Manifest, Merged), SourceError> {
    let root_error = |error| SourceError::Root {
        directory: source.directory.clone(),
        error,
    };
    let root = Root::open(&source.directory).map_err(root_error)?;
    let scan_started = (context.clock)();
    let scan_started_ns = i64::try_from(scan_started.as_nanosecond()).unwrap_or(i64::MAX);
    let options = WalkOptions {
        filter: source.filter.clone(),
        one_file_system: source.one_file_system,
        threads: context.limits.scan_threads,
    };
    let walk = Walk::start(&source.directory, options).map_err(root_error)?;
    context.events.emit(&Event::SourceStarted {
        source: source.name.clone(),
        directory: source.directory.display().to_string(),
        parent: parent.map(|parent| parent.pass),
        continued_passes: unfinished.len() as u64,
        expected_entries: parent.map_or(0, |parent| parent.totals.entries),
    });

    let store = &context.store;
    let segments = parent.map_or_else(Vec::new, |parent| parent.segments.clone());
    let base = entries::load_ahead(Arc::clone(store), segments);
    let passes = unfinished.into_iter();
    let passes: Vec<_> = passes
        .map(|pass| continued::load_ahead(Arc::clone(store), pass))
        .collect();
    let (captures, orders) = Captures::start(CaptureOptions {
        source: source.clone(),
        root,
        pass: context.pass,
        store: Arc::clone(store),
        events: context.events.clone(),
        limits: context.limits.clone(),
        stop: Arc::clone(&context.stop),
    });
    let (steps_in, steps) = mpsc::channel(STEPS);
    let queues = Queues {
        steps: steps_in,
        orders,
    };
    let rerecord = source.xattrs && parent.is_some_and(|parent| !parent.xattrs);
    let merge = merge(
        context.clone(),
        source.clone(),
        rerecord,
        (base, passes),
        queues,
        walk,
    );
    let mut merge = tokio::task::spawn_blocking(merge);

    let writer = Writer::new(WriterOptions {
        store: Arc::clone(store),
        events: context.events.clone(),
        source: source.name.clone(),
        pass: context.pass,
        scan_started_ns,
        limits: context.limits.clone(),
    });
    let mut merged = None;
    let written = writer
        .write(steps, async || {
            let result = (&mut merge).await;
            merged.insert(result).as_ref().is_ok_and(Result::is_ok)
        })
        .await;
    if written.is_err() {
        // The merge ends at its next step, which nobody takes any more, and with it the captures.
        context.stop.stop();
        captures.close();
    }
    let merged = match merged {
        Some(merged) => merged,
        None => merge.await,
    };
    // Joining blocks; the threads have nothing left to do but to finish what they are at.
    let _ = tokio::task::spawn_blocking(move || captures.join()).await;

    if let Some(error) = context.stop.failure() {
        return Err(error.into());
    }
    let manifest = written?;
    match merged {
        Ok(Ok(merged)) if !manifest.aborted => Ok((manifest, merged)),
        Ok(Err(MergeError::Store(error))) => Err(error.into()),
        Ok(_) => Err(SourceError::Interrupted),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

type Inputs = (mpsc::Receiver<Loaded>, Vec<mpsc::Receiver<Loaded>>);

/// The merge as a job for a thread of its own: it blocks on the file system and on full queues.
fn merge(
    context: PassContext,
    source: DirectorySource,
    rerecord: bool,
    inputs: Inputs,
    queues: Queues,
    walk: Walk,
) -> impl FnOnce() -> Result<Merged, MergeError> {
    move || {
        let (base, passes) = inputs;
        let inputs = (Cursor::new(base)?, Continued::new(passes)?);
        let PassContext {
            pass, events, stop, ..
        } = &context;
        let mut merge = Merge::new(&source, *pass, inputs, queues, events, stop);
        merge.rerecord = rerecord;
        merge.run(walk)
    }
}

fn changes(manifest: &Manifest, merged: &Merged) -> Changes {
    let captured = manifest.changes;
    Changes {
        new: merged.new,
        changed: merged.changed,
        removed: merged.removed,
        unchanged: merged.unchanged,
        failed: captured.failed + merged.failed,
        vanished: captured.vanished + merged.vanished,
        ..captured
    }
}
