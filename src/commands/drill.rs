//! `offsite drill`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use rustix::io::Errno;

use super::restore::{may_not_write, progress, refused};
use super::verify::share;
use super::{Context, block_on, chosen, connect, format, selection};
use crate::cli::DrillArgs;
use crate::config::Job;
use crate::drill::{DrillError, DrillOptions, Drilled, Place, ScratchError, drill as drill_one};
use crate::error::Failure;
use crate::events::{Event, Events, Format};
use crate::exit::ExitCode;
use crate::format::drill::{Drill, DrillOutcome};
use crate::format::mark::{Mark, Says};
use crate::format::name::Order;
use crate::format::snapshot::Snapshot;
use crate::restore::PlanError;
use crate::signal;
use crate::snapshots::marks;
use crate::snapshots::select::select;
use crate::stop::Stop;
use crate::store::{Store, StoreError};
use crate::window::Window;

/// Where files are kept for a short time, unless `TMPDIR` says otherwise.
const TEMPORARY: &str = "/tmp";

pub(super) fn drill(context: &Context, args: &DrillArgs) -> Result<ExitCode, Failure> {
    let share = share(&args.read)?;
    if share <= 0.0 {
        let message = format!("--read takes a share above 0, not `{}`", args.read);
        return Err(Failure::new(ExitCode::Usage, message));
    }
    let job = context.reader()?;
    let selection = selection(&args.select)?;
    let format = match args.json {
        true => Format::Json,
        false => format(job.log_format),
    };
    block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        let drills = Drills {
            context,
            job: &job,
            events: chosen::events(format, job.log_level),
            store,
            stop,
            share,
            place: place(context, args),
        };
        let mut codes = Vec::new();
        for snapshot in drills.of_trees(select(&drills.store, &selection).await?)? {
            if drills.stop.is_set() {
                break;
            }
            codes.push(drills.drill(&snapshot).await);
        }
        Ok(signal::received().unwrap_or_else(|| worst(&codes)))
    })?
}

/// Damage before anything else; of failures the first.
fn worst(codes: &[ExitCode]) -> ExitCode {
    let is_failure = |code: &&ExitCode| !matches!(code, ExitCode::Complete | ExitCode::Incomplete);
    let damage = codes.iter().find(|code| **code == ExitCode::Integrity);
    let failure = damage.or_else(|| codes.iter().find(is_failure)).copied();
    failure.unwrap_or_else(|| codes.iter().copied().max().unwrap_or(ExitCode::Complete))
}

fn place(context: &Context, args: &DrillArgs) -> Place {
    let variable = context.environment.variables.get("TMPDIR");
    let temporary = variable.filter(|path| !path.is_empty());
    match &args.to {
        Some(to) => Place::Own(to.clone()),
        None => Place::Temporary(temporary.map_or_else(|| TEMPORARY.into(), PathBuf::from)),
    }
}

/// What holds for all drills of a command.
struct Drills<'a> {
    context: &'a Context,
    job: &'a Job,
    events: Events,
    store: Arc<dyn Store>,
    stop: Arc<Stop>,
    share: f64,
    place: Place,
}

impl Drills<'_> {
    /// Leaves out snapshots of buckets, which only `verify` reads so far.
    fn of_trees(&self, snapshots: Vec<Snapshot>) -> Result<Vec<Snapshot>, Failure> {
        let (trees, buckets): (Vec<_>, Vec<_>) =
            (snapshots.into_iter()).partition(|snapshot| snapshot.order == Order::Path);
        for Snapshot { source, .. } in &buckets {
            let message = format!("{source} is a bucket, of which there is no drill yet");
            let hint =
                format!("`offsite verify --source {source} --read 1%` reads a share of its copies");
            if trees.is_empty() {
                return Err(Failure::new(ExitCode::Usage, message).hint(hint));
            }
            let message = format!("{message}: {hint}");
            self.events.emit(&Event::Notice { message });
        }
        Ok(trees)
    }

    /// Drills one snapshot, and tells what came of it.
    async fn drill(&self, snapshot: &Snapshot) -> ExitCode {
        let (begun, requests) = (Instant::now(), self.store.requests());
        let bar = progress(snapshot, 0);
        let shown = bar.clone();
        let (store, of, options) = (
            Arc::clone(&self.store),
            snapshot.clone(),
            self.options(snapshot),
        );
        let task = tokio::task::spawn_blocking(move || {
            drill_one(&store, &of, &options, |bytes| {
                shown.set_length(bytes);
                Box::new(move |bytes| shown.inc(bytes))
            })
        });
        let drilled = match task.await {
            Ok(drilled) => drilled,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        bar.finish_and_clear();
        match drilled {
            Ok(drilled) => self.tell(snapshot, drilled).await,
            Err(error) => {
                let failure = failure(&error);
                let code = signal::received().unwrap_or(failure.exit_code);
                self.events.emit(&Event::DrillFailed {
                    source: snapshot.source.clone(),
                    snapshot: snapshot.pass,
                    exit_code: code.code(),
                    error: format!("{:#}", failure.error),
                    hint: failure.hint,
                    duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                    requests: self.store.requests() - requests,
                });
                code
            }
        }
    }

    fn options(&self, snapshot: &Snapshot) -> DrillOptions {
        let mut sources = self.job.pass.sources.iter();
        let source = sources.find(|source| source.name == snapshot.source);
        let class = source.and_then(|source| source.placement.storage_class.clone());
        let limits = &self.job.pass.limits;
        DrillOptions {
            share: self.share,
            window: Window::at(self.now(), self.share),
            place: self.place.clone(),
            owners: rustix::process::geteuid().is_root(),
            concurrency: limits.concurrency,
            memory_bytes: limits.memory_bytes,
            stop: Arc::clone(&self.stop),
            host: self.context.environment.holder().host,
            started_at: Timestamp::now(),
            prices: self.job.prices.clone(),
            class: class.unwrap_or_else(|| "STANDARD".to_owned()),
        }
    }

    /// The store's time; this machine's where a store that may only be read does not tell it.
    fn now(&self) -> Timestamp {
        self.store.clock().now().unwrap_or_else(Timestamp::now)
    }

    async fn tell(&self, snapshot: &Snapshot, Drilled { drill, left }: Drilled) -> ExitCode {
        let notice = |message| self.events.emit(&Event::Notice { message });
        if let Some(left) = left {
            notice(format!("{left}; remove it by hand, or the next drill does"));
        }
        let recorded = self.record(snapshot, &drill).await;
        let unrecorded = recorded.as_ref().err().map(|error| {
            let (source, pass) = (&snapshot.source, snapshot.pass);
            notice(format!(
                "the drill of {source} {pass} is not recorded, so `offsite status` will not show it: {error}"
            ));
            // Whoever gives a role the right to read alone has decided that nothing is recorded.
            match error.kind.exit_code() {
                ExitCode::Denied => ExitCode::Complete,
                code => code,
            }
        });
        let outcome = drill.outcome;
        self.events.emit(&Event::DrillCompleted {
            source: snapshot.source.clone(),
            snapshot: snapshot.pass,
            recorded: recorded.is_ok(),
            hint: hint(snapshot, &drill),
            drill: Box::new(drill),
        });
        match (outcome, unrecorded) {
            (DrillOutcome::Damaged, _) => ExitCode::Integrity,
            (_, Some(code)) if code != ExitCode::Complete => code,
            (DrillOutcome::Incomplete, _) => ExitCode::Incomplete,
            _ => ExitCode::Complete,
        }
    }

    /// Writes a mark, without the lock: it takes a number of its own, and nothing depends on it.
    async fn record(&self, snapshot: &Snapshot, drill: &Drill) -> Result<(), StoreError> {
        let by = self.context.environment.holder();
        let says = Says::Drill(Box::new(drill.clone()));
        let (source, pass) = (snapshot.source.clone(), snapshot.pass);
        let mark = Mark::new(source, pass, self.now(), by, says);
        marks::write(&*self.store, &mark).await
    }
}

fn hint(snapshot: &Snapshot, drill: &Drill) -> Option<String> {
    let Snapshot { source, pass, .. } = snapshot;
    (drill.outcome == DrillOutcome::Damaged).then(|| format!(
        "`offsite verify --source {source} --snapshot {pass} --repair` puts damaged objects back from a copy of the store, and has the next pass capture again what no copy has; with --read it finds all damage there is"
    ))
}

/// Why a drill did not come to its end, and what mends it.
fn failure(error: &DrillError) -> Failure {
    let failed = |hint: &str| Failure::new(ExitCode::Failed, error.to_string()).hint(hint);
    match error {
        DrillError::Scratch(ScratchError::NotEmpty { .. }) => {
            let hint = "name a directory that is empty or does not exist: a drill removes what it has restored";
            Failure::new(ExitCode::Usage, error.to_string()).hint(hint)
        }
        DrillError::Scratch(ScratchError::NoRoom { .. }) => {
            failed("name a directory with more room with --to, or restore less with --read")
        }
        DrillError::Scratch(ScratchError::Unmade { error, .. }) if *error == Errno::ACCESS => {
            failed(&may_not_write())
        }
        DrillError::Scratch(ScratchError::Unmade { .. }) => {
            failed("name a directory for the sample with --to, or set TMPDIR")
        }
        DrillError::Apply { target, error } => refused(target, error),
        DrillError::Plan(PlanError::Store(error)) | DrillError::Store(error) => {
            error.clone().into()
        }
        DrillError::Plan(_) | DrillError::EndedEarly(_) | DrillError::Stopped => {
            Failure::new(ExitCode::Failed, error.to_string())
        }
    }
}
