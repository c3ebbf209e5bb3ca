//! `offsite restore`.

mod buckets;
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
use serde::Serialize;

use self::buckets::{BucketDone, BucketWork, goes_to_bucket};
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
        let work = how.plan_all(&store, &selection, args).await?;
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

/// All that is restored: into directories, and into buckets.
struct All {
    directories: Vec<Work>,
    buckets: Vec<BucketWork>,
}

/// What was done, or would be, with one snapshot.
#[derive(Serialize)]
#[serde(untagged)]
enum Done<'a> {
    Directory(Box<Restored<'a>>),
    Bucket(BucketDone<'a>),
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

    async fn plan_all(
        &self,
        store: &Arc<dyn Store>,
        selection: &Selection,
        args: &RestoreArgs,
    ) -> Result<All, Failure> {
        let (mut to_buckets, mut to_directories) = (Vec::new(), Vec::new());
        for snapshot in select(store, selection).await? {
            match goes_to_bucket(args, &snapshot)? {
                true => to_buckets.push(snapshot),
                false => to_directories.push(snapshot),
            }
        }
        let all = All {
            directories: self.plan(store, to_directories, args).await?,
            buckets: match cfg!(feature = "buckets") {
                true => self.plan_buckets(store, to_buckets, args).await?,
                false => Vec::new(),
            },
        };
        match self.portion.is_all() {
            true => Ok(all),
            false => matching(all, &args.session),
        }
    }

    async fn plan(
        &self,
        store: &Arc<dyn Store>,
        snapshots: Vec<Snapshot>,
        args: &RestoreArgs,
    ) -> Result<Vec<Work>, Failure> {
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
        Ok(work)
    }
}

async fn carry_out(
    store: &Arc<dyn Store>,
    mut all: All,
    args: &RestoreArgs,
) -> Result<ExitCode, Failure> {
    if args.replace {
        for one in &mut all.directories {
            replace::check_complete(&one.options.target, &one.plan)?;
            replace::look(store, one).await?;
        }
    }
    let in_the_way = conflicts(&all.directories).or_else(|| buckets::conflicts(&all.buckets));
    if let Some(failure) = in_the_way {
        if args.dry_run && args.json {
            print_json(&all.done());
        }
        return Err(failure);
    }
    targets::check_known(&all.directories)?;
    if args.test {
        return test::test(store, &all.directories, args.json).await;
    }
    if args.dry_run {
        let would = all.done();
        match args.json {
            true => print_json(&would),
            false => would.iter().for_each(Done::preview),
        }
        return Ok(all.code_of_preview());
    }
    let failed = restore_all(store, &mut all, args).await;
    (all.directories).retain(|one| one.report.is_some() || one.replaced.is_some());
    all.buckets.retain(|one| one.report.is_some());
    let restored = all.done();
    match (args.json, failed.is_err() && restored.is_empty()) {
        (true, false) => print_json(&restored),
        (false, _) => restored.iter().for_each(Done::summary),
        (true, true) => {}
    }
    failed.map(|()| all.exit_code())
}

async fn restore_all(
    store: &Arc<dyn Store>,
    all: &mut All,
    args: &RestoreArgs,
) -> Result<(), Failure> {
    let has_ended = |report: &Option<RestoreReport>| {
        let report = report.as_ref();
        report.is_some_and(|report| report.ended_early.is_some())
    };
    for one in &mut all.directories {
        match args.replace {
            true => replace::replace(store, one, targets::is_by_source(args)).await?,
            false => restore_one(store, one).await?,
        }
        if has_ended(&one.report) {
            return Ok(());
        }
    }
    if !cfg!(feature = "buckets") {
        return Ok(());
    }
    for one in &mut all.buckets {
        buckets::restore_one(store, one).await?;
        if has_ended(&one.report) {
            return Ok(());
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

impl All {
    fn done(&self) -> Vec<Done<'_>> {
        let restored = self.directories.iter().map(|one| {
            Done::Directory(Box::new(Restored {
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
            }))
        });
        let into_buckets = self.buckets.iter().map(|one| Done::Bucket(one.done()));
        restored.chain(into_buckets).collect()
    }

    fn code_of_preview(&self) -> ExitCode {
        let is_damaged = (self.directories.iter()).any(|one| !one.plan.damaged.is_empty())
            || (self.buckets.iter()).any(|one| !one.plan.damaged.is_empty());
        let is_lacking = (self.directories.iter()).any(|one| one.plan.lacking_count > 0)
            || (self.buckets.iter())
                .any(|one| one.plan.lacking_count + one.plan.impossible_count > 0);
        match (is_damaged, is_lacking) {
            (true, _) => ExitCode::Integrity,
            (false, true) => ExitCode::Incomplete,
            (false, false) => ExitCode::Complete,
        }
    }

    fn exit_code(&self) -> ExitCode {
        let reports = (self.directories.iter()).filter_map(|one| one.report.as_ref());
        let reports = reports.chain((self.buckets.iter()).filter_map(|one| one.report.as_ref()));
        let ended = reports.clone().any(|report| report.ended_early.is_some());
        let work = &self.directories;
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
}

impl Done<'_> {
    fn preview(&self) {
        match self {
            Self::Directory(restored) => say::preview(restored),
            Self::Bucket(done) => done.preview(),
        }
    }

    fn summary(&self) {
        match self {
            Self::Directory(restored) => say::summary(restored),
            Self::Bucket(done) => done.summary(),
        }
    }
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
fn matching(all: All, sessions: &[String]) -> Result<All, Failure> {
    let snapshots = (all.directories.iter()).map(|one| &one.snapshot);
    let snapshots = snapshots.chain(all.buckets.iter().map(|one| &one.snapshot));
    let names = snapshots.map(|snapshot| snapshot.source.to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    let mut matching = all;
    matching.directories.retain(|one| !one.plan.is_empty());
    matching.buckets.retain(|one| !one.plan.is_empty());
    if matching.directories.is_empty() && matching.buckets.is_empty() {
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
