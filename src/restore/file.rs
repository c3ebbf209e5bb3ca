//! Putting files and links in place.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, RenameFlags, linkat, renameat, renameat_with, symlinkat};
use rustix::io::{self, Errno};
use sha2::{Digest, Sha256};

use super::apply::Worker;
use super::contents;
use super::directory::Directory;
use super::links::{Further, Name};
use super::plan::Action;
use super::{metadata, target};
use crate::contents::ContentsError;
use crate::manifest::entry::Entry;
use crate::manifest::path::EntryPath;

/// A file or link and where it goes.
pub(super) struct Placed {
    pub(super) directory: Arc<Directory>,
    pub(super) entry: Entry,
    pub(super) action: Action,
}

impl Placed {
    fn name(&self) -> &[u8] {
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

/// Restores a regular file: under one of its names with its contents, under the others as a link.
pub(super) fn restore(worker: &Worker, placed: &Placed, name: Name) -> Result<(), ContentsError> {
    let turn = match name {
        Name::Only => return restore_contents(worker, placed),
        Name::First(turn) => turn,
        Name::Further(inode) => match worker.links.further(inode) {
            Further::First(turn) => turn,
            Further::Link(first) => match restore_link(worker, &first, placed) {
                // That one is gone or out of reach, or takes no more links; or nothing here does.
                Err(
                    Errno::NOENT
                    | Errno::NOTDIR
                    | Errno::LOOP
                    | Errno::ACCESS
                    | Errno::MLINK
                    | Errno::XDEV
                    | Errno::PERM
                    | Errno::OPNOTSUPP,
                ) => worker.links.turn(inode),
                linked => return Ok(linked?),
            },
        },
    };
    restore_contents(worker, placed)?;
    turn.made(&placed.entry.path);
    Ok(())
}

fn restore_contents(worker: &Worker, placed: &Placed) -> Result<(), ContentsError> {
    let entry = &placed.entry;
    let Some(content) = &entry.content else {
        worker.failed(&entry.path, "its contents were never captured");
        return Ok(());
    };
    if placed.action == Action::Keep {
        let file = target::open_file(placed.fd(), placed.name())?;
        give_metadata(worker, &file, entry);
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
        Ok(()) => worker.restored(entry.metadata.size),
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

/// Makes `placed` another name of `first`, which has the same contents and is there.
fn restore_link(worker: &Worker, first: &EntryPath, placed: &Placed) -> io::Result<()> {
    let (directory, first) = worker.root.open_above(first)?;
    let there = target::look(&directory, first)?;
    let here = target::look(placed.fd(), placed.name())?;
    if let (Some(there), Some(here)) = (there, here)
        && (there.dev, there.ino) == (here.dev, here.ino)
    {
        worker.kept();
        return Ok(());
    }
    let partial = placed.partial_name();
    target::remove(placed.fd_to_fill(), partial.as_bytes())?;
    let (from, flags) = (OsStr::from_bytes(first), AtFlags::empty());
    linkat(&directory, from, placed.fd(), &*partial, flags)?;
    // Identical contents are replaced by the link, whatever the plan says of contents.
    let name = OsStr::from_bytes(placed.name());
    let result = match placed.action {
        Action::Keep => renameat(placed.fd(), &*partial, placed.fd(), name),
        _ => placed.place(&partial),
    };
    if let Err(error) = result {
        target::remove(placed.fd(), partial.as_bytes())?;
        return Err(error);
    }
    worker.restored(0);
    Ok(())
}
