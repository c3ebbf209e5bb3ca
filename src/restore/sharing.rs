//! Files of the target that have several names there.
//!
//! What such a file is given, all its names show, also those that the snapshot does not have and those
//! outside the target. So a file may only be changed if all its names are names of one file in the
//! snapshot; and names of several files of the snapshot may not stay one file.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::links::Inode;
use super::{RestoreOptions, target};
use crate::format::entry::{Entry, Kind};
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{Entries, EntriesError};
use crate::source::directory::root::Root;
use crate::source::stat::Stat;
use crate::store::{Store, StoreError};

/// Files by device and inode number, each with what names the snapshot has for it.
#[derive(Debug, Default)]
pub(super) struct Sharing(HashMap<(u64, u64), Shared>);

#[derive(Debug)]
struct Shared {
    /// The snapshot's file, if it has several names.
    inode: Option<Inode>,
    /// Names of that which are names of this, too.
    names: u32,
    /// Names of this altogether.
    nlink: u32,
}

impl Sharing {
    /// Takes note of a file that has an entry's contents. Whether it is under the name of another file of
    /// the snapshot as well.
    pub(super) fn is_taken(&mut self, stat: &Stat, entry: &Entry) -> bool {
        if stat.nlink == 1 || stat.metadata.kind != Kind::File {
            return false;
        }
        let inode = Inode::of(entry);
        match self.0.entry((stat.dev, stat.ino)) {
            Slot::Vacant(unknown) => {
                unknown.insert(Shared {
                    inode,
                    names: 1,
                    nlink: stat.nlink,
                });
                false
            }
            Slot::Occupied(mut known) if inode.is_some() && known.get().inode == inode => {
                known.get_mut().names += 1;
                false
            }
            Slot::Occupied(_) => true,
        }
    }

    /// How many names the snapshot has for a file that is there for an entry.
    pub(super) fn names(&self, stat: &Stat, entry: &Entry) -> u32 {
        let inode = Inode::of(entry);
        let known = self.0.get(&(stat.dev, stat.ino));
        let known = known.filter(|known| inode.is_some() && known.inode == inode);
        known.map_or(1, |known| known.names)
    }

    /// Looks for those of the names that were not asked for: they are the snapshot's as well.
    pub(super) fn look_for_others(
        &mut self,
        store: &Arc<dyn Store>,
        snapshot: &Snapshot,
        options: &RestoreOptions,
    ) -> Result<(), StoreError> {
        let lacking = self.0.values().filter(|file| file.names < file.nlink);
        let lacking: HashSet<Inode> = lacking.filter_map(|file| file.inode).collect();
        if lacking.is_empty() || options.is_all() {
            return Ok(());
        }
        let Ok(root) = target::open(&options.target).map(Root::from) else {
            return Ok(());
        };
        for entry in Entries::of(store, snapshot) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(EntriesError::Store(error)) => return Err(error),
                Err(EntriesError::Damaged { .. }) => continue,
            };
            let Some(inode) = Inode::of(&entry).filter(|inode| lacking.contains(inode)) else {
                continue;
            };
            if options.wants(&entry) {
                continue;
            }
            let above = root.open_above(entry.path());
            if let Ok(stat) = above.and_then(|(directory, name)| Stat::at(directory, name))
                && let Some(known) = self.0.get_mut(&(stat.dev, stat.ino))
                && known.inode == Some(inode)
            {
                known.names += 1;
            }
        }
        Ok(())
    }
}
