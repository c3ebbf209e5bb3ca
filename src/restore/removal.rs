//! Removing a whole tree: by open directories, following no symbolic link and entering no other mount.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::vec::IntoIter;

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, chown, fchmod, fchown, openat, openat2, unlinkat,
};
use rustix::io::{self, Errno};
use rustix::process::geteuid;

use super::names::Names;
use super::target;
use crate::format::entry::Kind;
use crate::source::stat::Stat;
use crate::unnamed::path_of;

/// What could not be removed, and why.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be removed: {}", String::from_utf8_lossy(.path), reason(*.error))]
pub(crate) struct Stuck {
    /// From where the removal began.
    pub(crate) path: Vec<u8>,
    pub(crate) error: Errno,
}

fn reason(error: Errno) -> String {
    match error {
        Errno::XDEV | Errno::BUSY => "it is a mount point".to_owned(),
        error => std::io::Error::from(error).to_string(),
    }
}

/// A directory on the way, and what is left in it.
struct Level {
    fd: OwnedFd,
    name: Vec<u8>,
    names: IntoIter<Vec<u8>>,
}

impl Level {
    fn of(fd: OwnedFd, name: Vec<u8>) -> io::Result<Self> {
        let names: Vec<_> = Names::of(&fd)?.iter().map(<[u8]>::to_vec).collect();
        let names = names.into_iter();
        Ok(Self { fd, name, names })
    }
}

/// Removes what is under a name, with all that is in it. Nothing is done where there is nothing.
pub(crate) fn tree(above: &OwnedFd, name: &[u8]) -> Result<(), Stuck> {
    let mut way: Vec<Level> = Vec::new();
    let mut next = Some(name.to_vec());
    loop {
        let at = way.last().map_or(above, |level| &level.fd);
        if let Some(name) = next.take() {
            match one(at, &name) {
                Ok(None) => {}
                Ok(Some(fd)) => match Level::of(fd, name.clone()) {
                    Ok(level) => way.push(level),
                    Err(error) => return Err(stuck(&way, &name, error)),
                },
                Err(error) => return Err(stuck(&way, &name, error)),
            }
        }
        let Some(level) = way.last_mut() else {
            return Ok(());
        };
        next = level.names.next();
        if next.is_none()
            && let Some(level) = way.pop()
        {
            let at = way.last().map_or(above, |level| &level.fd);
            let name = level.name;
            let removed = opened_up(at, || unlinkat(at, &name[..], AtFlags::REMOVEDIR));
            removed.map_err(|error| stuck(&way, &name, error))?;
            if way.is_empty() {
                return Ok(());
            }
        }
    }
}

fn stuck(way: &[Level], name: &[u8], error: Errno) -> Stuck {
    let names = way.iter().map(|level| &level.name[..]);
    let path = names.chain([name]).collect::<Vec<_>>().join(&b'/');
    Stuck { path, error }
}

/// Removes one thing; gives a directory out instead, open.
fn one(at: &OwnedFd, name: &[u8]) -> io::Result<Option<OwnedFd>> {
    match opened_up(at, || target::look(at, name))? {
        None => Ok(None),
        Some(stat) if stat.metadata.kind == Kind::Directory => Ok(Some(enter(at, name)?)),
        Some(_) => opened_up(at, || target::remove(at, name)).map(|()| None),
    }
}

/// Opens a directory, unless something is mounted there. Its owner may open it up.
fn enter(at: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    match look_into(at, name) {
        Err(Errno::ACCESS) if is_same_device(at, name)? => enter_closed(at, name),
        other => other,
    }
}

/// The same, changing nothing.
pub(super) fn look_into(at: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    match openat2(at, name, flags, Mode::empty(), resolve) {
        // Kernels before 5.6 and some container sandboxes do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => match is_same_device(at, name)? {
            true => target::enter(at, name),
            false => Err(Errno::XDEV),
        },
        other => other,
    }
}

/// Opens a directory up that forbids it.
fn enter_closed(at: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    match target::enter_own(at, name) {
        Err(Errno::ACCESS) => {}
        other => return other,
    }
    // It is somebody else's.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let unopened = openat(at, OsStr::from_bytes(name), flags, Mode::empty())?;
    let made_own = chown(path_of(unopened.as_fd()), Some(geteuid()), None);
    made_own.map_err(|_| Errno::ACCESS)?;
    target::enter_own(at, name)
}

fn is_same_device(at: &OwnedFd, name: &[u8]) -> io::Result<bool> {
    Ok(Stat::at(at, name)?.dev == Stat::of(at)?.dev)
}

/// Does something in a directory that may forbid its owner to write, or may be somebody else's: root that may not
/// do everything may still make it its own.
fn opened_up<T>(at: impl AsFd, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let at = at.as_fd();
    match work() {
        Err(Errno::ACCESS) => {}
        other => return other,
    }
    let stat = Stat::of(at)?;
    if stat.metadata.uid != geteuid().as_raw() {
        fchown(at, Some(geteuid()), None).map_err(|_| Errno::ACCESS)?;
    }
    let mode = Mode::from_raw_mode(stat.metadata.mode);
    fchmod(at, mode | target::PRIVATE_DIRECTORY).map_err(|_| Errno::ACCESS)?;
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_whose_directories_forbid_everything_goes() {
        let home = tempfile::tempdir().unwrap();
        let tree_at = home.path().join("tree");
        std::fs::create_dir(&tree_at).unwrap();
        let modes = [0o000, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600];
        for mode in modes {
            let directory = tree_at.join(format!("{mode:o}"));
            std::fs::create_dir_all(directory.join("below")).unwrap();
            std::fs::write(directory.join("below/file"), "").unwrap();
            for path in [directory.join("below"), directory] {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
                std::fs::set_permissions(path, mode).unwrap();
            }
        }
        let above = target::open(home.path()).unwrap();
        tree(&above, b"tree").unwrap();
        assert!(!tree_at.exists());
    }

    #[test]
    fn a_tree_goes_and_what_its_links_point_to_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        std::fs::create_dir_all(path("tree/a/b/c")).unwrap();
        std::fs::create_dir(path("other")).unwrap();
        std::fs::write(path("other/stays"), "").unwrap();
        std::fs::write(path("tree/a/file"), "").unwrap();
        std::os::unix::fs::symlink("../../other", path("tree/a/link")).unwrap();
        let above = target::open(home.path()).unwrap();
        tree(&above, b"tree").unwrap();
        assert!(!path("tree").exists());
        assert!(path("other/stays").exists());
        tree(&above, b"tree").unwrap();
    }
}
