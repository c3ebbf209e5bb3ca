//! A directory that is being filled.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::apply::Worker;
use super::metadata;
use crate::manifest::entry::Entry;

/// Held by everybody who has something to put into it. When the last one lets go, nothing will
/// change in it any more, and it is given its metadata.
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

impl Drop for Directory {
    fn drop(&mut self) {
        let Some(entry) = &self.entry else { return };
        let given = metadata::of_open(&self.fd, entry, self.worker.options.owners);
        self.worker.given_metadata(entry, given);
    }
}
