//! Directories that have taken the place of others.
//!
//! Renaming a directory leaves no trace on the files in it. Where another one stands under its name, its
//! files may look like those that were recorded, and are known by their contents alone.

use super::compare::{Verdict, compare, is_another_directory};
use super::cursor::Recorded;
use crate::format::entry::{Entry, Kind};
use crate::format::name::Name;
use crate::pass::job::Detect;
use crate::source::Found;

/// What a walk, which comes to a directory before what is in it, has seen of them.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// The uppermost one of those that the walk is in.
    at: Option<Name>,
}

impl Moved {
    /// Takes note of what was recorded under the name of an entry.
    pub(super) fn look<'a>(
        &mut self,
        found: &Found,
        recorded: impl IntoIterator<Item = &'a Entry>,
    ) {
        let mut recorded = recorded.into_iter();
        if recorded.any(|entry| is_another_directory(&found.stat, entry)) && !self.has(&found.name)
        {
            self.at = Some(found.name.clone());
        }
    }

    /// Whether a path lies below such a directory.
    fn has(&self, path: &Name) -> bool {
        self.at.as_ref().is_some_and(|at| path.is_below(at))
    }

    /// Compares an entry with the one that was recorded, as closely as has to be.
    pub(crate) fn compare(&self, found: &Found, recorded: &Recorded, detect: Detect) -> Verdict {
        let compare = |detect| compare(found, &recorded.entry, recorded.scan_started_ns, detect);
        if !self.has(&found.name) {
            return compare(detect);
        }
        match compare(Detect::Checksum) {
            Verdict::Unchanged if found.stat.metadata.kind == Kind::Symlink => Verdict::Rerecord,
            verdict => verdict,
        }
    }
}
