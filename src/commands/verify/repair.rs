//! `offsite verify --repair`: what was found is put back from copies, or written down for the next pass.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;

use super::summary;
use super::verified::{Verified, kind, verified_snapshots};
use crate::cli::VerifyArgs;
use crate::commands::{Context, locking, note, print, print_json};
use crate::config::Job;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::lock::Ending;
use crate::format::snapshot::Snapshot;
use crate::lease::{Claim, Lease};
use crate::repair::{Damages, MarkingError, NotRepaired, RepairReport, Repairer, Settled, damages};
use crate::signal;
use crate::snapshots::chain;
use crate::snapshots::marks::MarksError;
use crate::snapshots::select::{SelectError, Selection};
use crate::stop::Stop;
use crate::store::Store;
use crate::store::open::open;
use crate::text::{count, one_line};
use crate::verify::{VerifyOptions, VerifyReport};

/// A manifest that was put back is looked at once more, and its table of objects after that.
const ROUNDS: usize = 3;

/// What was found in a snapshot, and what became of it.
#[derive(Serialize)]
struct Repaired {
    #[serde(flatten)]
    report: VerifyReport,
    repair: RepairReport,
}

impl Repaired {
    /// Whether nothing that was found is wrong any more.
    fn is_well(&self) -> bool {
        let repaired: HashSet<_> = self
            .repair
            .repaired
            .iter()
            .map(|object| &object.key)
            .collect();
        let mut findings = self.report.findings.iter();
        self.report.ended_early.is_none() && findings.all(|f| repaired.contains(&f.key))
    }
}

/// What everything is done with.
pub(super) struct World<'a> {
    pub(super) context: &'a Context,
    pub(super) args: &'a VerifyArgs,
    pub(super) job: &'a Job,
    pub(super) store: Arc<dyn Store>,
    pub(super) stop: Arc<Stop>,
}

/// Verifies, repairs, and verifies again where more can be looked at then.
pub(super) async fn repair(
    world: &World<'_>,
    selection: &Selection,
    options: VerifyOptions,
) -> Result<ExitCode, Failure> {
    let (store, stop) = (&world.store, &world.stop);
    let (mut all, mut is_well) = (Vec::new(), true);
    for _ in 0..ROUNDS {
        let verified = verified_snapshots(store, selection, options, world.args.all, stop).await?;
        if !world.args.json {
            for Verified { report, .. } in &verified {
                summary::print_summary(report, options.depth, kind(world.job, report), true);
            }
        }
        let is_sound = |verified: &Verified| verified.report.findings.is_empty();
        let repaired = match stop.is_set() || verified.iter().all(is_sound) {
            true => untouched(verified),
            false => under_lock(world, verified, options).await?,
        };
        if !world.args.json {
            repaired.iter().for_each(print_repair);
        }
        is_well = repaired.iter().all(Repaired::is_well);
        let has_manifest = repaired.iter().any(|one| one.repair.has_manifest);
        all.extend(repaired);
        if !has_manifest || stop.is_set() {
            break;
        }
        // What the manifest lists has yet to be looked at.
        is_well = false;
    }
    if world.args.json {
        print_json(&all);
    }
    Ok(match (signal::received(), is_well) {
        (Some(signal), _) => signal,
        (None, false) => ExitCode::Integrity,
        (None, true) => ExitCode::Complete,
    })
}

fn untouched(verified: Vec<Verified>) -> Vec<Repaired> {
    let untouched = verified.into_iter().map(|verified| Repaired {
        report: verified.report,
        repair: RepairReport::default(),
    });
    untouched.collect()
}

async fn under_lock(
    world: &World<'_>,
    verified: Vec<Verified>,
    options: VerifyOptions,
) -> Result<Vec<Repaired>, Failure> {
    let holder = world.context.environment.holder();
    let claim = Claim::Owner(world.job.pass.store_owner.clone());
    let who = (holder.clone(), claim);
    let lease = locking::take_lock(world.job, &world.store, who, &world.stop).await?;
    let mut copies = Vec::new();
    for copy in &world.job.pass.copies {
        copies.push(open(&copy.store, &copy.options).await);
    }
    let repaired = tokio::select! {
        repaired = repair_all(world, (&lease, copies), verified, options) => repaired,
        lost = lease.lost() => {
            let hint = "what was put back until then is back; run it again for the rest";
            Err(Failure::new(lost.exit_code(), lost.to_string()).hint(hint))
        }
    };
    // What passes have left is as it was.
    if let Err(error) = lease.release(Ending::Unfinished).await {
        note(&format!(
            "note: the lock was not released: {error}; it expires by itself"
        ));
    }
    repaired
}

async fn repair_all(
    world: &World<'_>,
    (lease, copies): (&Lease, Vec<Arc<dyn Store>>),
    verified: Vec<Verified>,
    options: VerifyOptions,
) -> Result<Vec<Repaired>, Failure> {
    let repairer = Repairer {
        store: Arc::clone(&world.store),
        lease,
        holder: world.context.environment.holder(),
        copies,
        stop: Arc::clone(&world.stop),
    };
    let (mut all, mut settled) = (Vec::new(), Settled::default());
    for Verified { report, snapshot } in verified {
        let Some(snapshot) = snapshot.filter(|_| !report.findings.is_empty()) else {
            let repair = RepairReport::default();
            all.push(Repaired { report, repair });
            continue;
        };
        // It was looked at before the lock was taken.
        if !exists(world, &snapshot).await? {
            note(&format!(
                "note: snapshot {} of {} was removed meanwhile; nothing of it is repaired",
                snapshot.pass, snapshot.source
            ));
            let (mut report, repair) = (report, RepairReport::default());
            report.findings.clear();
            all.push(Repaired { report, repair });
            continue;
        }
        let (what, report) = found(world, snapshot, report, options).await?;
        let repair = repairer.repair(what, &mut settled).await;
        let repair = repair.map_err(|error| not_repaired(&error))?;
        all.push(Repaired { report, repair });
    }
    Ok(all)
}

/// Whether nobody has condemned or removed a snapshot since it was looked at.
async fn exists(world: &World<'_>, snapshot: &Snapshot) -> Result<bool, Failure> {
    let read = chain::read(&*world.store, &snapshot.source, snapshot.pass).await;
    Ok(read.map_err(SelectError::from)?.is_some())
}

/// The objects that the findings on a snapshot are about.
async fn found(
    world: &World<'_>,
    snapshot: Snapshot,
    report: VerifyReport,
    options: VerifyOptions,
) -> Result<(Damages, VerifyReport), Failure> {
    let mut sources = world.job.pass.sources.iter();
    let source = sources.find(|source| source.name == snapshot.source);
    let placement = source.map(|source| source.placement.clone());
    let store = Arc::clone(&world.store);
    let has_read = options.depth.reads_all();
    let looking = tokio::task::spawn_blocking(move || {
        let damages = damages(&store, &snapshot, &report, has_read);
        (damages, snapshot, report)
    });
    let (damages, snapshot, report) = match looking.await {
        Ok(looked) => looked,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let what = Damages {
        source: snapshot.source,
        snapshot: snapshot.pass,
        placement: placement.unwrap_or_default(),
        damages: damages?,
    };
    Ok((what, report))
}

fn not_repaired(error: &MarkingError) -> Failure {
    let code = match error {
        MarkingError::Lost(lost) => lost.exit_code(),
        MarkingError::Store(error) | MarkingError::Marks(MarksError::Store(error)) => {
            error.kind.exit_code()
        }
        MarkingError::Marks(MarksError::Mark { .. }) => ExitCode::Integrity,
    };
    let hint = "what was put back until then is back; run it again for the rest";
    Failure::new(code, error.to_string()).hint(hint)
}

fn print_repair(one: &Repaired) {
    let RepairReport {
        repaired, damaged, ..
    } = &one.repair;
    if repaired.is_empty() && damaged.is_empty() {
        return;
    }
    for object in repaired {
        note(&one_line(&format!(
            "repaired: {} from {}",
            object.key, object.from
        )));
    }
    for object in damaged {
        note(&one_line(&described(object)));
    }
    let (source, snapshot) = (&one.report.source, &one.report.snapshot);
    if damaged.iter().any(|object| object.recaptured) {
        note(&format!(
            "hint: `offsite run --source {source}` captures again what these objects held, as far as it still exists; earlier snapshots go on lacking it"
        ));
    }
    let mut said = format!("{} repaired", count(repaired.len() as u64, "object"));
    if !damaged.is_empty() {
        said += &format!(", {} NOT REPAIRED", count(damaged.len() as u64, "object"));
    }
    print(&format!("{source} {snapshot}: {said}\n"));
}

/// What is damaged, why it stays so, and what that costs.
fn described(object: &NotRepaired) -> String {
    let NotRepaired {
        key, problem, why, ..
    } = object;
    let mut said = format!("error: {key}: {problem}, not repaired: {why}");
    if !object.costs_files {
        return said
            + "; every file of this snapshot that lies in it is sound, and `tar` alone may fail on it; `offsite verify --all --read` tells of other snapshots";
    }
    if !object.snapshots.is_empty() {
        let snapshots: Vec<_> = object.snapshots.iter().map(ToString::to_string).collect();
        said += &format!("; snapshots that lack it: {}", snapshots.join(", "));
    }
    if !object.paths.is_empty() {
        said += &format!("; files, for example: {}", object.paths.join(", "));
    }
    said
}
