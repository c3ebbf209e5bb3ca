//! The entries that are to be restored, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::RestoreOptions;
use crate::format::entry::{Entry, Kind};
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{Entries, EntriesError, EntryIndex};
use crate::store::Store;

/// An entry that is to be restored.
pub(super) struct WantedEntry {
    /// Where it stands in the snapshot.
    pub(super) place: EntryIndex,
    pub(super) entry: Entry,
    /// A directory of which the snapshot has nothing but itself.
    is_childless: bool,
}

impl WantedEntry {
    /// What the snapshot does not have of it: the contents of a file that was never read, or what was in a
    /// directory that was never listed.
    pub(super) fn lacking(&self) -> Option<String> {
        let unreadable = self.entry.unreadable.as_ref();
        match self.entry.metadata.kind {
            Kind::File if self.entry.content.is_none() => {
                Some("its contents were never captured".to_owned())
            }
            Kind::Directory if self.is_childless => Some(format!(
                "what was in it is unknown: the backup could not read it ({})",
                unreadable?.error
            )),
            _ => None,
        }
    }
}

/// Entries that are wanted, and the directories above them.
pub(super) struct Wanted<'a> {
    entries: Entries,
    options: &'a RestoreOptions,
    /// The next entry, read ahead.
    ahead: Option<Result<(EntryIndex, Entry), EntriesError>>,
    /// Directories above the current entry that have not been given out.
    above: Vec<WantedEntry>,
    /// Entries found wanted, to be given out first.
    ready: VecDeque<WantedEntry>,
}

impl<'a> Wanted<'a> {
    pub(super) fn of(
        store: &Arc<dyn Store>,
        snapshot: &Snapshot,
        options: &'a RestoreOptions,
    ) -> Self {
        let mut entries = Entries::of(store, snapshot);
        Self {
            ahead: entries.next_placed(),
            entries,
            options,
            above: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next entry of the snapshot, wanted or not.
    fn next_of_all(&mut self) -> Option<Result<WantedEntry, EntriesError>> {
        let (place, entry) = match self.ahead.take()? {
            Ok(placed) => placed,
            Err(error) => {
                self.ahead = self.entries.next_placed();
                return Some(Err(error));
            }
        };
        self.ahead = self.entries.next_placed();
        let is_childless = match &self.ahead {
            Some(Ok((_, next))) => !next.path.is_below(&entry.path),
            // What is lost may have been in it.
            Some(Err(_)) => false,
            None => true,
        };
        Some(Ok(WantedEntry {
            place,
            entry,
            is_childless,
        }))
    }
}

impl Iterator for Wanted<'_> {
    type Item = Result<WantedEntry, EntriesError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(Ok(ready));
            }
            let found = match self.next_of_all()? {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            };
            if self.options.portion.is_all() {
                return Some(Ok(found));
            }
            self.above
                .retain(|above| found.entry.path.is_below(&above.entry.path));
            if self.options.portion.selects(&found.entry) {
                self.ready.extend(self.above.drain(..));
                self.ready.push_back(found);
            } else if found.entry.metadata.kind == Kind::Directory {
                self.above.push(found);
            }
        }
    }
}
