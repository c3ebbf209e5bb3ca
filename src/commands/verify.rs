//! `offsite verify`.

mod advice;

use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{Context, block_on, connect, note, print, print_json, selection};
use crate::cli::VerifyArgs;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::snapshot::Snapshot;
use crate::signal;
use crate::snapshots::select::select;
use crate::stdio;
use crate::text::{count, one_line};
use crate::verify::{Compared, Depth, Finding, VerifyReport, Window, verify as verify_snapshot};

use self::advice::SourceKind;

pub(super) fn verify(context: &Context, args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    let selection = selection(&args.select)?;
    let depth = depth(args.read.as_deref())?;
    let reports = block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
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
        false => {
            for report in &reports {
                let sources = &job.pass.sources;
                let source = sources.iter().find(|s| s.name.as_str() == report.source);
                let kind = match source {
                    Some(source) if source.sessions.is_some() => SourceKind::Sessions,
                    _ => SourceKind::Directory,
                };
                summary(report, depth, kind);
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

fn depth(read: Option<&str>) -> Result<Depth, Failure> {
    let Some(text) = read else {
        return Ok(Depth::Known);
    };
    let percent = text.trim().trim_end_matches('%').parse::<f64>();
    match percent {
        Ok(0.0) => Ok(Depth::Known),
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
    let bar = stdio::progress(Some(snapshot.totals.files));
    let template = "{spinner} {prefix}: [{bar:24}] {human_pos}/{human_len} objects, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(snapshot.source.to_string());
    bar
}

/// Says what was found and what to do, and then, on standard output, the verdict.
fn summary(report: &VerifyReport, depth: Depth, kind: SourceKind) {
    for finding in &report.findings {
        note(&one_line(&described(finding)));
    }
    for hint in advice::advice(report, depth, kind) {
        note(&one_line(&format!("hint: {hint}")));
    }
    if report.compared.size > 0 {
        note(&format!(
            "warning: the store tells neither checksum nor ETag to compare of {}; `--read` compares contents",
            count(report.compared.size, "object")
        ));
    }
    if report.compared.etag > 0 {
        note(&format!(
            "note: the store tells no checksum of {}; the ETag only says that nothing was put there since; `--read` compares contents",
            count(report.compared.etag, "object")
        ));
    }
    if report.unreadable > 0 {
        note(&format!(
            "warning: {} of this snapshot could not be read by its pass; `offsite list {} --source {}` marks them",
            count(report.unreadable, "entry"),
            report.snapshot,
            report.source
        ));
    }
    print(&format!(
        "{} {}: {}\n",
        report.source,
        report.snapshot,
        verdict(report)
    ));
}

/// A finding on one line: what it concerns first.
fn described(finding: &Finding) -> String {
    let Finding {
        path, key, problem, ..
    } = finding;
    match finding.files {
        Some(files) => format!("error: {key}: {problem}; holds {}", count(files, "file")),
        None => format!("error: {path}: {problem} ({key})"),
    }
}

/// What was compared and how, and what came of it.
fn verdict(report: &VerifyReport) -> String {
    let Compared {
        contents,
        checksum,
        etag,
        size,
    } = report.compared;
    let by = [
        (contents, "by contents"),
        (checksum, "by checksum"),
        (etag, "by ETag"),
        (size, "by size only"),
    ];
    let by = by.iter().filter(|(number, _)| *number > 0);
    let by: Vec<_> = by
        .map(|(number, how)| format!("{} {how}", HumanCount(*number)))
        .collect();
    let mut said = vec![count(report.objects, "object")];
    if !by.is_empty() {
        said[0] += &format!(": {}", by.join(", "));
    }
    if report.archived > 0 {
        said.push(format!("{} archived", HumanCount(report.archived)));
    }
    said.push(match report.read_objects {
        0 => "none read back".to_owned(),
        n => format!(
            "{} read back, {}",
            HumanCount(n),
            HumanBytes(report.read_bytes)
        ),
    });
    said.push(match (&report.ended_early, report.findings.len()) {
        (None, 0) if size == 0 => "all match".to_owned(),
        (None, 0) => format!(
            "no mismatch found, but the contents of {} were not compared",
            count(size, "object")
        ),
        (Some(reason), 0) => format!("ENDED EARLY ({reason}), nothing wrong so far"),
        (None, n) => problems(n),
        (Some(reason), n) => format!("ENDED EARLY ({reason}), {} so far", problems(n)),
    });
    said.join("; ")
}

fn problems(number: usize) -> String {
    match number {
        1 => "1 PROBLEM".to_owned(),
        n => format!("{n} PROBLEMS"),
    }
}
