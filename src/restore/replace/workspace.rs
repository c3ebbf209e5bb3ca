//! Where a replacement keeps the new tree until it is complete, and how the next one finds what a killed one has
//! left.
//!
//! A workspace is a directory `.offsite-replace-<target>-<random>`, beside the target or in it, with a pipe of the
//! same name and `.unfinished` beside it. As in `staging`, the pipe is the mark: no restore makes pipes, so a
//! workspace that a pass has captured and a restore brought back is somebody's data and never taken for one. The
//! mark is the first thing that is made and the last that goes. A file system without pipes has no mark; there the
//! record says so and names the directory's inode number.
//!
//! In it lie `replace.json`, which says whose it is and how far; `steps.ndjson`, the journal; `new`, what is to be
//! put in place; and, where names cannot be exchanged, `old`, what was there. It is locked for as long as its
//! restore runs.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, mkdirat, mknodat, unlinkat};
use rustix::io::{self, Errno};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files;
use super::record::ReplaceRecord;
use crate::format::entry::Kind;
use crate::restore::names::Names;
use crate::restore::removal::{self, Stuck};
use crate::restore::target;
use crate::source::stat::Stat;

const PREFIX: &str = ".offsite-replace-";
const MARK: &str = ".unfinished";
const RECORD: &str = "replace.json";

/// What is to be put in place.
pub(super) const NEW: &str = "new";
/// What was there, where names cannot be exchanged.
pub(super) const OLD: &str = "old";

/// Of the target's name in that of its workspace.
const NAME_DIGITS: usize = 16;

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    record: ReplaceRecord,
    /// Of the workspace, where the file system has no pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unmarked_inode: Option<u64>,
}

/// A workspace, open and locked.
#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) name: String,
    pub(super) fd: OwnedFd,
    is_marked: bool,
}

/// What there is of an earlier workspace.
pub(super) enum Found {
    /// Its restore still runs, as far as locks tell.
    InUse(String, Option<ReplaceRecord>),
    /// Nobody is at work in it.
    Left(Workspace, Option<ReplaceRecord>),
    /// A mark alone.
    Mark(String),
    /// Its record cannot be read, so nobody knows what is in it.
    Unclear(String, std::io::Error),
}

/// How the names of a target's workspaces begin.
fn prefix(target: &[u8]) -> String {
    let digest = hex::encode(Sha256::digest(target));
    format!("{PREFIX}{}-", &digest[..NAME_DIGITS])
}

impl Workspace {
    /// Makes one for the target of this name.
    pub(super) fn make(
        holder: &OwnedFd,
        target_name: &[u8],
        record: &ReplaceRecord,
    ) -> io::Result<Self> {
        let name = format!("{}{:032x}", prefix(target_name), fastrand::u128(..));
        let owner = Mode::RUSR | Mode::WUSR;
        let marked = mknodat(holder, mark(&name), FileType::Fifo, owner, 0);
        let is_marked = match marked {
            Ok(()) => true,
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => false,
            Err(error) => return Err(error),
        };
        let made = Self::make_marked(holder, name.clone(), is_marked, record);
        if made.is_err() {
            let _ = removal::tree(holder, name.as_bytes());
            let _ = target::remove(holder, mark(&name).as_bytes());
        }
        made
    }

    fn make_marked(
        holder: &OwnedFd,
        name: String,
        is_marked: bool,
        record: &ReplaceRecord,
    ) -> io::Result<Self> {
        mkdirat(holder, &*name, target::PRIVATE_DIRECTORY)?;
        let fd = files::open_directory(holder, name.as_bytes())?;
        target::lock(&fd);
        let workspace = Self {
            name,
            fd,
            is_marked,
        };
        workspace.write(record)?;
        mkdirat(&workspace.fd, NEW, target::PRIVATE_DIRECTORY)?;
        files::sync(holder)?;
        Ok(workspace)
    }

    /// What its mark is called.
    pub(super) fn mark(&self) -> String {
        mark(&self.name)
    }

    /// Says how far it is.
    pub(super) fn write(&self, record: &ReplaceRecord) -> io::Result<()> {
        let inode = Stat::of(&self.fd)?.ino;
        let stored = Stored {
            record: record.clone(),
            unmarked_inode: (!self.is_marked).then_some(inode),
        };
        files::put(&self.fd, RECORD, &stored)
    }

    /// Removes it from the directory it was made in: the record first, for without it the rest is nobody's.
    pub(super) fn remove(self, holder: &OwnedFd) -> Result<(), Stuck> {
        removal::tree(&self.fd, RECORD.as_bytes())?;
        let name = self.name.clone();
        drop(self);
        removal::tree(holder, name.as_bytes())?;
        remove_mark(holder, &name)
    }
}

/// Removes a mark that has nothing beside it.
pub(super) fn remove_mark(holder: &OwnedFd, name: &str) -> Result<(), Stuck> {
    removal::tree(holder, mark(name).as_bytes())
}

fn mark(name: &str) -> String {
    format!("{name}{MARK}")
}

/// The workspaces that are in a directory: those of one target, or all.
pub(super) fn find(holder: &OwnedFd, target_name: Option<&[u8]>) -> io::Result<Vec<Found>> {
    let prefix = target_name.map_or(PREFIX.to_owned(), prefix);
    let names = Names::of(holder)?;
    let own = names
        .iter()
        .filter_map(|name| std::str::from_utf8(name).ok());
    let own = own.filter(|name| name.starts_with(&prefix));
    let mut found = Vec::new();
    for name in own {
        if let Some(name) = name.strip_suffix(MARK) {
            let is_alone = !names.has(name.as_bytes());
            if is_alone && is_mark(holder, name)? {
                found.push(Found::Mark(name.to_owned()));
            }
        } else if let Some(left) = look(holder, name)? {
            found.push(left);
        }
    }
    Ok(found)
}

/// The names of all workspaces in a directory, and of their marks.
pub(super) fn names(holder: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let found = find(holder, None)?.into_iter().map(|found| match found {
        Found::Left(workspace, _) => workspace.name,
        Found::InUse(name, _) | Found::Mark(name) | Found::Unclear(name, _) => name,
    });
    let names = found.flat_map(|name| [mark(&name).into_bytes(), name.into_bytes()]);
    Ok(names.collect())
}

fn is_mark(holder: &OwnedFd, name: &str) -> io::Result<bool> {
    let stat = target::look(holder, mark(name).as_bytes())?;
    Ok(stat.is_some_and(|stat| stat.metadata.kind == Kind::Fifo))
}

fn look(holder: &OwnedFd, name: &str) -> io::Result<Option<Found>> {
    let Ok(fd) = files::open_directory(holder, name.as_bytes()) else {
        return Ok(None);
    };
    let is_marked = is_mark(holder, name)?;
    let stored: Option<Stored> = match files::get(&fd, RECORD.as_bytes()) {
        Ok(stored) => stored,
        Err(error) if is_marked => return Ok(Some(Found::Unclear(name.to_owned(), error))),
        Err(_) => return Ok(None),
    };
    let inode = stored.as_ref().and_then(|stored| stored.unmarked_inode);
    if !is_marked && inode != Some(Stat::of(&fd)?.ino) {
        return Ok(None);
    }
    let record = stored.map(|stored| stored.record);
    if !target::lock(&fd) {
        return Ok(Some(Found::InUse(name.to_owned(), record)));
    }
    let name = name.to_owned();
    let workspace = Workspace {
        name,
        fd,
        is_marked,
    };
    Ok(Some(Found::Left(workspace, record)))
}

/// Finds out whether a file system exchanges two names in one step.
pub(super) fn exchanges(workspace: &Workspace) -> io::Result<bool> {
    use rustix::fs::{RenameFlags, renameat_with};
    let fd = &workspace.fd;
    let trials = ["trial-1", "trial-2"];
    for name in trials {
        match mkdirat(fd, name, target::PRIVATE_DIRECTORY) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    let exchanged = renameat_with(fd, trials[0], fd, trials[1], RenameFlags::EXCHANGE);
    for name in trials {
        unlinkat(fd, name, AtFlags::REMOVEDIR)?;
    }
    Ok(exchanged.is_ok())
}
