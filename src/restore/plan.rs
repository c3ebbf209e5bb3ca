//! What a restore will do, without doing it.

use std::sync::Arc;

use rustix::io::Errno;
use serde::Serialize;

use super::action::Action;
use super::compare::compare;
use super::existing::{Existing, Way};
use super::sharing::Sharing;
use super::staging::StagingName;
use super::wanted::Wanted;
use super::{RestoreOptions, Shortfall, target};
use crate::format::entry::{Entry, Kind};
use crate::format::name::Name;
use crate::format::path::EntryPath;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{EntriesError, EntryIndex};
use crate::store::{Store, StoreError};

/// What becomes of all entries.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// By segment and the entry's place in it; a byte each.
    #[serde(skip)]
    actions: Vec<Vec<Action>>,
    /// The target was empty or missing; everything is created.
    #[serde(skip)]
    pub(super) target_is_empty: bool,
    /// The target was empty or missing when a restore began that was not finished.
    #[serde(skip)]
    pub(super) target_is_unfinished: bool,
    /// Files of the target that have several names.
    #[serde(skip)]
    pub(super) sharing: Sharing,
    /// What restores that were killed have left, by directory.
    #[serde(skip)]
    pub(super) leftovers: Vec<(EntryPath, StagingName)>,
    /// A name that neither the snapshot nor the target has.
    #[serde(skip)]
    pub(super) staging_name: StagingName,
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
    /// What the snapshot does not have, at most twenty of them: files that were never read, directories
    /// that were never listed.
    pub lacking: Vec<Shortfall>,
    /// How much it does not have.
    pub lacking_count: u64,
    /// What stands in the way, at most twenty of them.
    pub conflicts: Vec<String>,
    /// How many stand in the way.
    pub conflict_count: u64,
    /// Objects whose files are called something else than their keys, at most twenty of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub renamed: Vec<Renamed>,
    /// How many there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub renamed_count: u64,
    /// Segments of the manifest that cannot be read.
    pub damaged: Vec<String>,
}

/// An object whose file is called something else, because nothing can be called by its key.
#[derive(Debug, Serialize)]
pub struct Renamed {
    /// The key.
    pub key: String,
    /// The path, relative to the target.
    pub path: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
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
    loop {
        let root = match target::open(&options.target).and_then(Existing::of) {
            Ok(existing) => Some(existing),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(failed(options, &EntryPath::ROOT, error)),
        };
        let plan = plan_with(store, snapshot, options, (root, StagingName::random()))?;
        if let Some(plan) = plan {
            return Ok(plan);
        }
    }
}

/// The same for a target that is not there yet, wherever it is to be. Blocks.
///
/// # Errors
/// The store cannot be read.
pub fn plan_anew(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
) -> Result<Plan, PlanError> {
    loop {
        let plan = plan_with(store, snapshot, options, (None, StagingName::random()))?;
        if let Some(plan) = plan {
            return Ok(plan);
        }
    }
}

fn failed(options: &RestoreOptions, path: &EntryPath, error: Errno) -> PlanError {
    PlanError::Target {
        path: options.target.join(path.to_string()).display().to_string(),
        error: error.into(),
    }
}

/// The same for a restore that stages under this name, unless something has it.
fn plan_with(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    (root, staging_name): (Option<Existing>, StagingName),
) -> Result<Option<Plan>, PlanError> {
    let mut plan = Plan::of_target(root.as_ref(), staging_name);
    let mut way = Way::new(root, &plan.staging_name);
    for wanted in Wanted::of(store, snapshot, options) {
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(EntriesError::Store(error)) => return Err(error.into()),
            Err(damaged) => {
                plan.damaged.push(damaged.to_string());
                continue;
            }
        };
        let entry = &wanted.entry;
        let name = entry.path().name();
        if name.is_some_and(|name| plan.staging_name.covers(name)) {
            return Ok(None);
        }
        let at_entry = |error| failed(options, entry.path(), error);
        let above = way.to(entry.path()).map_err(at_entry)?;
        let action = match (name, above) {
            _ if entry.metadata.kind.is_skipped() => Action::Skip,
            (Some(name), Some(above)) if above.has(name) => {
                let (action, stat) = compare(&above.fd, name, entry).map_err(at_entry)?;
                match (action, stat) {
                    (Action::Keep, Some(stat)) if plan.sharing.is_taken(&stat, entry) => {
                        Action::Separate
                    }
                    _ => action,
                }
            }
            (None, Some(_)) => Action::Keep,
            _ => Action::Create,
        };
        if entry.metadata.kind == Kind::Directory && !entry.path().is_root() {
            way.enter(entry.path()).map_err(at_entry)?;
        }
        if let Some(key) = wanted.renamed_from() {
            plan.rename(key, entry);
        }
        if let Some(error) = wanted.lacking() {
            plan.lack(entry, error);
        }
        plan.add(wanted.place, entry, action, options.overwrite);
    }
    if way.has_staging_name {
        return Ok(None);
    }
    plan.leftovers = way.leftovers;
    plan.sharing.look_for_others(store, snapshot, options)?;
    Ok(Some(plan))
}

impl Plan {
    fn of_target(root: Option<&Existing>, staging_name: StagingName) -> Self {
        Self {
            actions: Vec::new(),
            target_is_empty: root.is_none_or(Existing::is_empty),
            target_is_unfinished: root.is_some_and(Existing::is_unfinished),
            sharing: Sharing::default(),
            leftovers: Vec::new(),
            staging_name,
            create: 0,
            create_bytes: 0,
            keep: 0,
            replace: 0,
            replace_bytes: 0,
            special: 0,
            without_contents: 0,
            lacking: Vec::new(),
            lacking_count: 0,
            conflicts: Vec::new(),
            conflict_count: 0,
            renamed: Vec::new(),
            renamed_count: 0,
            damaged: Vec::new(),
        }
    }

    /// Whether nothing was wanted, of what could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let entries = [self.create, self.keep, self.replace, self.special];
        let wanted = entries.iter().sum::<u64>() + self.without_contents + self.conflict_count;
        wanted == 0 && self.damaged.is_empty()
    }

    /// What becomes of the entry at `place`. Nothing, where its segment could not be read when the
    /// plan was made.
    pub(super) fn action(&self, place: EntryIndex) -> Option<Action> {
        match self.target_is_empty {
            true => Some(Action::Create),
            false => self.actions.get(place.segment)?.get(place.entry).copied(),
        }
    }

    fn rename(&mut self, key: &Name, entry: &Entry) {
        self.renamed_count += 1;
        if self.renamed.len() < NAMED {
            self.renamed.push(Renamed {
                key: key.to_string(),
                path: entry.path().to_string(),
            });
        }
    }

    fn lack(&mut self, entry: &Entry, error: String) {
        self.lacking_count += 1;
        if self.lacking.len() < NAMED {
            let path = entry.path().to_string();
            self.lacking.push(Shortfall { path, error });
        }
    }

    fn add(&mut self, place: EntryIndex, entry: &Entry, action: Action, overwrite: bool) {
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
            Action::Keep | Action::Separate => self.keep += 1,
            Action::Replace => {
                self.replace += 1;
                self.replace_bytes += entry.metadata.size;
            }
            Action::Conflict => {
                self.conflict_count += 1;
                if self.conflicts.len() < NAMED {
                    self.conflicts.push(entry.path().to_string());
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
