//! What is on the disk, and not only in memory.
//!
//! Where a file system tells of failures when all of it is synced, contents are not synced one by one, but together,
//! before a record is written that refers to them. Elsewhere each file is synced before it gets its name, and before a
//! record each directory that got names. A record is synced by itself, then its name, with the names of the directories
//! on the way to it.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, fadvise, fsync, syncfs};
use rustix::io::Errno;

use super::root::Root;
use super::trouble::{Result, Trouble};

/// Directories that are remembered as synced.
const REMEMBERED: usize = 1000;

/// Directories with new names that are synced together. Each may take a file server some milliseconds, and whoever
/// renews the lease waits for them all.
const NAMED: usize = 100;

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

/// Why something was not synced.
enum Unsynced {
    /// It was not come to: nothing is lost, and it may be tried again.
    NotTried(Errno),
    /// Something may be lost, and the system does not tell of it again.
    Failed(Errno),
}

impl From<Unsynced> for Trouble {
    fn from(unsynced: Unsynced) -> Self {
        match unsynced {
            Unsynced::NotTried(error) | Unsynced::Failed(error) => error.into(),
        }
    }
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
        match directories > NAMED {
            true => self.sync_contents(root),
            false => Ok(()),
        }
    }

    /// Contents were found under this name and not written here, and records will refer to them. What is read of
    /// them from now on is what the disk has, as far as the system takes advice ([`drop_from_memory`]).
    pub(super) fn takes_contents(&self, root: &Root, path: &Path, file: &OwnedFd) -> Result<()> {
        if root.reports_late
            && let Err(error) = fsync(file)
        {
            let mut failed = self.syncing.lock().expect("nothing panics holding this");
            *failed = Some(error);
            return Err(error.into());
        }
        drop_from_memory(file);
        self.has_contents(root, path)
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
        let named = std::mem::take(&mut *self.named.lock().expect("nothing panics holding this"));
        let synced = self.sync_directories(root, named.iter().map(PathBuf::as_path));
        let synced = synced.and_then(|()| syncfs(root).map_err(Unsynced::Failed));
        match synced {
            Ok(()) => {}
            Err(Unsynced::Failed(error)) => *failed = Some(error),
            Err(Unsynced::NotTried(_)) => {
                let mut again = self.named.lock().expect("nothing panics holding this");
                again.extend(named);
                self.pending.store(true, Ordering::Release);
            }
        }
        Ok(synced?)
    }

    /// Sees to it that the name of a file is on the disk.
    pub(super) fn sync_name(&self, root: &Root, path: &Path) -> Result<()> {
        let directory = path.parent().unwrap_or(Path::new(""));
        Ok(self.sync_directories(root, std::iter::once(directory))?)
    }

    /// Sees to it that the names in directories are on the disk, and their own.
    fn sync_directories<'a>(
        &self,
        root: &Root,
        directories: impl Iterator<Item = &'a Path>,
    ) -> std::result::Result<(), Unsynced> {
        let is_known = |directory: &Path| {
            let known = self.known.lock().expect("nothing panics holding this");
            known.contains(directory)
        };
        let mut synced = HashSet::new();
        for directory in directories {
            for above in directory.ancestors() {
                if synced.contains(above) {
                    break;
                }
                let entered = root.enter(above).map_err(Unsynced::NotTried)?;
                fsync(entered).map_err(Unsynced::Failed)?;
                synced.insert(above);
                if is_known(above) {
                    break;
                }
            }
        }
        let mut known = self.known.lock().expect("nothing panics holding this");
        if known.len() > REMEMBERED {
            known.clear();
        }
        known.extend(synced.into_iter().map(Path::to_owned));
        Ok(())
    }
}

/// Advises the system to drop what it has in memory of a file, so that it is read from the disk: what could not be
/// written may stay in memory, and looks right there. It is advice: what is not written yet stays, and syncing tells
/// whether it can be; so does what others have mapped.
pub(super) fn drop_from_memory(file: &OwnedFd) {
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where everything is synced one by one.
    fn root(path: &Path) -> Root {
        let mut root = Root::open(path).unwrap();
        root.reports_late = true;
        root
    }

    /// As while a file server is away.
    #[test]
    fn a_directory_that_cannot_be_entered_is_synced_later() {
        let home = tempfile::tempdir().unwrap();
        let (root, durable) = (root(home.path()), Durable::default());
        durable.has_contents(&root, Path::new("sub/a")).unwrap();
        for _ in 0..2 {
            let synced = durable.sync_contents(&root);
            assert_eq!(synced, Err(Errno::NOENT.into()));
        }
        std::fs::create_dir(home.path().join("sub")).unwrap();
        assert_eq!(durable.sync_contents(&root), Ok(()));
        let known = durable.known.lock().unwrap();
        assert!(known.contains(Path::new("sub")), "{known:?}");
    }

    #[test]
    fn syncing_that_has_failed_is_final() {
        let home = tempfile::tempdir().unwrap();
        // Where nothing can be synced.
        let (broken, whole) = (root(Path::new("/proc/self")), root(home.path()));
        let durable = Durable::default();
        durable.has_contents(&broken, Path::new("fd/a")).unwrap();
        for root in [&broken, &whole, &whole] {
            assert_eq!(durable.sync_contents(root), Err(Errno::INVAL.into()));
        }
    }
}
