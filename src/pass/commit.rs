//! The commit: the table of shared objects, then the record that makes a snapshot exist.

use std::collections::BTreeSet;

use super::context::SourceContext;
use super::error::SourceError;
use super::past::Past;
use super::writer::Manifest;
use crate::events::Event;
use crate::format::keys;
use crate::format::location::ObjectId;
use crate::format::objects::{ObjectTable, SharedObject, TableRef};
use crate::format::origin::Origin;
use crate::format::requires::Requires;
use crate::format::rules::Rules;
use crate::format::selection::SessionSelection;
use crate::format::snapshot::{FullArchive, Loss, RECORD_BYTES, Snapshot};
use crate::format::totals::Totals;
use crate::lease::Lease;
use crate::snapshots::objects;
use crate::store::Condition;

/// What is to be committed.
pub(super) struct Commit<'a> {
    pub(super) past: &'a Past,
    pub(super) manifest: Manifest,
    /// Shared objects that this pass has written.
    pub(super) objects: Vec<SharedObject>,
    pub(super) origins: Vec<Origin>,
    pub(super) selection: Option<SessionSelection>,
    /// Whether everything was archived anew.
    pub(super) is_full: bool,
    pub(super) xattrs: bool,
    pub(super) complete: bool,
    pub(super) uploaded_bytes: u64,
}

/// Makes the snapshot exist, if the source is still what it was.
pub(super) async fn commit(
    context: &SourceContext,
    lease: &Lease,
    commit: Commit<'_>,
) -> Result<Snapshot, SourceError> {
    let Commit { past, manifest, .. } = commit;
    let source = &context.job;
    let parent = past.parent.as_ref();
    let totals: Totals = manifest.segments.iter().map(|segment| segment.totals).sum();
    let order = context.source.order();
    let (table, needed) = object_table(context, past, commit.objects, &manifest).await?;
    let snapshot = Snapshot {
        format: crate::format::FORMAT,
        requires: Requires::of(order),
        source: source.name.clone(),
        pass: context.pass,
        generation: lease.generation(),
        sequence: parent.map_or(0, |parent| parent.sequence.saturating_add(1)),
        owner: lease.record().await.store_owner,
        kind: source.place.kind().to_owned(),
        place: source.place.text(),
        origins: commit.origins,
        selection: commit.selection,
        rules: Rules {
            sessions: source.sessions.is_some(),
            ..source.place.rules()
        },
        created_at: context.started_at,
        committed_at: context.store.now(),
        full: match commit.is_full {
            true => Some(FullArchive {
                pass: context.pass,
                created_at: context.started_at,
            }),
            false => parent.and_then(|parent| parent.full),
        },
        objects: table,
        xattrs: commit.xattrs,
        parent: parent.map(|parent| parent.pass),
        parent_sha256: parent.map(|parent| parent.sha256.clone()),
        continued: past.unfinished.iter().map(|pass| pass.pass).collect(),
        order,
        copied: parent.and_then(|parent| parent.copied.clone()),
        complete: commit.complete,
        totals,
        uploaded_bytes: commit.uploaded_bytes,
        loss: parent.and_then(|parent| Loss::between(parent, &totals)),
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
    Ok(snapshot)
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
