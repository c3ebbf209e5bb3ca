//! `offsite verify`.

mod advice;
mod against;
mod repair;
mod summary;

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{Context, block_on, connect, note, print_json, selection};
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
    Already, Depth, VerifyOptions, VerifyReport, Window, clear_repaired, verify as verify_snapshot,
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
    block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        if args.repair {
            let job = &job;
            let world = repair::World {
                context,
                args,
                job,
                store,
                stop,
            };
            return repair::repair(&world, &selection, options).await;
        }
        let verified = verified_snapshots(&store, &selection, options, args.all, &stop).await?;
        Ok(tell(args, &job, options, verified))
    })?
}

/// Prints what was found.
fn tell(args: &VerifyArgs, job: &Job, options: VerifyOptions, verified: Vec<Verified>) -> ExitCode {
    let reports: Vec<_> = verified.into_iter().map(|one| one.report).collect();
    match args.json {
        true => print_json(&reports),
        false => {
            for report in &reports {
                summary::print_summary(report, options.depth, kind(job, report), false);
            }
        }
    }
    let found = reports.iter().any(|report| !report.findings.is_empty());
    match (signal::received(), found) {
        (Some(signal), _) => signal,
        (None, true) => ExitCode::Integrity,
        (None, false) => ExitCode::Complete,
    }
}

/// What was found in a snapshot; the snapshot itself, where that was anything.
struct Verified {
    report: VerifyReport,
    snapshot: Option<Snapshot>,
}

/// Verifies at most one snapshot of each source, or all of them, the earliest first, each object once.
async fn verified_snapshots(
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
            let snapshot = chain::read(&**store, &source, pass).await;
            if let Some(snapshot) = snapshot.map_err(SelectError::from)? {
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
            "note: what repairs have put back is not known: {error}"
        ));
    }
    let snapshot = (!report.findings.is_empty()).then_some(snapshot);
    Ok((Verified { report, snapshot }, already))
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
