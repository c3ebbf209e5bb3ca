//! `offsite ls`.

use std::sync::Arc;

use serde::Serialize;

use super::entry::{
    Fields, JsonArray, broken_off, fields, letter, modified, name_in, on_a_thread, remarks, size,
};
use super::print::is_read;
use super::{Context, block_on, connect, print};
use crate::cli::LsArgs;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::entry::{Entry, Kind};
use crate::format::keys::SourceName;
use crate::format::name::{Name, Order};
use crate::format::path::EntryPath;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{Entries, EntriesError};
use crate::snapshots::select::{Selection, select};
use crate::source::filter::Globs;
use crate::store::Store;
use crate::text::one_line;

/// Columns by which each level of a tree is moved in.
const INDENT: usize = 2;

pub(super) fn ls(context: &Context, args: &LsArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    let globs = globs(&args.path)?;
    block_on(async {
        let store = connect(&job).await;
        let selection = Selection {
            source: args.source.clone(),
            snapshot: Some(args.snapshot.clone()),
            at: None,
        };
        let snapshots = select(&store, &selection).await?;
        let mut printer = EntryPrinter {
            are_several: snapshots.len() > 1,
            array: args.json.then(JsonArray::default),
            globs,
            count: 0,
            has_path: false,
        };
        for snapshot in &snapshots {
            printer = match (snapshot.order, &args.below) {
                (Order::Path, None) => printer.tree(&store, snapshot, Name::ROOT).await?,
                (Order::Path, Some(typed)) => match name_in(snapshot, typed)? {
                    Some(below) => printer.tree(&store, snapshot, below).await?,
                    None => printer,
                },
                (Order::Key, below) => {
                    let prefix = below.as_deref().unwrap_or_default();
                    let prefix = prefix.to_string_lossy();
                    printer.keys(&store, snapshot, &prefix).await?
                }
            };
        }
        printer.end(args, &snapshots)
    })?
}

/// Prints entries, and remembers what has come.
struct EntryPrinter {
    /// Whether names alone do not say which source they are of.
    are_several: bool,
    array: Option<JsonArray>,
    globs: Option<Globs>,
    /// Entries.
    count: u64,
    /// Whether a snapshot has the path that was asked for.
    has_path: bool,
}

impl EntryPrinter {
    /// Shows what is at `below`, and below that.
    async fn tree(
        self,
        store: &Arc<dyn Store>,
        snapshot: &Snapshot,
        below: Name,
    ) -> Result<Self, Failure> {
        let entries = Entries::within(store, snapshot, &below);
        let layout = self.layout(&snapshot.source, below.as_path());
        self.show(snapshot, layout, entries).await
    }

    /// Shows the objects whose keys start so.
    async fn keys(
        self,
        store: &Arc<dyn Store>,
        snapshot: &Snapshot,
        prefix: &str,
    ) -> Result<Self, Failure> {
        let entries = Entries::with_prefix(store, snapshot, prefix);
        let layout = self.flat(&snapshot.source);
        self.show(snapshot, layout, entries).await
    }

    async fn show(
        mut self,
        snapshot: &Snapshot,
        layout: Layout,
        entries: impl Iterator<Item = Result<Entry, EntriesError>> + Send + 'static,
    ) -> Result<Self, Failure> {
        let source = snapshot.source.clone();
        let printed = on_a_thread(move || {
            for entry in entries.take_while(|_| is_read()) {
                self.entry(&source, &layout, &entry?);
            }
            Ok::<_, EntriesError>(self)
        });
        printed.await.map_err(broken_off)
    }

    fn layout(&self, source: &SourceName, top: &EntryPath) -> Layout {
        match &self.globs {
            None => Layout::Tree {
                depth: top.components().count(),
            },
            // Matches may lie far apart.
            Some(_) => self.flat(source),
        }
    }

    fn flat(&self, source: &SourceName) -> Layout {
        Layout::Flat {
            before: match self.are_several {
                true => format!("{source}/"),
                false => String::new(),
            },
        }
    }

    fn entry(&mut self, source: &SourceName, layout: &Layout, entry: &Entry) {
        self.has_path = true;
        let is_directory = entry.metadata.kind == Kind::Directory;
        let globs = self.globs.as_ref();
        if globs.is_some_and(|globs| !globs.select(entry.name.as_bytes(), is_directory)) {
            return;
        }
        self.count += 1;
        match &mut self.array {
            Some(array) => array.push(&EntryLine {
                source,
                entry: fields(source, entry),
            }),
            None => print(&layout.line(source, entry)),
        }
    }

    fn end(self, args: &LsArgs, snapshots: &[Snapshot]) -> Result<ExitCode, Failure> {
        if let Some(array) = self.array {
            array.end();
        }
        let (id, names) = (&args.snapshot, names(snapshots));
        match &args.below {
            // Nobody reads any more, so not everything was looked at.
            _ if !is_read() => Ok(ExitCode::Complete),
            Some(path) if !self.has_path => {
                Err(no_such_path(&path.display().to_string(), id, &names))
            }
            _ if self.count == 0 && !args.path.is_empty() => {
                let message = format!("nothing in snapshot `{id}` of {names} matches");
                let hint = "patterns are relative to the source, for example `docs/*.pdf`";
                Err(Failure::new(ExitCode::NotFound, message).hint(hint))
            }
            _ => Ok(ExitCode::Complete),
        }
    }
}

/// An entry as it stands in the manifest, with its source.
#[derive(Serialize)]
struct EntryLine<'a> {
    source: &'a SourceName,
    #[serde(flatten)]
    entry: Fields,
}

/// The names of the sources of these snapshots, for messages.
pub(super) fn names(snapshots: &[Snapshot]) -> String {
    let names: Vec<_> = snapshots.iter().map(|s| s.source.as_str()).collect();
    names.join(", ")
}

/// There is nothing at a path that was typed.
pub(super) fn no_such_path(path: &str, id: &str, names: &str) -> Failure {
    let message = format!("there is no `{path}` in snapshot `{id}` of {names}");
    let hint = format!("`offsite ls {id}` shows what there is");
    Failure::new(ExitCode::NotFound, message).hint(hint)
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

/// How entries are shown as lines.
enum Layout {
    /// As a tree whose top is at this depth.
    Tree { depth: usize },
    /// By their whole paths, after this text.
    Flat { before: String },
}

impl Layout {
    fn line(&self, source: &SourceName, entry: &Entry) -> String {
        let m = &entry.metadata;
        let path = entry.path();
        let depth = path.components().count();
        let (indent, name) = match (self, path.name()) {
            (Self::Flat { before }, _) => (0, format!("{before}{}", entry.name)),
            (Self::Tree { .. }, None) => (0, source.to_string()),
            (Self::Tree { depth: top }, Some(_)) if depth == *top => (0, entry.name.to_string()),
            (Self::Tree { depth: top }, Some(name)) => {
                (depth - top, String::from_utf8_lossy(name).into_owned())
            }
        };
        let slash = if m.kind == Kind::Directory { "/" } else { "" };
        // Where a tree has mode and owner, a bucket has a class and a category.
        let about = match &entry.object {
            Some(object) => format!(
                "{:<19} {:<10}",
                object.class.as_deref().unwrap_or("STANDARD"),
                object.category
            ),
            None => format!("{:04o} {:>6} {:>6}", m.mode, m.uid, m.gid),
        };
        let line = format!(
            "{}{about} {:>10} {} {:indent$}{name}{slash}{}",
            letter(m.kind),
            size(entry),
            modified(entry),
            "",
            remarks(entry),
            indent = indent * INDENT,
        );
        format!("{}\n", one_line(&line))
    }
}
