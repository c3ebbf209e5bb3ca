//! The root of a source, open, and opening what a walk has found below it without being led astray.
//!
//! A pass opens the root once. Whatever it lists and reads it reaches from that one descriptor, so a
//! path that leads elsewhere meanwhile (a link switched, a volume mounted, a directory renamed) never
//! mixes two directories in one snapshot.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, Mode, OFlags, RawDir, ResolveFlags, StatxFlags, fstatfs, fstatvfs, openat, openat2,
    readlinkat, statx,
};
use rustix::io::{self, Errno};

use super::xattr;
use crate::format::path::EntryPath;
use crate::source::Xattrs;
use crate::source::stat::Stat;

/// Which directory it is, on which mount. As long as one descriptor of it is open, no other directory
/// has the same numbers: device, inode and mount exist until nobody has them open any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: (u32, u32),
    inode: u64,
    /// The same directory of the same file system, mounted once more, need not have the same mounts in
    /// it. Linux tells since 5.8.
    mount: Option<u64>,
}

impl Identity {
    fn of(directory: impl AsFd) -> io::Result<Self> {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let found = statx(directory, c"", AtFlags::EMPTY_PATH, wanted)?;
        let tells_mount = found.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Ok(Self {
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            mount: tells_mount.then_some(found.stx_mnt_id),
        })
    }
}

/// The root of a source, open.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    /// Reading may leave access times alone: allowed to the owner of a file and to root.
    noatime: AtomicBool,
    /// The kernel and the container let us use `openat2`.
    openat2: AtomicBool,
}

impl Root {
    /// Opens the directory at `path`, following symbolic links up to and including it: whoever
    /// configures a source may well point at a link.
    ///
    /// # Errors
    /// What the system answers; `ENOTDIR` for anything but a directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(rustix::fs::CWD, path, flags, Mode::empty())?.into())
    }

    /// Whether `path` still leads to this directory, on the same mount.
    ///
    /// # Errors
    /// It leads nowhere, or the system refuses.
    pub(crate) fn is_still_at(&self, path: &Path) -> io::Result<bool> {
        Ok(Identity::of(self)? == Identity::of(&Self::open(path)?)?)
    }

    /// The id of its file system, where that is a UUID which stays with it wherever it is mounted. Others
    /// make one of the device's number, which two may have in turn.
    #[must_use]
    pub(crate) fn file_system(&self) -> Option<String> {
        const EXT4: i64 = 0xef53;
        const BTRFS: i64 = 0x9123_683e;
        let kind = fstatfs(self).ok()?.f_type;
        let id = fstatvfs(self).ok()?.f_fsid;
        matches!(kind, EXT4 | BTRFS).then(|| format!("{id:016x}"))
    }

    /// Whether there is nothing in it, whatever a filter leaves out.
    ///
    /// # Errors
    /// It cannot be listed.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        let directory = self.open_directory(&EntryPath::ROOT)?;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut entries = RawDir::new(directory, &mut buffer);
        while let Some(entry) = entries.next() {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens a file below the root for reading.
    ///
    /// # Errors
    /// What the system answers; `ELOOP` where a directory on the way has become a symbolic link.
    pub(crate) fn open_file(&self, path: &EntryPath) -> io::Result<OwnedFd> {
        // Opening a pipe that took the file's place must not block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if self.noatime.load(Ordering::Relaxed) {
            match self.open_beneath(path, flags | OFlags::NOATIME) {
                Err(Errno::PERM) => self.noatime.store(false, Ordering::Relaxed),
                other => return other,
            }
        }
        self.open_beneath(path, flags)
    }

    /// Opens a directory below the root, or the root, for listing.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub(crate) fn open_directory(&self, path: &EntryPath) -> io::Result<OwnedFd> {
        self.open_beneath(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        )
    }

    /// Reads a symbolic link below the root.
    ///
    /// # Errors
    /// What the system answers.
    pub(crate) fn read_link(&self, path: &EntryPath) -> io::Result<Vec<u8>> {
        let (directory, name) = self.open_above(path)?;
        Ok(readlinkat(directory, name, Vec::new())?.into_bytes())
    }

    /// Extended attributes of a symbolic link below the root.
    ///
    /// # Errors
    /// What the system answers; `ENOSYS` without a `/proc`.
    pub(crate) fn link_xattrs(&self, path: &EntryPath) -> io::Result<Xattrs> {
        let (directory, name) = self.open_above(path)?;
        match xattr::of_path(&path_in(directory.as_fd(), name)) {
            // It has not vanished.
            Err(Errno::NOENT) if Stat::at(&directory, name).is_ok() => Err(Errno::NOSYS),
            other => other,
        }
    }

    /// Opens the directory that something below the root is in, for getting at that, and gives its
    /// name there.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub(crate) fn open_above<'a>(&self, path: &'a EntryPath) -> io::Result<(OwnedFd, &'a [u8])> {
        let (above, name) = match path.as_bytes().iter().rposition(|b| *b == b'/') {
            Some(at) => (&path.as_bytes()[..at], &path.as_bytes()[at + 1..]),
            None => (&b""[..], path.as_bytes()),
        };
        let above = EntryPath::parse(above).unwrap_or_default();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok((self.open_beneath(&above, flags)?, name))
    }

    fn open_beneath(&self, path: &EntryPath, flags: OFlags) -> io::Result<OwnedFd> {
        let bytes: &[u8] = if path.is_root() {
            b"."
        } else {
            path.as_bytes()
        };
        if self.openat2.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match openat2(&self.fd, bytes, flags, Mode::empty(), resolve) {
                // Kernels before 5.6 and some container sandboxes do not know the call.
                Err(Errno::NOSYS) => self.openat2.store(false, Ordering::Relaxed),
                // Longer than the kernel takes at once.
                Err(Errno::NAMETOOLONG) => {}
                other => return other,
            }
        }
        self.open_stepwise(path, flags)
    }

    /// The same, one component at a time.
    fn open_stepwise(&self, path: &EntryPath, flags: OFlags) -> io::Result<OwnedFd> {
        let mut components = path.components().peekable();
        if components.peek().is_none() {
            return openat(&self.fd, c".", flags, Mode::empty());
        }
        let mut directory: Option<OwnedFd> = None;
        while let Some(component) = components.next() {
            let at = directory.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
            let flags = match components.peek() {
                Some(_) => OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                None => flags,
            };
            let name = OsStr::from_bytes(component);
            directory = Some(openat(at, name, flags, Mode::empty())?);
        }
        directory.ok_or(Errno::NOENT)
    }
}

/// The path of something in an open directory, for the few calls that take no descriptor. It is short
/// however deep the directory lies, and leads into that one whatever has taken its place.
pub(crate) fn path_in(directory: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    path.push(OsStr::from_bytes(name));
    path
}

impl From<OwnedFd> for Root {
    fn from(fd: OwnedFd) -> Self {
        Self {
            fd,
            noatime: AtomicBool::new(true),
            openat2: AtomicBool::new(true),
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text).unwrap()
    }

    #[test]
    fn a_root_knows_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["one", "other"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        std::os::unix::fs::symlink("one", path("link")).unwrap();
        let root = Root::open(&path("link")).unwrap();
        assert_eq!(root.is_still_at(&path("one")), Ok(true));
        assert_eq!(root.is_still_at(&path("link")), Ok(true));
        assert_eq!(root.is_still_at(&path("other")), Ok(false));
        std::fs::remove_dir(path("one")).unwrap();
        std::fs::create_dir(path("one")).unwrap();
        assert_eq!(root.is_still_at(&path("link")), Ok(false));
        std::fs::remove_dir(path("one")).unwrap();
        assert_eq!(root.is_still_at(&path("link")), Err(Errno::NOENT));
    }

    #[test]
    fn a_root_is_empty_if_nothing_at_all_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(root.is_empty(), Ok(true));
        std::fs::write(dir.path().join(".hidden"), "").unwrap();
        assert_eq!(root.is_empty(), Ok(false));
    }

    #[test]
    fn a_file_system_without_an_id_of_its_own_has_none() {
        assert_eq!(Root::open("/proc".as_ref()).unwrap().file_system(), None);
    }

    #[test]
    fn links_are_not_followed_whichever_call_opens() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/real")).unwrap();
        std::fs::write(dir.path().join("root/real/file"), "inside").unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        std::os::unix::fs::symlink("..", dir.path().join("root/up")).unwrap();
        std::os::unix::fs::symlink("real/file", dir.path().join("root/link")).unwrap();
        std::os::unix::fs::symlink("secret", dir.path().join("link")).unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        for openat2 in [true, false] {
            root.openat2.store(openat2, Ordering::Relaxed);
            let mut text = String::new();
            std::fs::File::from(root.open_file(&path("real/file")).unwrap())
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, "inside");
            let refused = root.open_file(&path("up/secret")).unwrap_err();
            assert!(matches!(refused, Errno::LOOP | Errno::NOTDIR), "{refused}");
            assert_eq!(root.open_file(&path("link")).unwrap_err(), Errno::LOOP);
            assert!(root.open_directory(&EntryPath::ROOT).is_ok());
            let refused = root.link_xattrs(&path("up/link")).unwrap_err();
            assert!(matches!(refused, Errno::LOOP | Errno::NOTDIR), "{refused}");
            assert!(root.link_xattrs(&path("link")).unwrap().is_empty());
        }
        assert_eq!(root.read_link(&path("link")).unwrap(), b"real/file");
    }
}
