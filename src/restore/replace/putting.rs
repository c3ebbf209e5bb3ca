//! Putting a new tree in place by its journal, or going on with that where an earlier restore was killed.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

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
            return self.put_in_place(workspace, &mut record).map(Some);
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
        let mut carried = Carried::default();
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
        let at = |error: Errno| ReplaceError::system(&self.place.path, error);
        if let Err(refused) = carry(record, &mut carried) {
            record.progress = Progress::Back;
            workspace.write(record).map_err(at)?;
            carry(record, &mut carried).map_err(|stuck| ReplaceError::Stuck {
                path: self.shown(&stuck.path),
                error: stuck.error.into(),
            })?;
            record.progress = Progress::Restoring;
            workspace.write(record).map_err(at)?;
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
        carry.finish(&mut carried).map_err(at)?;
        let own = carry.own().map_err(at)?;
        workspace.remove(self.holder)?;
        // Removing it has changed the time.
        if let Some(own) = own {
            let _ = give(self.holder, &own, self.owners);
        }
        let kept = carried.kept.map(|name| {
            let holder = self.place.holder_path(record.whole);
            let name = OsStr::from_bytes(&name);
            holder.join(name).display().to_string()
        });
        let failures = carried.lacking.into_iter();
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
