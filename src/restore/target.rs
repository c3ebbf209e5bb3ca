//! The directory that is restored into, held by open directories rather than by paths.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    Access, AtFlags, CWD, Mode, OFlags, accessat, mkdirat, openat, readlinkat, unlinkat,
};
use rustix::io::{self, Errno};

use crate::source::stat::Stat;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Nobody but the owner sees what is not finished.
pub(super) const PRIVATE_DIRECTORY: Mode = Mode::RWXU;

/// Lies in a target that was empty until everything is in it, which tells the next restore that the
/// target's own metadata is still to be given.
const UNFINISHED: &[u8] = b".offsite-restoring";

/// Opens the target itself. Links on the way to it, and the target being one, are the caller's
/// business.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    openat(
        CWD,
        path,
        DIRECTORY.difference(OFlags::NOFOLLOW),
        Mode::empty(),
    )
}

/// Makes the target if it is not there, with the directories above it. Whether it was made.
pub(super) fn create(path: &Path) -> std::io::Result<(OwnedFd, bool)> {
    match open(path) {
        Ok(fd) => return Ok((fd, false)),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    std::fs::create_dir_all(path)?;
    Ok((open(path)?, true))
}

/// Whether this process may put something into a directory.
pub(super) fn check_writable(directory: impl AsFd) -> io::Result<()> {
    let access = Access::WRITE_OK | Access::EXEC_OK;
    accessat(directory, ".", access, AtFlags::EACCESS)
}

/// Marks the target as unfinished.
pub(super) fn begin(target: impl AsFd) -> io::Result<()> {
    make_file(target, UNFINISHED).map(drop)
}

/// Whether a restore has begun with the target and not finished.
pub(super) fn is_unfinished(target: impl AsFd) -> bool {
    look(target, UNFINISHED).is_ok_and(|found| found.is_some())
}

/// Takes the mark away.
pub(super) fn finish(target: impl AsFd) -> io::Result<()> {
    remove(target, UNFINISHED)
}

/// What is under a name, if anything is.
pub(super) fn look(directory: impl AsFd, name: &[u8]) -> io::Result<Option<Stat>> {
    match Stat::at(directory, name) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a directory under a name, which must not be a link.
pub(super) fn enter(directory: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    openat(directory, OsStr::from_bytes(name), DIRECTORY, Mode::empty())
}

/// Makes a directory and opens it.
pub(super) fn make(directory: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let at = directory.as_fd();
    mkdirat(at, OsStr::from_bytes(name), PRIVATE_DIRECTORY)?;
    enter(at, name)
}

/// Opens a file that is there for reading, which must not be a link.
pub(super) fn open_file(directory: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(directory, OsStr::from_bytes(name), flags, Mode::empty())
}

/// Makes a new file for writing, over what an interrupted restore may have left of it.
pub(super) fn make_file(directory: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let at = directory.as_fd();
    remove(at, name)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, OsStr::from_bytes(name), flags, Mode::RUSR | Mode::WUSR)
}

/// What a link points to.
pub(super) fn read_link(directory: impl AsFd, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(readlinkat(directory, OsStr::from_bytes(name), Vec::new())?.into_bytes())
}

/// Removes a file or link, if there is one.
pub(super) fn remove(directory: impl AsFd, name: &[u8]) -> io::Result<()> {
    match unlinkat(directory, OsStr::from_bytes(name), AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}
