//! `offsite adopt`: a store that belonged to another owner, or to nobody, belongs to the one configured.

use std::io::{IsTerminal, stdin};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::locking::take_lock;
use super::table::Table;
use super::{Context, block_on, connect, holder, note, print, print_json};
use crate::cli::AdoptArgs;
use crate::ecs::Identity;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::keys::SourceName;
use crate::format::lock::Ending;
use crate::format::owner::StoreOwner;
use crate::format::pass_id::PassId;
use crate::lease::{self, Claim, Lease, LeaseError};
use crate::signal;
use crate::snapshots::chain;
use crate::snapshots::select::{self, SelectError};
use crate::stop::Stop;
use crate::store::Store;

/// How long an answer is waited for. Meanwhile no pass gets the lock.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// A store, and what came of it.
#[derive(Serialize)]
struct Shown {
    store: String,
    /// Whose it was.
    previous_owner: Option<StoreOwner>,
    /// Whom it was to belong to.
    store_owner: StoreOwner,
    /// Whether it belongs to that one now.
    adopted: bool,
    sources: Vec<Newest>,
}

/// The newest snapshot of a source.
#[derive(Serialize)]
struct Newest {
    source: SourceName,
    snapshot: Option<PassId>,
    committed_at: Option<Timestamp>,
    place: Option<String>,
    machine: Option<String>,
}

pub(super) fn adopt(context: &Context, args: &AdoptArgs) -> Result<ExitCode, Failure> {
    let job = context.reader_with(&args.flags())?;
    let Some(owner) = &job.pass.store_owner else {
        let message = "`backup.store_owner` is not set, so nobody would own the store";
        let hint = "set it to whoever is to own it, or give OFFSITE_STORE_OWNER";
        return Err(Failure::new(ExitCode::Usage, message).hint(hint));
    };
    let may_ask = stdin().is_terminal();
    block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        let seen = lease::look(&*store).await?;
        if seen.is_none() && select::sources(&*store).await?.is_empty() {
            return Err(SelectError::Nothing(store.location()).into());
        }
        let recorded = seen.and_then(|seen| seen.record.store_owner);
        if recorded.as_ref() == Some(owner) {
            let mut shown = look(&*store, recorded, owner).await?;
            shown.adopted = true;
            report(args, &shown, &format!("it belongs to `{owner}` already"));
            return Ok(ExitCode::Complete);
        }
        if !args.force && !may_ask {
            let shown = look(&*store, recorded, owner).await?;
            report(args, &shown, "nothing was changed");
            let message = format!(
                "`{}` is not taken over unasked, and there is no terminal to ask on",
                shown.store
            );
            let hint = "take it over with `offsite adopt --force`";
            return Err(Failure::new(ExitCode::Usage, message).hint(hint));
        }
        let task = Identity::find(&context.environment).await;
        let task = task.as_ref().ok().and_then(Option::as_ref);
        let holder = holder(&context.environment, task);
        let lease = take_lock(&job, &store, (holder, Claim::Anybody), &stop).await?;
        let adopted = under(&lease, &*store, args, owner, &stop).await;
        // It knows nothing of what passes have left.
        if let Err(error) = lease.release(Ending::Unfinished).await {
            note(&format!(
                "note: the lock was not released: {error}; it expires by itself"
            ));
        }
        adopted
    })?
}

/// Takes over a store whose lock is held.
async fn under(
    lease: &Lease,
    store: &dyn Store,
    args: &AdoptArgs,
    owner: &StoreOwner,
    stop: &Stop,
) -> Result<ExitCode, Failure> {
    let recorded = lease.record().await.store_owner;
    let mut shown = look(store, recorded, owner).await?;
    if !args.force {
        note(&text(&shown));
        note(&question(&shown));
        if let Some(why_not) = refusal(stop).await {
            return Err(why_not);
        }
    }
    lease.give_store_to(owner.clone()).await.map_err(|lost| {
        let hint = "run `offsite adopt` again: it says whose the store is";
        Failure::from(LeaseError::from(lost)).hint(hint)
    })?;
    shown.adopted = true;
    let now = match &shown.previous_owner {
        Some(previous) => {
            format!("it belongs to `{owner}` now, and passes of `{previous}` are refused")
        }
        None => format!("it belongs to `{owner}` now, and passes of others are refused"),
    };
    report(args, &shown, &now);
    Ok(ExitCode::Complete)
}

/// Waits for an answer; why the store is not taken over, unless it was yes.
async fn refusal(stop: &Stop) -> Option<Failure> {
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).map(|_| line)
    });
    let unchanged = |code, why: &str| {
        let message = format!("{why}; the store belongs to whom it did before");
        Some(Failure::new(code, message))
    };
    tokio::select! {
        answer = answer => match answer {
            Ok(Ok(line)) if ["y", "yes"].contains(&line.trim().to_lowercase().as_str()) => None,
            _ => unchanged(ExitCode::Failed, "the answer was not yes"),
        },
        () = stop.stopped() => {
            let code = signal::received().unwrap_or(ExitCode::Terminated);
            unchanged(code, "interrupted")
        }
        () = tokio::time::sleep(PATIENCE) => unchanged(ExitCode::Failed, "nobody answered in time"),
    }
}

async fn look(
    store: &dyn Store,
    previous_owner: Option<StoreOwner>,
    owner: &StoreOwner,
) -> Result<Shown, Failure> {
    let mut sources = Vec::new();
    for source in select::sources(store).await? {
        let latest = chain::latest(store, &source).await;
        let latest = latest.map_err(SelectError::from)?;
        let latest = latest.as_ref();
        let origin = latest.and_then(|latest| latest.origins.first());
        sources.push(Newest {
            source,
            snapshot: latest.map(|latest| latest.pass),
            committed_at: latest.map(|latest| latest.committed_at),
            place: latest.map(|latest| latest.place.clone()),
            machine: origin.map(|origin| origin.machine.clone()),
        });
    }
    Ok(Shown {
        store: store.location(),
        previous_owner,
        store_owner: owner.clone(),
        adopted: false,
        sources,
    })
}

fn question(shown: &Shown) -> String {
    let refused = match &shown.previous_owner {
        Some(previous) => format!("Passes of `{previous}` are refused from then on. "),
        None => String::new(),
    };
    format!(
        "\nTake it over for `{}`? {refused}Type yes:",
        shown.store_owner
    )
}

fn text(shown: &Shown) -> String {
    let mut text = match &shown.previous_owner {
        Some(owner) => format!("{} belongs to `{owner}`\n", shown.store),
        None => format!("{} belongs to nobody\n", shown.store),
    };
    if shown.sources.is_empty() {
        text.push_str("\nit has no snapshots");
        return text;
    }
    let heading = ["SOURCE", "NEWEST SNAPSHOT", "COMMITTED", "PLACE", "MACHINE"];
    let mut table = Table::new(&heading, &[]);
    for newest in &shown.sources {
        let snapshot = newest.snapshot.map(|pass| pass.to_string());
        let committed = newest.committed_at.map(|at| at.to_string());
        table.row(vec![
            newest.source.to_string(),
            snapshot.unwrap_or_else(|| "none".to_owned()),
            committed.unwrap_or_default(),
            newest.place.clone().unwrap_or_default(),
            newest.machine.clone().unwrap_or_default(),
        ]);
    }
    format!("{text}\n{table}").trim_end().to_owned()
}

fn report(args: &AdoptArgs, shown: &Shown, outcome: &str) {
    match args.json {
        true => print_json(shown),
        // Who was asked has read the rest.
        false if shown.adopted && !args.force => print(&format!("{outcome}\n")),
        false => print(&format!("{}\n\n{outcome}\n", text(shown))),
    }
}
