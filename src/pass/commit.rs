//! Backing up one source, from its last snapshot to its next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::archive::Archiver;
use super::capture::Captures;
use super::context::{PassContext, SourceContext};
use super::decider::{Decider, Merged};
use super::diff::Inputs;
use super::error::{Nothing, SourceError};
use super::gaps::Gaps;
use super::job::{Method, SourceJob};
use super::origins;
use super::past::Past;
use super::policy::{self, Approach, Policy};
use super::steps::{Queues, Sink};
use super::unfinished;
use super::writer::{Manifest, Writer};
use crate::events::Event;
use crate::format::changes::Changes;
use crate::format::keys;
use crate::format::location::ObjectId;
use crate::format::objects::{ObjectTable, SharedObject, TableRef};
use crate::format::pass_id::PassId;
use crate::format::requires::Requires;
use crate::format::segment::Order;
use crate::format::snapshot::{FullArchive, RECORD_BYTES, Snapshot};
use crate::format::totals::Totals;
use crate::lease::Lease;
use crate::snapshots::{chain, objects};
use crate::stop::Stopped;
use crate::store::Condition;

/// Steps that wait for the manifest writer: how far captures may be ahead of the slowest one. A
/// step takes some 300 bytes.
const STEPS: usize = 8192;

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

/// What is known of a source before it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The latest pass with anything under a snapshot's key.
    pub latest: Option<PassId>,
    /// Whether no earlier pass may have left anything unfinished.
    pub is_settled: bool,
}

/// Backs up one source and commits its snapshot. `machine` is what `origins::machine` says.
///
/// # Errors
/// The source was not backed up; no snapshot of this pass exists, and all earlier ones do.
pub async fn back_up(
    pass: &PassContext,
    source: &SourceJob,
    lease: &Lease,
    known: Known,
    machine: &str,
) -> Result<SourceReport, SourceError> {
    let started = Instant::now();
    let requests_before = pass.store.requests();
    let parent = chain::not_after(&*pass.store, &source.name, known.latest).await?;
    if let Some(parent) = parent.as_ref().filter(|parent| parent.pass >= pass.pass) {
        return Err(SourceError::FromTheFuture(parent.pass));
    }
    let opened = source.open().await?;
    let context = &pass.for_source(source, opened);
    if !known.is_settled {
        give_up_uploads(context).await;
    }
    let past = Past::of(pass, &source.name, parent, known.is_settled).await?;
    let parent = past.parent.as_ref();
    let origins = origins::tell(context, machine, parent);
    let approach = policy::settle(context, &past).await?;
    let Approach {
        policy,
        only,
        is_full,
        xattrs,
        selection,
        expected,
        lost,
        left_out,
    } = approach;
    let may_be_empty = policy.may_be_empty();
    let scan_started_ns = context.now_ns();
    let inputs = Inputs::open(context, only, &past)?;
    context.events.emit(&Event::SourceStarted {
        source: source.name.clone(),
        place: source.place.text(),
        parent: parent.map(|parent| parent.pass),
        continued_passes: past.unfinished.len() as u64,
        expected_entries: past.entries(),
    });
    let captured = capture_all(context, policy, inputs, scan_started_ns).await?;
    let Captured {
        manifest,
        merged,
        objects,
    } = captured;

    if merged.is_nothing() && !may_be_empty {
        let nothing = context.nothing_there(Nothing::LeftOut, past.entries());
        return Err(nothing.await);
    }
    // What was seen beforehand, besides the root.
    let unseen = (expected + 1).saturating_sub(merged.listed());
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
    let (table, needed) = object_table(context, &past, objects, &manifest).await?;
    let snapshot = Snapshot {
        format: crate::format::FORMAT,
        requires: Requires::default(),
        source: source.name.clone(),
        pass: context.pass,
        generation: lease.generation(),
        sequence: parent.map_or(0, |parent| parent.sequence.saturating_add(1)),
        kind: source.place.kind().to_owned(),
        place: source.place.text(),
        origins,
        selection,
        created_at: context.started_at,
        committed_at: context.store.now(),
        full: match is_full {
            true => Some(FullArchive {
                pass: context.pass,
                created_at: context.started_at,
            }),
            false => parent.and_then(|parent| parent.full),
        },
        objects: table,
        xattrs,
        parent: parent.map(|parent| parent.pass),
        parent_sha256: parent.map(|parent| parent.sha256.clone()),
        continued: past.unfinished.iter().map(|pass| pass.pass).collect(),
        order: Order::Path,
        complete: gaps.is_complete_snapshot(),
        totals,
        segments: manifest.segments,
        offsite: env!("CARGO_PKG_VERSION").to_owned(),
        sha256: String::new(),
    };
    for archive in past.unfinished.iter().flat_map(|pass| &pass.objects) {
        if needed.contains(&archive.object) {
            continue;
        }
        context.events.emit(&Event::Notice {
            message: format!(
                "{}: archive `{}`, which a pass that was killed had completed, is part of no snapshot: what it was made of has changed or is gone, or all is archived anew",
                source.name, archive.key
            ),
        });
    }
    context.confirm().await?;
    let key = keys::snapshot(&source.name, context.pass);
    let record = snapshot.to_bytes();
    if record.len() as u64 > RECORD_BYTES {
        return Err(SourceError::LargeRecord);
    }
    lease.commit(&key, record.into()).await?;

    gaps.tell(context);
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

/// Gives up what passes that were killed have left half sent.
async fn give_up_uploads(context: &SourceContext) {
    let source = &context.job;
    if let Err(error) = unfinished::abort_uploads(context).await {
        context.events.emit(&Event::Notice {
            message: format!(
                "source `{}`: uploads that earlier passes left open could not be listed, and are left to the bucket's lifecycle rule: {error}",
                source.name
            ),
        });
    }
}

/// The table of those objects that entries of the manifest point into, and their ids: the last snapshot's
/// table, if it needs the same.
async fn object_table(
    context: &SourceContext,
    past: &Past,
    new: Vec<SharedObject>,
    manifest: &Manifest,
) -> Result<(Option<TableRef>, BTreeSet<ObjectId>), SourceError> {
    let segments = manifest.segments.iter();
    let needed: BTreeSet<_> = segments.flat_map(|s| s.objects.keys().copied()).collect();
    let known = past.objects();
    let table = past.parent.as_ref();
    let table = table.and_then(|parent| parent.objects.clone());
    if known == needed && (table.is_some() || needed.is_empty()) {
        return Ok((table, needed));
    }
    let recorded = match &past.parent {
        Some(parent) if !known.is_disjoint(&needed) => {
            objects::load(&*context.store, parent).await?
        }
        _ => ObjectTable::default(),
    };
    let continued = past.unfinished.iter().flat_map(|pass| &pass.objects);
    let new: ObjectTable = continued.cloned().chain(new).collect();
    let find = |id: &ObjectId| {
        let object = recorded.get(*id).or_else(|| new.get(*id)).cloned();
        object.ok_or(SourceError::NoObject(*id))
    };
    let table: ObjectTable = needed.iter().map(find).collect::<Result<_, _>>()?;
    if table.is_empty() {
        return Ok((None, needed));
    }
    let body = table.to_body(&context.job.name, context.pass);
    let body = body.ok_or(SourceError::ManyObjects(table.len()))?;
    let key = keys::object_table(&context.job.name, context.pass, &body.sha256);
    let put = context
        .store
        .put(&key, body.bytes.clone(), &Condition::Absent);
    put.await?;
    Ok((Some(body.stored_as(key)), needed))
}

/// What there is to commit.
struct Captured {
    manifest: Manifest,
    merged: Merged,
    /// Shared objects that were written.
    objects: Vec<SharedObject>,
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

    fn join(self) -> Result<Vec<SharedObject>, Stopped> {
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
    context: &Arc<SourceContext>,
    policy: Box<dyn Policy>,
    inputs: Inputs,
    scan_started_ns: i64,
) -> Result<Captured, SourceError> {
    let (steps_in, steps) = mpsc::channel(STEPS);
    let (backend, sink): (Backend, Box<dyn Sink + Send>) = match &context.job.method {
        Method::Files => {
            let (captures, orders) = Captures::start(Arc::clone(context))?;
            let queues = Queues {
                steps: steps_in,
                orders,
            };
            (Backend::Files(captures), Box::new(queues))
        }
        Method::Archive(archive) => {
            let (archiver, queues) = Archiver::start(Arc::clone(context), archive, steps_in)?;
            (Backend::Archive(archiver), Box::new(queues))
        }
    };
    let mut merge = inputs.merge(context, Decider::new(context, policy, sink));

    let mut merged = None;
    let written = Writer::new(context, scan_started_ns)
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
    let objects = match tokio::task::spawn_blocking(move || backend.join()).await {
        Ok(objects) => objects,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };

    if let Some(error) = context.first_error.take() {
        return Err(error.into());
    }
    let manifest = written?;
    match merged {
        Ok(Ok(merged)) if !manifest.aborted && !context.stop.is_set() => Ok(Captured {
            manifest,
            merged,
            objects: objects?,
        }),
        Ok(Ok(_)) => Err(SourceError::Interrupted),
        Ok(Err(error)) => Err(error.into()),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
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
