//! What the manifest keeps of what a pass could not look at, or has not looked at.

use super::Decider;
use crate::format::entry::{Entry, Kind, Metadata, Unreadable};
use crate::format::name::Name;
use crate::format::totals::Totals;
use crate::pass::diff::{MergeError, Pair, Recorded, UnknownAt, is_racy};
use crate::pass::steps::{Sink, Step};

impl<S: Sink> Decider<S> {
    /// Records a directory that cannot be listed. It is marked, because something may be in it that no
    /// entry shows.
    pub(super) fn record_unlisted(&mut self, pair: Pair, error: String) -> Result<(), MergeError> {
        let found = pair.found;
        let base = pair.base.map(|compared| compared.recorded.entry);
        let metadata = found.stat.metadata;
        let known = base.as_ref().and_then(|entry| entry.unreadable.as_ref());
        if let (Some(entry), Some(_)) = (&base, known)
            && entry.metadata == metadata
        {
            self.merged.unchanged += 1;
            self.kept += Totals::of(entry);
            return Ok(());
        }
        let since = known.map_or(self.context.pass, |known| known.since);
        match base {
            Some(_) => {
                self.step(Step::Dropped)?;
                self.merged.changed += 1;
            }
            None => self.merged.new += 1,
        }
        let entry = base.unwrap_or_else(|| Entry::new(found.name.clone(), metadata));
        self.step(Step::Ready(Box::new(Entry {
            metadata,
            inode: found.stat.directory_inode(),
            unreadable: Some(Unreadable { error, since }),
            ..entry
        })))
    }

    /// Records that something exists of which nobody knows more than its name, as a file that was never read.
    /// So no later snapshot looks complete without it, nor a restore, also where later passes do not come by
    /// again.
    pub(super) fn record_unseen(&mut self, path: &Name, error: &str) -> Result<(), MergeError> {
        self.merged.new += 1;
        let mut entry = Entry::new(path.clone(), Metadata::NOTHING);
        entry.unreadable = Some(Unreadable {
            error: error.to_owned(),
            since: self.context.pass,
        });
        self.step(Step::Ready(Box::new(entry)))
    }

    /// Keeps an entry that this pass has not looked at. Its segment may be written anew, as if this
    /// pass had; so what could have changed unseen since the pass that did is marked.
    pub(super) fn keep_unseen(&mut self, recorded: Recorded) -> Result<(), MergeError> {
        let mut entry = recorded.entry;
        let changed_ns = entry.metadata.mtime_ns.max(entry.metadata.ctime_ns);
        let is_directory = entry.metadata.kind == Kind::Directory;
        if is_directory || entry.racy || !is_racy(changed_ns, recorded.scan_started_ns) {
            self.kept += Totals::of(&entry);
            return Ok(());
        }
        entry.racy = true;
        self.step(Step::Dropped)?;
        self.step(Step::Ready(Box::new(entry)))
    }

    /// Carries an entry forward that could not be looked at, and says so in it.
    pub(super) fn hold(&mut self, mut entry: Entry, unknown: &UnknownAt) -> Result<(), MergeError> {
        // What could not be looked at is counted already, and not what is below it.
        self.merged.failed += u64::from(entry.name != unknown.at);
        if entry.unreadable.is_some() {
            self.kept += Totals::of(&entry);
            return Ok(());
        }
        entry.unreadable = Some(Unreadable {
            error: unknown.error.clone(),
            since: self.context.pass,
        });
        self.step(Step::Dropped)?;
        self.step(Step::Ready(Box::new(entry)))
    }
}
