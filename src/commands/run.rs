//! `offsite run`, and `offsite` without a command.

use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{Context, block_on, chosen, connect, format, holder, log_to_stderr, plan, sessions};
use crate::boottime::boottime;
use crate::cli::{PlanArgs, RunArgs};
use crate::config::{Incomplete, Job, Metrics, Purpose};
use crate::ecs::Identity;
use crate::environment::Environment;
use crate::error::Failure;
use crate::events::{Event, Events, Format, Level, Output};
use crate::exit::ExitCode;
use crate::pass::back_up::SourceReport;
use crate::run::{PassReport, World};
use crate::signal;
use crate::snapshots::entries::Entries;
use crate::stop::Stop;
use crate::store::Store;

/// When passes are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loop {
    /// Only with `--interval`: `run` is one pass.
    AsTyped,
    /// With an interval from anywhere, unless `--once`.
    AsConfigured,
}

pub(super) fn run(context: &Context, args: &RunArgs, repeat: Loop) -> Result<ExitCode, Failure> {
    if args.dry_run {
        let args = PlanArgs {
            dirs: args.dirs.clone(),
            choice: args.choice.clone(),
            rate: None,
            json: !std::io::stdout().is_terminal(),
        };
        return plan::plan(context, &args);
    }
    let mut job = match context.load(&args.flags(), Purpose::Backup) {
        Ok(config) => config.job,
        Err(error) => {
            let format = format(error.log_format);
            let failure = Failure::from(error);
            tell_log_readers(format, &failure);
            return Err(failure);
        }
    };
    chosen::only(&mut job, &args.dirs.source)?;
    chosen::categories(&mut job, &args.dirs.category)?;
    sessions::choose(&mut job, &args.choice)?;
    log_to_stderr(&job);
    let interval = job.interval.filter(|_| match repeat {
        _ if args.once => false,
        Loop::AsTyped => args.interval.is_some(),
        Loop::AsConfigured => true,
    });
    if let Some(interval) = interval {
        // The next pass is as good as another attempt.
        job.pass.retry_for = job.pass.retry_for.min(interval);
    }
    block_on(async {
        let stop = signal::listen()?;
        let task = Identity::find(&context.environment).await;
        let context = RunContext {
            job: &job,
            environment: &context.environment,
            task,
            stop: &stop,
        };
        match interval {
            None => Ok(exit_code(&context.pass().await, job.incomplete)),
            Some(interval) => Ok(context.passes(interval).await),
        }
    })?
}

/// What the process exits with. Records and events keep the pass's own code.
fn exit_code(report: &PassReport, incomplete: Incomplete) -> ExitCode {
    match (report.exit_code, incomplete) {
        (ExitCode::Incomplete, Incomplete::Succeed) if report.lacks_only_unreadable => {
            ExitCode::Complete
        }
        (code, _) => code,
    }
}

/// A wrong configuration means that no backup is made, and whoever watches the events must hear of
/// it too.
fn tell_log_readers(format: Format, failure: &Failure) {
    if format == Format::Json {
        chosen::events(Format::Json, Level::Info).emit(&Event::BackupFailed {
            exit_code: failure.exit_code.code(),
            error: failure.error.to_string(),
            hint: failure.hint.clone(),
            duration_ms: 0,
            requests: 0,
        });
    }
}

/// What all passes of one execution share.
struct RunContext<'a> {
    job: &'a Job,
    environment: &'a Environment,
    task: Result<Option<Identity>, String>,
    stop: &'a Arc<Stop>,
}

impl RunContext<'_> {
    /// One pass, as long as nobody stops it.
    async fn pass(&self) -> PassReport {
        let job = self.job;
        let store = connect(job).await;
        let task = self.task.as_ref().ok().and_then(Option::as_ref);
        let has_metrics = match job.metrics {
            // Where somebody looks for them.
            Metrics::Auto => task.is_some(),
            Metrics::Emf => true,
            Metrics::None => false,
        };
        let events = Events::new(Output {
            format: format(job.log_format),
            level: job.log_level,
            files: job.log_files,
            run_id: chosen::run_id(),
            task: task.cloned(),
            metrics_of: has_metrics.then(|| store.location()),
        });
        let unknown_task = self.task.as_ref().err();
        let unknown_task =
            unknown_task.map(|error| format!("which ECS task this is is not known: {error}"));
        for message in unknown_task.into_iter().chain(job.notices.clone()) {
            events.emit(&Event::Notice { message });
        }
        let world = World {
            store: Arc::clone(&store),
            events: events.clone(),
            stop: Stop::within(self.stop),
            interrupted_by: signal::received,
            holder: holder(self.environment, task),
            random: fastrand::u16(..),
            clock: Timestamp::now,
            boottime,
        };
        let report = crate::run::run(&job.pass, &world).await;
        if let Some(file) = job
            .manifest_file
            .as_ref()
            .filter(|_| !report.committed.is_empty())
            && let Err(error) = copy_manifest(&store, &report, file).await
        {
            events.emit(&Event::Notice {
                message: format!("`{}` was not written: {error}", file.display()),
            });
        }
        report
    }

    /// Passes until a signal comes. One that fails does not end the loop: the next may succeed.
    async fn passes(&self, interval: Duration) -> ExitCode {
        let mut ticks = tokio::time::interval(interval);
        // A pass that takes longer than the interval is followed by the next one at once, not by
        // all that were missed.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.stop.stopped() => {}
            }
            if let Some(code) = signal::received() {
                return code;
            }
            self.pass().await;
        }
    }
}

/// Writes what a pass has committed to a local file, as JSON that people can read. The file is
/// complete or is not there.
async fn copy_manifest(
    store: &Arc<dyn Store>,
    report: &PassReport,
    file: &Path,
) -> anyhow::Result<()> {
    let mut partial = file.as_os_str().to_owned();
    partial.push(".partial");
    let mut out = BufWriter::new(std::fs::File::create(&partial)?);
    let pass = report.pass.map(|pass| pass.to_string());
    write!(out, "{{\"pass\": {}, \"sources\": [", json!(pass))?;
    for (index, SourceReport { snapshot, .. }) in report.committed.iter().enumerate() {
        let separator = if index == 0 { "\n" } else { ",\n" };
        let totals = serde_json::to_string(&snapshot.totals)?;
        write!(
            out,
            "{separator} {{\"source\": {}, \"place\": {}, \"created_at\": {}, \"totals\": {totals}, \"entries\": [",
            json!(snapshot.source),
            json!(snapshot.place),
            json!(snapshot.created_at),
        )?;
        let (entries, source) = (Entries::of(store, snapshot), snapshot.source.clone());
        // Reading entries blocks.
        out = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            let mut line = Vec::new();
            for (index, entry) in entries.enumerate() {
                line.clear();
                entry?.write_line(&source, &mut line);
                out.write_all(if index == 0 { b"\n  " } else { b",\n  " })?;
                out.write_all(line.trim_ascii_end())?;
            }
            Ok(out)
        })
        .await??;
        write!(out, "\n ]}}")?;
    }
    writeln!(out, "\n]}}")?;
    out.flush()?;
    std::fs::rename(&partial, file)?;
    Ok(())
}
