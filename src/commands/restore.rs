//! `offsite restore`.

use std::io::ErrorKind;
use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;

use super::ls::globs;
use super::{Context, block_on, connect, note, print, print_json, selection};
use crate::cli::RestoreArgs;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::snapshot::Snapshot;
use crate::restore::{ApplyError, Plan, RestoreOptions, RestoreReport, Shortfall, apply, plan};
use crate::signal;
use crate::snapshots::select::select;
use crate::stdio;
use crate::stop::Stop;
use crate::store::Store;
use crate::text;

/// What was done, or would be, with one snapshot.
#[derive(Serialize)]
struct Restored<'a> {
    source: &'a str,
    snapshot: &'a str,
    target: String,
    plan: &'a Plan,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a RestoreReport>,
}

pub(super) fn restore(context: &Context, args: &RestoreArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    let selection = selection(&args.select)?;
    let sessions = args.session.iter().map(|session| format!("/{session}"));
    let sessions = globs(&sessions.collect::<Vec<_>>())?;
    let paths = globs(&args.path)?;
    // Both must have a path, where both are given.
    let wanted: Vec<_> = sessions.into_iter().chain(paths).collect();
    let host = context.environment.holder().host;
    block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        let snapshots = select(&store, &selection).await?;
        let mut work = Vec::new();
        for snapshot in snapshots {
            let target = match &args.select.source {
                Some(_) => args.to.clone(),
                None => args.to.join(snapshot.source.as_str()),
            };
            let options = RestoreOptions {
                target,
                wanted: wanted.clone(),
                overwrite: args.overwrite,
                owners: rustix::process::geteuid().is_root(),
                concurrency: job.pass.limits.concurrency,
                memory_bytes: job.pass.limits.memory_bytes,
                stop: Stop::within(&stop),
                host: host.clone(),
                started_at: Timestamp::now(),
            };
            let plan = in_thread(&store, &snapshot, &options, plan).await??;
            work.push((snapshot, options, Arc::new(plan)));
        }
        if !wanted.is_empty() {
            work = matching(work, &args.session)?;
        }
        if let Some(failure) = conflicts(&work) {
            if args.dry_run && args.json {
                print_json(&done(&work, &[]));
            }
            return Err(failure);
        }
        if args.dry_run {
            let would = done(&work, &[]);
            match args.json {
                true => print_json(&would),
                false => would.iter().for_each(preview),
            }
            let is_damaged = work.iter().any(|(.., plan)| !plan.damaged.is_empty());
            let is_lacking = work.iter().any(|(.., plan)| plan.lacking_count > 0);
            return Ok(match (is_damaged, is_lacking) {
                (true, _) => ExitCode::Integrity,
                (false, true) => ExitCode::Incomplete,
                (false, false) => ExitCode::Complete,
            });
        }
        let reports = carry_out(&store, &work).await?;
        let code = exit_code(&reports);
        let restored = done(&work, &reports);
        match args.json {
            true => print_json(&restored),
            false => restored.iter().for_each(summary),
        }
        Ok(code)
    })?
}

type Planned = (Snapshot, RestoreOptions, Arc<Plan>);

fn done<'a>(work: &'a [Planned], reports: &'a [RestoreReport]) -> Vec<Restored<'a>> {
    let mut reports = reports.iter();
    work.iter()
        .map(|(snapshot, options, plan)| Restored {
            source: snapshot.source.as_str(),
            snapshot: snapshot.pass.as_str(),
            target: options.target.display().to_string(),
            plan,
            report: reports.next(),
        })
        .collect()
}

/// Runs one of the restore's blocking halves.
async fn in_thread<T: Send + 'static>(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    work: impl FnOnce(&Arc<dyn Store>, &Snapshot, &RestoreOptions) -> T + Send + 'static,
) -> Result<T, Failure> {
    let (store, snapshot, options) = (Arc::clone(store), snapshot.clone(), options.clone());
    match tokio::task::spawn_blocking(move || work(&store, &snapshot, &options)).await {
        Ok(result) => Ok(result),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// The snapshots of which something is wanted. A name that was mistyped restores nothing, and that
/// is no success.
fn matching(work: Vec<Planned>, sessions: &[String]) -> Result<Vec<Planned>, Failure> {
    let names = work
        .iter()
        .map(|(snapshot, ..)| snapshot.source.to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    let mut matching = work;
    matching.retain(|(_, _, plan)| !plan.is_empty());
    if matching.is_empty() {
        let message = format!("nothing in the snapshots of {names} matches");
        let hint = match sessions {
            [] => {
                "patterns are relative to the source, as `docs/*.pdf`; `offsite list latest --source NAME` shows the paths"
            }
            _ => {
                "`offsite sessions` lists the sessions, and `offsite list latest --source NAME` the paths, which begin with them"
            }
        };
        return Err(Failure::new(ExitCode::NotFound, message).hint(hint));
    }
    Ok(matching)
}

/// What stands in the way, of all snapshots together, before anything is written.
fn conflicts(work: &[Planned]) -> Option<Failure> {
    let count: u64 = work.iter().map(|(_, _, plan)| plan.conflict_count).sum();
    if count == 0 {
        return None;
    }
    let verb = if count == 1 { "differs" } else { "differ" };
    let things = text::count(count, "entry");
    let mut message =
        format!("{things} in the target {verb} from the snapshot; nothing was written:");
    for (_, options, plan) in work {
        for path in &plan.conflicts {
            let there = options.target.join(path).display().to_string();
            message.push_str(&format!("\n  {}", text::one_line(&there)));
        }
    }
    let hint = "restore into an empty directory, or replace them with --overwrite (directories are never replaced by files)";
    Some(Failure::new(ExitCode::Failed, message).hint(hint))
}

async fn carry_out(
    store: &Arc<dyn Store>,
    work: &[Planned],
) -> Result<Vec<RestoreReport>, Failure> {
    let mut reports = Vec::new();
    for (snapshot, options, plan) in work {
        let bar = progress(snapshot, plan);
        let shown = bar.clone();
        let plan = Arc::clone(plan);
        let report = in_thread(store, snapshot, options, move |store, snapshot, options| {
            apply(store, snapshot, options, &plan, move |bytes| {
                shown.inc(bytes);
            })
        });
        let report = report.await?;
        bar.finish_and_clear();
        let report = report.map_err(|error| refused(options, &error))?;
        let ended = report.ended_early.is_some();
        reports.push(report);
        if ended {
            break;
        }
    }
    Ok(reports)
}

/// Why a restore could not begin.
fn refused(options: &RestoreOptions, error: &ApplyError) -> Failure {
    let message = format!(
        "cannot restore into `{}`: {error}",
        options.target.display()
    );
    let failure = Failure::new(ExitCode::Failed, text::one_line(&message));
    match error {
        ApplyError::InUse(_) => {
            failure.hint("wait until that one has ended, or restore into another directory")
        }
        ApplyError::Target(error) if error.kind() == ErrorKind::PermissionDenied => {
            failure.hint(may_not_write())
        }
        ApplyError::Store(error) => {
            let failure = Failure::new(error.kind.exit_code(), text::one_line(&message));
            match error.kind.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
        ApplyError::Target(_) => failure,
    }
}

fn may_not_write() -> String {
    format!(
        "this is user {}, who may not write there: make it their directory (in Kubernetes by `fsGroup`), or run as root (`docker run --user 0`, `restore.runAsRoot` of the Helm chart)",
        rustix::process::geteuid().as_raw()
    )
}

fn progress(snapshot: &Snapshot, plan: &Plan) -> ProgressBar {
    let bar = stdio::progress(Some(plan.create_bytes + plan.replace_bytes));
    let template =
        "{spinner} {prefix}: [{bar:24}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(snapshot.source.to_string());
    bar
}

fn exit_code(reports: &[RestoreReport]) -> ExitCode {
    let ended = reports.iter().any(|report| report.ended_early.is_some());
    let failed = reports.iter().any(|report| report.failure_count > 0);
    match (signal::received(), ended, failed) {
        (Some(signal), true, _) => signal,
        (_, true, _) => ExitCode::Failed,
        (_, false, true) => ExitCode::Incomplete,
        (_, false, false) => ExitCode::Complete,
    }
}

fn preview(restored: &Restored<'_>) {
    let Restored {
        source,
        snapshot,
        target,
        plan,
        ..
    } = restored;
    for damaged in &plan.damaged {
        note(&format!("error: {damaged}; that would not be restored"));
    }
    name(&plan.lacking, plan.lacking_count);
    print(&format!(
        "{source} {snapshot} into {target}: create {} ({}), keep {}, replace {} ({}); nothing written\n",
        HumanCount(plan.create),
        HumanBytes(plan.create_bytes),
        HumanCount(plan.keep),
        HumanCount(plan.replace),
        HumanBytes(plan.replace_bytes),
    ));
}

/// Names what is not restored, or would not be, as far as it is not only counted.
fn name(named: &[Shortfall], count: u64) {
    for Shortfall { path, error } in named {
        note(&text::one_line(&format!("error: {path}: {error}")));
    }
    let more = count - named.len() as u64;
    if more > 0 {
        note(&format!("error: and {} more", HumanCount(more)));
    }
}

fn summary(restored: &Restored<'_>) {
    let Some(report) = &restored.report else {
        return;
    };
    name(&report.failures, report.failure_count);
    if report.earlier_state > 0 {
        note(&format!(
            "warning: {} in an earlier state: the snapshot's pass could not read them",
            text::count(report.earlier_state, "entry")
        ));
    }
    if report.special > 0 {
        note(&format!(
            "note: {} not restored: sockets, pipes and devices are only recorded",
            text::count(report.special, "special file")
        ));
    }
    let Restored {
        source,
        snapshot,
        target,
        ..
    } = restored;
    let how = match (&report.ended_early, report.failure_count) {
        (Some(reason), _) => format!("ENDED EARLY ({reason})"),
        (None, 0) => "restored".to_owned(),
        (None, n) => format!("restored EXCEPT FOR {n}"),
    };
    print(&format!(
        "{source} {snapshot} {how} into {target}: {}, {}; {} there already\n",
        match report.restored {
            1 => "1 file or link".to_owned(),
            n => format!("{} files and links", HumanCount(n)),
        },
        HumanBytes(report.restored_bytes),
        HumanCount(report.kept),
    ));
}
