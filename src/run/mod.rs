//! One pass: an attempt, and further ones while it fails for a reason that may pass; then one event that
//! says how it ended.

mod attempt;
mod clock;
mod copied;
pub mod copies;
mod holders;
mod identity;
pub mod prune;
mod report;
mod retry;
mod world;

use std::time::Instant;

use self::attempt::{Attempt, attempt};
use self::copied::AfterPass;
use self::report::{Conclusion, End, Start};
use self::retry::{Pauses, worth_another_attempt};
use self::world::{SourceOutcome, names};
use crate::events::Event;
use crate::exit::ExitCode;
use crate::format::lock::Holder;
use crate::format::pass_id::PassId;
use crate::pass::back_up::SourceReport;
use crate::pass::job::SourceJob;

pub use self::world::{Pass, World};

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
        let failed = Conclusion::of(&results, &end, None);
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
    let copied = match (&end, &passes[..]) {
        (End::Locked { lost: None, .. }, [.., last]) if !pass.copies.is_empty() => {
            // Apart, so that passes without copies need no memory for it.
            let copied = Box::pin(copies::after_pass(pass, world)).await;
            // Where none was tried, there is nothing to tell, and no time for it.
            if !copied.copies.is_empty() {
                report::tell_of_copies(world, *last, &copied).await;
            }
            Some(copied)
        }
        _ => None,
    };
    let signal = (world.interrupted_by)();
    let mut verdict = Conclusion::of(&outcomes, &end, signal);
    if let Some(copied) = &copied {
        verdict.count_copies(copied, signal);
    }
    let committed: Vec<_> = outcomes.into_iter().filter_map(|(_, r)| r.ok()).collect();
    let failed_copies = copied.as_ref().map(AfterPass::failed);
    report::tell(
        world,
        &verdict,
        (&committed, failed_copies.unwrap_or_default()),
        start,
    );
    let lacks_copies = copied.is_some_and(|copied| copied.lacks_a_required_one());
    PassReport {
        exit_code: verdict.exit_code,
        lacks_only_unreadable: !lacks_copies
            && committed.iter().all(|report| report.lacks_only_unreadable),
        pass: passes.pop(),
        committed,
    }
}

/// Puts what a later attempt has done in the place of what an earlier one has.
fn replace<'a>(outcomes: &mut Vec<SourceOutcome<'a>>, later: Vec<SourceOutcome<'a>>) {
    outcomes.retain(|(source, _)| later.iter().all(|(other, _)| other.name != source.name));
    outcomes.extend(later);
}
