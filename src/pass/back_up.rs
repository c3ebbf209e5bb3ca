//! Backing up one source, from its last snapshot to its next.

use std::sync::Arc;
use std::time::Instant;

use super::commit::{self, Commit};
use super::context::{PassContext, SourceContext};
use super::damage::Marked;
use super::decider::Merged;
use super::diff::Inputs;
use super::error::{Nothing, SourceError};
use super::flow::{self, Flowed};
use super::gaps::Gaps;
use super::job::SourceJob;
use super::origins;
use super::past::Past;
use super::policy::{self, Approach};
use super::unfinished;
use super::writer::Manifest;
use crate::events::Event;
use crate::format::changes::Changes;
use crate::format::pass_id::PassId;
use crate::format::snapshot::Snapshot;
use crate::format::totals::Totals;
use crate::lease::Lease;
use crate::snapshots::chain;

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
pub struct Precedents {
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
    known: Precedents,
    machine: &str,
) -> Result<SourceReport, SourceError> {
    let started = Instant::now();
    let requests_before = pass.store.requests();
    let parent = chain::not_after(&*pass.store, &source.name, known.latest).await?;
    if let Some(parent) = parent.as_ref().filter(|parent| parent.pass >= pass.pass) {
        return Err(SourceError::FromTheFuture(parent.pass));
    }
    let context = &pass.open(source).await?;
    if !known.is_settled {
        give_up_uploads(context).await;
    }
    let mut past = Past::of(pass, &source.name, parent, known.is_settled).await?;
    let mut marked = Marked::of(context, lease).await?;
    past.damaged = Arc::new(std::mem::take(&mut marked.contents));
    let past = past;
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
    let inputs = Inputs::open(context, only, &past)?;
    context.events.emit(&Event::SourceStarted {
        source: source.name.clone(),
        place: source.place.text(),
        parent: parent.map(|parent| parent.pass),
        continued_passes: past.unfinished.len() as u64,
        expected_entries: past.entries(),
    });
    let flowed = flow::flow(context, policy, inputs).await?;
    let Flowed {
        manifest,
        merged,
        objects,
    } = flowed;

    if merged.is_nothing() && !may_be_empty {
        let nothing = context.nothing_there(Nothing::LeftOut, past.entries());
        return Err(nothing.await);
    }
    // What was seen beforehand, besides the root.
    let unseen = (expected + merged.roots).saturating_sub(merged.listed());
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
        contents: totals.files + totals.symlinks + totals.special,
        is_partial: context.source.categories().is_some(),
    };
    let commit = Commit {
        past: &past,
        manifest,
        objects,
        origins,
        selection,
        is_full,
        xattrs,
        complete: gaps.is_complete_snapshot(),
        uploaded_bytes: changes.uploaded_bytes,
    };
    let snapshot = commit::commit(context, lease, commit).await?;
    // Of what could not be captured, the entry is the old one, it may be.
    marked
        .settle(context, lease, merged.damaged + changes.failed)
        .await;

    gaps.tell(context);
    for remark in context.source.remarks() {
        let message = format!("{}: {remark}", source.name);
        context.events.emit(&Event::Notice { message });
    }
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
    tell_of_loss(context, &snapshot);
    Ok(SourceReport {
        is_complete: gaps.is_complete_pass(),
        lacks_only_unreadable: gaps.is_only_unreadable(),
        left_out,
        snapshot,
        changes,
    })
}

/// Says loudly that more than half is gone: nobody may have meant that.
fn tell_of_loss(context: &SourceContext, snapshot: &Snapshot) {
    let Some(loss) = snapshot.loss else { return };
    let source = &snapshot.source;
    context.events.emit(&Event::AnomalousLoss {
        source: source.clone(),
        snapshot: snapshot.pass,
        before: loss.before,
        entries_before: loss.entries,
        entries: snapshot.totals.entries,
        bytes_before: loss.bytes,
        bytes: snapshot.totals.bytes,
        hint: format!(
            "if this was meant, run `offsite ack {} --source {source}`; if not, restore what is gone with `offsite restore --snapshot {} --source {source}`",
            snapshot.pass, loss.before
        ),
    });
}

/// Gives up what passes that were killed have left half sent.
async fn give_up_uploads(context: &SourceContext) {
    let source = &context.job;
    if let Err(error) = unfinished::abort_uploads(context).await {
        context.events.emit(&Event::Notice {
            message: format!(
                "source `{}`: uploads that earlier passes left open could not be listed; a later pass or the bucket's lifecycle rule removes them: {error}",
                source.name
            ),
        });
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
