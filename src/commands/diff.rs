//! `offsite diff`.

use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::entry::{Fields, JsonArray, broken_off, fields, mark, on_a_thread, path};
use super::ls::{globs, names};
use super::print::is_read;
use super::{Context, block_on, chosen, connect, log_to_stderr, note, print};
use crate::cli::DiffArgs;
use crate::config::{Job, Purpose};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::entry::{Entry, Kind};
use crate::format::keys::SourceName;
use crate::format::name::Name;
use crate::format::snapshot::Snapshot;
use crate::pass::error::SourceError;
use crate::plan::differences::{Listener, differences};
use crate::signal;
use crate::snapshots::differences::{Difference, DifferenceKind, Differences};
use crate::snapshots::entries::EntriesError;
use crate::snapshots::select::{Selection, select};
use crate::source::filter::Globs;
use crate::store::Store;
use crate::text::{count, one_line};

pub(super) fn diff(context: &Context, args: &DiffArgs) -> Result<ExitCode, Failure> {
    let globs = globs(&args.path)?;
    let printer = DifferencePrinter {
        array: args.json.then(JsonArray::default),
        globs,
        source: None,
        sums: DifferenceSums::default(),
        unreadable: 0,
    };
    match &args.after {
        Some(after) => between(context, args, after, printer),
        None => with_the_disk(context, args, printer),
    }
}

async fn snapshots_of(
    store: &Arc<dyn Store>,
    args: &DiffArgs,
    id: &str,
) -> Result<Vec<Snapshot>, Failure> {
    let selection = Selection {
        source: args.source.clone(),
        snapshot: Some(id.to_owned()),
        at: None,
    };
    Ok(select(store, &selection).await?)
}

/// Between two snapshots of each source.
fn between(
    context: &Context,
    args: &DiffArgs,
    after: &str,
    mut printer: DifferencePrinter,
) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    block_on(async {
        let store = connect(&job).await;
        let befores = snapshots_of(&store, args, &args.before).await?;
        let mut afters = snapshots_of(&store, args, after).await?;
        let mut pairs = Vec::new();
        for before in befores {
            match afters
                .iter()
                .position(|after| after.source == before.source)
            {
                Some(at) => pairs.push((before, afters.remove(at))),
                None => alone(&before, after),
            }
        }
        afters
            .iter()
            .for_each(|snapshot| alone(snapshot, &args.before));
        if pairs.is_empty() {
            let message = format!("`{}` and `{after}` are not of one source", args.before);
            let hint = "`offsite list` shows which snapshots each source has";
            return Err(Failure::new(ExitCode::NotFound, message).hint(hint));
        }
        for (before, after) in pairs {
            let differences = Differences::between(&store, Some(&before), &after);
            printer.begin(&before, after.pass.as_str());
            let looked = on_a_thread(move || {
                for difference in differences.take_while(|_| is_read()) {
                    printer.differs(difference?);
                }
                Ok::<_, EntriesError>(printer)
            });
            printer = looked.await.map_err(broken_off)?;
            printer.sum_up();
        }
        Ok(printer.end())
    })?
}

/// A source that only one of two snapshots has.
fn alone(snapshot: &Snapshot, other: &str) {
    let source = &snapshot.source;
    note(&format!(
        "note: `{other}` is no snapshot of {source}, which is left out"
    ));
}

/// Between the snapshot of each source and what the source has now.
fn with_the_disk(
    context: &Context,
    args: &DiffArgs,
    mut printer: DifferencePrinter,
) -> Result<ExitCode, Failure> {
    let mut job = context.load(&[], Purpose::Backup)?.job;
    chosen::only(&mut job, args.source.as_slice())?;
    log_to_stderr(&job);
    block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        let snapshots = select(&store, &selection_of(args, &job)).await?;
        let pass = chosen::looking_only(&job, &store, &stop);
        let mut is_any = false;
        for snapshot in &snapshots {
            let sources = job.pass.sources.iter();
            let mut sources = sources.filter(|source| source.name == snapshot.source);
            let Some(source) = sources.next() else {
                let name = &snapshot.source;
                note(&format!("note: {name} is left out: it is not configured"));
                continue;
            };
            if source.sessions.is_some() {
                let name = &source.name;
                note(&format!(
                    "note: {name} is left out: `offsite sessions` shows what of its sessions differs"
                ));
                continue;
            }
            is_any = true;
            printer.begin(snapshot, &source.place.text());
            let looked = differences(&pass, source, snapshot, printer).await;
            printer = looked.map_err(not_compared)?;
            printer.sum_up();
        }
        if !is_any {
            let message = format!(
                "nothing that is configured can be compared with snapshot `{}` of {}",
                args.before,
                names(&snapshots)
            );
            let hint = "give two snapshots, or the configuration that the pass had";
            return Err(Failure::new(ExitCode::NotFound, message).hint(hint));
        }
        Ok(printer.end())
    })?
}

/// Why not everything was compared.
pub(super) fn not_compared(error: SourceError) -> Failure {
    match error {
        SourceError::Damaged {
            key,
            error,
            first,
            last,
        } => {
            let message = one_line(&format!(
                "segment `{key}` is damaged: {error}; it lists `{first}` to `{last}`"
            ));
            let hint = "`offsite verify` names everything that is damaged";
            Failure::new(ExitCode::Integrity, message).hint(hint)
        }
        SourceError::Interrupted => {
            let code = signal::received().unwrap_or(ExitCode::Failed);
            Failure::new(code, "interrupted")
        }
        other => other.into(),
    }
}

/// The name of a source that was chosen by its directory is the configured one.
fn selection_of(args: &DiffArgs, job: &Job) -> Selection {
    let source = args.source.as_ref();
    let source = source.and_then(|_| job.pass.sources.first());
    Selection {
        source: source.map(|source| source.name.to_string()),
        snapshot: Some(args.before.clone()),
        at: None,
    }
}

/// A difference in JSON.
#[derive(Serialize)]
struct DifferenceLine<'a> {
    source: &'a SourceName,
    change: DifferenceKind,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Fields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Fields>,
}

/// Prints differences, and sums them up.
struct DifferencePrinter {
    array: Option<JsonArray>,
    globs: Option<Globs>,
    /// The one that is being looked at.
    source: Option<SourceName>,
    sums: DifferenceSums,
    /// What could not be looked at.
    unreadable: u64,
}

/// How much of a source differs.
#[derive(Default)]
struct DifferenceSums {
    added: DifferenceSum,
    removed: DifferenceSum,
    contents: DifferenceSum,
    metadata: DifferenceSum,
    touched: DifferenceSum,
}

/// Entries, and bytes of files among them as they are; of what is gone, as they were.
#[derive(Default)]
struct DifferenceSum {
    entries: u64,
    bytes: u64,
}

impl DifferenceSum {
    fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.metadata.size);
    }
}

impl DifferenceSums {
    fn of(&mut self, kind: DifferenceKind) -> &mut DifferenceSum {
        match kind {
            DifferenceKind::Added => &mut self.added,
            DifferenceKind::Removed => &mut self.removed,
            DifferenceKind::Type | DifferenceKind::Contents => &mut self.contents,
            DifferenceKind::Metadata => &mut self.metadata,
            DifferenceKind::Touched => &mut self.touched,
        }
    }
}

impl std::fmt::Display for DifferenceSums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let with_bytes = [
            (&self.added, "added"),
            (&self.removed, "removed"),
            (&self.contents, "with other contents"),
            (&self.touched, "touched"),
        ];
        let mut parts: Vec<_> = with_bytes
            .iter()
            .filter(|(sum, _)| sum.entries > 0)
            .map(|(sum, what)| {
                let (entries, bytes) = (HumanCount(sum.entries), HumanBytes(sum.bytes));
                format!("{entries} {what} ({bytes})")
            })
            .collect();
        if self.metadata.entries > 0 {
            let entries = HumanCount(self.metadata.entries);
            parts.push(format!("{entries} with other metadata"));
        }
        match parts.is_empty() {
            true => f.write_str("nothing differs"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

impl DifferencePrinter {
    /// Begins with a source.
    fn begin(&mut self, before: &Snapshot, after: &str) {
        self.source = Some(before.source.clone());
        self.sums = DifferenceSums::default();
        if self.array.is_none() {
            let (source, id) = (&before.source, before.pass);
            print(&format!("{source}: {id} -> {}\n", one_line(after)));
        }
    }

    /// Ends with it.
    fn sum_up(&self) {
        if self.array.is_none()
            && let Some(source) = &self.source
        {
            print(&format!("{source}: {}\n", self.sums));
        }
    }

    fn end(self) -> ExitCode {
        if let Some(array) = self.array {
            array.end();
        }
        match self.unreadable {
            0 => ExitCode::Complete,
            unreadable => {
                let what = count(unreadable, "entry");
                note(&format!("error: {what} could not be looked at"));
                ExitCode::Incomplete
            }
        }
    }
}

impl Listener for DifferencePrinter {
    fn differs(&mut self, difference: Difference) {
        let entry = difference.entry();
        let is_directory = entry.metadata.kind == Kind::Directory;
        let globs = self.globs.as_ref();
        let is_wanted = globs.is_none_or(|globs| globs.select(entry.name.as_bytes(), is_directory));
        let Some(source) = self.source.as_ref().filter(|_| is_wanted) else {
            return;
        };
        self.sums.of(difference.kind).add(entry);
        match &mut self.array {
            Some(array) => array.push(&DifferenceLine {
                source,
                change: difference.kind,
                path: entry.name.to_string(),
                before: difference.before.as_ref().map(|e| fields(source, e)),
                after: difference.after.as_ref().map(|e| fields(source, e)),
            }),
            None => {
                let line = format!("{} {}", mark(difference.kind), path(entry));
                print(&format!("{}\n", one_line(&line)));
            }
        }
    }

    fn unreadable(&mut self, path: &Name, error: &str) {
        self.unreadable += 1;
        note(&one_line(&format!("error: {path}: {error}")));
    }
}
