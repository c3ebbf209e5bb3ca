//! The policy for sessions: what was archived stays, and what was chosen is archived as a whole.

use std::sync::Arc;

use super::chosen::{Assigned, Mode, Modes};
use super::notes::Notes;
use crate::format::entry::Entry;
use crate::format::name::Name;
use crate::format::path::EntryPath;
use crate::pass::diff::{Moved, Pair, Recorded, Verdict, compare, is_racy};
use crate::pass::job::Detect;
use crate::pass::policy::tree::Closeness;
use crate::pass::policy::{Change, Decision, Policy};
use crate::pass::steps::{Apart, Group};
use crate::source::Found;
use crate::source::session::{is_in_root, name_of};

pub(super) struct Sessions {
    pub(super) modes: Modes,
    /// How the root is compared, which belongs to no session.
    pub(super) root: Closeness,
    pub(super) xattrs: bool,
    pub(super) notes: Notes,
}

impl Sessions {
    fn mode(&self, path: &EntryPath) -> Option<Mode> {
        Some(self.assigned(path)?.mode)
    }

    fn assigned(&self, path: &EntryPath) -> Option<&Assigned> {
        self.modes.by_name.get(name_of(path)?)
    }

    /// Whether an entry of the last snapshot that does not exist stays in the manifest as it is: one of a
    /// session that this pass leaves alone, or that is gone altogether.
    fn is_kept(&mut self, path: &EntryPath) -> bool {
        let Some(name) = name_of(path) else {
            return false;
        };
        if is_in_root(path) {
            self.modes.by_name.remove(name);
        }
        !self.modes.by_name.contains_key(name)
    }

    fn changed(&self, pair: &Pair) -> Decision {
        if let Some(continued) = &pair.continued
            && continued.verdict == Verdict::Unchanged
        {
            return Decision::Take(Box::new(continued.recorded.entry.clone()));
        }
        match self.same_as_read(pair) {
            Some(entry) => Decision::Take(Box::new(entry)),
            // The root belongs into no archive.
            None if pair.found.name.is_root() => Decision::Record,
            None => Decision::Capture,
        }
    }

    /// The entry of a file that the survey has read and found to be as it was recorded, if it has
    /// not changed since.
    fn same_as_read(&self, pair: &Pair) -> Option<Entry> {
        let mode = self.mode(pair.found.name.as_path());
        let was_read = mode == Some(Mode::SameAsRead) && !self.xattrs;
        let base = pair.base.as_ref().filter(|_| was_read)?;
        let (stat, entry) = (&pair.found.stat, &base.recorded.entry);
        let metadata = stat.metadata;
        let is_same = matches!(base.verdict, Verdict::Reread | Verdict::Rerecord)
            && metadata.kind == entry.metadata.kind
            && !is_racy(
                metadata.mtime_ns.max(metadata.ctime_ns),
                self.modes.surveyed_at_ns,
            );
        is_same.then(|| Entry {
            metadata,
            hardlink: stat.link_group(),
            inode: stat.directory_inode(),
            sparse: stat.sparse,
            changed_while_reading: false,
            racy: false,
            unreadable: None,
            ..entry.clone()
        })
    }
}

impl Policy for Sessions {
    fn compare(&self, found: &Found, recorded: &Recorded, moved: &Moved) -> Verdict {
        let at = recorded.scan_started_ns;
        match self.mode(found.name.as_path()) {
            None => self.root.compare(found, recorded, moved),
            Some(Mode::Whole) => Verdict::Capture,
            // The survey has looked more closely, where that was asked for.
            Some(_) => compare(found, &recorded.entry, at, Detect::Metadata),
        }
    }

    fn group(&self, name: &Name) -> Option<Arc<Group>> {
        Some(Arc::clone(&self.assigned(name.as_path())?.group))
    }

    fn apart(&self, pair: &Pair) -> Option<Box<Apart>> {
        let assigned = self.assigned(pair.found.name.as_path())?;
        self.notes.apart(pair, &assigned.year).map(Box::new)
    }

    fn decide(&mut self, change: &Change<'_>) -> Decision {
        match change {
            Change::Same(pair) => match (&pair.continued, self.mode(pair.found.name.as_path())) {
                (Some(continued), Some(Mode::Continued))
                    if continued.verdict == Verdict::Unchanged =>
                {
                    Decision::Take(Box::new(continued.recorded.entry.clone()))
                }
                _ => Decision::Keep,
            },
            Change::Different(pair) | Change::New(pair) => self.changed(pair),
            Change::Gone(recorded) => match self.is_kept(recorded.entry.path()) {
                true => Decision::Keep,
                false => Decision::Drop,
            },
            Change::Unknown(recorded) => match self.is_kept(recorded.entry.path()) {
                true => Decision::Keep,
                false => Decision::Hold,
            },
            // What it lists may be in no other place.
            Change::Damaged if !self.modes.anew => Decision::Fail,
            Change::Damaged => Decision::Drop,
        }
    }

    fn may_be_empty(&self) -> bool {
        // The survey has seen whether it is.
        true
    }
}
