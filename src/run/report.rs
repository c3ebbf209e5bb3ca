//! How a pass ended: in one verdict, written into the store, and told in the last event.

use std::fmt::Display;
use std::time::{Duration, Instant};

use super::copied::AfterPass;
use super::identity::Identity;
use super::world::{SourceOutcome, World};
use crate::events::Event;
use crate::exit::ExitCode;
use crate::format::changes::Changes;
use crate::format::lock::Ending;
use crate::format::origin;
use crate::format::pass_id::PassId;
use crate::format::pass_record::{Outcome, PassRecord, SourceResult};
use crate::format::status::Status;
use crate::format::totals::Totals;
use crate::lease::{Held, Lease, LeaseError, Lost, Previous};
use crate::pass::back_up::SourceReport;
use crate::pass::error::SourceError;
use crate::pass::job::SourceJob;
use crate::status;
use crate::store::{Condition, Store, StoreErrorKind, StoreResult};
use crate::text;

/// What a pass that has lost its lease has for its record, and one that is to be left for all that it still tells:
/// a few attempts at a small request. The process is ended two seconds after that (`signal`).
const FAREWELL: Duration = Duration::from_secs(5);

/// When something began, and how much had been asked of the store by then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    at: Instant,
    requests: u64,
}

impl Start {
    pub(super) fn now(store: &dyn Store) -> Self {
        Self {
            at: Instant::now(),
            requests: store.requests(),
        }
    }

    pub(super) fn millis(self) -> u64 {
        millis(self.at.elapsed())
    }

    fn requests(self, store: &dyn Store) -> u64 {
        store.requests() - self.requests
    }
}

/// How an attempt ended, besides what became of each source.
#[derive(Debug)]
pub(super) enum End {
    /// It did not get the lock.
    NotLocked(LeaseError),
    /// It had the lock, until it was over or lost it.
    Locked {
        /// Whether it came to each source.
        is_over: bool,
        lost: Option<Lost>,
    },
    /// A signal came before the next attempt began.
    Stopped {
        /// Why the last one failed.
        error: String,
    },
}

/// How a pass ended, and why.
pub(super) struct Conclusion {
    outcome: Outcome,
    pub(super) exit_code: ExitCode,
    pub(super) error: Option<String>,
    hint: Option<String>,
}

impl Conclusion {
    /// The worst that happened decides: there was no lock, or it was lost, a signal came before the work
    /// was done, a source failed, an entry could not be read.
    pub(super) fn of(results: &[SourceOutcome<'_>], end: &End, signal: Option<ExitCode>) -> Self {
        let is_over = match end {
            End::NotLocked(error) => {
                let exit_code = signal.unwrap_or(error.exit_code());
                let hint = error.hint().map(str::to_owned);
                return Self::failure(Outcome::Failed, exit_code, error.to_string(), hint);
            }
            End::Stopped { error } => {
                let exit_code = signal.unwrap_or(ExitCode::Terminated);
                let error =
                    format!("interrupted before another attempt; the last one failed: {error}");
                return Self::failure(Outcome::Interrupted, exit_code, error, None);
            }
            End::Locked {
                lost: Some(lost), ..
            } => {
                return Self::failure(Outcome::Failed, lost.exit_code(), lost.to_string(), None);
            }
            End::Locked { is_over, .. } => *is_over,
        };
        let failures = results
            .iter()
            .filter_map(|(source, result)| Some((source, result.as_ref().err()?)));
        if let (Some(signal), true) = (signal, !is_over || failures.clone().next().is_some()) {
            let error = "interrupted by a signal".to_owned();
            return Self::failure(Outcome::Interrupted, signal, error, None);
        }
        let is_skipped = |error: &SourceError| matches!(error, SourceError::Skipped(_));
        let mut others = failures.clone().filter(|(_, error)| !is_skipped(error));
        if let Some((source, error)) = others.next() {
            let skipped = failures.filter(|(_, error)| is_skipped(error)).count();
            let counted = [
                (others.count() as u64, "more source", "failed"),
                (skipped as u64, "source", "skipped"),
            ];
            let counted = counted.into_iter().filter(|(count, ..)| *count > 0);
            let counted: Vec<_> = counted
                .map(|(count, what, how)| format!("{} {how}", text::count(count, what)))
                .collect();
            let others = match counted.is_empty() {
                true => String::new(),
                false => format!(" (and {})", counted.join(", ")),
            };
            let text = format!("source `{}`: {error}{others}", source.name);
            let exit_code = match error {
                // By nobody: something in here gave up, and has said so.
                SourceError::Interrupted => ExitCode::Failed,
                error => error.exit_code(),
            };
            return Self::failure(Outcome::Failed, exit_code, text, error.hint());
        }
        let mut reports = results
            .iter()
            .filter_map(|(_, result)| result.as_ref().ok());
        let (outcome, exit_code) = match reports.all(|report| report.is_complete) {
            true => (Outcome::Complete, ExitCode::Complete),
            false => (Outcome::Incomplete, ExitCode::Incomplete),
        };
        Self {
            outcome,
            exit_code,
            error: None,
            hint: None,
        }
    }

    /// A required copy that was not made makes the pass incomplete; copies are part of the work that a signal
    /// interrupts.
    pub(super) fn count_copies(&mut self, copied: &AfterPass, signal: Option<ExitCode>) {
        if self.error.is_some() {
            return;
        }
        if let (Some(signal), false) = (signal, copied.is_over) {
            let error = "interrupted by a signal while the store was copied; what was backed up is committed";
            *self = Self::failure(Outcome::Interrupted, signal, error.to_owned(), None);
        } else if copied.lacks_a_required_one() {
            self.exit_code = ExitCode::Incomplete;
        }
    }

    fn failure(outcome: Outcome, exit_code: ExitCode, error: String, hint: Option<String>) -> Self {
        Self {
            outcome,
            exit_code,
            error: Some(error),
            hint,
        }
    }
}

/// The lock is held; by whom, and how long this pass waits for it, if it does.
pub(super) fn lock_held(held: &Held, wait: Option<Duration>) -> Event {
    Event::LockHeld {
        holder: held.record.holder.to_string(),
        by: held.record.pass,
        since: held.record.acquired_at,
        until: held.until,
        waiting_seconds: wait.unwrap_or_default().as_secs(),
    }
}

/// Tells whose store it is from now on, where that was nobody's.
pub(super) async fn tell_of_owner(
    world: &World,
    lease: &Lease,
    previous: Option<&Previous>,
    was_in_use: bool,
) {
    let recorded = previous.and_then(|previous| previous.store_owner.as_ref());
    if let (Some(owner), None) = (lease.record().await.store_owner, recorded) {
        world.events.emit(&Event::StoreOwnerRecorded {
            store: world.store.location(),
            store_owner: owner.to_string(),
            was_in_use,
        });
    }
}

/// Writes down how the pass ended, over the status that was read when it began, after the pass `last`, and gives
/// the lock back. None of that changes what is committed, so a failure is told and no more.
pub(super) async fn write_down(
    world: &World,
    lease: Lease,
    identity: &Identity,
    (status, last): (StoreResult<(Option<Status>, Condition)>, Option<PassId>),
    results: &[SourceOutcome<'_>],
    verdict: &Conclusion,
    start: Start,
) {
    let store = &*world.store;
    let record = record(world, identity, results, verdict, start);
    let notice = |what: &str, error: &dyn Display| notice(world, what, error);
    if let Err(error) = status::record(store, &record).await {
        notice("the record of this pass was not written", &error);
    }
    let mut outcome = match results.iter().all(|(_, result)| result.is_ok()) {
        true => Ending::Committed,
        false => Ending::Unfinished,
    };
    if let Err(error) = replace_status(store, status, &record, (identity.generation, last)).await {
        notice("`status.json` was not written", &error);
        outcome = Ending::Unfinished;
    }
    release(world, lease, outcome).await;
}

/// Writes the status over the one that was read when the pass began, after `last`.
async fn replace_status(
    store: &dyn Store,
    read: StoreResult<(Option<Status>, Condition)>,
    record: &PassRecord,
    (generation, last): (u64, Option<PassId>),
) -> StoreResult<()> {
    // Written anew, it would forget the sources that this pass has not touched.
    let (known, unchanged) = read?;
    let status = Status::after(known, record, generation);
    let Err(error) = status::replace(store, &status, &unchanged).await else {
        return Ok(());
    };
    if error.kind != StoreErrorKind::PreconditionFailed {
        return Err(error);
    }
    // An earlier pass may have added what became of its copies. It need not be the last one.
    match status::read_to_replace(store).await? {
        (Some(known), unchanged) if known.generation < generation => {
            let status = Status::after(Some(known.after_pass(last)), record, generation);
            status::replace(store, &status, &unchanged).await
        }
        _ => Err(error),
    }
}

/// Puts what became of the copies into the status.
pub(super) async fn tell_of_copies(world: &World, pass: PassId, copied: &AfterPass) {
    let told = tokio::select! {
        told = tell_status(world, pass, copied) => told,
        () = no_time_left(world) => return,
    };
    if let Err(error) = told {
        notice(
            world,
            "`status.json` does not say what became of the copies",
            &error,
        );
    }
}

/// Puts what became of the copies into the status that `pass` has written, unless a later one has by now.
async fn tell_status(world: &World, pass: PassId, after: &AfterPass) -> StoreResult<()> {
    let (status, unchanged) = status::read_to_replace(&*world.store).await?;
    let Some(mut status) = status.filter(|status| status.pass == pass) else {
        return Ok(());
    };
    if after.lacks_a_required_one() && status.outcome == Outcome::Complete {
        status.outcome = Outcome::Incomplete;
        status.exit_code = ExitCode::Incomplete.code();
    }
    status.copies.clone_from(&after.copies);
    match status::replace(&*world.store, &status, &unchanged).await {
        // By a later pass.
        Err(error) if error.kind == StoreErrorKind::PreconditionFailed => Ok(()),
        other => other,
    }
}

/// Gives the lock back.
pub(super) async fn release(world: &World, lease: Lease, outcome: Ending) {
    if let Err(error) = lease.release(outcome).await {
        notice(world, "the lock was not released", &error);
    }
}

/// Gives the lock back if there is time for it; otherwise it expires.
pub(super) async fn release_in_time(world: &World, lease: Lease, outcome: Ending) {
    tokio::select! {
        () = release(world, lease, outcome) => {}
        () = no_time_left(world) => {
            let why = "the store did not answer in time; the lock expires by itself";
            notice(world, "the lock was not released", &why);
        }
    }
}

/// Completes once a signal came so long ago that the pass has to end without having written down how.
pub(super) async fn no_time_left(world: &World) {
    world.stop.left_for(FAREWELL).await;
}

/// Writes down how a pass ended that has lost its lease: its record alone, which is nobody else's.
pub(super) async fn write_down_loss(
    world: &World,
    identity: &Identity,
    results: &[SourceOutcome<'_>],
    verdict: &Conclusion,
    start: Start,
) {
    let record = record(world, identity, results, verdict, start);
    // The lease may be lost because the store is.
    let written = tokio::time::timeout(FAREWELL, status::record(&*world.store, &record)).await;
    if let Ok(Err(error)) = written {
        notice(world, "the record of this pass was not written", &error);
    }
}

fn record(
    world: &World,
    identity: &Identity,
    results: &[SourceOutcome<'_>],
    verdict: &Conclusion,
    start: Start,
) -> PassRecord {
    PassRecord::new(
        identity.pass,
        verdict.outcome,
        verdict.exit_code.code(),
        identity.started_at,
        world.store.now(),
        start.millis(),
        start.requests(&*world.store),
        world.holder.clone(),
        results.iter().map(source_result).collect(),
    )
}

fn notice(world: &World, what: &str, error: &dyn Display) {
    let message = format!("{what}: {error}");
    world.events.emit(&Event::Notice { message });
}

fn source_result(
    (source, result): &(&SourceJob, Result<SourceReport, SourceError>),
) -> SourceResult {
    let (outcome, report, error) = match result {
        Ok(report) if report.is_complete => (Outcome::Complete, Some(report), None),
        Ok(report) => (Outcome::Incomplete, Some(report), None),
        Err(SourceError::Interrupted) => (Outcome::Interrupted, None, None),
        Err(error) => (Outcome::Failed, None, Some(error.to_string())),
    };
    SourceResult {
        source: source.name.to_string(),
        place: source.place.text(),
        outcome,
        totals: report.map(|report| report.snapshot.totals),
        changes: report.map(|report| report.changes),
        left_out: report.map_or(0, |report| report.left_out),
        alternation: report.and_then(|report| origin::alternation(&report.snapshot.origins)),
        error,
    }
}

/// The last event of a pass.
pub(super) fn tell(
    world: &World,
    verdict: &Conclusion,
    (committed, failed_copies): (&[SourceReport], Vec<String>),
    start: Start,
) {
    let exit_code = verdict.exit_code.code();
    let duration_ms = start.millis();
    let requests = start.requests(&*world.store);
    world.events.emit(&match &verdict.error {
        Some(error) => Event::BackupFailed {
            exit_code,
            error: error.clone(),
            hint: verdict.hint.clone(),
            duration_ms,
            requests,
        },
        None => {
            let mut changes = Changes::default();
            let mut totals = Totals::default();
            for report in committed {
                changes += report.changes;
                totals += report.snapshot.totals;
            }
            Event::BackupCompleted {
                exit_code,
                sources: committed.len() as u64,
                totals,
                changes,
                failed_copies,
                duration_ms,
                requests,
            }
        }
    });
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
