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
            false => match &step.new {
                Some(new) => self.unplace(name, new),
                None => self.bring_back(name),
            },
            true => self.bring_back(name),
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
                    let apart = apart(name);
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

    fn unplace(&self, name: &[u8], new: &Mark) -> io::Result<()> {
        let is_old_staged = target::look(self.staged, name)?.is_some();
        if self.exchanges && is_old_staged {
            return match exchange(self.here, self.staged, name) {
                // What is new was removed meanwhile.
                Err(Errno::NOENT) => self.bring_back(name),
                exchanged => exchanged,
            };
        }
        // What is old may be back already.
        if is_it(self.here, name, new)? {
            move_to_free(self.here, self.staged, name)?;
        }
        match self.exchanges {
            true => Ok(()),
            false => self.bring_back(name),
        }
    }

    /// Whether what is to be in place under a name is.
    pub(super) fn is_in_place(&self, step: &Step) -> io::Result<bool> {
        let new = step.new.as_ref();
        new.map_or(Ok(true), |new| is_it(self.here, &step.name.to_vec(), new))
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

fn is_it(directory: &OwnedFd, name: &[u8], mark: &Mark) -> io::Result<bool> {
    let stat = target::look(directory, name)?;
    Ok(stat.is_some_and(|stat| stat.ino == mark.inode))
}

/// What is called that when it has come where something old was put away before.
pub(super) fn apart(name: &[u8]) -> Vec<u8> {
    [name, b".came-meanwhile"].concat()
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

#[cfg(test)]
mod tests {
    use super::super::steps::Bytes;
    use super::*;

    /// A program may remove what it finds in the new tree while that is taken back.
    #[test]
    fn what_was_there_comes_back_though_what_is_new_has_gone() {
        let home = tempfile::tempdir().unwrap();
        for path in ["here", "staged"] {
            std::fs::create_dir(home.path().join(path)).unwrap();
            std::fs::write(home.path().join(path).join("x"), path).unwrap();
        }
        let open = |name: &str| target::open(&home.path().join(name)).unwrap();
        let (here, staged) = (open("here"), open("staged"));
        let sides = Sides {
            here: &here,
            staged: &staged,
            away: &staged,
            exchanges: true,
        };
        let mark = |directory: &OwnedFd| {
            let stat = target::look(directory, b"x").unwrap();
            stat.as_ref().map(Mark::of)
        };
        let step = Step {
            name: Bytes::of(b"x"),
            old: mark(&here),
            new: mark(&staged),
        };
        sides.forward(&step).unwrap();
        std::fs::remove_file(home.path().join("here/x")).unwrap();
        for _ in 0..2 {
            sides.back(&step).unwrap();
            let there = std::fs::read_to_string(home.path().join("here/x"));
            assert_eq!(there.unwrap(), "here");
        }
        // The same where names are not exchanged.
        std::fs::create_dir(home.path().join("away")).unwrap();
        std::fs::write(home.path().join("staged/x"), "staged").unwrap();
        let away = open("away");
        let sides = Sides {
            away: &away,
            exchanges: false,
            ..sides
        };
        let step = Step {
            new: mark(&staged),
            ..step
        };
        sides.forward(&step).unwrap();
        assert!(sides.is_in_place(&step).unwrap());
        std::fs::remove_file(home.path().join("here/x")).unwrap();
        assert!(!sides.is_in_place(&step).unwrap());
        for _ in 0..2 {
            sides.back(&step).unwrap();
            let there = std::fs::read_to_string(home.path().join("here/x"));
            assert_eq!(there.unwrap(), "here");
        }
    }
}
