//! `offsite list`.

use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::print::is_read;
use super::table::Table;
use super::{Context, block_on, connect, note, print, print_json};
use crate::cli::ListArgs;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::entry::{Entry, Kind};
use crate::format::keys::SourceName;
use crate::format::snapshot::Snapshot;
use crate::snapshots::chain;
use crate::snapshots::entries::{Entries, EntriesError};
use crate::snapshots::select::{SelectError, Selection, select, sources_named};
use crate::source::filter::Globs;
use crate::store::Store;
use crate::text::{json, one_line};

/// Commit records read at once.
const AT_ONCE: usize = 32;

pub(super) fn list(context: &Context, args: &ListArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    block_on(async {
        let store = connect(&job).await;
        match &args.snapshot {
            None => snapshots(&store, args).await,
            Some(snapshot) => files(&store, args, snapshot).await,
        }
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
}

async fn snapshots(store: &Arc<dyn Store>, args: &ListArgs) -> Result<ExitCode, Failure> {
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
    snapshots.sort_by(|a, b| (a.pass, &a.source).cmp(&(b.pass, &b.source)));
    if args.json {
        let listed = snapshots.iter().map(|snapshot| SnapshotLine {
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
        });
        print_json(&listed.collect::<Vec<_>>());
        return Ok(ExitCode::Complete);
    }
    let heading = ["SNAPSHOT", "SOURCE", "CREATED", "FILES", "BYTES", "STATE"];
    let mut table = Table::new(&heading, &[3, 4]);
    for snapshot in &snapshots {
        table.row(vec![
            snapshot.pass.to_string(),
            snapshot.source.to_string(),
            snapshot.created_at.to_string(),
            HumanCount(snapshot.totals.files).to_string(),
            HumanBytes(snapshot.totals.bytes).to_string(),
            if snapshot.complete {
                "complete"
            } else {
                "incomplete"
            }
            .to_owned(),
        ]);
    }
    print(&table.to_string());
    Ok(ExitCode::Complete)
}

async fn files(
    store: &Arc<dyn Store>,
    args: &ListArgs,
    snapshot: &str,
) -> Result<ExitCode, Failure> {
    let globs = globs(&args.path)?;
    let selection = Selection {
        source: args.source.clone(),
        snapshot: Some(snapshot.to_owned()),
        at: None,
    };
    let snapshots = select(store, &selection).await?;
    let (json, several) = (args.json, snapshots.len() > 1);
    // Whether nothing was printed yet.
    let mut first = true;
    for snapshot in snapshots {
        let entries = Entries::of(store, &snapshot);
        let globs = globs.clone();
        let name = snapshot.source.clone();
        // Reading entries blocks.
        let printed = tokio::task::spawn_blocking(move || -> Result<bool, EntriesError> {
            for entry in entries.take_while(|_| is_read()) {
                let entry = entry?;
                let is_directory = entry.metadata.kind == Kind::Directory;
                if globs
                    .as_ref()
                    .is_some_and(|globs| !globs.select(&entry.path, is_directory))
                {
                    continue;
                }
                match json {
                    true => print_line(&name, &entry, first),
                    false => print(&line(several.then_some(&name), &entry)),
                }
                first = false;
            }
            Ok(first)
        });
        first = match printed.await {
            Ok(Ok(first)) => first,
            Ok(Err(EntriesError::Store(error))) => return Err(error.into()),
            Ok(Err(damaged)) => {
                let hint = "`offsite verify` names everything that is damaged";
                return Err(Failure::new(ExitCode::Integrity, damaged.to_string()).hint(hint));
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
    }
    if json {
        print(if first { "[]\n" } else { "\n]\n" });
    }
    if first && !args.path.is_empty() {
        note("nothing matches; patterns are relative to the source, as `docs/*.pdf`");
    }
    Ok(ExitCode::Complete)
}

/// The patterns of `--path`.
pub(super) fn globs(patterns: &[String]) -> Result<Option<Globs>, Failure> {
    if patterns.is_empty() {
        return Ok(None);
    }
    Globs::new(patterns).map(Some).map_err(|invalid| {
        let texts: Vec<_> = invalid.iter().map(ToString::to_string).collect();
        Failure::new(ExitCode::Usage, format!("--path: {}", texts.join("; ")))
    })
}

/// An entry as it stands in the manifest, with its source.
fn print_line(source: &SourceName, entry: &Entry, is_first: bool) {
    #[derive(Serialize)]
    struct Line<'a> {
        source: &'a SourceName,
        #[serde(flatten)]
        entry: std::collections::BTreeMap<String, Box<RawValue>>,
    }
    let mut line = Vec::new();
    entry.write_line(source, &mut line);
    let entry = serde_json::from_slice(&line).unwrap_or_default();
    let before = if is_first { "[\n" } else { ",\n" };
    print(&format!("{before}{}", json(&Line { source, entry })));
}

/// An entry like `ls -l` shows it.
fn line(source: Option<&SourceName>, entry: &Entry) -> String {
    let m = &entry.metadata;
    let kind = match m.kind {
        Kind::File => '-',
        Kind::Directory => 'd',
        Kind::Symlink => 'l',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
        Kind::CharDevice => 'c',
        Kind::BlockDevice => 'b',
    };
    let time = jiff::Timestamp::from_nanosecond(m.mtime_ns.into()).unwrap_or_default();
    let time = time.strftime("%Y-%m-%d %H:%M:%S");
    let target = entry.target.as_deref().map(String::from_utf8_lossy);
    let target = target.map_or(String::new(), |target| format!(" -> {target}"));
    let state = entry
        .unreadable
        .as_ref()
        .map_or(String::new(), |unreadable| {
            format!(
                "  [unreadable since {}: {}]",
                unreadable.since, unreadable.error
            )
        });
    let source = source.map_or(String::new(), |source| format!("{source}/"));
    let line = format!(
        "{kind}{:04o} {:>6} {:>6} {:>12} {time} {source}{}{target}{state}",
        m.mode, m.uid, m.gid, m.size, entry.path
    );
    format!("{}\n", one_line(&line))
}
