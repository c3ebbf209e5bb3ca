//! One attempt at a pass: take the lock, back up the sources, commit, report, release. It has an id, a
//! lease and a record of its own.

use std::sync::Arc;

use super::identity::{self, Identity};
use super::report::{self, Conclusion, End, Start};
use super::world::{Pass, SourceOutcome, World, names};
use super::{clock, holders, prune};
use crate::events::Event;
use crate::format::keys::SourceName;
use crate::format::lock::Ending;
use crate::format::pass_id::PassId;
use crate::format::status::Status;
use crate::lease::{self, Claim, Lease, LeaseError, Previous};
use crate::pass::back_up::{Precedents, back_up};
use crate::pass::context::PassContext;
use crate::pass::error::SourceError;
use crate::pass::job::SourceJob;
use crate::pass::origins;
use crate::status;
use crate::stop::Stop;

/// What came of an attempt.
pub(super) struct Attempt<'a> {
    /// Its pass, if it got as far as the lock.
    pub(super) id: Option<PassId>,
    pub(super) results: Vec<SourceOutcome<'a>>,
    pub(super) end: End,
}

/// Makes one attempt. `earlier` are the passes of those before it, whose lock may not have been released.
pub(super) async fn attempt<'a>(
    pass: &Pass,
    sources: &[&'a SourceJob],
    world: &World,
    earlier: &[PassId],
) -> Attempt<'a> {
    let start = Start::now(&*world.store);
    let world = &World {
        stop: Stop::within(&world.stop),
        ..world.clone()
    };
    world.events.set_pass(None);
    let not_locked = |error: LeaseError| {
        if let Some(held) = error.held() {
            world.events.emit(&report::lock_held(held, None));
        }
        Attempt {
            id: None,
            results: Vec::new(),
            end: End::NotLocked(error),
        }
    };
    let taken = tokio::select! {
        taken = take_lock(pass, sources, world, earlier) => taken,
        () = world.stop.left() => Err(LeaseError::Interrupted),
    };
    let (lease, previous) = match taken {
        Ok(taken) => taken,
        Err(error) => return not_locked(error),
    };
    clock::tell_of_another_time(world);
    let status = status::read_to_replace(&*world.store).await;
    let last = previous.as_ref().map(|previous| previous.pass);
    let status = status.map(|(status, unchanged)| {
        let status = status.map(|status| status.after_pass(last));
        (status, unchanged)
    });
    let known = status.as_ref().ok().and_then(|(status, _)| status.as_ref());
    let was_in_use = previous.is_some() || known.is_some();
    report::tell_of_owner(world, &lease, previous.as_ref(), was_in_use).await;
    let identity = tokio::select! {
        identity = identity::settle(sources, world, &lease, known) => identity,
        () = world.stop.left() => Err(LeaseError::Interrupted),
    };
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => {
            report::release(world, lease, Ending::Unfinished).await;
            return not_locked(error);
        }
    };
    tell_of_lock(world, &identity, previous.as_ref(), start);

    let watch = async {
        lease.lost().await;
        world.stop.stop();
        std::future::pending::<()>().await;
    };
    let mut results = Vec::new();
    tokio::select! {
        () = async {
            back_up_all(pass, sources, world, &lease, (&identity, known), &mut results).await;
            prune::after_pass(world, &lease, &results).await;
        } => {}
        () = watch => {}
        // The store or a source does not answer any more.
        () = world.stop.left() => {}
    }

    let end = End::Locked {
        is_over: results.len() == sources.len(),
        lost: lease.is_lost(),
    };
    // Of what was begun, nobody knows what has become: the next pass looks.
    for source in &sources[results.len()..] {
        results.push((*source, failed(world, source, SourceError::Interrupted)));
    }
    let verdict = Conclusion::of(&results, &end, (world.interrupted_by)());
    match &end {
        End::Locked {
            lost: Some(lost), ..
        } => {
            let error = lost.to_string();
            world.events.emit(&Event::LockLost { error });
            report::write_down_loss(world, &identity, &results, &verdict, start).await;
        }
        _ => {
            let status = (status, last);
            let written =
                report::write_down(world, lease, &identity, status, &results, &verdict, start);
            tokio::select! {
                () = written => {}
                () = report::no_time_left(world) => {}
            }
        }
    }
    Attempt {
        id: Some(identity.pass),
        results,
        end,
    }
}

async fn take_lock(
    pass: &Pass,
    sources: &[&SourceJob],
    world: &World,
    earlier: &[PassId],
) -> Result<(Lease, Option<Previous>), LeaseError> {
    let request = lease::Request {
        holder: world.holder.clone(),
        claim: Claim::Owner(pass.store_owner.clone()),
        sources: names(sources),
        ttl: pass.lock_ttl,
        wait: pass.lock_wait,
        random: world.random,
        boottime: world.boottime,
    };
    let observer = holders::Observer::new(world, pass.lock_wait, earlier);
    lease::acquire(&world.store, &request, &world.stop, &observer).await
}

fn tell_of_lock(world: &World, identity: &Identity, previous: Option<&Previous>, start: Start) {
    world.events.set_pass(Some(identity.pass));
    let unreleased = previous.filter(|previous| previous.outcome.is_none());
    world.events.emit(&Event::LockAcquired {
        generation: identity.generation,
        duration_ms: start.millis(),
        taken_from: unreleased.map(|previous| previous.holder.to_string()),
    });
}

/// Backs up one source after the other. One that fails does not keep the others from being tried.
async fn back_up_all<'a>(
    pass: &Pass,
    sources: &[&'a SourceJob],
    world: &World,
    lease: &Lease,
    (identity, status): (&Identity, Option<&Status>),
    results: &mut Vec<SourceOutcome<'a>>,
) {
    let context = PassContext {
        store: Arc::clone(&world.store),
        events: world.events.clone(),
        limits: pass.limits.clone(),
        pass: identity.pass,
        generation: lease.generation(),
        started_at: identity.started_at,
        stop: Arc::clone(&world.stop),
        clock: world.clock,
    };
    let machine = origins::machine(&world.holder);
    for (source, latest) in sources.iter().zip(&identity.latest) {
        let settled = status.and_then(|status| status.settled(&source.name));
        let known = Precedents {
            latest: *latest,
            is_settled: settled.is_some(),
        };
        let result = match (world.stop.is_set(), skipped(pass, source, results)) {
            (true, _) => Err(SourceError::Interrupted),
            (false, Some(because)) => Err(SourceError::Skipped(because)),
            (false, None) => back_up(&context, source, lease, known, &machine).await,
        };
        let result = result.or_else(|error| failed(world, source, error));
        results.push((*source, result));
    }
}

/// The source whose failure keeps this one from being backed up; of several, one that stays failed.
fn skipped(pass: &Pass, source: &SourceJob, results: &[SourceOutcome<'_>]) -> Option<SourceName> {
    let failed = results.iter().filter_map(|(other, result)| {
        let counts = pass.stop_on_failure || source.depends_on.contains(&other.name);
        let error = result.as_ref().err().filter(|_| counts)?;
        Some(match error {
            // Whatever that one was skipped for.
            SourceError::Skipped(because) => (because, false),
            error => (&other.name, error.is_worth_another_pass()),
        })
    });
    let because = failed.min_by_key(|(_, is_worth_another_pass)| *is_worth_another_pass);
    because.map(|(because, _)| because.clone())
}

/// Tells that a source was not backed up.
fn failed<T>(world: &World, source: &SourceJob, error: SourceError) -> Result<T, SourceError> {
    let name = source.name.clone();
    world.events.emit(&match &error {
        SourceError::Skipped(because) => Event::SourceSkipped {
            source: name,
            because: because.clone(),
        },
        error => Event::SourceFailed {
            source: name,
            error: error.to_string(),
            hint: error.hint(),
        },
    });
    Err(error)
}
