//! The directory that a drill restores into and removes again.
//!
//! It is `offsite-drill-<random>`, and locked for as long as its drill runs. What has such a name, belongs to this
//! user and is not locked was left by a drill that was killed, and is removed by the next one that looks there. It is
//! removed by open directories: no link in it is followed, and nothing that is mounted in it is touched.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, fstatvfs, mkdirat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::restore::removal;
use crate::source::stat::Stat;

const PREFIX: &str = "offsite-drill-";

/// Of 128 random bits.
const RANDOM_DIGITS: usize = 32;

/// An inode and a block: what an entry takes besides its contents, on file systems that count in blocks.
const ENTRY_BYTES: u64 = 4096;

/// How often somebody may take a fresh directory for a leftover before it is locked.
const ATTEMPTS: usize = 8;

/// Where a scratch directory is made.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a directory for temporary files, which others use too.
    Temporary(PathBuf),
    /// In a directory of the drill's own, which has nothing else in it, or does not exist.
    Own(PathBuf),
}

/// Why there is no scratch directory to work in.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// It cannot be made.
    #[error("cannot make a scratch directory in `{}`: {}", .place.display(), std::io::Error::from(*.error))]
    Unmade {
        /// Where.
        place: PathBuf,
        /// What the system says.
        error: Errno,
    },
    /// The directory that was named has something in it.
    #[error("`{}` is not empty: it has `{entry}`", .place.display())]
    NotEmpty {
        /// The directory.
        place: PathBuf,
        /// What is in it, for example.
        entry: String,
    },
    /// The sample does not fit.
    #[error("the sample needs {needed} bytes ({}), and `{}` has {free} bytes free ({})", HumanBytes(*.needed), .place.display(), HumanBytes(*.free))]
    NoRoom {
        /// Where.
        place: PathBuf,
        /// Bytes that the sample takes.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

/// Why a scratch directory is still there.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be removed: {error}", .path.display())]
pub(super) struct Left {
    path: PathBuf,
    error: String,
}

/// A scratch directory. It is removed when this is dropped.
pub(super) struct Scratch {
    place: PathBuf,
    /// The directory it is in.
    above: OwnedFd,
    /// Whether that was made for it.
    is_made: bool,
    name: String,
    /// Open for as long as it is to be locked.
    fd: OwnedFd,
    is_removed: bool,
}

impl Scratch {
    /// Makes one, after removing what killed drills have left in the same place.
    pub(super) fn make(place: &Place) -> Result<Self, ScratchError> {
        let (Place::Temporary(path) | Place::Own(path)) = place;
        let unmade = |error| ScratchError::Unmade {
            place: path.clone(),
            error,
        };
        let is_own = matches!(place, Place::Own(_));
        let (above, is_made) = open_or_make(path, is_own).map_err(unmade)?;
        remove_leftovers(&above, path);
        if is_own && let Some(entry) = first_name(path) {
            return Err(ScratchError::NotEmpty {
                place: path.clone(),
                entry,
            });
        }
        let mut made = Err(Errno::NOENT);
        for _ in 0..ATTEMPTS {
            made = make_locked(&above);
            if !matches!(made, Err(Errno::NOENT | Errno::EXIST | Errno::WOULDBLOCK)) {
                break;
            }
        }
        let (name, fd) = made.map_err(unmade)?;
        Ok(Self {
            place: path.clone(),
            above,
            is_made,
            name,
            fd,
            is_removed: false,
        })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.place.join(&self.name)
    }

    /// Makes sure that the sample fits, as far as the file system tells.
    pub(super) fn check_room(&self, entries: u64, bytes: u64) -> Result<(), ScratchError> {
        let Ok(stat) = fstatvfs(&self.fd) else {
            return Ok(());
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let needed = bytes.saturating_add(entries.saturating_mul(ENTRY_BYTES));
        match needed > free {
            false => Ok(()),
            true => Err(ScratchError::NoRoom {
                place: self.place.clone(),
                needed,
                free,
            }),
        }
    }

    /// Removes it, and the directory it is in where that was made for it.
    pub(super) fn remove(mut self) -> Result<(), Left> {
        self.remove_once()
    }

    fn remove_once(&mut self) -> Result<(), Left> {
        if std::mem::replace(&mut self.is_removed, true) {
            return Ok(());
        }
        let removed = removal::tree(&self.above, self.name.as_bytes());
        removed.map_err(|stuck| Left {
            path: self.path(),
            error: stuck.to_string(),
        })?;
        if self.is_made {
            // Somebody may have put something there.
            let _ = std::fs::remove_dir(&self.place);
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Why the drill failed matters more than this.
        let _ = self.remove_once();
    }
}

/// Opens a directory; whether it was made.
fn open_or_make(path: &Path, may_make: bool) -> Result<(OwnedFd, bool), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = || openat(CWD, path, flags, Mode::empty());
    match open() {
        Err(Errno::NOENT) if may_make => {}
        other => return Ok((other?, false)),
    }
    let made = std::fs::create_dir_all(path);
    made.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok((open()?, true))
}

fn first_name(path: &Path) -> Option<String> {
    let names = std::fs::read_dir(path).ok()?;
    let names = names.filter_map(|entry| Some(entry.ok()?.file_name()));
    Some(names.min()?.to_string_lossy().into_owned())
}

/// A new directory that only this user sees, locked.
fn make_locked(above: &OwnedFd) -> Result<(String, OwnedFd), Errno> {
    let name = format!("{PREFIX}{:0RANDOM_DIGITS$x}", fastrand::u128(..));
    mkdirat(above, &*name, Mode::RWXU)?;
    let fd = open_below(above, name.as_bytes())?;
    // Where there are no locks, nothing is taken for a leftover either.
    if lock(&fd) == Err(Errno::WOULDBLOCK) {
        return Err(Errno::WOULDBLOCK);
    }
    // Until then, another drill could have taken it for a leftover.
    Stat::at(above, name.as_bytes())?;
    Ok((name, fd))
}

fn open_below(above: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(above, OsStr::from_bytes(name), flags, Mode::empty())
}

fn lock(fd: &OwnedFd) -> Result<(), Errno> {
    flock(fd, FlockOperation::NonBlockingLockExclusive)
}

/// Removes what drills of this user have left that do not run any more. What cannot be removed stays.
fn remove_leftovers(above: &OwnedFd, path: &Path) {
    let Ok(names) = std::fs::read_dir(path) else {
        return;
    };
    for name in names.filter_map(|entry| Some(entry.ok()?.file_name())) {
        let name = name.as_bytes();
        if !is_scratch(name) {
            continue;
        }
        let Ok(fd) = open_below(above, name) else {
            continue;
        };
        let is_own = Stat::of(&fd).is_ok_and(|stat| stat.metadata.uid == geteuid().as_raw());
        if is_own && lock(&fd).is_ok() {
            let _ = removal::tree(above, name);
        }
    }
}

fn is_scratch(name: &[u8]) -> bool {
    let digits = name.strip_prefix(PREFIX.as_bytes());
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    digits.is_some_and(|digits| digits.len() == RANDOM_DIGITS && digits.iter().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> usize {
        std::fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn what_is_left_is_removed_and_what_is_used_stays() {
        let home = tempfile::tempdir().unwrap();
        let place = Place::Temporary(home.path().to_owned());
        let running = Scratch::make(&place).unwrap();
        let left = home.path().join(format!("{PREFIX}{}", "0".repeat(32)));
        std::fs::create_dir_all(left.join("a/b")).unwrap();
        for other in ["offsite-drill-", "offsite-drill-mine", "other"] {
            std::fs::create_dir(home.path().join(other)).unwrap();
        }
        let second = Scratch::make(&place).unwrap();
        assert!(!left.exists());
        assert!(running.path().exists() && second.path().exists());
        drop(running);
        second.remove().unwrap();
        assert_eq!(names(home.path()), 3);
    }

    #[test]
    fn a_directory_of_its_own_is_empty_and_left_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let absent = home.path().join("a/b");
        Scratch::make(&Place::Own(absent.clone()))
            .unwrap()
            .remove()
            .unwrap();
        assert!(!absent.exists());
        std::fs::create_dir_all(&absent).unwrap();
        Scratch::make(&Place::Own(absent.clone()))
            .unwrap()
            .remove()
            .unwrap();
        assert_eq!(names(&absent), 0);
        std::fs::write(absent.join("mine"), "").unwrap();
        let refused = Scratch::make(&Place::Own(absent.clone())).err().unwrap();
        assert!(refused.to_string().contains("it has `mine`"), "{refused}");
        assert_eq!(names(&absent), 1);
    }

    #[test]
    fn a_sample_that_does_not_fit_is_told_in_bytes() {
        let home = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(&Place::Temporary(home.path().to_owned())).unwrap();
        scratch.check_room(1, 1).unwrap();
        let error = scratch.check_room(1, 1 << 60).unwrap_err().to_string();
        let needed = (1_u64 << 60) + ENTRY_BYTES;
        assert!(error.contains(&format!("needs {needed} bytes")), "{error}");
        assert!(error.contains(" bytes free ("), "{error}");
    }
}
