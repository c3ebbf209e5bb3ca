//! What stays in place when a tree is replaced entry by entry: the tree's own directory, mount points below it, and
//! the directories on the way to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::error::ReplaceError;
use super::steps::Attributes;
use crate::format::entry::Kind;
use crate::format::path::EntryPath;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::Entries;
use crate::store::Store;

/// Directories that stay.
#[derive(Default)]
pub(super) struct Held {
    /// Those of which the entries are exchanged, the tree's own first. What the snapshot says of each.
    pub(super) directories: BTreeMap<EntryPath, Option<Attributes>>,
    /// Mount points, which are left alone.
    pub(super) mounts: BTreeSet<EntryPath>,
}

impl Held {
    /// Looks at what the snapshot has of them. What is mounted somewhere below is left alone, as long as the
    /// snapshot has nothing in its place but a directory.
    pub(super) fn of(
        target: &Path,
        mounts: &[EntryPath],
        (store, snapshot): (&Arc<dyn Store>, &Snapshot),
    ) -> Result<Self, ReplaceError> {
        let mut held = Self {
            directories: BTreeMap::from([(EntryPath::ROOT, None)]),
            mounts: mounts.iter().cloned().collect(),
        };
        for mount in mounts {
            let is_in_a_mount = mounts.iter().any(|above| mount.is_below(above));
            if !is_in_a_mount {
                let root = EntryPath::ROOT;
                let above = mount.directories_below(&root);
                held.directories.extend(above.map(|path| (path, None)));
            }
        }
        let shown = |path: &EntryPath| target.join(path.to_string()).display().to_string();
        for entry in Entries::of(store, snapshot) {
            let entry = entry?;
            let path = entry.path();
            if let Some(mount) = mounts.iter().find(|mount| path.is_below(mount)) {
                return Err(ReplaceError::MountHasEntries(shown(mount)));
            }
            let is_directory = entry.metadata.kind == Kind::Directory;
            if let Some(wanted) = held.directories.get_mut(path) {
                if !is_directory {
                    return Err(ReplaceError::MountInTheWay(shown(path)));
                }
                *wanted = Some(Attributes::wanted(&entry));
            }
            if held.mounts.contains(path) && !is_directory {
                return Err(ReplaceError::MountInTheWay(shown(path)));
            }
            if mounts.is_empty() {
                // Its own is the first.
                break;
            }
        }
        Ok(held)
    }

    /// Whether something in one of the directories stays there.
    pub(super) fn has(&self, path: &EntryPath) -> bool {
        self.mounts.contains(path) || self.directories.contains_key(path)
    }
}
