//! The entries that are to be restored, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::RestoreOptions;
use super::keys::KeyPaths;
use crate::format::entry::{Entry, Kind, Metadata};
use crate::format::name::Name;
use crate::format::path::EntryPath;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{Entries, EntriesError, EntryIndex};
use crate::store::Store;

/// An entry that is to be restored.
pub(super) struct WantedEntry {
    /// Where it stands in the snapshot.
    pub(super) place: EntryIndex,
    pub(super) entry: Entry,
    /// The key of an object, which the entry has as a path.
    pub(super) key: Option<Name>,
    /// A directory of which the snapshot has nothing but itself.
    is_childless: bool,
}

/// Who may do what with a file that was an object: nothing says so of that.
const OBJECT_MODE: u32 = 0o644;

impl WantedEntry {
    /// An object as the file that it becomes.
    fn into_file(mut self, path: Option<EntryPath>) -> Self {
        if let Some(path) = path {
            self.key = Some(std::mem::replace(&mut self.entry.name, path.into()));
            self.entry.metadata = Metadata {
                kind: Kind::File,
                mode: OBJECT_MODE,
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
                ..self.entry.metadata
            };
        }
        self
    }

    /// The key of an object that no file can be called by.
    pub(super) fn renamed_from(&self) -> Option<&Name> {
        let key = self.key.as_ref()?;
        (key.as_bytes() != self.entry.name.as_bytes()).then_some(key)
    }

    /// What the snapshot does not have of it: the contents of a file that was never read, or what was in a
    /// directory that was never listed.
    pub(super) fn lacking(&self) -> Option<String> {
        let unreadable = self.entry.unreadable.as_ref();
        match self.entry.metadata.kind {
            Kind::File | Kind::Object if self.entry.content.is_none() => {
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
    keys: KeyPaths,
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
        let mut entries = Entries::of(store, snapshot).with_digests();
        Self {
            ahead: entries.next_placed(),
            entries,
            options,
            keys: KeyPaths::default(),
            above: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next entry of the snapshot, wanted or not, and the path of an object.
    fn next_of_all(&mut self) -> Option<Result<(WantedEntry, Option<EntryPath>), EntriesError>> {
        let (place, entry) = match self.ahead.take()? {
            Ok(placed) => placed,
            Err(error) => {
                self.ahead = self.entries.next_placed();
                return Some(Err(error));
            }
        };
        self.ahead = self.entries.next_placed();
        let is_childless = match &self.ahead {
            Some(Ok((_, next))) => !next.name.is_below(&entry.name),
            // What is lost may have been in it.
            Some(Err(_)) => false,
            None => true,
        };
        let path = entry.name.key().map(|key| self.keys.path(key));
        let found = WantedEntry {
            place,
            entry,
            key: None,
            is_childless,
        };
        Some(Ok((found, path)))
    }
}

impl Iterator for Wanted<'_> {
    type Item = Result<WantedEntry, EntriesError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(Ok(ready));
            }
            let (found, path) = match self.next_of_all()? {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            };
            if self.options.portion.is_all() {
                return Some(Ok(found.into_file(path)));
            }
            self.above
                .retain(|above| found.entry.name.is_below(&above.entry.name));
            if self.options.portion.selects(&found.entry) {
                self.ready.extend(self.above.drain(..));
                self.ready.push_back(found.into_file(path));
            } else if found.entry.metadata.kind == Kind::Directory {
                self.above.push(found);
            }
        }
    }
}
