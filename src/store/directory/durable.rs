//! What is on the disk, and not only in memory.
//!
//! Contents are not synced one by one: a file system that tells of failures in time is synced as a whole
//! before a record is written that refers to them. A record is synced by itself, then its name, with
//! the names of the directories on the way to it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{fsync, syncfs};

use super::root::Root;
use super::trouble::Result;

/// Directories that are remembered as synced.
const REMEMBERED: usize = 1000;

#[derive(Default)]
pub(super) struct Durable {
    /// Whether contents were written that may be in memory only.
    pending: AtomicBool,
    /// Held while syncing: who comes meanwhile may rest on what is being synced only once it is.
    syncing: Mutex<()>,
    /// Directories whose own names are on the disk.
    known: Mutex<HashSet<PathBuf>>,
}

impl Durable {
    /// Contents were written and have their name.
    pub(super) fn has_contents(&self) {
        self.pending.store(true, Ordering::Release);
    }

    /// Sees to it that all contents are on the disk that have their names.
    pub(super) fn sync_contents(&self, root: &Root) -> Result<()> {
        let _alone = self.syncing.lock().expect("nothing panics holding this");
        if self.pending.swap(false, Ordering::AcqRel)
            && let Err(error) = syncfs(root)
        {
            self.pending.store(true, Ordering::Release);
            return Err(error.into());
        }
        Ok(())
    }

    /// Sees to it that the name of a file is on the disk.
    pub(super) fn sync_name(&self, root: &Root, path: &Path) -> Result<()> {
        let directory = path.parent().unwrap_or(Path::new(""));
        let mut synced = Vec::new();
        for above in directory.ancestors() {
            fsync(root.enter(above)?)?;
            let known = self.known.lock().expect("nothing panics holding this");
            if known.contains(above) {
                break;
            }
            synced.push(above.to_owned());
        }
        let mut known = self.known.lock().expect("nothing panics holding this");
        if known.len() > REMEMBERED {
            known.clear();
        }
        known.extend(synced);
        Ok(())
    }
}
