//! The directory itself: open, with what its file system can do.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, Statx, StatxFlags, fstatfs, linkat, mkdirat, openat,
    renameat_with, statat, statx, unlinkat,
};
use rustix::io::Errno;
use rustix::system::uname;

use super::keys::{HASHED, UNFINISHED};
use super::owner::Owner;
use super::trouble::{Result, Trouble};
use crate::unnamed::Unnamed;

/// Nobody but the owner sees what is in a store.
pub(super) const PRIVATE_DIRECTORY: Mode = Mode::RWXU;
pub(super) const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// File systems that may tell of a failure only when a file is closed or synced, by `statfs(2)`.
const NFS: u64 = 0x6969;
const SMB: u64 = 0x517b;
const SMB2: u64 = 0xfe53_4d42;
const CIFS: u64 = 0xff53_4d42;
const FUSE: u64 = 0x6573_5546;
const PLAN9: u64 = 0x0102_1997;

/// Directories that are known to exist.
const KNOWN: usize = 64;

/// How a whole file gets its name, which nothing may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// It has none before, and is linked.
    Unnamed,
    /// It has another one, and is linked.
    Linked,
    /// It has another one, and is renamed without replacing anything.
    Renamed,
}

/// An open store.
pub(super) struct Root {
    fd: OwnedFd,
    folds_case: OnceLock<bool>,
    /// Each file has to be synced to be told that it was written, and each directory for its names: syncing all at once
    /// tells nothing, and on some does nothing.
    pub(super) reports_late: bool,
    /// Renaming without replacing is checked by this machine alone, as Linux does it for SMB: another machine may be
    /// about to make the same name.
    renames_alone: bool,
    owner: Owner,
    pub(super) unnamed: Unnamed,
    naming: OnceLock<Naming>,
    /// Objects are known to lie under the digests of their keys.
    has_hashed: AtomicBool,
    /// Directories made or seen last.
    made: Mutex<VecDeque<PathBuf>>,
}

impl AsFd for Root {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Root {
    /// Opens a store. It has to be there: a directory that is not may be a volume that is not mounted.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT => Trouble::NoStore,
            Errno::NOTDIR => Trouble::NoDirectory,
            error => error.into(),
        })?;
        let kind = u64::try_from(fstatfs(&fd)?.f_type).unwrap_or_default();
        Ok(Self {
            folds_case: OnceLock::new(),
            reports_late: [NFS, SMB, SMB2, CIFS, FUSE, PLAN9].contains(&kind) || !syncfs_reports(),
            unnamed: Unnamed::default(),
            renames_alone: [SMB, SMB2, CIFS].contains(&kind),
            owner: Owner::of(&fd)?,
            naming: OnceLock::new(),
            has_hashed: AtomicBool::new(false),
            made: Mutex::default(),
            fd,
        })
    }

    /// How files get their names here, found out by trying.
    pub(super) fn naming(&self) -> Result<Naming> {
        if let Some(naming) = self.naming.get() {
            return Ok(*naming);
        }
        let naming = self.try_naming()?;
        Ok(*self.naming.get_or_init(|| naming))
    }

    fn try_naming(&self) -> Result<Naming> {
        self.make_directory(Path::new(UNFINISHED))?;
        let (one, other) = (self.temporary(), self.temporary());
        let file = self.make(&one)?;
        // To take what is there, too, would be to overwrite it.
        let naming = match self.make_unnamed()? {
            Some(unnamed) if self.unnamed.name(&unnamed, &self.fd, bytes(&other))? => {
                let again = self.unnamed.name(&unnamed, &self.fd, bytes(&one));
                (again == Err(Errno::EXIST)).then_some(Naming::Unnamed)
            }
            _ => match linkat(&self.fd, &one, &self.fd, &other, AtFlags::empty()) {
                Ok(()) => {
                    let again = linkat(&self.fd, &other, &self.fd, &one, AtFlags::empty());
                    (again == Err(Errno::EXIST)).then_some(Naming::Linked)
                }
                Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    drop(self.make(&other)?);
                    let over = self.rename(&one, &other);
                    let is_sure = over == Err(Errno::EXIST) && !self.renames_alone;
                    is_sure.then_some(Naming::Renamed)
                }
                Err(error) => return Err(error.into()),
            },
        };
        drop(file);
        for path in [one, other] {
            self.remove(&path)?;
        }
        naming.ok_or(Trouble::Unfit)
    }

    /// Whether the file system takes `A` for `a`. Before anything was ever written here nobody knows, and
    /// it does not matter.
    pub(super) fn folds_case(&self) -> bool {
        if let Some(folds_case) = self.folds_case.get() {
            return *folds_case;
        }
        let ino = |name: &str| {
            let found = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some((found.st_dev, found.st_ino))
        };
        let Some(unfinished) = ino(UNFINISHED) else {
            return false;
        };
        let folds_case = ino(&UNFINISHED.to_ascii_uppercase()) == Some(unfinished);
        *self.folds_case.get_or_init(|| folds_case)
    }

    /// Renames without replacing anything.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> rustix::io::Result<()> {
        renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE)
    }

    /// A name for something that is not finished.
    pub(super) fn temporary(&self) -> PathBuf {
        Path::new(UNFINISHED).join(format!("{:016x}", fastrand::u64(..)))
    }

    /// Makes a file for writing.
    pub(super) fn make(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.fd, path, flags, PRIVATE_FILE)?;
        self.owner.own(&file)?;
        Ok(file)
    }

    /// Makes a file without a name, where there are such.
    pub(super) fn make_unnamed(&self) -> rustix::io::Result<Option<OwnedFd>> {
        let file = self.unnamed.make(&self.fd, PRIVATE_FILE.bits())?;
        if let Some(file) = &file {
            self.owner.own(file)?;
        }
        Ok(file)
    }

    /// Opens what is under a path for reading, a directory too, a link not.
    pub(super) fn look(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(&self.fd, path, flags, Mode::empty())
    }

    /// Opens a directory; one that has changed on a file server, as it is now.
    pub(super) fn enter(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = match path.as_os_str().is_empty() {
            true => Path::new("."),
            false => path,
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(&self.fd, path, flags, Mode::empty())?;
        stat(&fd)?;
        Ok(fd)
    }

    /// Whether objects lie under the digests of their keys. Others may have made the first one just now.
    pub(super) fn has_hashed(&self) -> Result<bool> {
        let has_hashed =
            self.has_hashed.load(Ordering::Relaxed) || is_there(self, Path::new(HASHED))?;
        self.has_hashed.store(has_hashed, Ordering::Relaxed);
        Ok(has_hashed)
    }

    /// The time of a file that is made just now, and is gone again.
    pub(super) fn touch(&self) -> Result<Statx> {
        if let Some(file) = self.make_unnamed()? {
            return Ok(stat(&file)?);
        }
        self.make_directory(Path::new(UNFINISHED))?;
        let path = self.temporary();
        let file = self.make(&path)?;
        let stat = stat(&file);
        self.remove(&path)?;
        Ok(stat?)
    }

    /// Removes a file, if there is one.
    pub(super) fn remove(&self, path: &Path) -> rustix::io::Result<()> {
        match unlinkat(&self.fd, path, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }

    /// Makes a directory and those above it, as far as they are not there.
    pub(super) fn make_directory(&self, path: &Path) -> Result<()> {
        let is_known = |made: &VecDeque<PathBuf>| made.iter().any(|known| known == path);
        if path.as_os_str().is_empty() || is_known(&self.made.lock().expect("nothing panics")) {
            return Ok(());
        }
        match mkdirat(&self.fd, path, PRIVATE_DIRECTORY) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                // Something else than a directory says so when it is used.
            }
            Err(Errno::NOENT) => {
                self.make_directory(path.parent().unwrap_or(Path::new("")))?;
                match mkdirat(&self.fd, path, PRIVATE_DIRECTORY) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.owner.own_directory(&self.fd, path)?;
        let mut made = self.made.lock().expect("nothing panics holding this");
        made.truncate(KNOWN - 1);
        made.push_front(path.to_owned());
        Ok(())
    }
}

/// What the file server says of something that is open, and not what this machine remembers.
pub(super) fn stat(fd: &OwnedFd) -> rustix::io::Result<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    statx(fd, c"", flags, StatxFlags::BASIC_STATS)
}

/// A path as its bytes.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Whether something is under a path.
pub(super) fn is_there(fd: impl AsFd, path: &Path) -> Result<bool> {
    match statat(fd, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether `syncfs(2)` tells of what could not be written; since Linux 5.8.
fn syncfs_reports() -> bool {
    let uname = uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5_u32, 8_u32),
        _ => false,
    }
}
