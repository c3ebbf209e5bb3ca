//! Whose files a store is made of: the user's whom its directory belongs to. Root gives them what it writes, so
//! that whoever works on a store as root once does not lock out the passes of its user.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Uid, chownat, fchown, fstat, statat};
use rustix::io::{Errno, Result};
use rustix::process::geteuid;

/// Who gets what is written; nobody, where it is theirs anyhow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner(Option<(Uid, Gid)>);

impl Owner {
    /// The owner of an open directory, if this is somebody else and runs as root.
    pub(super) fn of(directory: impl AsFd) -> Result<Self> {
        let owner = fstat(directory)?;
        let is_others = geteuid().is_root() && owner.st_uid != 0;
        let ids = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
        Ok(Self(is_others.then_some(ids)))
    }

    /// Gives them an open file.
    pub(super) fn own(self, file: impl AsFd) -> Result<()> {
        match self.0 {
            Some((uid, gid)) => unless_refused(fchown(file, Some(uid), Some(gid))),
            None => Ok(()),
        }
    }

    /// Gives them a directory that root has made just now, or before it was killed.
    pub(super) fn own_directory(self, root: impl AsFd, path: &Path) -> Result<()> {
        let Some((uid, gid)) = self.0 else {
            return Ok(());
        };
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match statat(&root, path, flags)?.st_uid {
            0 => unless_refused(chownat(&root, path, Some(uid), Some(gid), flags)),
            _ => Ok(()),
        }
    }
}

/// File servers that take root for somebody else do not let it give anything away.
fn unless_refused(result: Result<()>) -> Result<()> {
    match result {
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        other => other,
    }
}
