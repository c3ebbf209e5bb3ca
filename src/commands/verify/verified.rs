//! Snapshots that are verified, one after the other.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use super::advice::SourceKind;
use crate::commands::note;
use crate::config::Job;
use crate::error::Failure;
use crate::format::snapshot::{Snapshot, SnapshotError};
use crate::snapshots::chain::{self, ChainError};
use crate::snapshots::select::{SelectError, Selection, select, sources_named};
use crate::stdio;
use crate::stop::Stop;
use crate::store::Store;
use crate::verify::{
    Already, VerifyOptions, VerifyReport, clear_repaired, unread, verify as verify_snapshot,
};

/// What was found in a snapshot; the snapshot itself, where that was anything.
pub(super) struct Verified {
    pub(super) report: VerifyReport,
    pub(super) snapshot: Option<Snapshot>,
}

/// Verifies at most one snapshot of each source, or all of them, the earliest first, each object once.
pub(super) async fn verified_snapshots(
    store: &Arc<dyn Store>,
    selection: &Selection,
    options: VerifyOptions,
    all: bool,
    stop: &Arc<Stop>,
) -> Result<Vec<Verified>, Failure> {
    let mut verified = Vec::new();
    if !all {
        for snapshot in select(store, selection).await? {
            let nothing = Already::default();
            let (one, _) = verify_one(store, snapshot, options, nothing, stop).await?;
            verified.push(one);
        }
        return Ok(verified);
    }
    for source in sources_named(&**store, selection.source.as_deref()).await? {
        let mut already = Already::default();
        for pass in chain::passes(&**store, &source).await? {
            if stop.is_set() {
                break;
            }
            let snapshot = match chain::read(&**store, &source, pass).await {
                // The others are looked at all the same.
                Err(ChainError::Record { key, error })
                    if !matches!(
                        error,
                        SnapshotError::Format(_) | SnapshotError::Unsupported(_)
                    ) =>
                {
                    let (source, pass) = (source.as_str(), pass.to_string());
                    verified.push(Verified {
                        report: unread(source, &pass, &key, &error.to_string()),
                        snapshot: None,
                    });
                    continue;
                }
                read => read.map_err(SelectError::from)?,
            };
            if let Some(snapshot) = snapshot {
                let one;
                (one, already) = verify_one(store, snapshot, options, already, stop).await?;
                verified.push(one);
            }
        }
    }
    Ok(verified)
}

async fn verify_one(
    store: &Arc<dyn Store>,
    snapshot: Snapshot,
    options: VerifyOptions,
    mut already: Already,
    stop: &Arc<Stop>,
) -> Result<(Verified, Already), Failure> {
    let bar = progress(&snapshot);
    let shown = bar.clone();
    let (from, stop) = (Arc::clone(store), Arc::clone(stop));
    let source = snapshot.source.clone();
    let verified = tokio::task::spawn_blocking(move || {
        let progress = move |objects| shown.inc(objects);
        let report = verify_snapshot(&from, &snapshot, options, &mut already, &stop, progress)?;
        Ok::<_, Failure>((report, snapshot, already))
    });
    let (mut report, snapshot, already) = match verified.await {
        Ok(verified) => verified?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    bar.finish_and_clear();
    // An object without its own mark is what the finding says it is.
    if let Err(error) = clear_repaired(store, &source, &mut report).await {
        note(&format!(
            "note: cannot read which objects repairs have put back: {error}; those may be reported as replaced"
        ));
    }
    let snapshot = (!report.findings.is_empty()).then_some(snapshot);
    Ok((Verified { report, snapshot }, already))
}

/// What kind of source a report is about, as far as the configuration says.
pub(super) fn kind(job: &Job, report: &VerifyReport) -> SourceKind {
    let mut sources = job.pass.sources.iter();
    let source = sources.find(|source| source.name.as_str() == report.source);
    match source {
        Some(source) if source.sessions.is_some() => SourceKind::Sessions,
        _ => SourceKind::Directory,
    }
}

fn progress(snapshot: &Snapshot) -> ProgressBar {
    let bar = stdio::progress(Some(snapshot.totals.files));
    let template = "{spinner} {prefix}: [{bar:24}] {human_pos}/{human_len} objects, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(snapshot.source.to_string());
    bar
}
