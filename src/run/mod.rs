//! One pass on one screen: take the lock, back up every source, commit, report, release.

mod clock;
mod holders;
mod identity;
mod report;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::identity::Identity;
use self::report::Verdict;
use crate::backup::commit::PassContext;
use crate::backup::{DirectorySource, Limits, SourceError, SourceReport, back_up, origins};
use crate::boottime::Boottime;
use crate::events::{Event, Events};
use crate::exit::ExitCode;
use crate::lease::{self, Holder, Lease, LeaseError, Previous};
use crate::manifest::pass_id::PassId;
use crate::status::Status;
use crate::stop::Stop;
use crate::store::Store;

/// What a pass does.
#[derive(Debug, Clone)]
pub struct Pass {
    /// What is backed up, in this order.
    pub sources: Vec<DirectorySource>,
    /// How much at once.
    pub limits: Limits,
    /// How long the lease lasts without renewal.
    pub lock_ttl: Duration,
    /// How long to wait while another pass holds the lock.
    pub lock_wait: Duration,
}

/// What a pass needs of the world around it.
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
    /// What the process exits with.
    pub exit_code: ExitCode,
    /// The pass, if it got as far as the lock.
    pub pass: Option<PassId>,
    /// What was committed.
    pub committed: Vec<SourceReport>,
}

/// One source, and what became of it.
type SourceOutcome<'a> = (&'a DirectorySource, Result<SourceReport, SourceError>);

/// Runs one pass.
pub async fn run(pass: &Pass, world: &World) -> PassReport {
    let started = Instant::now();
    world.events.emit(&Event::BackupStarted {
        store: world.store.location(),
        sources: pass
            .sources
            .iter()
            .map(|source| source.name.clone())
            .collect(),
        version: env!("CARGO_PKG_VERSION"),
    });
    let taken = tokio::select! {
        taken = take_lock(pass, world) => taken,
        () = world.stop.left() => Err(LeaseError::Interrupted),
    };
    let (lease, previous) = match taken {
        Ok(taken) => taken,
        Err(error) => return report::not_locked(world, &error, started),
    };
    clock::tell_of_another_time(world);
    let status = Status::read_to_replace(&*world.store).await;
    let last = previous.as_ref().map(|previous| previous.pass);
    let status = status.map(|(status, unchanged)| {
        let status = status.map(|status| status.after_pass(last));
        (status, unchanged)
    });
    let known = status.as_ref().ok().and_then(|(status, _)| status.as_ref());
    let identity = tokio::select! {
        identity = identity::settle(pass, world, &lease, known) => identity,
        () = world.stop.left() => Err(LeaseError::Interrupted),
    };
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => {
            report::release(world, lease, lease::Outcome::Unfinished).await;
            return report::not_locked(world, &error, started);
        }
    };
    tell_of_lock(world, &identity, previous.as_ref(), started);

    let watch = async {
        lease.lost().await;
        world.stop.stop();
        std::future::pending::<()>().await;
    };
    let results = tokio::select! {
        results = back_up_all(pass, world, &lease, &identity, known) => results,
        () = watch => Vec::new(),
        // The store does not answer any more.
        () = world.stop.left() => Vec::new(),
    };

    let lost = lease.is_lost();
    let is_over = results.len() == pass.sources.len();
    let verdict = Verdict::of(&results, is_over, (world.interrupted_by)(), lost.as_ref());
    match lost {
        Some(lost) => {
            let error = lost.to_string();
            world.events.emit(&Event::LockLost { error });
            report::write_down_loss(world, &identity, &results, &verdict, started).await;
        }
        None => {
            let written =
                report::write_down(world, lease, &identity, status, &results, &verdict, started);
            tokio::select! {
                () = written => {}
                () = report::no_time_left(world) => {}
            }
        }
    }
    let committed: Vec<_> = results.into_iter().filter_map(|(_, r)| r.ok()).collect();
    report::tell(world, &verdict, &committed, started);
    PassReport {
        exit_code: verdict.exit_code,
        pass: Some(identity.pass),
        committed,
    }
}

async fn take_lock(pass: &Pass, world: &World) -> Result<(Lease, Option<Previous>), LeaseError> {
    let request = lease::Request {
        holder: world.holder.clone(),
        sources: pass.sources.iter().map(|s| s.name.clone()).collect(),
        ttl: pass.lock_ttl,
        wait: pass.lock_wait,
        random: world.random,
        boottime: world.boottime,
    };
    let observer = holders::Observer::new(world, pass.lock_wait);
    lease::acquire(&world.store, &request, &world.stop, &observer).await
}

fn tell_of_lock(world: &World, identity: &Identity, previous: Option<&Previous>, started: Instant) {
    world.events.set_pass(identity.pass);
    let unreleased = previous.filter(|previous| previous.outcome.is_none());
    world.events.emit(&Event::LockAcquired {
        generation: identity.generation,
        duration_ms: report::millis(started),
        taken_from: unreleased.map(|previous| previous.holder.to_string()),
    });
}

/// Backs up one source after the other. One that fails does not keep the others from being tried.
async fn back_up_all<'a>(
    pass: &'a Pass,
    world: &World,
    lease: &Lease,
    identity: &Identity,
    status: Option<&Status>,
) -> Vec<SourceOutcome<'a>> {
    let mut context = PassContext {
        store: Arc::clone(&world.store),
        events: world.events.clone(),
        limits: pass.limits.clone(),
        pass: identity.pass,
        started_at: identity.started_at,
        machine: origins::machine(&world.holder),
        look_for_unfinished: true,
        stop: Arc::clone(&world.stop),
        clock: world.clock,
    };
    let mut results = Vec::new();
    for (source, latest) in pass.sources.iter().zip(&identity.latest) {
        let settled = status.and_then(|status| status.settled(&source.name));
        context.look_for_unfinished = settled.is_none();
        let result = match world.stop.is_set() {
            true => Err(SourceError::Interrupted),
            false => back_up(&context, source, lease, *latest).await,
        };
        if let Err(error) = &result {
            world.events.emit(&Event::SourceFailed {
                source: source.name.clone(),
                error: error.to_string(),
                hint: error.hint(),
            });
        }
        results.push((source, result));
    }
    results
}
