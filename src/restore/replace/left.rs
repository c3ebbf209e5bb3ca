//! Old trees of a target, and discarding them.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::Serialize;

use super::error::ReplaceError;
use super::kept::{self, KeptTree};
use super::place::Place;
use super::record::{KeptRecord, Progress};
use super::workspace::{self, Found, Workspace};
use crate::restore::metadata::give_time;
use crate::restore::names::Names;
use crate::restore::{Shortfall, target};
use crate::source::stat::Stat;

/// An old tree that was kept, or a new one that was never put in place.
#[derive(Debug, Clone, Serialize)]
pub struct OldTree {
    /// Where.
    pub path: String,
    /// What replaced it, and when; nothing of a new tree that was never finished.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub record: Option<KeptRecord>,
}

/// What was discarded, and what could not be.
#[derive(Debug, Default, Serialize)]
pub struct Discarded {
    /// All that is gone.
    pub discarded: Vec<OldTree>,
    /// What stays, and why.
    pub failures: Vec<Shortfall>,
}

enum Tree {
    Kept(KeptTree),
    Unfinished(Workspace),
    /// The mark of one that is gone otherwise.
    Mark(String),
}

/// A directory with old trees in it.
struct Holder {
    fd: OwnedFd,
    path: PathBuf,
    trees: Vec<Tree>,
    /// The time of a tree that these were kept in, which is to stay what it is.
    mtime_ns: Option<i64>,
}

/// Which of the old trees in a directory are meant.
#[derive(Clone, Copy)]
enum Whose<'a> {
    /// Those of the target of this name.
    Target(&'a [u8]),
    /// Those of sources that were restored together into directories of their names: beside these directories, or
    /// in one of them.
    Sources { beside: bool },
}

/// The old trees of a target, and new ones that restores have left unfinished.
///
/// # Errors
/// They cannot be looked for, a restore is at work there, or one was killed while it put a tree in place.
pub fn old_trees(target: &Path) -> Result<Vec<OldTree>, ReplaceError> {
    let holders = find(target)?;
    let trees = (holders.iter())
        .flat_map(|holder| (holder.trees.iter()).map(|tree| tree.shown(&holder.path)));
    Ok(trees.collect())
}

/// Discards them.
///
/// # Errors
/// As for looking at them. What cannot be removed is in what is returned.
pub fn discard(target: &Path) -> Result<Discarded, ReplaceError> {
    let mut discarded = Discarded::default();
    for holder in find(target)? {
        let Holder {
            fd,
            path,
            trees,
            mtime_ns,
        } = holder;
        for tree in trees {
            let shown = tree.shown(&path);
            let result = match tree {
                Tree::Kept(kept) => kept.discard(&fd),
                Tree::Unfinished(workspace) => workspace.remove(&fd),
                Tree::Mark(name) => workspace::remove_mark(&fd, &name),
            };
            match result {
                Ok(()) => discarded.discarded.push(shown),
                Err(stuck) => discarded.failures.push(Shortfall {
                    path: shown.path,
                    error: stuck.to_string(),
                }),
            }
        }
        if let Some(mtime_ns) = mtime_ns {
            let _ = give_time(&fd, mtime_ns);
        }
    }
    Ok(discarded)
}

impl Tree {
    fn shown(&self, holder: &Path) -> OldTree {
        let (name, record) = match self {
            Self::Kept(kept) => (&kept.name[..], Some(kept.record.clone())),
            Self::Unfinished(workspace) => (workspace.name.as_bytes(), None),
            Self::Mark(name) => (name.as_bytes(), None),
        };
        let path = holder.join(OsStr::from_bytes(name)).display().to_string();
        OldTree { path, record }
    }
}

fn find(target: &Path) -> Result<Vec<Holder>, ReplaceError> {
    let place = Place::find(target)?;
    let mut found = Vec::new();
    if let Ok(parent) = place.open_holder(true) {
        let own = Whose::Target(place.name.as_bytes());
        found.push(Holder::of(parent, place.parent(), own)?);
    }
    let Some(existing) = &place.existing else {
        return Ok(found);
    };
    let at = |error: std::io::Error| ReplaceError::system(&place.path, error);
    for whose in [Whose::Target(b""), Whose::Sources { beside: true }] {
        let fd = existing.try_clone().map_err(at)?;
        found.push(Holder::of(fd, &place.path, whose)?);
    }
    for name in Names::of(existing)
        .map_err(|error| at(error.into()))?
        .iter()
    {
        if let Ok(below) = target::enter(existing, name) {
            let path = place.path.join(OsStr::from_bytes(name));
            found.push(Holder::of(below, &path, Whose::Sources { beside: false })?);
        }
    }
    Ok(found)
}

impl Holder {
    fn of(fd: OwnedFd, path: &Path, whose: Whose<'_>) -> Result<Self, ReplaceError> {
        let at = |error: Errno| ReplaceError::system(path, error);
        let name = match whose {
            Whose::Target(name) => Some(name),
            Whose::Sources { beside: false } => Some(&b""[..]),
            Whose::Sources { beside: true } => None,
        };
        let is_meant = |by_source: bool| by_source || matches!(whose, Whose::Target(_));
        let mut trees = Vec::new();
        for found in workspace::find(&fd, name).map_err(at)? {
            match found {
                Found::Left(workspace, Some(record)) if is_meant(record.by_source) => {
                    if record.progress != Progress::Restoring {
                        let path = record.target;
                        return Err(ReplaceError::Unfinished { path });
                    }
                    trees.push(Tree::Unfinished(workspace));
                }
                Found::InUse(_, record)
                    if is_meant(record.as_ref().is_some_and(|record| record.by_source)) =>
                {
                    return Err(ReplaceError::InUse(record.map(Box::new)));
                }
                // What has no record was killed before it had anything, or when it had nothing any more.
                Found::Left(workspace, None) if is_meant(false) => {
                    trees.push(Tree::Unfinished(workspace));
                }
                Found::Mark(name) if is_meant(false) => trees.push(Tree::Mark(name)),
                _ => {}
            }
        }
        let kept = kept::find(&fd, name).map_err(at)?;
        let kept = kept
            .into_iter()
            .filter(|kept| is_meant(kept.record.by_source));
        // Those of the target itself are found by its name, which is empty.
        let kept = kept.filter(|kept| name.is_some() || !kept.name.starts_with(b"."));
        trees.extend(kept.map(Tree::Kept));
        let is_target = name == Some(b"") && !trees.is_empty();
        let stat = Stat::of(&fd).map_err(at)?;
        Ok(Self {
            fd,
            path: path.to_owned(),
            trees,
            mtime_ns: is_target.then_some(stat.metadata.mtime_ns),
        })
    }
}
