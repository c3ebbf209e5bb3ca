//! A directory that is being filled.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, fchmod};

use super::apply::Worker;
use super::{metadata, target};
use crate::manifest::entry::Entry;
use crate::source::stat::Stat;

/// Held by everybody who has something to put into it. When the last one lets go, nothing will
/// change in it any more, and it is given its metadata; not in a restore that ends early, whose
/// successor has yet to put something into it.
pub(super) struct Directory {
    pub(super) fd: OwnedFd,
    /// What to give it; nothing for a target that was there before.
    entry: Option<Entry>,
    worker: Arc<Worker>,
}

impl Directory {
    pub(super) fn new(fd: OwnedFd, entry: Option<Entry>, worker: &Arc<Worker>) -> Arc<Self> {
        Arc::new(Self {
            fd,
            entry,
            worker: Arc::clone(worker),
        })
    }
}

impl Directory {
    /// The directory, for putting something into it. One that an earlier restore has given its mode
    /// may forbid that even to its owner, and is given it again in the end.
    pub(super) fn open_up(&self) -> &OwnedFd {
        if self.entry.is_some()
            && let Ok(stat) = Stat::of(&self.fd)
        {
            let mode = Mode::from_raw_mode(stat.metadata.mode);
            if !mode.contains(target::PRIVATE_DIRECTORY) {
                // Whoever is refused this is refused the rest too, and that is told.
                let _ = fchmod(&self.fd, mode | target::PRIVATE_DIRECTORY);
            }
        }
        &self.fd
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let Some(entry) = &self.entry else { return };
        if self.worker.options.stop.is_set() {
            return;
        }
        let given = metadata::of_open(&self.fd, entry, self.worker.options.owners);
        self.worker.given_metadata(entry, given);
    }
}
