//! `offsite list`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use tokio::task::JoinSet;

use super::table::Table;
use super::{Context, block_on, condemned, connect, ls, note, print, print_json};
use crate::cli::{ListArgs, LsArgs};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::snapshot::Snapshot;
use crate::snapshots::chain;
use crate::snapshots::marks::{Marks, Pin};
use crate::snapshots::select::{SelectError, sources_named};
use crate::store::Store;

/// Commit records read at once.
const AT_ONCE: usize = 32;

pub(super) fn list(context: &Context, args: ListArgs) -> Result<ExitCode, Failure> {
    if let Some(snapshot) = args.snapshot {
        let args = LsArgs {
            snapshot,
            below: args.below,
            source: args.source,
            path: args.path,
            json: args.json,
        };
        return ls::ls(context, &args);
    }
    let job = context.reader()?;
    block_on(async {
        let store = connect(&job).await;
        if args.condemned {
            condemned::list(&store, &args).await?;
            return Ok(ExitCode::Complete);
        }
        let mut snapshots = match args.last {
            None => all(&store, &args).await?,
            Some(last) => the_last(&store, &args, last).await?,
        };
        snapshots.sort_by(|a, b| (a.pass, &a.source).cmp(&(b.pass, &b.source)));
        let sources: BTreeSet<_> = snapshots.iter().map(|one| one.source.clone()).collect();
        let mut pins = BTreeMap::new();
        for source in sources {
            match Marks::read(&store, &source).await {
                Ok(marks) => drop(pins.insert(source, marks)),
                // Which snapshots there are is what matters at night.
                Err(error) => note(&format!("note: pins of `{source}` are not shown: {error}")),
            }
        }
        let now = store.now();
        let pin = |snapshot: &Snapshot| pins.get(&snapshot.source)?.pin(snapshot.pass, now);
        let listed: Vec<_> = snapshots.iter().map(|one| (one, pin(one))).collect();
        show(&args, &listed);
        Ok(ExitCode::Complete)
    })?
}

/// What `list --json` says of a snapshot.
#[derive(Serialize)]
struct SnapshotLine<'a> {
    id: &'a str,
    source: &'a str,
    created_at: jiff::Timestamp,
    committed_at: jiff::Timestamp,
    place: &'a str,
    complete: bool,
    files: u64,
    bytes: u64,
    entries: u64,
    unreadable: u64,
    parent: Option<String>,
    /// Why retention leaves it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned: Option<&'a str>,
}

/// The last `most` of each source.
async fn the_last(
    store: &Arc<dyn Store>,
    args: &ListArgs,
    last: u32,
) -> Result<Vec<Snapshot>, SelectError> {
    let most = usize::try_from(last).unwrap_or(usize::MAX);
    let mut snapshots = Vec::new();
    for name in sources_named(&**store, args.source.as_deref()).await? {
        snapshots.extend(chain::last(store, &name, most).await?);
    }
    Ok(snapshots)
}

async fn all(store: &Arc<dyn Store>, args: &ListArgs) -> Result<Vec<Snapshot>, SelectError> {
    let names = sources_named(&**store, args.source.as_deref()).await?;
    let mut reads = JoinSet::new();
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for name in names {
        for pass in chain::passes(&**store, &name)
            .await
            .map_err(SelectError::from)?
        {
            let (store, name) = (Arc::clone(store), name.clone());
            reads.spawn(async move { chain::read(&*store, &name, pass).await });
            if reads.len() >= AT_ONCE
                && let Some(Ok(read)) = reads.join_next().await
            {
                snapshots.extend(read.map_err(SelectError::from)?);
            }
        }
    }
    while let Some(Ok(read)) = reads.join_next().await {
        snapshots.extend(read.map_err(SelectError::from)?);
    }
    Ok(snapshots)
}

fn show(args: &ListArgs, snapshots: &[(&Snapshot, Option<Pin>)]) {
    if args.json {
        let listed = snapshots.iter().map(|(snapshot, pin)| SnapshotLine {
            id: snapshot.pass.as_str(),
            source: snapshot.source.as_str(),
            created_at: snapshot.created_at,
            committed_at: snapshot.committed_at,
            place: &snapshot.place,
            complete: snapshot.complete,
            files: snapshot.totals.files,
            bytes: snapshot.totals.bytes,
            entries: snapshot.totals.entries,
            unreadable: snapshot.totals.unreadable,
            parent: snapshot.parent.map(|pass| pass.to_string()),
            pinned: pin.as_ref().map(|pin| pin.reason.as_str()),
        });
        print_json(&listed.collect::<Vec<_>>());
        return;
    }
    let heading = ["SNAPSHOT", "SOURCE", "CREATED", "FILES", "BYTES", "STATE"];
    let mut table = Table::new(&heading, &[3, 4]);
    for (snapshot, pin) in snapshots {
        let state = match snapshot.complete {
            true => "complete",
            false => "incomplete",
        };
        table.row(vec![
            snapshot.pass.to_string(),
            snapshot.source.to_string(),
            snapshot.created_at.to_string(),
            HumanCount(snapshot.totals.files).to_string(),
            HumanBytes(snapshot.totals.bytes).to_string(),
            match pin {
                Some(pin) => format!("{state}, pinned: {}", pin.reason),
                None => state.to_owned(),
            },
        ]);
    }
    print(&table.to_string());
}
