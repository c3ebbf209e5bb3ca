//! Giving a restored file, link or directory the metadata of its entry.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr,
    futimens, lsetxattr, utimensat,
};
use rustix::io;

use super::target;
use crate::manifest::entry::Entry;

/// For something that is open. The owner goes first, because changing it clears setuid and setgid;
/// the times go last, because everything else may change them.
pub(super) fn of_open(file: &OwnedFd, entry: &Entry, owners: bool) -> io::Result<()> {
    let metadata = &entry.metadata;
    if owners {
        let (uid, gid) = owner(entry);
        fchown(file, uid, gid)?;
    }
    for (name, value) in &entry.xattrs {
        fsetxattr(file, &name[..], value, XattrFlags::empty())?;
    }
    fchmod(file, Mode::from_raw_mode(metadata.mode))?;
    futimens(file, &times(entry))
}

/// For a symbolic link, which cannot be opened and has no mode of its own.
pub(super) fn of_link(
    directory: &OwnedFd,
    name: &[u8],
    entry: &Entry,
    owners: bool,
) -> io::Result<()> {
    if owners {
        let (uid, gid) = owner(entry);
        chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    if !entry.xattrs.is_empty() {
        use std::os::unix::ffi::OsStrExt as _;
        let mut path = PathBuf::from(target::proc_path(directory.as_fd()));
        path.push(std::ffi::OsStr::from_bytes(name));
        for (name, value) in &entry.xattrs {
            lsetxattr(&path, &name[..], value, XattrFlags::empty())?;
        }
    }
    utimensat(directory, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    let Entry { metadata, .. } = entry;
    (
        Some(Uid::from_raw(metadata.uid)),
        Some(Gid::from_raw(metadata.gid)),
    )
}

/// The access time is not recorded; it becomes that of the modification.
fn times(entry: &Entry) -> Timestamps {
    let mtime = Timespec {
        tv_sec: entry.metadata.mtime_ns.div_euclid(1_000_000_000),
        tv_nsec: entry.metadata.mtime_ns.rem_euclid(1_000_000_000),
    };
    Timestamps {
        last_access: mtime,
        last_modification: mtime,
    }
}
