//! A directory that is being filled.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use rustix::fs::{Mode, fchmod};
use rustix::io::{self, Errno};

use super::staging::Staging;
use super::worker::Worker;
use super::{metadata, target};
use crate::format::entry::Entry;
use crate::format::path::EntryPath;
use crate::source::stat::Stat;

/// Held by everybody who has something to put into it. When the last one lets go, nothing will
/// change in it any more, and it is given its metadata; not in a restore that ends early, whose
/// successor has yet to put something into it.
pub(super) struct Directory {
    pub(super) fd: OwnedFd,
    path: EntryPath,
    /// What to give it; nothing for a target that was there before.
    entry: OnceLock<Entry>,
    /// Where it stages, unless it has its own; `None` for the target itself.
    home: Option<Arc<Directory>>,
    own: Mutex<Option<Own>>,
    /// Whether something was put into it, staging aside.
    is_changed: AtomicBool,
    worker: Arc<Worker>,
}

/// A staging directory in this one.
struct Own {
    staging: Arc<Staging>,
    /// This one before that.
    before: Option<Stat>,
}

impl Directory {
    /// The target.
    pub(super) fn target(fd: OwnedFd, worker: &Arc<Worker>) -> Arc<Self> {
        Arc::new(Self::new(fd, EntryPath::ROOT, None, worker))
    }

    /// One in this one. Without an entry it keeps what metadata it has.
    pub(super) fn child(
        self: &Arc<Self>,
        fd: OwnedFd,
        path: EntryPath,
        entry: Option<Entry>,
    ) -> Arc<Self> {
        let home = match &self.home {
            Some(home) if self.own().is_none() => home,
            _ => self,
        };
        let child = Self::new(fd, path, Some(Arc::clone(home)), &self.worker);
        entry.into_iter().for_each(|entry| child.give(entry));
        Arc::new(child)
    }

    fn new(fd: OwnedFd, path: EntryPath, home: Option<Arc<Self>>, worker: &Arc<Worker>) -> Self {
        Self {
            fd,
            path,
            entry: OnceLock::new(),
            home,
            own: Mutex::default(),
            is_changed: AtomicBool::new(false),
            worker: Arc::clone(worker),
        }
    }

    /// Gives it an entry's metadata in the end.
    pub(super) fn give(&self, entry: Entry) {
        let _ = self.entry.set(entry);
    }

    fn own(&self) -> MutexGuard<'_, Option<Own>> {
        self.own.lock().expect("nothing panics holding this")
    }

    /// Puts something into it. One that an earlier restore has given its mode may forbid that even to
    /// its owner; it is given it again in the end.
    pub(super) fn change<T>(&self, change: impl Fn(&OwnedFd) -> io::Result<T>) -> io::Result<T> {
        self.is_changed.store(true, Ordering::Relaxed);
        self.opened_up(change)
    }

    fn opened_up<T>(&self, work: impl Fn(&OwnedFd) -> io::Result<T>) -> io::Result<T> {
        match work(&self.fd) {
            Err(Errno::ACCESS) if self.open_up() => work(&self.fd),
            other => other,
        }
    }

    fn open_up(&self) -> bool {
        let Ok(stat) = Stat::of(&self.fd) else {
            return false;
        };
        let mode = Mode::from_raw_mode(stat.metadata.mode);
        self.entry.get().is_some()
            && !mode.contains(target::PRIVATE_DIRECTORY)
            && fchmod(&self.fd, mode | target::PRIVATE_DIRECTORY).is_ok()
    }

    /// Where things are made that are to be moved into it.
    pub(super) fn staging(&self) -> io::Result<Arc<Staging>> {
        if let Some(own) = &*self.own() {
            return Ok(Arc::clone(&own.staging));
        }
        match self.home.as_ref().map(|home| home.staging()) {
            // Whoever may not write there may well do so here.
            None | Some(Err(Errno::ACCESS | Errno::PERM | Errno::ROFS)) => self.own_staging(),
            Some(staging) => staging,
        }
    }

    /// The same in the directory itself: for one into which nothing can be moved from elsewhere,
    /// because a file system begins there.
    pub(super) fn own_staging(&self) -> io::Result<Arc<Staging>> {
        let mut own = self.own();
        if let Some(own) = &*own {
            return Ok(Arc::clone(&own.staging));
        }
        let before = Stat::of(&self.fd).ok();
        let Worker {
            staging_name,
            record,
            ..
        } = &*self.worker;
        let staging = self.opened_up(|fd| Staging::make(fd, staging_name, record))?;
        let staging = Arc::new(staging);
        *own = Some(Own {
            staging: Arc::clone(&staging),
            before,
        });
        Ok(staging)
    }

    /// Removes the staging directory. The last thing done to a target that is given metadata before
    /// is that it gets back those bits of its mode that forbid this, and its time: a restore that is
    /// killed in between leaves a target that the next one takes for its own, by all the rest.
    fn remove_staging(&mut self, given: Option<&Entry>) {
        let own = self.own.get_mut().expect("nothing panics holding this");
        let Some(Own { staging, before }) = own.take() else {
            return;
        };
        let options = &self.worker.options;
        let is_all_done = !options.stop.is_set() && options.is_all();
        if self.home.is_none() && self.worker.record.target_is_new && !is_all_done {
            // The mark that there is more to come.
            return;
        }
        if let Some(entry) = given {
            let mut open = entry.clone();
            open.metadata.mode |= target::PRIVATE_DIRECTORY.as_raw_mode();
            // What is refused is told when all of it is given.
            let _ = metadata::of_open(&self.fd, &open, options.owners);
        }
        if let Some(staging) = Arc::into_inner(staging)
            && let Err(error) = staging.remove(&self.fd)
        {
            let name = &self.worker.staging_name;
            self.worker.failed_to_clean(&self.path, name, error);
        }
        if let (None, Some(before), false) = (given, before, *self.is_changed.get_mut()) {
            let _ = metadata::give_time(&self.fd, before.metadata.mtime_ns);
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let is_stopped = self.worker.options.stop.is_set();
        let given = self.entry.take().filter(|_| !is_stopped);
        self.remove_staging(given.as_ref());
        if let Some(entry) = given {
            let given = metadata::of_open(&self.fd, &entry, self.worker.options.owners);
            self.worker.given_metadata(&entry, given);
        }
    }
}
