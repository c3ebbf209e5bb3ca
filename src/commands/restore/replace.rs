//! `offsite restore --replace`.

use std::path::Path;
use std::sync::Arc;

use super::refused::{not_replaced, refused};
use super::{Work, in_thread, say};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::restore::replace::{Begun, ReplaceOptions, Replacement, begin, plan_to_replace};
use crate::restore::{Plan, apply, plan};
use crate::store::Store;
use crate::text;

/// Says how the tree would be replaced.
pub(super) async fn look(store: &Arc<dyn Store>, work: &mut Work) -> Result<(), Failure> {
    let of = (&work.snapshot, &work.options);
    let found = in_thread(store, of, |store, snapshot, options| {
        plan_to_replace(store, snapshot, &options.target)
    });
    let found = found.await?;
    work.replace = Some(found.map_err(|error| not_replaced(&work.options.target, error))?);
    Ok(())
}

/// Restores beside the tree, and puts that in place if it is complete.
pub(super) async fn replace(
    store: &Arc<dyn Store>,
    work: &mut Work,
    by_source: bool,
) -> Result<(), Failure> {
    let target = work.options.target.clone();
    let failed = |error| not_replaced(&target, error);
    let options = ReplaceOptions {
        target: target.clone(),
        by_source,
        owners: work.options.owners,
        host: work.options.host.clone(),
        started_at: work.options.started_at,
    };
    let of = (&work.snapshot, &work.options);
    let begun = in_thread(store, of, move |store, snapshot, _| {
        begin(store, snapshot, &options)
    });
    let replacement = match begun.await?.map_err(failed)? {
        Begun::Finished(replaced) => {
            work.replaced = Some(*replaced);
            return Ok(());
        }
        Begun::Ready(replacement) => *replacement,
    };
    if let Some(hindrance) = replacement.hindrance() {
        super::note(&text::one_line(&format!(
            "note: {}: the entries are exchanged one by one",
            hindrance
        )));
    }
    if restore(store, work, &replacement).await? {
        let of = (&work.snapshot, &work.options);
        let replaced = in_thread(store, of, move |_, _, _| replacement.put_in_place());
        work.replaced = Some(replaced.await?.map_err(failed)?);
    }
    Ok(())
}

/// Restores the new tree. Whether all of it was.
async fn restore(
    store: &Arc<dyn Store>,
    work: &mut Work,
    replacement: &Replacement,
) -> Result<bool, Failure> {
    let mut options = work.options.clone();
    options.target = replacement.staged();
    // What a restore has left there that was killed by a power failure may be damaged.
    options.overwrite = true;
    let found = in_thread(store, (&work.snapshot, &options), plan).await??;
    let found = Arc::new(found);
    let bar = say::progress(&work.snapshot, found.create_bytes + found.replace_bytes);
    let shown = bar.clone();
    work.plan = Arc::clone(&found);
    let of = (&work.snapshot, &options);
    let restored = in_thread(store, of, move |store, snapshot, options| {
        let progress = move |bytes| shown.inc(bytes);
        apply(store, snapshot, options, &found, progress)
    });
    let report = restored
        .await?
        .map_err(|error| refused(&options.target, &error))?;
    bar.finish_and_clear();
    let is_all = report.failure_count == 0 && report.ended_early.is_none();
    work.report = Some(report);
    Ok(is_all)
}

/// Refuses a snapshot of which a part is missing before anything is restored.
pub(super) fn check_complete(target: &Path, plan: &Plan) -> Result<(), Failure> {
    let (code, error) = match (plan.damaged.first(), plan.lacking.first()) {
        (Some(damaged), _) => (ExitCode::Integrity, damaged.clone()),
        (None, Some(lacking)) => (
            ExitCode::Incomplete,
            format!("{}: {}", lacking.path, lacking.error),
        ),
        (None, None) => return Ok(()),
    };
    let message = format!(
        "`{}` is not replaced, because the snapshot is not complete: {error}",
        target.display()
    );
    let hint =
        "choose another one with --snapshot or --at, or restore what it has into another directory";
    Err(Failure::new(code, text::one_line(&message)).hint(hint))
}
