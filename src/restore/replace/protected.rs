//! What an exchange entry by entry leaves where it is: what this program keeps there, and what belongs to the file
//! system.

use std::os::fd::OwnedFd;

use rustix::io;

use super::kept::{self, KeptTree};
use super::workspace::Workspace;
use crate::format::entry::Kind;
use crate::format::path::EntryPath;
use crate::restore::target;

/// ext4 makes it where the file system begins, and `e2fsck` wants it there.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// Names in one directory of the old tree that stay, unless the new one has them too.
pub(super) struct Protected {
    kept: Vec<KeptTree>,
    has_lost_and_found: bool,
    workspace: [String; 2],
}

impl Protected {
    pub(super) fn of(
        directory: &OwnedFd,
        path: &EntryPath,
        workspace: &Workspace,
    ) -> io::Result<Self> {
        let is_root = path.is_root();
        let found = target::look(directory, LOST_AND_FOUND)?;
        let is_directory = found.is_some_and(|stat| stat.metadata.kind == Kind::Directory);
        Ok(Self {
            kept: match is_root {
                true => kept::find(directory, Some(b""))?,
                false => Vec::new(),
            },
            has_lost_and_found: is_root && is_directory,
            workspace: [workspace.name.clone(), workspace.mark()],
        })
    }

    pub(super) fn has(&self, name: &[u8]) -> bool {
        (self.workspace.iter()).any(|own| own.as_bytes() == name)
            || (self.has_lost_and_found && name == LOST_AND_FOUND)
            || self.kept.iter().any(|kept| kept.covers(name))
    }
}
