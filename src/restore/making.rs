//! Making a file whole before it has its name.
//!
//! Where the file system can, a file has no name at all until it is finished, and then gets its own.
//! Otherwise, and to replace something, it goes through a staging directory.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, CWD, RenameFlags, linkat, renameat, renameat_with};
use rustix::io::{self, Errno};

use super::file::Placed;
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
    if worker.can_be_unnamed.load(Ordering::Relaxed) && unnamed(worker, placed, &fill)? {
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
    let file = match (placed.directory).change(|fd| target::make_unnamed_file(fd, mode)) {
        Ok(file) => file,
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    fill(&file)?;
    let named = match placed.is_free() {
        true => (placed.directory).change(|fd| name(worker, &file, fd, placed.name())),
        false => replace(placed, |staging, temporary| {
            name(worker, &file, staging, OsStr::new(temporary))
        }),
    };
    match named {
        Ok(()) => Ok(true),
        Err(error) if is_refusal(error) => {
            if error == Errno::NOENT {
                // Neither way of naming it exists here.
                worker.can_be_unnamed.store(false, Ordering::Relaxed);
            }
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Gives an open file a name that nothing has.
fn name(worker: &Worker, file: &OwnedFd, directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let is_descriptor_enough = &worker.can_be_named_by_descriptor;
    if is_descriptor_enough.load(Ordering::Relaxed) {
        match linkat(file, c"", directory, name, AtFlags::EMPTY_PATH) {
            // Before Linux 6.10 this takes CAP_DAC_READ_SEARCH.
            Err(error) if is_refusal(error) => {}
            other => return other,
        }
    }
    let path = target::path_of(file.as_fd());
    linkat(CWD, path, directory, name, AtFlags::SYMLINK_FOLLOW)?;
    is_descriptor_enough.store(false, Ordering::Relaxed);
    Ok(())
}

/// The system does not let this file be linked, be it for its owner's sake (`protected_hardlinks`) or
/// because it lacks the call or `/proc`. That says nothing about other ways.
fn is_refusal(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL
    )
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
