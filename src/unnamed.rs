//! Files that have no name before they are whole (`O_TMPFILE`, Linux 3.11).
//!
//! Not every file system has them (NFS, EFS and FUSE do not), and not everywhere can they be given a name. What
//! was found out is kept, so that it costs one attempt.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
use rustix::io::{self, Errno};

/// What is known about such files in one place.
#[derive(Debug)]
pub(crate) struct Unnamed {
    exist: AtomicBool,
    can_be_named_by_descriptor: AtomicBool,
}

impl Default for Unnamed {
    fn default() -> Self {
        Self {
            exist: AtomicBool::new(true),
            can_be_named_by_descriptor: AtomicBool::new(true),
        }
    }
}

impl Unnamed {
    /// Makes a file, which is gone with its descriptor unless it gets a name. `None` where there are none.
    /// With no name it may have the mode that it is to have in the end, as far as that gives nobody rights
    /// that its owner has.
    pub(crate) fn make(&self, directory: impl AsFd, mode: u32) -> io::Result<Option<OwnedFd>> {
        if !self.exist.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let rights = Mode::RWXU | Mode::RWXG | Mode::RWXO;
        match openat(directory, c".", flags, Mode::from_raw_mode(mode) & rights) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
            made => made.map(Some),
        }
    }

    /// Gives a file a name, a path below `directory` that nothing has. Whether that can be: `false` says
    /// that other ways may work.
    pub(crate) fn name(
        &self,
        file: &OwnedFd,
        directory: impl AsFd,
        path: &[u8],
    ) -> io::Result<bool> {
        match self.link(file, directory.as_fd(), OsStr::from_bytes(path)) {
            Ok(()) => Ok(true),
            Err(error) if is_refusal(error) => {
                if error == Errno::NOENT {
                    // Neither way of naming it exists here.
                    self.exist.store(false, Ordering::Relaxed);
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn link(&self, file: &OwnedFd, directory: BorrowedFd<'_>, path: &OsStr) -> io::Result<()> {
        let is_descriptor_enough = &self.can_be_named_by_descriptor;
        if is_descriptor_enough.load(Ordering::Relaxed) {
            match linkat(file, c"", directory, path, AtFlags::EMPTY_PATH) {
                // Before Linux 6.10 this takes CAP_DAC_READ_SEARCH.
                Err(error) if is_refusal(error) => {}
                other => return other,
            }
        }
        let by_path = path_of(file.as_fd());
        linkat(CWD, by_path, directory, path, AtFlags::SYMLINK_FOLLOW)?;
        is_descriptor_enough.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// The system does not let this file be linked, be it for its owner's sake (`protected_hardlinks`) or
/// because it lacks the call or `/proc`. That says nothing about other ways.
fn is_refusal(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL
    )
}

/// The path of something that is open, for the few calls that take no descriptor.
pub(crate) fn path_of(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
