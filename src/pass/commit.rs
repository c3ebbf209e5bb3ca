//! Backing up one source, from its last snapshot to its next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::archive::Archiver;
use super::capture::{CaptureOptions, Captures};
use super::continued::{self, Continued, Trusted, Unfinished};
use super::decisions::{Queues, Sink};
use super::error::SourceError;
use super::fatal::FirstError;
use super::gaps::Gaps;
use super::merge::{Merge, MergeError, Merged};
use super::origins;
use super::previous::Cursor;
use super::sessions::{self, Choice, Chosen, Modes};
use super::writer::{Manifest, Writer, WriterOptions};
use super::{DirectorySource, Limits, Method};
use crate::events::{Changes, Event, Events};
use crate::format::archive::ArchiveRef;
use crate::format::keys;
use crate::format::pass_id::PassId;
use crate::format::snapshot::{FullArchive, RECORD_BYTES, Snapshot};
use crate::format::totals::Totals;
use crate::lease::Lease;
use crate::snapshots::chain;
use crate::snapshots::entries::Segments;
use crate::source::open::Root;
use crate::source::walk::{Walk, WalkOptions};
use crate::stop::{Stop, Stopped};
use crate::store::Store;

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
    /// When it started, in the store's time.
    pub started_at: Timestamp,
    /// What of the machine it runs on lasts: see [`origins::machine`].
    pub machine: String,
    /// Whether an earlier pass may have left something unfinished of the source.
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
    /// Whether the pass did all that it was asked to. The snapshot may still lack what nobody asked for,
    /// and what could not be read of a session that is gone, about which no pass can do anything.
    pub is_complete: bool,
    /// Whether all that it lacks are entries that could not be read.
    pub lacks_only_unreadable: bool,
    /// Sessions that are on the disk and in no snapshot, because nobody has asked for them.
    pub left_out: u64,
}

/// Backs up one source and commits its snapshot. `latest` is the latest pass with anything under a
/// snapshot's key of this source.
///
/// # Errors
/// The source was not backed up; no snapshot of this pass exists, and all earlier ones do.
pub async fn back_up(
    context: &PassContext,
    source: &DirectorySource,
    lease: &Lease,
    latest: Option<PassId>,
) -> Result<SourceReport, SourceError> {
    let context = &PassContext {
        stop: Stop::within(&context.stop),
        ..context.clone()
    };
    let started = Instant::now();
    let requests_before = context.store.requests();
    let parent = chain::not_after(&*context.store, &source.name, latest).await?;
    if let Some(parent) = parent.as_ref().filter(|parent| parent.pass >= context.pass) {
        return Err(SourceError::FromTheFuture(parent.pass));
    }
    let unfinished = unfinished(context, source, parent.as_ref()).await?;
    let root = source.open().await?;
    let origins = origins::tell(context, (source, &root), parent.as_ref());
    let is_full = source.is_full_due(parent.as_ref(), context.store.now());
    let chosen = sessions::prepare(context, (source, &root), parent.as_ref(), &unfinished).await?;
    let source = &match &chosen {
        None => DirectorySource {
            afresh: source.afresh || is_full,
            ..source.clone()
        },
        // The survey has seen whether it is empty, and which sessions are archived afresh.
        Some(chosen) => DirectorySource {
            afresh: false,
            allow_empty: true,
            filter: source.filter.clone().only(chosen.modes.names()),
            ..source.clone()
        },
    };
    let Chosen {
        modes,
        with_notes,
        lost,
        left_out,
        surveyed,
    } = chosen.unwrap_or_default();
    let mut archives = archives_known(parent.as_ref(), &unfinished);
    let left_behind = archives_known(None, &unfinished);

    let captured = capture_all(
        context,
        (source, &root),
        parent.as_ref(),
        (unfinished, modes),
        is_full,
    )
    .await?;
    let Captured {
        manifest,
        merged,
        archives: written_archives,
    } = captured;
    archives.extend(written_archives);

    if merged.is_missing(source) {
        let entries = parent.as_ref().map_or(0, |parent| parent.totals.entries);
        return Err(source.nothing_in(&root, entries).await);
    }
    if let Some(options) = &source.sessions {
        sessions::notes::put(context, (source, &root), options, &with_notes).await?;
    }
    // What the survey has seen of sessions, besides the root.
    let unseen = (surveyed + 1).saturating_sub(merged.listed());
    let changes = changes(&manifest, &merged, unseen);
    let written = manifest.written;
    let totals: Totals = manifest.segments.iter().map(|segment| segment.totals).sum();
    let gaps = Gaps {
        failed: changes.failed,
        unsent: changes.unsent,
        unreadable: totals.unreadable,
        lost,
        left_out,
        listed: merged.listed() + unseen,
        vanished: changes.vanished,
    };
    let choice = source.sessions.as_ref().map(|sessions| &sessions.choice);
    let snapshot = Snapshot {
        format: crate::format::FORMAT,
        source: source.name.to_string(),
        pass: context.pass,
        directory: source.directory.display().to_string(),
        origins,
        selection: choice.and_then(Choice::selection),
        created_at: context.started_at,
        committed_at: context.store.now(),
        full: match is_full {
            true => Some(FullArchive {
                pass: context.pass,
                created_at: context.started_at,
            }),
            false => parent.as_ref().and_then(|parent| parent.full),
        },
        archives: archives_needed(archives, &manifest)?,
        // Sessions stay as they were archived.
        xattrs: source.xattrs
            && (source.sessions.is_none() || parent.as_ref().is_none_or(|parent| parent.xattrs)),
        parent: parent.map(|parent| parent.pass),
        complete: gaps.is_complete_snapshot(),
        totals,
        segments: manifest.segments,
        offsite: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let is_needed = |key: &str| snapshot.archives.iter().any(|needed| *needed.key == *key);
    for archive in left_behind.iter().filter(|left| !is_needed(&left.key)) {
        context.events.emit(&Event::Notice {
            message: format!(
                "{}: archive `{}`, which a pass that was killed had completed, is part of no snapshot: what it was made of has changed or is gone, or all is archived anew",
                source.name, archive.key
            ),
        });
    }
    source.confirm(&root).await?;
    let key = keys::snapshot(&source.name, context.pass);
    let record = snapshot.to_bytes();
    if record.len() as u64 > RECORD_BYTES {
        return Err(SourceError::LargeRecord);
    }
    lease.commit(&key, record.into()).await?;

    gaps.tell(context, source);
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
    Ok(SourceReport {
        is_complete: gaps.is_complete_pass(),
        lacks_only_unreadable: gaps.is_only_unreadable(),
        left_out,
        snapshot,
        changes,
    })
}

/// What passes since `parent` have left, where they may have left something.
async fn unfinished(
    context: &PassContext,
    source: &DirectorySource,
    parent: Option<&Snapshot>,
) -> Result<Vec<Unfinished>, SourceError> {
    if !context.look_for_unfinished {
        return Ok(Vec::new());
    }
    let store = &*context.store;
    if let Err(error) = continued::abort_uploads(context, source).await {
        context.events.emit(&Event::Notice {
            message: format!(
                "source `{}`: uploads that earlier passes left open could not be listed, and are left to the bucket's lifecycle rule: {error}",
                source.name
            ),
        });
    }
    let committed = parent.map(|parent| parent.pass);
    Ok(continued::find(store, &source.name, committed, context.pass).await?)
}

/// Archives that entries recorded so far may point into.
fn archives_known(parent: Option<&Snapshot>, unfinished: &[Unfinished]) -> Vec<ArchiveRef> {
    let recorded = parent.into_iter().flat_map(|parent| &parent.archives);
    let continued = unfinished.iter().flat_map(|pass| &pass.archives);
    recorded.chain(continued).cloned().collect()
}

/// Those that entries of the manifest do point into, in order of key.
fn archives_needed(
    known: Vec<ArchiveRef>,
    manifest: &Manifest,
) -> Result<Vec<ArchiveRef>, SourceError> {
    let segments = manifest.segments.iter();
    let needed: BTreeSet<_> = segments.flat_map(|segment| &segment.archives).collect();
    let mut known: BTreeMap<_, _> = known.into_iter().map(|a| (a.key.clone(), a)).collect();
    let needed = needed.into_iter();
    needed
        .map(|key| {
            known
                .remove(key)
                .ok_or_else(|| SourceError::NoArchive(key.to_string()))
        })
        .collect()
}

/// What there is to commit.
struct Captured {
    manifest: Manifest,
    merged: Merged,
    /// Archives that were written.
    archives: Vec<ArchiveRef>,
}

/// Where contents go.
enum Backend {
    Files(Captures),
    Archive(Archiver),
}

impl Backend {
    fn close(&self) {
        match self {
            Self::Files(captures) => captures.close(),
            Self::Archive(archiver) => archiver.close(),
        }
    }

    fn join(self) -> Result<Vec<ArchiveRef>, Stopped> {
        match self {
            Self::Files(captures) => {
                captures.join();
                Ok(Vec::new())
            }
            Self::Archive(archiver) => archiver.join(),
        }
    }
}

/// Runs the merge, the captures and the writer together until all three are done.
async fn capture_all(
    context: &PassContext,
    (source, root): (&DirectorySource, &Arc<Root>),
    parent: Option<&Snapshot>,
    (unfinished, modes): (Vec<Unfinished>, Modes),
    is_full: bool,
) -> Result<Captured, SourceError> {
    let first_error = FirstError::stopping(&context.stop);
    let scan_started = (context.clock)();
    let scan_started_ns = i64::try_from(scan_started.as_nanosecond()).unwrap_or(i64::MAX);
    let options = WalkOptions {
        filter: source.filter.clone(),
        one_file_system: source.one_file_system,
        threads: context.limits.scan_threads,
    };
    let walk = Walk::start(Arc::clone(root), options).map_err(|error| source.not_walked(error))?;
    context.events.emit(&Event::SourceStarted {
        source: source.name.clone(),
        directory: source.directory.display().to_string(),
        parent: parent.map(|parent| parent.pass),
        continued_passes: unfinished.len() as u64,
        expected_entries: parent.map_or(0, |parent| parent.totals.entries),
    });

    let store = &context.store;
    let segments = parent.map_or(&[][..], |parent| &parent.segments);
    let base = Segments::recorded(store, segments);
    let trusted = Trusted::of(parent, &unfinished);
    let passes = unfinished.into_iter();
    let passes: Vec<_> = passes
        .map(|pass| Segments::unrecorded(store, pass.keys))
        .collect();
    let (steps_in, steps) = mpsc::channel(STEPS);
    let options = CaptureOptions {
        source: source.clone(),
        root: Arc::clone(root),
        pass: context.pass,
        store: Arc::clone(store),
        events: context.events.clone(),
        limits: context.limits.clone(),
        stop: Arc::clone(&context.stop),
        first_error: first_error.clone(),
    };
    let (backend, queues): (Backend, Box<dyn Sink + Send>) = match &source.method {
        Method::Files => {
            let (captures, orders) = Captures::start(options)?;
            let queues = Queues {
                steps: steps_in,
                orders,
            };
            (Backend::Files(captures), Box::new(queues))
        }
        Method::Archive(archive) => {
            let (archiver, queues) = Archiver::start(options, archive, is_full, steps_in)?;
            (Backend::Archive(archiver), Box::new(queues))
        }
    };
    let rerecord = source.xattrs && parent.is_some_and(|parent| !parent.xattrs);
    let merge = merge(
        context.clone(),
        (source.clone(), Arc::clone(root)),
        Expected {
            rerecord,
            trusted,
            sessions: source.sessions.is_some().then_some(modes),
        },
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
        xattrs: source.xattrs,
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
        backend.close();
    }
    let merged = match merged {
        Some(merged) => merged,
        None => merge.await,
    };
    // Joining blocks; the threads have nothing left to do but to finish what they are at.
    let archives = match tokio::task::spawn_blocking(move || backend.join()).await {
        Ok(archives) => archives,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };

    if let Some(error) = first_error.take() {
        return Err(error.into());
    }
    let manifest = written?;
    match merged {
        Ok(Ok(merged)) if !manifest.aborted && !context.stop.is_set() => Ok(Captured {
            manifest,
            merged,
            archives: archives?,
        }),
        Ok(Err(MergeError::Store(error))) => Err(error.into()),
        Ok(Err(MergeError::Damaged(damaged))) => Err(damaged.into()),
        Ok(_) => Err(SourceError::Interrupted),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// What the merge knows before it begins.
struct Expected {
    rerecord: bool,
    trusted: Trusted,
    /// What to do with sessions, where the source has them.
    sessions: Option<Modes>,
}

type Inputs = (Segments, Vec<Segments>);

/// The merge as a job for a thread of its own: it blocks on the file system and on full queues.
fn merge(
    context: PassContext,
    (source, root): (DirectorySource, Arc<Root>),
    expected: Expected,
    inputs: Inputs,
    queues: Box<dyn Sink + Send>,
    walk: Walk,
) -> impl FnOnce() -> Result<Merged, MergeError> {
    move || {
        let (base, passes) = inputs;
        let inputs = (
            Cursor::new(base),
            Continued::new(passes, expected.trusted, source.xattrs),
        );
        let PassContext {
            pass, events, stop, ..
        } = &context;
        let mut merge = Merge::new((&source, &root), *pass, inputs, queues, events, stop);
        merge.rerecord = expected.rerecord;
        merge.sessions = expected.sessions;
        merge.run(walk)
    }
}

fn changes(manifest: &Manifest, merged: &Merged, unseen: u64) -> Changes {
    let captured = manifest.changes;
    Changes {
        new: merged.new,
        changed: merged.changed,
        removed: merged.removed,
        unchanged: merged.unchanged,
        failed: captured.failed + merged.failed,
        vanished: captured.vanished + merged.vanished + unseen,
        ..captured
    }
}
