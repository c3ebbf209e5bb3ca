//! Restore: a snapshot back into a directory.
//!
//! First a plan: what the target has, compared with what the snapshot says. Then, if nothing
//! stands in the way, the plan is carried out: directories by one thread, in order; files by
//! several. A file is written under another name, checked, given its metadata, and renamed into
//! place, so that under its own name there is never anything but the whole file. What is there
//! already and is the same is left alone, so an interrupted restore continues where it was.
//!
//! The target is never left: every name is opened relative to its directory, and no symbolic link
//! is followed on the way.

mod apply;
mod contents;
mod directory;
mod file;
mod links;
mod metadata;
mod plan;
mod target;

use std::path::PathBuf;
use std::sync::Arc;

use crate::entries::{Entries, EntriesError, Place};
use crate::manifest::entry::Entry;
use crate::manifest::snapshot::Snapshot;
use crate::source::filter::Globs;
use crate::stop::Stop;
use crate::store::Store;

pub use self::apply::{Failure, Report, apply};
pub use self::plan::{Action, Plan, PlanError, plan};

/// What is restored, and how.
#[derive(Clone)]
pub struct RestoreOptions {
    /// Where the contents of the snapshot go.
    pub target: PathBuf,
    /// Only what all of these match, and what lies below; everything without any.
    pub wanted: Vec<Globs>,
    /// Whether what is there and differs is replaced.
    pub overwrite: bool,
    /// Whether owners are restored; only root may.
    pub owners: bool,
    /// Requests in flight at once.
    pub concurrency: usize,
    /// Bytes of contents in memory at once.
    pub memory_bytes: usize,
    /// When to stop.
    pub stop: Arc<Stop>,
}

impl RestoreOptions {
    fn wants(&self, entry: &Entry) -> bool {
        let is_directory = entry.metadata.kind == crate::manifest::entry::Kind::Directory;
        let mut wanted = self.wanted.iter();
        wanted.all(|globs| globs.select(&entry.path, is_directory))
    }
}

/// Entries that are wanted, each with its place in the snapshot, and the directories above them.
struct Wanted<'a> {
    entries: Entries,
    options: &'a RestoreOptions,
    /// Directories above the current entry that have not been given out.
    above: Vec<(Place, Entry)>,
    /// Entries found wanted, to be given out first.
    ready: std::collections::VecDeque<(Place, Entry)>,
}

impl<'a> Wanted<'a> {
    fn of(store: &Arc<dyn Store>, snapshot: &Snapshot, options: &'a RestoreOptions) -> Self {
        Self {
            entries: Entries::of(store, snapshot),
            options,
            above: Vec::new(),
            ready: std::collections::VecDeque::new(),
        }
    }
}

impl Iterator for Wanted<'_> {
    type Item = Result<(Place, Entry), EntriesError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(Ok(ready));
            }
            let (place, entry) = match self.entries.next_placed()? {
                Ok(placed) => placed,
                Err(error) => return Some(Err(error)),
            };
            if self.options.wanted.is_empty() {
                return Some(Ok((place, entry)));
            }
            self.above
                .retain(|(_, directory)| entry.path.is_below(&directory.path));
            if self.options.wants(&entry) {
                self.ready.extend(self.above.drain(..));
                self.ready.push_back((place, entry));
            } else if entry.metadata.kind == crate::manifest::entry::Kind::Directory {
                self.above.push((place, entry));
            }
        }
    }
}
