//! Making a file whole before it has its name.
//!
//! Where the file system can, a file has no name at all until it is finished, and then gets its own.
//! Otherwise, and to replace something, it goes through a staging directory.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, RenameFlags, linkat, renameat, renameat_with};
use rustix::io::{self, Errno};

use super::placed::Placed;
use super::staging::Staging;
use super::target;
use super::worker::{Unrestored, Worker};

/// Makes a file where `placed` says. `fill` gives it contents and metadata, and may be called again for
/// another one.
pub(super) fn file(
    worker: &Worker,
    placed: &Placed,
    fill: impl Fn(&OwnedFd) -> Result<(), Unrestored>,
) -> Result<(), Unrestored> {
    if unnamed(worker, placed, &fill)? {
        return Ok(());
    }
    match staged(placed, &*placed.directory.staging()?, &fill) {
        Err(Unrestored::Target(Errno::XDEV)) => {
            staged(placed, &*placed.directory.own_staging()?, &fill)
        }
        made => made,
    }
}

/// Whether the file system has that.
fn unnamed(
    worker: &Worker,
    placed: &Placed,
    fill: impl Fn(&OwnedFd) -> Result<(), Unrestored>,
) -> Result<bool, Unrestored> {
    // Attributes can be given only to what its owner may write.
    let mode = match placed.entry.xattrs.is_empty() {
        true => placed.entry.metadata.mode,
        false => 0o600,
    };
    let unnamed = &worker.unnamed;
    let Some(file) = (placed.directory).change(|fd| unnamed.make(fd, mode))? else {
        return Ok(false);
    };
    fill(&file)?;
    if placed.is_free() {
        let name = placed.name().as_bytes();
        return Ok((placed.directory).change(|fd| unnamed.name(&file, fd, name))?);
    }
    let is_refused = Cell::new(false);
    let replaced = replace(placed, |staging, temporary| {
        match unnamed.name(&file, staging, temporary.as_bytes())? {
            true => Ok(()),
            false => {
                is_refused.set(true);
                Err(Errno::OPNOTSUPP)
            }
        }
    });
    match replaced {
        Err(_) if is_refused.get() => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

/// A file with a name in a staging directory, moved into place.
fn staged(
    placed: &Placed,
    staging: &Staging,
    fill: impl Fn(&OwnedFd) -> Result<(), Unrestored>,
) -> Result<(), Unrestored> {
    let temporary = staging.next();
    let file = target::make_file(staging.fd(), temporary.as_bytes())?;
    let filled = fill(&file);
    // NFS keeps a file that is removed while it is open.
    drop(file);
    let moved = filled.and_then(|()| {
        let moved = placed.directory.change(|fd| match placed.is_free() {
            true => move_to_free(staging.fd(), &temporary, fd, placed.name()),
            false => renameat(staging.fd(), &*temporary, fd, placed.name()),
        });
        Ok(moved?)
    });
    if moved.is_err() {
        // If even that fails, it goes with the directory.
        let _ = target::remove(staging.fd(), temporary.as_bytes());
    }
    moved
}

/// Moves a file to a name that nothing has; whatever has come there meanwhile stays.
fn move_to_free(from: &OwnedFd, temporary: &str, to: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match renameat_with(from, temporary, to, name, RenameFlags::NOREPLACE) {
        // NFS does not have this.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        other => return other,
    }
    match linkat(from, temporary, to, name, AtFlags::empty()) {
        Ok(()) => {
            // If this fails, it goes with the directory.
            let _ = target::remove(from, temporary.as_bytes());
            return Ok(());
        }
        // And some have no links.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
        Err(error) => return Err(error),
    }
    match target::look(to, name.as_encoded_bytes())? {
        Some(_) => Err(Errno::EXIST),
        None => renameat(from, temporary, to, name),
    }
}

/// Makes something in a staging directory and moves it over what is in its place.
pub(super) fn replace(
    placed: &Placed,
    make: impl Fn(&OwnedFd, &str) -> io::Result<()>,
) -> io::Result<()> {
    let by_way_of = |staging: &Staging| {
        let temporary = staging.next();
        make(staging.fd(), &temporary)?;
        let moved =
            (placed.directory).change(|fd| renameat(staging.fd(), &*temporary, fd, placed.name()));
        if moved.is_err() {
            let _ = target::remove(staging.fd(), temporary.as_bytes());
        }
        moved
    };
    match by_way_of(&*placed.directory.staging()?) {
        Err(Errno::XDEV) => by_way_of(&*placed.directory.own_staging()?),
        other => other,
    }
}
