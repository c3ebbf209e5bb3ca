//! `offsite verify`.

use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{Context, block_on, connect, note, print, print_json, selection};
use crate::cli::VerifyArgs;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::manifest::keys;
use crate::manifest::snapshot::Snapshot;
use crate::select::select;
use crate::signal;
use crate::text::{count, one_line};
use crate::verify::{Depth, Finding, Report, Window, verify as verify_snapshot};

pub(super) fn verify(context: &Context, args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    let selection = selection(&args.select)?;
    let depth = depth(args.read.as_deref())?;
    let reports = block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job.store).await;
        let snapshots = select(&store, &selection).await?;
        let mut reports = Vec::new();
        for snapshot in snapshots {
            let bar = progress(&snapshot);
            let shown = bar.clone();
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            let concurrency = job.pass.limits.concurrency;
            let verified = tokio::task::spawn_blocking(move || {
                let progress = move |objects| shown.inc(objects);
                verify_snapshot(&store, &snapshot, depth, concurrency, &stop, progress)
            });
            match verified.await {
                Ok(report) => reports.push(report?),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
            bar.finish_and_clear();
        }
        Ok::<_, Failure>(reports)
    })??;
    match args.json {
        true => print_json(&reports),
        false => reports.iter().for_each(summary),
    }
    let found = reports.iter().any(|report| !report.findings.is_empty());
    Ok(match (signal::received(), found) {
        (Some(signal), _) => signal,
        (None, true) => ExitCode::Integrity,
        (None, false) => ExitCode::Complete,
    })
}

fn depth(read: Option<&str>) -> Result<Depth, Failure> {
    let Some(text) = read else {
        return Ok(Depth::Known);
    };
    let percent = text.trim().trim_end_matches('%').parse::<f64>();
    match percent {
        Ok(100.0) => Ok(Depth::Read(Window::ALL)),
        Ok(percent) if percent > 0.0 && percent < 100.0 => {
            Ok(Depth::Read(Window::at(Timestamp::now(), percent / 100.0)))
        }
        _ => {
            let message = format!("--read takes a share like `5%`, not `{text}`");
            Err(Failure::new(ExitCode::Usage, message))
        }
    }
}

fn progress(snapshot: &Snapshot) -> ProgressBar {
    let bar = ProgressBar::new(snapshot.totals.files);
    let template = "{spinner} {prefix}: [{bar:24}] {human_pos}/{human_len} objects, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(snapshot.source.clone());
    bar
}

fn summary(report: &Report) {
    for finding in &report.findings {
        note(&one_line(&format!(
            "error: {}: {} ({})",
            finding.path, finding.problem, finding.key
        )));
    }
    let is_contents = |finding: &Finding| !finding.key.starts_with(keys::MANIFESTS);
    if report.findings.iter().any(is_contents) {
        note("hint: `offsite run --no-incremental` sends anew what is still on the disk");
    } else if !report.findings.is_empty() {
        note("hint: `offsite run` captures again what is still on the disk");
    }
    if report.by_length_only > 0 {
        note(&format!(
            "warning: the store keeps no checksum of {}, so only the length was compared; --read compares contents",
            count(report.by_length_only, "object")
        ));
    }
    let read = match report.read_objects {
        0 => "none read back".to_owned(),
        n => format!(
            "{} read back, {}",
            HumanCount(n),
            HumanBytes(report.read_bytes)
        ),
    };
    let verdict = match (&report.ended_early, report.findings.len()) {
        (None, 0) => "all as they were put there".to_owned(),
        (Some(reason), 0) => format!("ENDED EARLY ({reason}), nothing wrong so far"),
        (None, n) => problems(n),
        (Some(reason), n) => format!("ENDED EARLY ({reason}), {} so far", problems(n)),
    };
    print(&format!(
        "{} {}: {}, {read}; {verdict}\n",
        report.source,
        report.snapshot,
        count(report.objects, "object"),
    ));
}

fn problems(number: usize) -> String {
    match number {
        1 => "1 PROBLEM".to_owned(),
        n => format!("{n} PROBLEMS"),
    }
}
