//! One name put in place, or put back.
//!
//! Each of the two can be made again when it was made before, in whole or in part: what is to be done is found by
//! looking.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags, RenameFlags, chmod, openat, renameat, renameat_with};
use rustix::io::{self, Errno};

use super::steps::{Mark, Step};
use crate::restore::target;
use crate::unnamed::path_of;

/// The directories that names are moved between.
pub(super) struct Sides<'a> {
    /// Where the tree is.
    pub(super) here: &'a OwnedFd,
    /// Where the new one waits.
    pub(super) staged: &'a OwnedFd,
    /// Where the old one goes: `staged` too where names are exchanged.
    pub(super) away: &'a OwnedFd,
    /// Whether the file system exchanges two names in one step.
    pub(super) exchanges: bool,
}

impl Sides<'_> {
    /// Puts what is new under a name in place, and what is old away.
    pub(super) fn forward(&self, step: &Step) -> io::Result<()> {
        self.opened_up(step, |name| match self.waits(name, step)? {
            true => self.place(name),
            false if step.new.is_none() => self.put_away(name),
            false => Ok(()),
        })
    }

    /// Takes what is new under a name out again, and puts what is old back.
    pub(super) fn back(&self, step: &Step) -> io::Result<()> {
        self.opened_up(step, |name| match self.waits(name, step)? {
            // Then nothing was done.
            true if self.exchanges => Ok(()),
            false if step.new.is_some() => self.unplace(name),
            _ => self.bring_back(name),
        })
    }

    /// Whether what is new under a name is not in place yet.
    fn waits(&self, name: &[u8], step: &Step) -> io::Result<bool> {
        let Some(new) = &step.new else {
            return Ok(false);
        };
        let there = target::look(self.staged, name)?;
        // Where names are not exchanged, nothing old ever comes there.
        Ok(there.is_some_and(|stat| !self.exchanges || stat.ino == new.inode))
    }

    fn place(&self, name: &[u8]) -> io::Result<()> {
        let is_free = target::look(self.here, name)?.is_none();
        if self.exchanges && !is_free {
            return exchange(self.here, self.staged, name);
        }
        if !is_free {
            match move_to_free(self.here, self.away, name) {
                // What is old is away; this has come since.
                Err(Errno::EXIST) => {
                    let apart = [name, b".came-meanwhile"].concat();
                    rename_to_free((self.here, name), (self.away, &apart))?;
                }
                moved => moved?,
            }
        }
        move_to_free(self.staged, self.here, name)
    }

    fn put_away(&self, name: &[u8]) -> io::Result<()> {
        match move_to_free(self.here, self.away, name) {
            // It is away, or gone.
            Err(Errno::NOENT) => Ok(()),
            // It is away, and something else has come in its place, which stays.
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    fn bring_back(&self, name: &[u8]) -> io::Result<()> {
        match move_to_free(self.away, self.here, name) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }

    fn unplace(&self, name: &[u8]) -> io::Result<()> {
        let is_old_staged = target::look(self.staged, name)?.is_some();
        if self.exchanges && is_old_staged {
            return exchange(self.here, self.staged, name);
        }
        match move_to_free(self.here, self.staged, name) {
            // What was exchanged is back already, and what is staged now is new.
            Ok(()) | Err(Errno::NOENT) if self.exchanges => Ok(()),
            Ok(()) | Err(Errno::NOENT) => self.bring_back(name),
            other => other,
        }
    }

    /// A directory that moves has to let its owner write to it; afterwards it has its own mode again, wherever it is.
    fn opened_up(&self, step: &Step, work: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let name = step.name.to_vec();
        let give_modes = |more: u32| {
            for mark in [&step.old, &step.new].into_iter().flatten() {
                for directory in [self.here, self.staged, self.away] {
                    if let Some(mode) = mark.closed_mode {
                        give_mode(directory, &name, mark, mode | more)?;
                    }
                }
            }
            Ok(())
        };
        give_modes(target::PRIVATE_DIRECTORY.as_raw_mode())?;
        let done = work(&name);
        give_modes(0)?;
        done
    }
}

/// Gives a directory a mode, if it is the one that is meant.
pub(super) fn give_mode(
    directory: &OwnedFd,
    name: &[u8],
    mark: &Mark,
    mode: u32,
) -> io::Result<()> {
    let stat = target::look(directory, name)?;
    if stat.is_none_or(|stat| stat.ino != mark.inode || stat.metadata.mode == mode) {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let unopened = openat(directory, name, flags, Mode::empty())?;
    // What was opened so takes no `fchmod`.
    chmod(path_of(unopened.as_fd()), Mode::from_raw_mode(mode))
}

fn exchange(one: &OwnedFd, other: &OwnedFd, name: &[u8]) -> io::Result<()> {
    let name = OsStr::from_bytes(name);
    renameat_with(one, name, other, name, RenameFlags::EXCHANGE)
}

/// Moves something to where nothing has its name.
pub(super) fn move_to_free(from: &OwnedFd, to: &OwnedFd, name: &[u8]) -> io::Result<()> {
    rename_to_free((from, name), (to, name))
}

/// The same, under another name.
pub(super) fn rename_to_free(
    (from, name): (&OwnedFd, &[u8]),
    (to, new_name): (&OwnedFd, &[u8]),
) -> io::Result<()> {
    match renameat_with(from, name, to, new_name, RenameFlags::NOREPLACE) {
        // NFS does not have this.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        other => return other,
    }
    match (target::look(from, name)?, target::look(to, new_name)?) {
        (None, _) => Err(Errno::NOENT),
        (Some(_), Some(_)) => Err(Errno::EXIST),
        (Some(_), None) => renameat(from, name, to, new_name),
    }
}
