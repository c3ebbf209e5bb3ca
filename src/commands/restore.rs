//! `offsite restore`.

mod discard;
mod flags;
mod refused;
mod replace;
mod say;
mod targets;
mod test;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use self::refused::conflicts;
pub(super) use self::refused::{may_not_write, refused};
use self::say::Restored;
pub(super) use self::say::progress;
use super::ls::globs;
use super::{Context, block_on, connect, note, print, print_json, selection};
use crate::cli::RestoreArgs;
use crate::config::Job;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::rules::Rules;
use crate::format::snapshot::Snapshot;
use crate::restore::replace::{ReplacePlan, Replaced};
use crate::restore::{
    DeletionReport, Deletions, Plan, Portion, RestoreOptions, RestoreReport, apply, delete,
    look_for_deletions, plan, plan_anew,
};
use crate::signal;
use crate::snapshots::select::{Selection, select};
use crate::stop::Stop;
use crate::store::Store;

/// One snapshot, and what becomes of it.
struct Work {
    snapshot: Snapshot,
    options: RestoreOptions,
    plan: Arc<Plan>,
    deletions: Option<Arc<Deletions>>,
    replace: Option<ReplacePlan>,
    report: Option<RestoreReport>,
    deleted: Option<Arc<DeletionReport>>,
    replaced: Option<Replaced>,
}

pub(super) fn restore(context: &Context, args: &RestoreArgs) -> Result<ExitCode, Failure> {
    flags::check(args)?;
    if let (true, Some(to)) = (args.discard_old, &args.to) {
        return discard::discard_old(std::slice::from_ref(to), args.dry_run, args.json);
    }
    let job = context.reader()?;
    let selection = selection(&args.select)?;
    let sessions = args.session.iter().map(|session| format!("/{session}"));
    let sessions = globs(&sessions.collect::<Vec<_>>())?;
    let paths = globs(&args.path)?;
    // Both must have a path, where both are given.
    let globs = sessions.into_iter().chain(paths).collect();
    let portion = Portion::matching(globs, args.category.clone());
    let host = context.environment.holder().host;
    block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        if args.discard_old {
            let targets = origins(&store, &selection, args).await?;
            return discard::discard_old(&targets, args.dry_run, args.json);
        }
        let how = How {
            job: &job,
            portion,
            host,
            stop,
        };
        let work = how.plan(&store, &selection, args).await?;
        carry_out(&store, work, args).await
    })?
}

/// Where the sources came from.
async fn origins(
    store: &Arc<dyn Store>,
    selection: &Selection,
    args: &RestoreArgs,
) -> Result<Vec<PathBuf>, Failure> {
    let snapshots = select(store, selection).await?;
    let targets = snapshots
        .iter()
        .map(|snapshot| targets::target(args, snapshot));
    let targets: Vec<_> = targets.collect::<Result<_, _>>()?;
    Ok(targets.into_iter().flatten().collect())
}

/// What holds for all snapshots of a restore.
struct How<'a> {
    job: &'a Job,
    portion: Portion,
    host: String,
    stop: Arc<Stop>,
}

impl How<'_> {
    /// What is configured to be left out of the source of a snapshot.
    fn rules(&self, snapshot: &Snapshot) -> Rules {
        let mut sources = self.job.pass.sources.iter();
        let source = sources.find(|source| source.name == snapshot.source);
        source.map_or_else(Rules::default, |source| Rules {
            sessions: source.sessions.is_some(),
            ..source.place.rules()
        })
    }

    async fn plan(
        &self,
        store: &Arc<dyn Store>,
        selection: &Selection,
        args: &RestoreArgs,
    ) -> Result<Vec<Work>, Failure> {
        let snapshots = select(store, selection).await?;
        let mut work = Vec::new();
        for snapshot in snapshots {
            let target = targets::target(args, &snapshot)?;
            let is_anew = target.is_none() || args.replace;
            let options = RestoreOptions {
                target: target.unwrap_or_default(),
                portion: self.portion.clone(),
                overwrite: args.overwrite,
                owners: rustix::process::geteuid().is_root(),
                concurrency: self.job.pass.limits.concurrency,
                memory_bytes: self.job.pass.limits.memory_bytes,
                stop: Stop::within(&self.stop),
                host: self.host.clone(),
                started_at: Timestamp::now(),
            };
            let look = if is_anew { plan_anew } else { plan };
            let plan = in_thread(store, (&snapshot, &options), look).await??;
            let mut deletions = None;
            if args.delete {
                targets::check_root(&options.target, &snapshot)?;
                let rules = self.rules(&snapshot);
                let found = in_thread(
                    store,
                    (&snapshot, &options),
                    move |store, snapshot, options| {
                        look_for_deletions(store, snapshot, options, &rules)
                    },
                );
                deletions = Some(Arc::new(found.await??));
            }
            work.push(Work {
                snapshot,
                options,
                plan: Arc::new(plan),
                deletions,
                replace: None,
                report: None,
                deleted: None,
                replaced: None,
            });
        }
        let targets = work.iter().map(|one| &*one.options.target);
        targets::check_apart(args, targets.clone())?;
        targets::check_stores(args, self.job, &targets)?;
        match self.portion.is_all() {
            true => Ok(work),
            false => matching(work, &args.session),
        }
    }
}

async fn carry_out(
    store: &Arc<dyn Store>,
    mut work: Vec<Work>,
    args: &RestoreArgs,
) -> Result<ExitCode, Failure> {
    if args.replace {
        for one in &mut work {
            replace::check_complete(&one.options.target, &one.plan)?;
            replace::look(store, one).await?;
        }
    }
    if let Some(failure) = conflicts(&work) {
        if args.dry_run && args.json {
            print_json(&done(&work));
        }
        return Err(failure);
    }
    targets::check_known(&work)?;
    if args.test {
        return test::test(store, &work, args.json).await;
    }
    if args.dry_run {
        let would = done(&work);
        match args.json {
            true => print_json(&would),
            false => would.iter().for_each(say::preview),
        }
        let is_damaged = work.iter().any(|one| !one.plan.damaged.is_empty());
        let is_lacking = work.iter().any(|one| one.plan.lacking_count > 0);
        return Ok(match (is_damaged, is_lacking) {
            (true, _) => ExitCode::Integrity,
            (false, true) => ExitCode::Incomplete,
            (false, false) => ExitCode::Complete,
        });
    }
    let failed = restore_all(store, &mut work, args).await;
    work.retain(|one| one.report.is_some() || one.replaced.is_some());
    let restored = done(&work);
    match (args.json, failed.is_err() && restored.is_empty()) {
        (true, false) => print_json(&restored),
        (false, _) => restored.iter().for_each(say::summary),
        (true, true) => {}
    }
    failed.map(|()| exit_code(&work))
}

async fn restore_all(
    store: &Arc<dyn Store>,
    work: &mut [Work],
    args: &RestoreArgs,
) -> Result<(), Failure> {
    for one in work {
        match args.replace {
            true => replace::replace(store, one, targets::is_by_source(args)).await?,
            false => restore_one(store, one).await?,
        }
        let has_ended = |report: &RestoreReport| report.ended_early.is_some();
        if one.report.as_ref().is_some_and(has_ended) {
            break;
        }
    }
    Ok(())
}

async fn restore_one(store: &Arc<dyn Store>, one: &mut Work) -> Result<(), Failure> {
    let bytes = one.plan.create_bytes + one.plan.replace_bytes;
    let bar = progress(&one.snapshot, bytes);
    let shown = bar.clone();
    let (whole, plan) = ((&one.snapshot, &one.options), Arc::clone(&one.plan));
    let report = in_thread(store, whole, move |store, snapshot, options| {
        let progress = move |bytes| shown.inc(bytes);
        apply(store, snapshot, options, &plan, progress)
    });
    let report = report.await?;
    bar.finish_and_clear();
    let report = report.map_err(|error| refused(&one.options.target, &error))?;
    let is_all = report.failure_count == 0 && report.ended_early.is_none();
    one.report = Some(report);
    let whole = (&one.snapshot, &one.options);
    if let Some(deletions) = one.deletions.clone().filter(|_| is_all) {
        let deleted = in_thread(store, whole, move |_, _, options| {
            delete(&options.target, &deletions)
        });
        let deleted = deleted.await?.map_err(std::io::Error::from)?;
        one.deleted = Some(Arc::new(deleted));
    }
    Ok(())
}

fn done(work: &[Work]) -> Vec<Restored<'_>> {
    let restored = work.iter().map(|one| Restored {
        source: one.snapshot.source.as_str(),
        snapshot: one.snapshot.pass.as_str(),
        target: one.options.target.display().to_string(),
        plan: Some(&*one.plan),
        deletions: one.deletions.as_deref(),
        replace: one.replace.as_ref(),
        report: one.report.as_ref(),
        deleted: one.deleted.as_deref(),
        replaced: one.replaced.as_ref(),
        left_out: say::left_out(&one.snapshot),
    });
    restored.collect()
}

/// Runs one of the restore's blocking parts.
async fn in_thread<T: Send + 'static>(
    store: &Arc<dyn Store>,
    (snapshot, options): (&Snapshot, &RestoreOptions),
    part: impl FnOnce(&Arc<dyn Store>, &Snapshot, &RestoreOptions) -> T + Send + 'static,
) -> Result<T, Failure> {
    let (store, snapshot, options) = (Arc::clone(store), snapshot.clone(), options.clone());
    match tokio::task::spawn_blocking(move || part(&store, &snapshot, &options)).await {
        Ok(result) => Ok(result),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// The snapshots of which something is wanted. A name that was mistyped restores nothing, and that
/// is no success.
fn matching(work: Vec<Work>, sessions: &[String]) -> Result<Vec<Work>, Failure> {
    let names = work.iter().map(|one| one.snapshot.source.to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    let mut matching = work;
    matching.retain(|one| !one.plan.is_empty());
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

fn exit_code(work: &[Work]) -> ExitCode {
    let reports = work.iter().filter_map(|one| one.report.as_ref());
    let ended = reports.clone().any(|report| report.ended_early.is_some());
    let failed = reports.clone().any(|report| report.failure_count > 0)
        || (work.iter().filter_map(|one| one.deleted.as_ref()))
            .any(|deleted| !deleted.failures.is_empty())
        || (work.iter().filter_map(|one| one.replaced.as_ref()))
            .any(|replaced| !replaced.failures.is_empty());
    match (signal::received(), ended, failed) {
        (Some(signal), true, _) => signal,
        (_, true, _) => ExitCode::Failed,
        (_, false, true) => ExitCode::Incomplete,
        (_, false, false) => ExitCode::Complete,
    }
}
