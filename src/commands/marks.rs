//! `offsite pin`, `unpin` and `ack`: what is said of snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Context, block_on, connect, print};
use crate::cli::{AckArgs, PinArgs, UnpinArgs};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::keys::SourceName;
use crate::format::mark::{Mark, Says};
use crate::format::pass_id::PassId;
use crate::snapshots::chain::{self, Standing};
use crate::snapshots::marks::{self, Marks, MarksError};
use crate::snapshots::select::{LATEST, SelectError, Selection, parse_time, select, sources_named};
use crate::store::Store;

/// What to do where a snapshot is not found that was condemned.
pub(super) const SNAPSHOT_AGAIN: &str = "`offsite list --condemned` shows what can be undeleted";

pub(super) fn pin(context: &Context, args: &PinArgs) -> Result<ExitCode, Failure> {
    if args.reason.trim().is_empty() {
        let text = "--reason says nothing; it is for whoever finds the pin in a year";
        return Err(Failure::new(ExitCode::Usage, text));
    }
    let until = args.until.as_deref().map(|text| {
        parse_time(text, Timestamp::now()).map_err(|expected| {
            let text = format!("--until must be {expected}, not `{text}`");
            Failure::new(ExitCode::Usage, text)
        })
    });
    let until = until.transpose()?;
    if let Some(until) = until.filter(|until| *until <= Timestamp::now()) {
        let text = format!("--until {until} is over, so the pin would keep nothing");
        return Err(Failure::new(ExitCode::Usage, text));
    }
    let says = Says::Pin {
        reason: args.reason.clone(),
        until,
    };
    say(
        context,
        (args.source.as_deref(), &args.snapshot),
        &says,
        "pinned",
    )
}

pub(super) fn unpin(context: &Context, args: &UnpinArgs) -> Result<ExitCode, Failure> {
    let meant = (args.source.as_deref(), &*args.snapshot);
    say(context, meant, &Says::Unpin, "no longer pinned")
}

/// Says the same of each snapshot that is meant.
fn say(
    context: &Context,
    (source, snapshot): (Option<&str>, &str),
    says: &Says,
    what: &str,
) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    block_on(async {
        let store = connect(&job).await;
        let selection = Selection {
            source: source.map(str::to_owned),
            snapshot: Some(snapshot.to_owned()),
            at: None,
        };
        let selected = select(&store, &selection).await.map_err(|error| {
            let is_not_found = matches!(error, SelectError::NoSnapshot(_));
            let failure = Failure::from(error);
            match is_not_found {
                true => failure.hint(format!(
                    "`offsite list` shows all of them; {SNAPSHOT_AGAIN}"
                )),
                false => failure,
            }
        })?;
        for snapshot in selected {
            write(
                context,
                &*store,
                &snapshot.source,
                snapshot.pass,
                says.clone(),
            )
            .await?;
            print(&format!(
                "{} {} is {what}\n",
                snapshot.source, snapshot.pass
            ));
        }
        Ok(ExitCode::Complete)
    })?
}

async fn write(
    context: &Context,
    store: &dyn Store,
    source: &SourceName,
    pass: PassId,
    says: Says,
) -> Result<(), Failure> {
    let by = context.environment.holder();
    let mark = Mark::new(source.clone(), pass, store.now(), by, says);
    Ok(marks::write(store, &mark).await?)
}

pub(super) fn ack(context: &Context, args: &AckArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    block_on(async {
        let store = connect(&job).await;
        let losses = losses(&store, args).await?;
        if let (true, Some(id)) = (losses.is_empty(), &args.snapshot) {
            let text = format!("snapshot `{id}` shows no loss that nobody has acknowledged");
            let hint = "name the snapshot that has less, not the one before it; without one, `offsite ack` takes them all";
            return Err(Failure::new(ExitCode::NotFound, text).hint(hint));
        }
        if losses.is_empty() {
            print("there is no loss to acknowledge\n");
        }
        for (source, standing) in losses {
            let snapshot = standing.snapshot();
            let says = Says::Acknowledge {
                reason: args.reason.clone(),
            };
            write(context, &*store, &source, snapshot.pass, says).await?;
            let before = snapshot.loss.map(|loss| loss.before.to_string());
            print(&format!(
                "{source}: the loss in {} is acknowledged; retention decides on {} again\n",
                snapshot.pass,
                before.unwrap_or_default()
            ));
        }
        Ok(ExitCode::Complete)
    })?
}

/// The snapshots meant that show a loss nobody has acknowledged.
async fn losses(
    store: &Arc<dyn Store>,
    args: &AckArgs,
) -> Result<Vec<(SourceName, Standing)>, Failure> {
    let found = match args.snapshot.as_deref() {
        Some(id) if id != LATEST => stored_by_beginning(store, args.source.as_deref(), id).await?,
        wanted => {
            let mut found = Vec::new();
            for source in sources_named(&**store, args.source.as_deref()).await? {
                let mut passes = chain::passes(&**store, &source).await?;
                if wanted.is_some() {
                    passes.drain(..passes.len().saturating_sub(1));
                }
                for some in passes.chunks(chain::AT_ONCE) {
                    let standings = chain::standings(store, &source, some);
                    let standings = standings.await.map_err(SelectError::from)?;
                    found.extend(standings.into_iter().map(|one| (source.clone(), one)));
                }
            }
            found
        }
    };
    let mut losses = Vec::new();
    let sources: BTreeSet<_> = found.iter().map(|(source, _)| source.clone()).collect();
    for source in sources {
        let marks = Marks::read(store, &source)
            .await
            .map_err(|error| unreadable(&error))?;
        for (of, standing) in &found {
            let snapshot = standing.snapshot();
            if *of == source && snapshot.loss.is_some() && !marks.is_acknowledged(snapshot.pass) {
                losses.push((source.clone(), standing.clone()));
            }
        }
    }
    Ok(losses)
}

fn unreadable(error: &MarksError) -> Failure {
    let code = match error {
        MarksError::Store(error) => error.kind.exit_code(),
        MarksError::Mark { .. } => ExitCode::Integrity,
    };
    Failure::new(code, error.to_string())
}

/// The snapshots of the only pass whose id begins like this, whether they are live or condemned.
pub(super) async fn stored_by_beginning(
    store: &Arc<dyn Store>,
    source: Option<&str>,
    wanted: &str,
) -> Result<Vec<(SourceName, Standing)>, Failure> {
    let mut found = Vec::new();
    for source in sources_named(&**store, source).await? {
        let passes = chain::passes(&**store, &source).await?;
        let begins = |pass: &PassId| !wanted.is_empty() && pass.as_str().starts_with(wanted);
        let passes: Vec<_> = passes.into_iter().filter(begins).collect();
        let standings = chain::standings(store, &source, &passes);
        let standings = standings.await.map_err(SelectError::from)?;
        found.extend(
            standings
                .into_iter()
                .map(|standing| (source.clone(), standing)),
        );
    }
    let candidates: BTreeSet<_> = found.iter().map(|(_, one)| one.snapshot().pass).collect();
    match candidates.len() {
        0 => {
            let failure = Failure::from(SelectError::NoSnapshot(wanted.to_owned()));
            Err(failure.hint(SNAPSHOT_AGAIN))
        }
        1 => Ok(found),
        _ => Err(SelectError::Ambiguous {
            wanted: wanted.to_owned(),
            candidates: candidates.iter().map(ToString::to_string).collect(),
        }
        .into()),
    }
}
