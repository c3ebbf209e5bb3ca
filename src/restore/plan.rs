//! What a restore will do, without doing it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{RestoreOptions, Wanted, target};
use crate::entries::{EntriesError, Place};
use crate::manifest::entry::{Entry, Kind};
use crate::manifest::path::EntryPath;
use crate::manifest::snapshot::Snapshot;
use crate::store::{Store, StoreError};

/// Read at a time when a file that is there is compared.
const HASH_BYTES: usize = 1 << 20;

/// What becomes of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// It is not asked for, or not captured.
    Skip,
    /// There is nothing in its place.
    Create,
    /// The same is there already.
    Keep,
    /// Something else is there, and gives way.
    Replace,
    /// Something else is there, and stays.
    Conflict,
}

/// What becomes of all entries.
#[derive(Debug, Default, Serialize)]
pub struct Plan {
    /// By segment and the entry's place in it; a byte each.
    #[serde(skip)]
    actions: Vec<Vec<Action>>,
    /// The target was empty or missing; everything is created.
    #[serde(skip)]
    pub(super) target_is_empty: bool,
    /// Files, links and directories to create.
    pub create: u64,
    /// Bytes of those files.
    pub create_bytes: u64,
    /// Entries that are there already.
    pub keep: u64,
    /// Entries that replace something else.
    pub replace: u64,
    /// Bytes of those files.
    pub replace_bytes: u64,
    /// Sockets, pipes and devices, which are not restored.
    pub special: u64,
    /// Entries whose contents were never captured.
    pub without_contents: u64,
    /// What stands in the way, at most so many of them.
    pub conflicts: Vec<String>,
    /// How many stand in the way.
    pub conflict_count: u64,
    /// Segments of the manifest that cannot be read.
    pub damaged: Vec<String>,
}

/// Conflicts that are named; the rest is counted.
const NAMED: usize = 20;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The target cannot be looked at.
    #[error("cannot look at `{path}`: {error}")]
    Target {
        /// What exactly.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Compares the target with what is to be restored. Blocks.
///
/// # Errors
/// The target or the store cannot be read.
pub fn plan(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
) -> Result<Plan, PlanError> {
    let failed = |path: &EntryPath, error: Errno| PlanError::Target {
        path: options.target.join(path.to_string()).display().to_string(),
        error: error.into(),
    };
    let root = match target::open(&options.target) {
        Ok(fd) => Some(fd),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(failed(&EntryPath::ROOT, error)),
    };
    let mut plan = Plan {
        target_is_empty: root.is_none() || is_empty(options),
        ..Plan::default()
    };
    // Directories on the way to the current entry; `None` where the target has none.
    let mut open: Vec<(EntryPath, Option<OwnedFd>)> = vec![(EntryPath::ROOT, root)];
    for wanted in Wanted::of(store, snapshot, options) {
        let (place, entry) = match wanted {
            Ok(wanted) => wanted,
            Err(EntriesError::Store(error)) => return Err(error.into()),
            Err(damaged) => {
                plan.damaged.push(damaged.to_string());
                continue;
            }
        };
        while open.len() > 1
            && open
                .last()
                .is_some_and(|(dir, _)| !entry.path.is_below(dir))
        {
            open.pop();
        }
        // Those whose own entry is lost with a segment; the restore makes them.
        let missing: Vec<_> = match open.last() {
            Some((last, _)) => entry.path.directories_below(last).collect(),
            None => Vec::new(),
        };
        for path in missing {
            let above = open.last().and_then(|(_, fd)| fd.as_ref());
            let fd = above
                .zip(path.name())
                .and_then(|(above, name)| target::enter(above, name).ok());
            open.push((path, fd));
        }
        let above = open.last().and_then(|(_, fd)| fd.as_ref());
        let action = match (entry.path.name(), above) {
            _ if entry.metadata.kind.is_skipped() => Action::Skip,
            (Some(name), Some(above)) if !plan.target_is_empty => {
                compare(above, name, &entry).map_err(|error| failed(&entry.path, error))?
            }
            (None, Some(_)) => Action::Keep,
            _ => Action::Create,
        };
        if entry.metadata.kind == Kind::Directory && !entry.path.is_root() {
            let fd = match (action, above, entry.path.name()) {
                (Action::Keep, Some(above), Some(name)) => {
                    let entered = target::enter(above, name);
                    Some(entered.map_err(|error| failed(&entry.path, error))?)
                }
                _ => None,
            };
            open.push((entry.path.clone(), fd));
        }
        plan.add(place, &entry, action, options.overwrite);
    }
    Ok(plan)
}

fn is_empty(options: &RestoreOptions) -> bool {
    std::fs::read_dir(&options.target).is_ok_and(|mut entries| entries.next().is_none())
}

/// What to do about `entry`, given what is under its name.
fn compare(directory: &OwnedFd, name: &[u8], entry: &Entry) -> Result<Action, Errno> {
    let Some(stat) = target::look(directory, name)? else {
        return Ok(Action::Create);
    };
    if stat.metadata.kind != entry.metadata.kind {
        // Whole directories are never removed to make room.
        return Ok(match stat.metadata.kind {
            Kind::Directory => Action::Conflict,
            _ => Action::Replace,
        });
    }
    let same = match entry.metadata.kind {
        Kind::Directory => true,
        Kind::Symlink => Some(target::read_link(directory, name)?) == entry.target,
        _ => stat.metadata.size == entry.metadata.size && has_contents(directory, name, entry)?,
    };
    Ok(if same { Action::Keep } else { Action::Replace })
}

fn has_contents(directory: &OwnedFd, name: &[u8], entry: &Entry) -> Result<bool, Errno> {
    let Some(content) = &entry.content else {
        return Ok(false);
    };
    let file = target::open_file(directory, name)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; HASH_BYTES];
    loop {
        match rustix::io::read(&file, &mut buffer) {
            Ok(0) => break,
            Ok(length) => hasher.update(&buffer[..length]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hasher.finalize()[..] == content.sha256)
}

impl Plan {
    /// Whether nothing was wanted, of what could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let entries = [self.create, self.keep, self.replace, self.special];
        let wanted = entries.iter().sum::<u64>() + self.without_contents + self.conflict_count;
        wanted == 0 && self.damaged.is_empty()
    }

    /// The part of a plan that [`apply`](super::apply()) goes by.
    #[must_use]
    pub fn of_target(plan: &Self) -> Self {
        Self {
            actions: plan.actions.clone(),
            target_is_empty: plan.target_is_empty,
            ..Self::default()
        }
    }

    /// What becomes of the entry at `place`. Nothing, where its segment could not be read when the
    /// plan was made.
    pub(super) fn action(&self, place: Place) -> Option<Action> {
        match self.target_is_empty {
            true => Some(Action::Create),
            false => self.actions.get(place.segment)?.get(place.entry).copied(),
        }
    }

    fn add(&mut self, place: Place, entry: &Entry, action: Action, overwrite: bool) {
        if entry.metadata.kind.is_skipped() {
            self.special += 1;
        } else if entry.metadata.kind == Kind::File && entry.content.is_none() {
            self.without_contents += 1;
        }
        let action = match action {
            Action::Replace if !overwrite => Action::Conflict,
            action => action,
        };
        match action {
            Action::Skip => {}
            Action::Create => {
                self.create += 1;
                self.create_bytes += entry.metadata.size;
            }
            Action::Keep => self.keep += 1,
            Action::Replace => {
                self.replace += 1;
                self.replace_bytes += entry.metadata.size;
            }
            Action::Conflict => {
                self.conflict_count += 1;
                if self.conflicts.len() < NAMED {
                    self.conflicts.push(entry.path.to_string());
                }
            }
        }
        if !self.target_is_empty {
            if self.actions.len() <= place.segment {
                self.actions.resize(place.segment + 1, Vec::new());
            }
            let actions = &mut self.actions[place.segment];
            actions.resize(place.entry + 1, Action::Skip);
            actions[place.entry] = action;
        }
    }
}
