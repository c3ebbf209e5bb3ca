//! Putting a new tree in place by its journal, or going on with that where an earlier restore was killed.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use super::Replaced;
use super::carry::{Carried, Carry, give};
use super::error::ReplaceError;
use super::place::Place;
use super::record::{Progress, ReplaceRecord};
use super::workspace::Workspace;
use crate::restore::Shortfall;

/// A journal that is gone through.
pub(super) struct Putting<'a> {
    pub(super) place: &'a Place,
    /// The directory in which names are put in place.
    pub(super) holder: &'a OwnedFd,
    /// What the target is called in there; empty where that is the target.
    pub(super) name: &'a [u8],
    /// Whether owners are restored; only root may.
    pub(super) owners: bool,
}

impl Putting<'_> {
    /// Goes on with what an earlier restore has begun. What was replaced; `None` where the old tree was put back.
    pub(super) fn go_on(
        &self,
        workspace: Workspace,
        mut record: ReplaceRecord,
    ) -> Result<Option<Replaced>, ReplaceError> {
        let carry = Carry {
            holder: self.holder,
            workspace: &workspace,
            record: &record,
            target_name: self.name,
            owners: self.owners,
        };
        if record.progress == Progress::Forward {
            let mut carried = Carried::default();
            let replaced = self.carry_out(workspace, &mut record, &mut carried)?;
            // Somebody has removed the new tree since: it is restored again.
            return Ok((!carried.is_gone).then_some(replaced));
        }
        let back = carry.back();
        back.map_err(|refused| ReplaceError::Stuck {
            path: self.shown(&refused.path),
            error: refused.error.into(),
        })?;
        workspace.remove(self.holder)?;
        Ok(None)
    }

    /// Makes all steps of a journal; takes them back where one is refused.
    pub(super) fn put_in_place(
        &self,
        workspace: Workspace,
        record: &mut ReplaceRecord,
    ) -> Result<Replaced, ReplaceError> {
        self.carry_out(workspace, record, &mut Carried::default())
    }

    fn carry_out(
        &self,
        workspace: Workspace,
        record: &mut ReplaceRecord,
        carried: &mut Carried,
    ) -> Result<Replaced, ReplaceError> {
        let carry = |record: &ReplaceRecord, carried: &mut Carried| {
            let carry = Carry {
                holder: self.holder,
                workspace: &workspace,
                record,
                target_name: self.name,
                owners: self.owners,
            };
            match record.progress {
                Progress::Back => carry.back(),
                _ => carry.forward(carried),
            }
        };
        if let Err(refused) = carry(record, carried) {
            record.progress = Progress::Back;
            // A full disk keeps nothing from being taken back. Should this be killed, the next restore goes forward.
            let _ = workspace.write(record);
            carry(record, carried).map_err(|stuck| ReplaceError::Stuck {
                path: self.shown(&stuck.path),
                error: stuck.error.into(),
            })?;
            record.progress = Progress::Restoring;
            // Otherwise the next restore goes by the journal.
            let _ = workspace.write(record);
            return Err(ReplaceError::Refused {
                path: self.shown(&refused.path),
                error: refused.error.into(),
            });
        }
        let carry = Carry {
            holder: self.holder,
            workspace: &workspace,
            record,
            target_name: self.name,
            owners: self.owners,
        };
        let path = self.shown(&workspace.name);
        let placed = |error: String| ReplaceError::Placed {
            path: path.clone(),
            error,
        };
        let finished = carry.finish(carried).and_then(|()| carry.own());
        let own = finished.map_err(|error| placed(std::io::Error::from(error).to_string()))?;
        let removed = workspace.remove(self.holder);
        removed.map_err(|stuck| placed(stuck.to_string()))?;
        // Removing it has changed the time.
        if let Some(own) = own {
            let _ = give(self.holder, &own, self.owners);
        }
        let kept = carried.kept.take().map(|name| {
            let holder = self.place.holder_path(record.whole);
            let name = OsStr::from_bytes(&name);
            holder.join(name).display().to_string()
        });
        let failures = std::mem::take(&mut carried.lacking).into_iter();
        Ok(Replaced {
            target: self.place.path.display().to_string(),
            source: record.source.clone(),
            snapshot: record.snapshot.clone(),
            kept,
            was_unfinished: true,
            failures: failures
                .map(|(path, error)| Shortfall { path, error })
                .collect(),
        })
    }

    fn shown(&self, path: &str) -> String {
        let whole = !self.name.is_empty();
        let holder = self.place.holder_path(whole);
        holder.join(path).display().to_string()
    }
}
