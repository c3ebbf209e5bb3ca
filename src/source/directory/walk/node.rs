//! What a walk is told, and what it keeps of where it is.

use std::sync::Arc;

use rustix::io::Errno;

use crate::format::path::EntryPath;
use crate::source::Item;
use crate::source::filter::Filter;

/// What to walk, and how.
#[derive(Debug, Clone)]
pub(crate) struct WalkOptions {
    /// What is left out.
    pub(crate) filter: Filter,
    /// Whether to stay on the root's file system. A directory on which another one is mounted is
    /// an item then, and what lies in it is not.
    pub(crate) one_file_system: bool,
    /// Threads that work ahead.
    pub(crate) threads: usize,
}

/// Something to give out, and the directory to enter after it.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) item: Item,
    pub(super) child: Option<Arc<Node>>,
}

/// A directory on the way down.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) path: EntryPath,
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) parent: Option<Arc<Node>>,
}

impl Node {
    pub(super) fn is_or_lies_below(&self, dev: u64, ino: u64) -> bool {
        let mut node = Some(self);
        while let Some(this) = node {
            if (this.dev, this.ino) == (dev, ino) {
                return true;
            }
            node = this.parent.as_deref();
        }
        false
    }
}

/// What cannot be looked at.
pub(super) fn unreadable(path: EntryPath, error: Errno) -> Item {
    Item::Unreadable(path.into(), std::io::Error::from(error).to_string())
}
