//! The directory that is restored into, held by open directories rather than by paths.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    Access, AtFlags, CWD, FlockOperation, Mode, OFlags, accessat, chmod, flock, mkdirat, openat,
    readlinkat, unlinkat,
};
use rustix::io::{self, Errno};

use crate::source::stat::Stat;
use crate::unnamed::path_of;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Nobody but the owner sees what is not finished.
pub(super) const PRIVATE_DIRECTORY: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

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

/// Keeps other restores out of the target for as long as it is open; whether none was in it. Where the
/// system has no such locks, it does not keep them out.
pub(super) fn lock(target: impl AsFd) -> bool {
    flock(target, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK)
}

/// Whether this process may put something into a directory.
pub(super) fn check_writable(directory: impl AsFd) -> io::Result<()> {
    let access = Access::WRITE_OK | Access::EXEC_OK;
    accessat(directory, ".", access, AtFlags::EACCESS)
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

/// The same for a directory that may forbid even its owner to look into it, who is allowed to then. An
/// earlier restore may have given it that mode, and this one does so again in the end.
pub(super) fn enter_own(directory: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let at = directory.as_fd();
    match enter(at, name) {
        Err(Errno::ACCESS) => {}
        other => return other,
    }
    let flags = DIRECTORY | OFlags::PATH;
    let unopened = openat(at, OsStr::from_bytes(name), flags, Mode::empty())?;
    let mode = Mode::from_raw_mode(Stat::of(&unopened)?.metadata.mode);
    // What was opened so takes no `fchmod`.
    chmod(path_of(unopened.as_fd()), mode | PRIVATE_DIRECTORY)?;
    enter(at, name)
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

/// Makes a new file for writing.
pub(super) fn make_file(directory: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, OsStr::from_bytes(name), flags, PRIVATE_FILE)
}

/// Writes all of `bytes` at an offset.
pub(super) fn write_all(file: &OwnedFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match io::pwrite(file, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(length) => {
                bytes = &bytes[length..];
                at += length as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
