//! Files with several names: restored under one of them, and linked under the others.
//!
//! What is kept of a name is its path and not the open directory it is in: there may be more of them
//! than descriptors. It is kept until the end, for no manifest says how many names are to come.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::format::entry::{Digest, Entry, LinkGroup};
use crate::format::path::EntryPath;

/// Names that are restored as one file: those of one inode, as far as they have the same contents.
/// The numbers alone do not tell. An entry that was carried forward as unreadable has older
/// contents than its fellows, or the number of an inode that has since become another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Inode {
    group: LinkGroup,
    digest: Digest,
    size: u64,
}

impl Inode {
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        Some(Self {
            group: entry.hardlink?,
            digest: entry.content.as_ref()?.digest,
            size: entry.metadata.size,
        })
    }
}

/// What there is of a file.
enum LinkState {
    /// One of its names is being restored.
    Coming,
    /// It has been made under this name, or found there.
    There(EntryPath),
    /// Nothing: the names so far have failed.
    Nothing,
}

/// What is known of files with several names.
#[derive(Default)]
pub(super) struct Links {
    known: Mutex<HashMap<Inode, LinkState>>,
    changed: Condvar,
}

/// Which of its file's names one is.
pub(super) enum NameToMake {
    /// The only one.
    Only,
    /// The first to be restored.
    First(Turn),
    /// One that comes after it.
    Further(Inode),
}

/// What becomes of a further name.
pub(super) enum Further {
    /// A link to this one.
    Link(EntryPath),
    /// There is nothing to link to: what the first would have been.
    First(Turn),
}

/// To restore a file under one of its names while the others wait. They go on when this is dropped.
pub(super) struct Turn {
    links: Arc<Links>,
    inode: Inode,
}

impl Links {
    /// Says which name `entry` is. To be asked in order.
    pub(super) fn name(self: &Arc<Self>, entry: &Entry) -> NameToMake {
        let Some(inode) = Inode::of(entry) else {
            return NameToMake::Only;
        };
        match self.known().entry(inode) {
            hash_map::Entry::Occupied(_) => NameToMake::Further(inode),
            hash_map::Entry::Vacant(unknown) => {
                unknown.insert(LinkState::Coming);
                NameToMake::First(self.turn(inode))
            }
        }
    }

    /// Waits for what has been begun, and says what becomes of a further name. Whoever has a turn waits
    /// for nobody.
    pub(super) fn further(self: &Arc<Self>, inode: Inode) -> Further {
        let mut known = self.known();
        loop {
            match known.get(&inode) {
                Some(LinkState::There(path)) => return Further::Link(path.clone()),
                Some(LinkState::Coming) => {
                    let waited = self.changed.wait(known);
                    known = waited.expect("nothing panics holding this");
                }
                Some(LinkState::Nothing) | None => {
                    known.insert(inode, LinkState::Coming);
                    return Further::First(self.turn(inode));
                }
            }
        }
    }

    /// For a name that cannot be linked to the one that is there.
    pub(super) fn turn(self: &Arc<Self>, inode: Inode) -> Turn {
        Turn {
            links: Arc::clone(self),
            inode,
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Inode, LinkState>> {
        self.known.lock().expect("nothing panics holding this")
    }
}

impl Turn {
    /// The file is there under this name, and names that follow are linked to it.
    pub(super) fn made(self, path: &EntryPath) {
        let there = LinkState::There(path.clone());
        self.links.known().insert(self.inode, there);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut known = self.links.known();
        if let Some(known @ LinkState::Coming) = known.get_mut(&self.inode) {
            *known = LinkState::Nothing;
        }
        drop(known);
        self.links.changed.notify_all();
    }
}
