//! `offsite verify`.

mod advice;
mod against;
mod summary;

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{Context, block_on, connect, print_json, selection};
use crate::cli::VerifyArgs;
use crate::config::Job;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::snapshot::Snapshot;
use crate::signal;
use crate::snapshots::chain;
use crate::snapshots::select::{SelectError, Selection, select, sources_named};
use crate::stdio;
use crate::stop::Stop;
use crate::store::Store;
use crate::verify::{
    Already, Depth, VerifyOptions, VerifyReport, Window, verify as verify_snapshot,
};

use self::advice::SourceKind;

pub(super) fn verify(context: &Context, args: &VerifyArgs) -> Result<ExitCode, Failure> {
    if args.against_source {
        return against::against_source(context, args, depth(args)?.read);
    }
    let job = context.reader()?;
    let selection = selection(&args.select)?;
    let options = VerifyOptions {
        depth: depth(args)?,
        concurrency: job.pass.limits.concurrency,
    };
    let reports = block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        match args.all {
            true => all(&store, &selection, options, &stop).await,
            false => chosen(&store, &selection, options, &stop).await,
        }
    })??;
    match args.json {
        true => print_json(&reports),
        false => {
            for report in &reports {
                summary::print_summary(report, options.depth, kind(&job, report));
            }
        }
    }
    let found = reports.iter().any(|report| !report.findings.is_empty());
    Ok(match (signal::received(), found) {
        (Some(signal), _) => signal,
        (None, true) => ExitCode::Integrity,
        (None, false) => ExitCode::Complete,
    })
}

/// Verifies at most one snapshot of each source.
async fn chosen(
    store: &Arc<dyn Store>,
    selection: &Selection,
    options: VerifyOptions,
    stop: &Arc<Stop>,
) -> Result<Vec<VerifyReport>, Failure> {
    let mut reports = Vec::new();
    for snapshot in select(store, selection).await? {
        let nothing = Already::default();
        let (report, _) = verified(store, snapshot, options, nothing, stop).await?;
        reports.push(report);
    }
    Ok(reports)
}

/// Verifies all snapshots of each source, the earliest first, each object once.
async fn all(
    store: &Arc<dyn Store>,
    selection: &Selection,
    options: VerifyOptions,
    stop: &Arc<Stop>,
) -> Result<Vec<VerifyReport>, Failure> {
    let mut reports = Vec::new();
    for source in sources_named(&**store, selection.source.as_deref()).await? {
        let mut already = Already::default();
        let passes = chain::passes(&**store, &source).await?;
        for pass in passes {
            if stop.is_set() {
                break;
            }
            let snapshot = chain::read(&**store, &source, pass).await;
            if let Some(snapshot) = snapshot.map_err(SelectError::from)? {
                let report;
                (report, already) = verified(store, snapshot, options, already, stop).await?;
                reports.push(report);
            }
        }
    }
    Ok(reports)
}

async fn verified(
    store: &Arc<dyn Store>,
    snapshot: Snapshot,
    options: VerifyOptions,
    mut already: Already,
    stop: &Arc<Stop>,
) -> Result<(VerifyReport, Already), Failure> {
    let bar = progress(&snapshot);
    let shown = bar.clone();
    let (store, stop) = (Arc::clone(store), Arc::clone(stop));
    let verified = tokio::task::spawn_blocking(move || {
        let progress = move |objects| shown.inc(objects);
        let report = verify_snapshot(&store, &snapshot, options, &mut already, &stop, progress)?;
        Ok::<_, Failure>((report, already))
    });
    let verified = match verified.await {
        Ok(verified) => verified?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    bar.finish_and_clear();
    Ok(verified)
}

fn kind(job: &Job, report: &VerifyReport) -> SourceKind {
    let mut sources = job.pass.sources.iter();
    let source = sources.find(|source| source.name.as_str() == report.source);
    match source {
        Some(source) if source.sessions.is_some() => SourceKind::Sessions,
        _ => SourceKind::Directory,
    }
}

fn depth(args: &VerifyArgs) -> Result<Depth, Failure> {
    let read = args.read.as_deref().map(window).transpose()?;
    Ok(Depth {
        read: read.flatten(),
        checksums: args.checksums,
    })
}

/// What is read back of a share like `5%`.
fn window(share: &str) -> Result<Option<Window>, Failure> {
    let percent = share.trim().trim_end_matches('%').parse::<f64>();
    match percent {
        Ok(0.0) => Ok(None),
        Ok(100.0) => Ok(Some(Window::ALL)),
        Ok(percent) if percent > 0.0 && percent < 100.0 => {
            Ok(Some(Window::at(Timestamp::now(), percent / 100.0)))
        }
        _ => {
            let message = format!("--read takes a share like `5%`, not `{share}`");
            Err(Failure::new(ExitCode::Usage, message))
        }
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
