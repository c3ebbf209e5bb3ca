//! Old trees that were kept, and discarding them.
//!
//! The old tree of `data` is `data.before-<time>` beside it, or `.before-<time>` in it where it was replaced entry
//! by entry. Beside the old tree lies a record of its name with `.json`, which has its inode number. Only a
//! directory with such a record, and this number, is taken for one: whatever else is called like it is somebody's
//! data.

use std::os::fd::OwnedFd;

use jiff::Timestamp;
use rustix::fs::renameat;
use rustix::io::{self, Errno};

use super::files;
use super::moves::rename_to_free;
use super::record::KeptRecord;
use crate::restore::names::Names;
use crate::restore::removal::{self, Stuck};
use crate::restore::target;
use crate::source::stat::Stat;

const BEFORE: &[u8] = b".before-";
const RECORD: &[u8] = b".json";
/// An old tree of which a part may be gone already.
const DISCARDED: &[u8] = b".discarded";

/// Bytes in a name, on nearly all file systems.
const MOST_BYTES: usize = 255;

/// What is added to a name: a time, a number where that is taken, and what is about to be removed.
const ADDED_BYTES: usize = ".before-20251227T020000Z-99.discarded".len();

/// The longest name of a target whose old tree can be kept beside it.
pub(super) const LONGEST_NAME: usize = MOST_BYTES - ADDED_BYTES;

/// The name of an old tree in the directory that its target's is in. Empty for what is in the target itself.
pub(super) fn name_of(target_name: &[u8], suffix: &str) -> Vec<u8> {
    [target_name, b".", suffix.as_bytes()].concat()
}

/// When, as ids of passes have it, and a number where that is taken.
pub(super) fn free_suffix(
    holder: &OwnedFd,
    target_name: &[u8],
    at: Timestamp,
) -> io::Result<String> {
    let first = format!("before-{}", at.strftime("%Y%m%dT%H%M%SZ"));
    let mut suffix = first.clone();
    let is_taken = |name: &[u8]| match target::look(holder, name) {
        // There is no such thing, and nothing to be kept either.
        Err(Errno::NAMETOOLONG) => Ok(false),
        looked => looked.map(|found| found.is_some()),
    };
    for number in 2.. {
        let name = name_of(target_name, &suffix);
        let record = [&name[..], RECORD].concat();
        if !is_taken(&name)? && !is_taken(&record)? {
            break;
        }
        suffix = format!("{first}-{number}");
    }
    Ok(suffix)
}

/// Writes the record of an old tree before that has its name. It is made in the workspace, so that nothing else
/// comes beside it.
pub(super) fn write(
    (workspace, holder): (&OwnedFd, &OwnedFd),
    name: &[u8],
    record: &KeptRecord,
) -> io::Result<()> {
    const MADE: &str = "kept.json";
    files::put(workspace, MADE, record)?;
    renameat(workspace, MADE, holder, [name, RECORD].concat())?;
    files::sync(holder)
}

/// The inode number of the old tree that was kept under this name, if it is there.
pub(super) fn inode_of(holder: &OwnedFd, name: &[u8]) -> io::Result<Option<u64>> {
    let record = [name, RECORD].concat();
    let Ok(Some(record)) = files::get::<KeptRecord>(holder, &record) else {
        return Ok(None);
    };
    let stat = target::look(holder, name)?;
    let is_it = stat.is_some_and(|stat| stat.ino == record.inode);
    Ok(is_it.then_some(record.inode))
}

/// An old tree that was kept.
#[derive(Debug, Clone)]
pub(super) struct KeptTree {
    pub(super) name: Vec<u8>,
    pub(super) record: KeptRecord,
}

impl KeptTree {
    fn record_name(&self) -> Vec<u8> {
        [&self.name, RECORD].concat()
    }

    fn discarded_name(&self) -> Vec<u8> {
        [&self.name, DISCARDED].concat()
    }

    /// Its name, its record's, and that of what is left of it.
    pub(super) fn names(&self) -> [Vec<u8>; 3] {
        [self.name.clone(), self.record_name(), self.discarded_name()]
    }

    /// Whether something has one of these names.
    pub(super) fn covers(&self, name: &[u8]) -> bool {
        self.names().iter().any(|own| own == name)
    }
}

/// The old trees in a directory: those of one target, or of all.
pub(super) fn find(holder: &OwnedFd, target_name: Option<&[u8]>) -> io::Result<Vec<KeptTree>> {
    let mut found = Vec::new();
    for record_name in Names::of(holder)?.iter() {
        let Some(name) = record_name.strip_suffix(RECORD) else {
            continue;
        };
        let Some(at) = name.windows(BEFORE.len()).rposition(|part| part == BEFORE) else {
            continue;
        };
        if target_name.is_some_and(|wanted| wanted != &name[..at]) {
            continue;
        }
        if let Ok(Some(record)) = files::get::<KeptRecord>(holder, record_name) {
            let name = name.to_vec();
            let tree = KeptTree { name, record };
            if tree.is_there(holder)? {
                found.push(tree);
            }
        }
    }
    Ok(found)
}

impl KeptTree {
    /// Whether it is there, or nothing is but its record.
    fn is_there(&self, holder: &OwnedFd) -> io::Result<bool> {
        let names = [self.name.clone(), self.discarded_name()];
        let mut is_free = true;
        for name in &names {
            if self.is_at(holder, name)? {
                return Ok(true);
            }
            is_free &= target::look(holder, name)?.is_none();
        }
        Ok(is_free)
    }

    fn is_at(&self, holder: &OwnedFd, name: &[u8]) -> io::Result<bool> {
        let stat: Option<Stat> = target::look(holder, name)?;
        Ok(stat.is_some_and(|stat| stat.ino == self.record.inode))
    }

    /// Removes it, and its record last. It gets another name first: what is only half there must not look like an
    /// old tree.
    pub(super) fn discard(&self, holder: &OwnedFd) -> Result<(), Stuck> {
        let discarded = self.discarded_name();
        let at = |error: Errno| Stuck {
            path: self.name.clone(),
            error,
        };
        if self.is_at(holder, &self.name).map_err(at)? {
            rename_to_free((holder, &self.name), (holder, &discarded)).map_err(at)?;
        }
        if self.is_at(holder, &discarded).map_err(at)? {
            removal::tree(holder, &discarded)?;
        }
        removal::tree(holder, &self.record_name())
    }
}
