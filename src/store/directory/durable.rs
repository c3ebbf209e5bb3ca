//! What is on the disk, and not only in memory.
//!
//! Contents are not synced one by one: a file system that tells of failures in time is synced as a whole
//! before a record is written that refers to them. Elsewhere each file is synced, and before a record the
//! directories that got names. A record is synced by itself, then its name, with the names of the directories on the
//! way to it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{fsync, syncfs};
use rustix::io::Errno;

use super::root::Root;
use super::trouble::{Result, Trouble};

/// Directories that are remembered as synced.
const REMEMBERED: usize = 1000;

pub(super) struct Durable {
    /// Whether there are contents that may be in memory only: at first, those of a process that was killed
    /// before it synced them, which are found and not written again.
    pending: AtomicBool,
    /// Held while syncing: who comes meanwhile may rest on what is being synced only once it is. Has the error once
    /// that has failed: the system tells of it once, and what was written before may be lost all the same, so
    /// nothing is committed by this process that could rest on it.
    syncing: Mutex<Option<Errno>>,
    /// Directories with names of contents that may be in memory only, where each has to be synced.
    named: Mutex<HashSet<PathBuf>>,
    /// Directories whose own names are on the disk.
    known: Mutex<HashSet<PathBuf>>,
}

impl Default for Durable {
    fn default() -> Self {
        Self {
            pending: AtomicBool::new(true),
            syncing: Mutex::default(),
            named: Mutex::default(),
            known: Mutex::default(),
        }
    }
}

impl Durable {
    /// Contents were written and have this name.
    pub(super) fn has_contents(&self, root: &Root, path: &Path) -> Result<()> {
        let mut directories = 0;
        if root.reports_late {
            let directory = path.parent().unwrap_or(Path::new(""));
            let mut named = self.named.lock().expect("nothing panics holding this");
            named.insert(directory.to_owned());
            directories = named.len();
        }
        self.pending.store(true, Ordering::Release);
        match directories > REMEMBERED {
            true => self.sync_contents(root),
            false => Ok(()),
        }
    }

    /// Sees to it that all contents are on the disk that have their names.
    pub(super) fn sync_contents(&self, root: &Root) -> Result<()> {
        let mut failed = self.syncing.lock().expect("nothing panics holding this");
        if let Some(error) = *failed {
            return Err(error.into());
        }
        if !self.pending.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let synced = self.sync_names(root).and_then(|()| Ok(syncfs(root)?));
        if let Err(Trouble::System(error)) = &synced {
            *failed = Some(*error);
        }
        synced
    }

    /// Sees to it that the names of contents are on the disk, and those of their directories.
    fn sync_names(&self, root: &Root) -> Result<()> {
        let mut named = self.named.lock().expect("nothing panics holding this");
        for directory in named.drain() {
            self.sync_directory(root, &directory)?;
        }
        Ok(())
    }

    /// Sees to it that the name of a file is on the disk.
    pub(super) fn sync_name(&self, root: &Root, path: &Path) -> Result<()> {
        self.sync_directory(root, path.parent().unwrap_or(Path::new("")))
    }

    /// Sees to it that the names in a directory are on the disk, and its own.
    fn sync_directory(&self, root: &Root, directory: &Path) -> Result<()> {
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
