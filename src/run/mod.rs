//! One pass: an attempt, and further ones while it fails for a reason that may pass; then one event that
//! says how it ended.

mod attempt;
mod clock;
mod holders;
mod identity;
mod report;
mod retry;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::attempt::{Attempt, attempt};
use self::report::{End, Start, Verdict};
use self::retry::{Pauses, worth_another_attempt};
use crate::boottime::Boottime;
use crate::events::{Event, Events};
use crate::exit::ExitCode;
use crate::format::keys::SourceName;
use crate::format::pass_id::PassId;
use crate::lease::Holder;
use crate::pass::commit::SourceReport;
use crate::pass::context::Limits;
use crate::pass::error::SourceError;
use crate::pass::job::SourceJob;
use crate::stop::Stop;
use crate::store::Store;

/// What a pass does.
#[derive(Debug, Clone)]
pub struct Pass {
    /// What is backed up, in this order.
    pub sources: Vec<SourceJob>,
    /// How much at once.
    pub limits: Limits,
    /// How long the lease lasts without renewal.
    pub lock_ttl: Duration,
    /// How long to wait while another pass holds the lock.
    pub lock_wait: Duration,
    /// For how long after its first failure by the store or the credentials it is tried again.
    pub retry_for: Duration,
}

/// What a pass needs of the world around it.
#[derive(Clone)]
pub struct World {
    /// Where backups go.
    pub store: Arc<dyn Store>,
    /// Where events go.
    pub events: Events,
    /// When to stop.
    pub stop: Arc<Stop>,
    /// Which signal was the reason to stop, once one was.
    pub interrupted_by: fn() -> Option<ExitCode>,
    /// Who we are.
    pub holder: Holder,
    /// Spreads pass ids that start in the same second.
    pub random: u16,
    /// This machine's wall clock.
    pub clock: fn() -> Timestamp,
    /// This machine's clock that only goes forward.
    pub boottime: Boottime,
}

/// How a pass ended.
#[derive(Debug)]
pub struct PassReport {
    /// How it went.
    pub exit_code: ExitCode,
    /// Whether all that is missing in what it has committed are entries that could not be read.
    pub lacks_only_unreadable: bool,
    /// The pass, if it got as far as the lock; of several attempts, the last.
    pub pass: Option<PassId>,
    /// What was committed.
    pub committed: Vec<SourceReport>,
}

/// One source, and what became of it.
type SourceOutcome<'a> = (&'a SourceJob, Result<SourceReport, SourceError>);

/// Runs one pass, in as many attempts as it needs and has time for.
pub async fn run(pass: &Pass, world: &World) -> PassReport {
    let start = Start::now(&*world.store);
    world.events.emit(&Event::BackupStarted {
        store: world.store.location(),
        sources: names(&pass.sources.iter().collect::<Vec<_>>()),
        version: env!("CARGO_PKG_VERSION"),
    });
    let mut pauses = Pauses::new(pass.retry_for);
    let mut passes = Vec::new();
    let mut outcomes = Vec::new();
    let mut sources: Vec<_> = pass.sources.iter().collect();
    let mut attempts = 0;
    let end = loop {
        let Attempt { id, results, end } = attempt(pass, &sources, world, &passes).await;
        let may_be_ours = |holder: &Holder| attempts > 0 && *holder == world.holder;
        let failed = Verdict::of(&results, &end, None);
        sources = worth_another_attempt(&sources, &results, &end, may_be_ours);
        attempts += 1;
        passes.extend(id);
        replace(&mut outcomes, results);
        let pause = match sources.is_empty() || world.stop.is_set() {
            true => None,
            false => pauses.after_failure(Instant::now(), fastrand::f64()),
        };
        let (Some(pause), Some(error)) = (pause, failed.error) else {
            break end;
        };
        world.events.emit(&Event::PassRetried {
            attempt: attempts + 1,
            waiting_ms: report::millis(pause),
            sources: names(&sources),
            error: error.clone(),
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = world.stop.stopped() => break End::Stopped { error },
        }
    };
    let place = |source: &SourceJob| pass.sources.iter().position(|s| s.name == source.name);
    outcomes.sort_by_key(|(source, _)| place(source));
    let verdict = Verdict::of(&outcomes, &end, (world.interrupted_by)());
    let committed: Vec<_> = outcomes.into_iter().filter_map(|(_, r)| r.ok()).collect();
    report::tell(world, &verdict, &committed, start);
    PassReport {
        exit_code: verdict.exit_code,
        lacks_only_unreadable: committed.iter().all(|report| report.lacks_only_unreadable),
        pass: passes.pop(),
        committed,
    }
}

fn names(sources: &[&SourceJob]) -> Vec<SourceName> {
    sources.iter().map(|source| source.name.clone()).collect()
}

/// Puts what a later attempt has done in the place of what an earlier one has.
fn replace<'a>(outcomes: &mut Vec<SourceOutcome<'a>>, later: Vec<SourceOutcome<'a>>) {
    outcomes.retain(|(source, _)| later.iter().all(|(other, _)| other.name != source.name));
    outcomes.extend(later);
}
