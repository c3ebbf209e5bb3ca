//! `offsite list --condemned`.

use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;
use serde::Serialize;

use super::table::Table;
use super::{print, print_json};
use crate::cli::ListArgs;
use crate::error::Failure;
use crate::format::condemned::Condemned;
use crate::format::pass_id::PassId;
use crate::snapshots::chain::{self, AT_ONCE, Standing};
use crate::snapshots::select::{SelectError, sources_named};
use crate::store::Store;

/// What `list --condemned --json` says of a snapshot.
#[derive(Serialize)]
struct Line<'a> {
    id: PassId,
    source: &'a str,
    committed_at: Timestamp,
    condemned_at: Timestamp,
    prune: PassId,
    complete: bool,
    files: u64,
    bytes: u64,
    uploaded_bytes: u64,
}

pub(super) async fn list(store: &Arc<dyn Store>, args: &ListArgs) -> Result<(), Failure> {
    let mut found = Vec::new();
    for source in sources_named(&**store, args.source.as_deref()).await? {
        let passes = chain::passes(&**store, &source).await?;
        for some in passes.chunks(AT_ONCE) {
            let standings = chain::standings(store, &source, some).await;
            for standing in standings.map_err(SelectError::from)? {
                if let Standing::Condemned(condemned) = standing {
                    found.push(*condemned);
                }
            }
        }
    }
    found.sort_by(|a, b| {
        let key = |one: &Condemned| (one.snapshot.pass, one.snapshot.source.clone());
        key(a).cmp(&key(b))
    });
    match args.json {
        true => print_json(&found.iter().map(line).collect::<Vec<_>>()),
        false if found.is_empty() => print("no snapshot is condemned\n"),
        false => print(&table(&found).to_string()),
    }
    Ok(())
}

fn line(condemned: &Condemned) -> Line<'_> {
    let Condemned { snapshot, sentence } = condemned;
    Line {
        id: snapshot.pass,
        source: snapshot.source.as_str(),
        committed_at: snapshot.committed_at,
        condemned_at: sentence.at,
        prune: sentence.prune,
        complete: snapshot.complete,
        files: snapshot.totals.files,
        bytes: snapshot.totals.bytes,
        uploaded_bytes: snapshot.uploaded_bytes,
    }
}

fn table(found: &[Condemned]) -> Table {
    let heading = [
        "SNAPSHOT",
        "SOURCE",
        "FILES",
        "BYTES",
        "CONDEMNED",
        "BY PRUNE",
    ];
    let mut table = Table::new(&heading, &[2, 3]);
    for Condemned { snapshot, sentence } in found {
        table.row(vec![
            snapshot.pass.to_string(),
            snapshot.source.to_string(),
            HumanCount(snapshot.totals.files).to_string(),
            HumanBytes(snapshot.totals.bytes).to_string(),
            sentence.at.to_string(),
            sentence.prune.to_string(),
        ]);
    }
    table
}
