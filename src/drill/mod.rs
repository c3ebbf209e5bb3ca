//! Drill: a part of a snapshot restored for real, read back, and removed again.
//!
//! First the whole manifest is gone through: every entry is counted against the commit record, and what a full
//! restore would fetch is added up (`survey`). What is due by the rotating window is then restored into a scratch
//! directory by the same code as `restore`, with all metadata, and read back by code that does not ask the restore
//! what it has done. How long that took says how long everything would take (`project`). A drill writes nothing into
//! the store; whoever runs it records what came of it.
//!
//! What a drill that was killed has left is recognised by its name and its lock, and removed by the next one
//! (`scratch`).

mod project;
mod scratch;
mod survey;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::project::Measured;
use self::scratch::Scratch;
use self::survey::{Survey, survey};
use crate::format::drill::{Drill, DrillOutcome, Mismatch, NAMED};
use crate::format::snapshot::Snapshot;
use crate::prices::Prices;
use crate::restore::{
    ApplyError, Plan, PlanError, Portion, ReadBack, RestoreOptions, RestoreReport, Sample,
    Shortfall, apply, plan, read_back,
};
use crate::stop::Stop;
use crate::store::{Store, StoreError};
use crate::window::Window;

pub use self::scratch::{Place, ScratchError};

/// What to drill, and where.
#[derive(Clone)]
pub struct DrillOptions {
    /// The share that was asked for, from 0 to 1.
    pub share: f64,
    /// Which share is due.
    pub window: Window,
    /// Where the sample is restored.
    pub place: Place,
    /// Whether owners are restored; only root may.
    pub owners: bool,
    /// Requests in flight at once.
    pub concurrency: usize,
    /// Bytes of contents in memory at once.
    pub memory_bytes: usize,
    /// When to stop.
    pub stop: Arc<Stop>,
    /// This machine, for people who find what a drill has left.
    pub host: String,
    /// When the drill began.
    pub started_at: Timestamp,
    /// What the store charges.
    pub prices: Prices,
    /// The storage class of the contents, as far as it is known.
    pub class: String,
}

/// What came of a drill that came to its end.
#[derive(Debug)]
pub struct Drilled {
    /// What is to be recorded.
    pub drill: Drill,
    /// Why the scratch directory is still there, if it is.
    pub left: Option<String>,
}

/// Why a drill did not come to its end. Nothing is known of the backup then.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// There is no scratch directory.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// The scratch directory or the manifest cannot be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Nothing can be restored.
    #[error("cannot restore into `{}`: {error}", .target.display())]
    Apply {
        /// Where to.
        target: PathBuf,
        /// Why.
        error: ApplyError,
    },
    /// The restore ended before everything was restored.
    #[error("the restore ended early: {0}")]
    EndedEarly(String),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The command is being stopped.
    #[error("interrupted")]
    Stopped,
}

/// Restores a sample, reads it back and removes it. Blocks; `progress` is told of each file with its size, of so many
/// bytes in all.
///
/// # Errors
/// The drill did not come to its end. What is wrong with the backup is no error, but in the result.
pub fn drill(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &DrillOptions,
    progress: impl FnOnce(u64) -> Box<dyn Fn(u64) + Send + Sync>,
) -> Result<Drilled, DrillError> {
    let (begun, requests) = (Instant::now(), store.requests());
    let sample = Sample::of(options.window);
    let scratch = Scratch::make(&options.place)?;
    let survey = survey(store, snapshot, sample, &options.stop)?;
    let target = scratch.path().join(snapshot.source.as_str());
    let restore = RestoreOptions {
        target: target.clone(),
        portion: Portion::Sample(survey.sample),
        overwrite: false,
        owners: options.owners,
        concurrency: options.concurrency,
        memory_bytes: options.memory_bytes,
        // A restore that ends early stops itself, and nothing else.
        stop: Stop::within(&options.stop),
        host: options.host.clone(),
        started_at: options.started_at,
    };
    let plan = Arc::new(plan(store, snapshot, &restore)?);
    scratch.check_room(plan.create, plan.create_bytes)?;
    let restoring = Instant::now();
    let report = apply(
        store,
        snapshot,
        &restore,
        &plan,
        progress(plan.create_bytes),
    );
    let report = report.map_err(|error| DrillError::Apply { target, error })?;
    let restored_in = restoring.elapsed();
    let read = match (&report.ended_early, options.stop.is_set()) {
        (_, true) => return Err(DrillError::Stopped),
        (Some(reason), false) => return Err(DrillError::EndedEarly(reason.clone())),
        (None, false) => read_back(store, snapshot, &restore, &report)?,
    };
    if options.stop.is_set() {
        return Err(DrillError::Stopped);
    }
    let measured = Measured {
        restored_in,
        files: read.files,
        bytes: read.bytes,
    };
    let mut projected = survey.whole.projected(measured, options.concurrency);
    if let Some((usd, egress)) =
        (options.prices).retrieval(&options.class, projected.requests, projected.bytes)
    {
        (projected.usd, projected.egress_usd) = (Some(usd), egress);
    }
    let found = Found::of(&survey, &plan, &report, &read);
    let left = scratch.remove().err().map(|error| error.to_string());
    let drill = Drill {
        outcome: found.outcome(),
        share: options.share,
        entries: found.expected,
        files: measured.files,
        bytes: measured.bytes,
        duration_ms: millis(begun.elapsed()),
        restore_ms: millis(restored_in),
        requests: store.requests() - requests,
        mismatch_count: found.mismatch_count,
        mismatches: named(found.mismatches),
        not_restored_count: found.not_restored_count,
        not_restored: named(found.not_restored),
        projected,
    };
    Ok(Drilled { drill, left })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn named(shortfalls: Vec<Shortfall>) -> Vec<Mismatch> {
    let some = shortfalls.into_iter().take(NAMED);
    let mismatch = |shortfall: Shortfall| Mismatch {
        path: shortfall.path,
        problem: shortfall.error,
    };
    some.map(mismatch).collect()
}

/// Everything that was found, by whose fault it is.
struct Found {
    expected: u64,
    /// The backup's.
    mismatches: Vec<Shortfall>,
    mismatch_count: u64,
    /// Nobody's that the backup could help.
    not_restored: Vec<Shortfall>,
    not_restored_count: u64,
}

impl Found {
    fn of(survey: &Survey, plan: &Plan, report: &RestoreReport, read: &ReadBack) -> Self {
        let findings = survey.findings.iter().map(|finding| Shortfall {
            path: finding.path.clone(),
            error: format!("{} ({})", finding.problem, finding.key),
        });
        let mut mismatches: Vec<_> = findings.collect();
        let mut mismatch_count = mismatches.len() as u64;
        mismatches.extend(report.damaged.iter().cloned());
        mismatches.extend(read.mismatches.iter().cloned());
        mismatch_count += report.damaged_count + read.mismatch_count;
        let differing = counts_differ(plan, report, read);
        mismatch_count += u64::from(differing.is_some());
        mismatches.extend(differing);
        let is_damage = |failure: &&Shortfall| {
            let mut damaged = report.damaged.iter();
            damaged
                .any(|damaged| (&damaged.path, &damaged.error) == (&failure.path, &failure.error))
        };
        let others = report.failures.iter().filter(|failure| !is_damage(failure));
        let not_restored = others.chain(&read.unread).cloned().collect();
        Self {
            expected: read.expected,
            mismatches,
            mismatch_count,
            not_restored,
            not_restored_count: report.failure_count - report.damaged_count + read.unread_count,
        }
    }

    fn outcome(&self) -> DrillOutcome {
        match (self.mismatch_count, self.not_restored_count) {
            (0, 0) => DrillOutcome::Passed,
            (0, _) => DrillOutcome::Incomplete,
            _ => DrillOutcome::Damaged,
        }
    }
}

/// What was picked, what the restore has made, and what is in the directory must be the same number.
fn counts_differ(plan: &Plan, report: &RestoreReport, read: &ReadBack) -> Option<Shortfall> {
    // The target itself is in the plan and in the report, where anything was picked.
    let target = u64::from(plan.keep + plan.create > 0);
    let planned = (plan.create + plan.keep).saturating_sub(target);
    let made = (report.restored + report.kept + report.directories).saturating_sub(target);
    let there = read.expected - read.missing;
    let is_all_read = read.unread_count == 0;
    if !is_all_read || (planned == read.expected && made == there && there == read.found) {
        return None;
    }
    Some(Shortfall {
        path: ".".to_owned(),
        error: format!(
            "counts differ: {planned} entries picked, {made} restored, {there} of {} found again, {} names in the directory",
            read.expected, read.found
        ),
    })
}
