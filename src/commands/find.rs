//! `offsite find`.

use std::sync::Arc;

use serde::Serialize;

use super::entry::{
    Fields, JsonArray, broken_off, fields, mark, modified, on_a_thread, path, remarks, size,
};
use super::print::is_read;
use super::{Context, block_on, connect, print};
use crate::cli::FindArgs;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::entry::Kind;
use crate::format::keys::SourceName;
use crate::format::pass_id::PassId;
use crate::format::snapshot::Snapshot;
use crate::snapshots::chain;
use crate::snapshots::differences::{Difference, DifferenceKind, Differences};
use crate::snapshots::entries::EntriesError;
use crate::snapshots::select::{SelectError, sources_named};
use crate::source::filter::Globs;
use crate::store::Store;
use crate::text::one_line;

pub(super) fn find(context: &Context, args: &FindArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    let globs = Globs::new(std::slice::from_ref(&args.pattern));
    let globs = globs.map_err(|invalid| {
        let texts: Vec<_> = invalid.iter().map(ToString::to_string).collect();
        Failure::new(ExitCode::Usage, texts.join("; "))
    })?;
    block_on(async {
        let store = connect(&job).await;
        let sources = sources_named(&*store, args.source.as_deref()).await?;
        let mut search = Search {
            globs,
            array: args.json.then(JsonArray::default),
            count: 0,
        };
        for source in &sources {
            search = search.source(&store, source).await?;
        }
        search.end(args, &sources)
    })?
}

/// A version of something that matches.
#[derive(Serialize)]
struct FoundVersion<'a> {
    snapshot: PassId,
    source: &'a SourceName,
    change: DifferenceKind,
    #[serde(flatten)]
    entry: Fields,
}

/// A search under way.
struct Search {
    globs: Globs,
    array: Option<JsonArray>,
    count: u64,
}

impl Search {
    /// Goes through the snapshots of a source, the earliest first: all of that one, and what of each differs
    /// from the one before.
    async fn source(
        mut self,
        store: &Arc<dyn Store>,
        source: &SourceName,
    ) -> Result<Self, Failure> {
        let passes = chain::passes(&**store, source).await?;
        let mut before: Option<Snapshot> = None;
        for passes in passes.chunks(chain::AT_ONCE) {
            let snapshots = chain::read_several(store, source, passes).await;
            for snapshot in snapshots.map_err(SelectError::from)? {
                let differences = Differences::between(store, before.as_ref(), &snapshot);
                let (source, pass) = (source.clone(), snapshot.pass);
                let searched = on_a_thread(move || {
                    for difference in differences.take_while(|_| is_read()) {
                        self.look(&source, pass, &difference?);
                    }
                    Ok::<_, EntriesError>(self)
                });
                self = searched.await.map_err(broken_off)?;
                before = Some(snapshot);
            }
        }
        Ok(self)
    }

    fn look(&mut self, source: &SourceName, snapshot: PassId, difference: &Difference) {
        let entry = difference.entry();
        let is_directory = entry.metadata.kind == Kind::Directory;
        if !self.globs.match_itself(entry.name.as_bytes(), is_directory) {
            return;
        }
        self.count += 1;
        match &mut self.array {
            Some(array) => array.push(&FoundVersion {
                snapshot,
                source,
                change: difference.kind,
                entry: fields(source, entry),
            }),
            None => {
                let line = format!(
                    "{snapshot}  {source}  {} {:>10} {} {}{}",
                    mark(difference.kind),
                    size(entry),
                    modified(entry),
                    path(entry),
                    remarks(entry),
                );
                print(&format!("{}\n", one_line(&line)));
            }
        }
    }

    fn end(self, args: &FindArgs, sources: &[SourceName]) -> Result<ExitCode, Failure> {
        if let Some(array) = self.array {
            array.end();
        }
        if self.count > 0 || !is_read() {
            return Ok(ExitCode::Complete);
        }
        let names: Vec<_> = sources.iter().map(SourceName::as_str).collect();
        let message = format!(
            "nothing in any snapshot of {} matches `{}`",
            names.join(", "),
            args.pattern
        );
        let hint = "a pattern without a slash matches names at any depth, for example `*.pdf`; one with a slash is relative to the source";
        Err(Failure::new(ExitCode::NotFound, message).hint(hint))
    }
}
