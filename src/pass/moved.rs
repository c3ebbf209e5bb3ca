//! Directories that have taken the place of others.
//!
//! Renaming a directory leaves no trace on the files in it. Where another one stands under its name, its
//! files may look like those that were recorded, and are known by their contents alone.

use super::compare::{Detect, Verdict, compare};
use crate::format::entry::{Entry, Kind};
use crate::format::path::EntryPath;
use crate::source::stat::Stat;
use crate::source::walk::Found;

/// Whether the directory that was recorded has given way to another one.
pub(super) fn is_another_directory(found: &Stat, recorded: &Entry) -> bool {
    found.metadata.kind == Kind::Directory && recorded.inode.is_some_and(|inode| inode != found.ino)
}

/// What a walk, which comes to a directory before what is in it, has seen of them.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// The uppermost one of those that the walk is in.
    at: Option<EntryPath>,
}

impl Moved {
    /// Takes note of what was recorded under the name of an entry.
    pub(super) fn look<'a>(
        &mut self,
        found: &Found,
        recorded: impl IntoIterator<Item = &'a Entry>,
    ) {
        let mut recorded = recorded.into_iter();
        if recorded.any(|entry| is_another_directory(&found.stat, entry)) && !self.has(&found.path)
        {
            self.at = Some(found.path.clone());
        }
    }

    /// Whether a path lies below such a directory.
    pub(super) fn has(&self, path: &EntryPath) -> bool {
        self.at.as_ref().is_some_and(|at| path.is_below(at))
    }

    /// Compares an entry with the one that was recorded, as closely as has to be.
    pub(super) fn compare(
        &self,
        found: &Found,
        recorded: &Entry,
        scan_started_ns: i64,
        detect: Detect,
    ) -> Verdict {
        if !self.has(&found.path) {
            return compare(&found.stat, recorded, scan_started_ns, detect);
        }
        match compare(&found.stat, recorded, scan_started_ns, Detect::Checksum) {
            Verdict::Unchanged if found.stat.metadata.kind == Kind::Symlink => Verdict::Rerecord,
            verdict => verdict,
        }
    }
}
