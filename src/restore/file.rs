//! Putting files and links in place.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, RenameFlags, linkat, renameat, renameat_with, symlinkat};
use rustix::io::{self, Errno};
use sha2::{Digest, Sha256};

use super::apply::Worker;
use super::contents;
use super::directory::Directory;
use super::plan::Action;
use super::{metadata, target};
use crate::contents::ContentsError;
use crate::manifest::entry::Entry;

/// A file or link and where it goes.
pub(super) struct Placed {
    pub(super) directory: Arc<Directory>,
    pub(super) entry: Entry,
    pub(super) action: Action,
    /// Set once the file under this name is known to have the contents of the entry.
    is_there: AtomicBool,
}

impl Placed {
    pub(super) fn new(directory: Arc<Directory>, entry: Entry, action: Action) -> Self {
        Self {
            directory,
            entry,
            action,
            is_there: AtomicBool::new(false),
        }
    }

    /// Whether this restore has made the file, or found it to be the same.
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    fn arrived(&self) {
        self.is_there.store(true, Ordering::Release);
    }

    pub(super) fn name(&self) -> &[u8] {
        self.entry.path.name().unwrap_or_default()
    }

    fn fd(&self) -> &OwnedFd {
        &self.directory.fd
    }

    /// The same, for putting something into it.
    fn fd_to_fill(&self) -> &OwnedFd {
        self.directory.open_up()
    }

    /// The name under which it is made. The same each time, so that what an interrupted restore
    /// has left is found and removed.
    fn partial_name(&self) -> String {
        let digest = Sha256::digest(self.name());
        format!(".offsite-partial-{}", hex::encode(&digest[..8]))
    }

    /// Moves what was made into place.
    fn place(&self, partial: &str) -> io::Result<()> {
        let name = OsStr::from_bytes(self.name());
        if self.action == Action::Create {
            // Whatever has come there since the plan was made is not overwritten.
            match renameat_with(self.fd(), partial, self.fd(), name, RenameFlags::NOREPLACE) {
                // The file system has no such call.
                Err(Errno::INVAL | Errno::NOSYS) => {}
                other => return other,
            }
        }
        renameat(self.fd(), partial, self.fd(), name)
    }
}

/// Restores a regular file.
pub(super) fn restore(worker: &Worker, placed: &Placed) -> Result<(), ContentsError> {
    let entry = &placed.entry;
    let Some(content) = &entry.content else {
        worker.failed(&entry.path, "its contents were never captured");
        return Ok(());
    };
    if placed.action == Action::Keep {
        let file = target::open_file(placed.fd(), placed.name())?;
        give_metadata(worker, &file, entry);
        placed.arrived();
        worker.kept();
        return Ok(());
    }
    let partial = placed.partial_name();
    let file = target::make_file(placed.fd_to_fill(), partial.as_bytes())?;
    let made = contents::write(worker, &file, entry, content);
    if made.is_ok() {
        give_metadata(worker, &file, entry);
    }
    let result = made.and_then(|()| Ok(placed.place(&partial)?));
    match &result {
        Ok(()) => {
            placed.arrived();
            worker.restored(entry.metadata.size);
        }
        // Nothing half-made stays; if even that fails, the name says what it is.
        Err(_) => drop(target::remove(placed.fd(), partial.as_bytes())),
    }
    result
}

fn give_metadata(worker: &Worker, file: &OwnedFd, entry: &Entry) {
    let given = metadata::of_open(file, entry, worker.options.owners);
    worker.given_metadata(entry, given);
}

/// Restores a symbolic link.
pub(super) fn restore_symlink(worker: &Worker, placed: &Placed) -> io::Result<()> {
    let entry = &placed.entry;
    if placed.action != Action::Keep {
        let partial = placed.partial_name();
        target::remove(placed.fd_to_fill(), partial.as_bytes())?;
        let points_to = OsStr::from_bytes(entry.target.as_deref().unwrap_or_default());
        symlinkat(points_to, placed.fd(), &*partial)?;
        if let Err(error) = placed.place(&partial) {
            target::remove(placed.fd(), partial.as_bytes())?;
            return Err(error);
        }
    }
    let owners = worker.options.owners;
    let given = metadata::of_link(placed.fd(), placed.name(), entry, owners);
    worker.given_metadata(entry, given);
    match placed.action {
        Action::Keep => worker.kept(),
        _ => worker.restored(0),
    }
    Ok(())
}

/// Makes `placed` another name of `first`, which has the same contents and is there; a file of its
/// own, where the file system cannot.
pub(super) fn restore_link(
    worker: &Worker,
    first: &Placed,
    placed: &Placed,
) -> Result<(), ContentsError> {
    let there = target::look(first.fd(), first.name())?;
    let here = target::look(placed.fd(), placed.name())?;
    if let (Some(there), Some(here)) = (there, here)
        && (there.dev, there.ino) == (here.dev, here.ino)
    {
        worker.kept();
        return Ok(());
    }
    let partial = placed.partial_name();
    target::remove(placed.fd_to_fill(), partial.as_bytes())?;
    let from = OsStr::from_bytes(first.name());
    match linkat(first.fd(), from, placed.fd(), &*partial, AtFlags::empty()) {
        Ok(()) => {}
        Err(Errno::NOENT | Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP) => {
            return restore(worker, placed);
        }
        Err(error) => return Err(error.into()),
    }
    // Identical contents are replaced by the link, whatever the plan says of contents.
    let name = OsStr::from_bytes(placed.name());
    let result = match placed.action {
        Action::Keep => renameat(placed.fd(), &*partial, placed.fd(), name),
        _ => placed.place(&partial),
    };
    if let Err(error) = result {
        target::remove(placed.fd(), partial.as_bytes())?;
        return Err(error.into());
    }
    worker.restored(0);
    Ok(())
}
