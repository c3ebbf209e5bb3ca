//! An entry, and the place in the target where it goes.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io;

use super::action::Action;
use super::compare::compare;
use super::directory::Directory;
use super::worker::Unrestored;
use super::{names, target};
use crate::format::entry::Entry;
use crate::source::stat::Stat;

/// A file or link and where it goes.
pub(super) struct Placed {
    pub(super) directory: Arc<Directory>,
    pub(super) entry: Entry,
    pub(super) action: Action,
    /// Its contents, where they were fetched and checked together with others.
    pub(super) fetched: Option<Bytes>,
}

impl Placed {
    pub(super) fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.entry.path().name().unwrap_or_default())
    }

    /// Whether nothing was in its place when the target was looked at.
    pub(super) fn is_free(&self) -> bool {
        self.action == Action::Create
    }

    pub(super) fn look(&self) -> io::Result<Stat> {
        Stat::at(&self.directory.fd, self.name().as_bytes())
    }

    pub(super) fn open(&self) -> io::Result<OwnedFd> {
        target::open_file(&self.directory.fd, self.name().as_bytes())
    }

    /// For a place that was free and is taken: whether by just what belongs there. Another restore, or
    /// a directory that could not be looked into.
    pub(super) fn has_come(&self) -> Result<(), Unrestored> {
        let (directory, name) = (&self.directory.fd, self.name().as_bytes());
        if !names::holds(directory, name)? {
            return Err(Unrestored::Alias);
        }
        match compare(directory, name, &self.entry)? {
            (Action::Keep, _) => Ok(()),
            _ => Err(Unrestored::Appeared),
        }
    }
}
