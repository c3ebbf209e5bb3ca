//! A new tree, from the room that is made for it to the moment it is put in place.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use super::error::ReplaceError;
use super::held::Held;
use super::place::{Hindrance, Place};
use super::putting::Putting;
use super::record::{Before, Progress, ReplaceRecord};
use super::steps::Attributes;
use super::workspace::{self, Found, NEW, Workspace};
use super::{ReplaceOptions, Replaced, kept, prepared, steps};
use crate::format::snapshot::Snapshot;
use crate::restore::metadata::give_time;
use crate::restore::target;
use crate::store::Store;

/// What a restore that replaces a tree begins with.
pub enum Begun {
    /// An earlier restore of the same snapshot had come so far that only putting the new tree in place was left. It
    /// is.
    Finished(Box<Replaced>),
    /// The new tree can be restored.
    Ready(Box<Replacement>),
}

/// A new tree that is to be put in place.
pub struct Replacement {
    options: ReplaceOptions,
    place: Place,
    holder: OwnedFd,
    workspace: Workspace,
    record: ReplaceRecord,
    held: Held,
}

/// Finishes or removes what earlier restores have left, and makes room for the new tree. Blocks.
///
/// # Errors
/// The tree cannot be replaced, or another restore is at work there.
pub fn begin(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &ReplaceOptions,
) -> Result<Begun, ReplaceError> {
    loop {
        let place = Place::find(&options.target)?;
        if let Some(existing) = &place.existing
            && !target::lock(existing)
        {
            return Err(ReplaceError::InUse(None));
        }
        let held = Held::of(&place.path, &place.mounts, (store, snapshot))?;
        let is_wanted = |record: &ReplaceRecord| {
            record.source == snapshot.source.as_str() && record.snapshot == snapshot.pass.as_str()
        };
        let mut continued = None;
        let (mut finished, mut is_settled) = (None, true);
        for whole in [true, false] {
            let Some(holder) = holder(&place, whole)? else {
                continue;
            };
            let at = |error: Errno| ReplaceError::system(&place.path, error);
            for found in workspace::find(&holder, Some(name(&place, whole))).map_err(at)? {
                let is_as_now = whole == place.hindrance.is_none();
                match found {
                    Found::Mark(name) => workspace::remove_mark(&holder, &name)?,
                    Found::InUse(_, record) => {
                        return Err(ReplaceError::InUse(record.map(Box::new)));
                    }
                    Found::Unclear(name, error) => {
                        let path = place.holder_path(whole).join(name).display().to_string();
                        return Err(ReplaceError::Unclear { path, error });
                    }
                    Found::Left(left, Some(record)) if record.progress != Progress::Restoring => {
                        let name = name(&place, whole);
                        let carry = Putting {
                            place: &place,
                            holder: &holder,
                            name,
                            owners: options.owners,
                        };
                        finished = carry.go_on(left, record)?.or(finished);
                        is_settled = false;
                    }
                    Found::Left(left, Some(record))
                        if is_as_now && continued.is_none() && is_wanted(&record) =>
                    {
                        continued = Some((left, record));
                    }
                    Found::Left(left, _) => left.remove(&holder)?,
                }
            }
        }
        match finished {
            Some(finished) if is_same(&finished, snapshot) => {
                return Ok(Begun::Finished(Box::new(finished)));
            }
            // The place is another one now.
            _ if !is_settled => continue,
            _ => {}
        }
        let ready = Replacement::new(options, place, held, (snapshot, continued))?;
        return Ok(Begun::Ready(Box::new(ready)));
    }
}

fn is_same(finished: &Replaced, snapshot: &Snapshot) -> bool {
    (&*finished.source, &*finished.snapshot) == (snapshot.source.as_str(), snapshot.pass.as_str())
}

/// The directory in which names would be put in place, if it is there.
fn holder(place: &Place, whole: bool) -> Result<Option<OwnedFd>, ReplaceError> {
    if !whole && place.existing.is_none() {
        return Ok(None);
    }
    match place.open_holder(whole) {
        Ok(holder) => Ok(Some(holder)),
        Err(error) if whole => match error.kind() {
            // Then nothing was left there.
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => Ok(None),
            _ => Err(ReplaceError::system(place.parent(), error)),
        },
        Err(error) => Err(ReplaceError::system(&place.path, error)),
    }
}

/// What the target is called in there.
fn name(place: &Place, whole: bool) -> &[u8] {
    match whole {
        true => place.name.as_bytes(),
        false => b"",
    }
}

impl Replacement {
    fn new(
        options: &ReplaceOptions,
        place: Place,
        held: Held,
        (snapshot, continued): (&Snapshot, Option<(Workspace, ReplaceRecord)>),
    ) -> Result<Self, ReplaceError> {
        let whole = place.hindrance.is_none();
        let above = place.holder_path(whole);
        if whole && place.existing.is_none() {
            std::fs::create_dir_all(&above).map_err(|error| ReplaceError::system(&above, error))?;
        }
        let holder =
            (place.open_holder(whole)).map_err(|error| ReplaceError::system(&above, error))?;
        let mut record = ReplaceRecord {
            source: snapshot.source.to_string(),
            snapshot: snapshot.pass.to_string(),
            host: options.host.clone(),
            pid: std::process::id(),
            started_at: options.started_at,
            target: place.path.display().to_string(),
            whole,
            by_source: options.by_source,
            old: match whole {
                true => None,
                false => Some(
                    Attributes::of(&holder).map_err(|error| ReplaceError::system(&above, error))?,
                ),
            },
            before: None,
            exchanges: false,
            progress: Progress::Restoring,
        };
        let at = |error: Errno| ReplaceError::system(&above, error);
        let workspace = match continued {
            Some((left, earlier)) => {
                record.started_at = earlier.started_at;
                record.old = earlier.old;
                left.write(&record).map_err(at)?;
                left
            }
            None => {
                let made = Workspace::make(&holder, name(&place, whole), &record).map_err(at)?;
                if let Some(old) = &record.old {
                    // The old tree is as it was.
                    let _ = give_time(&holder, old.mtime_ns());
                }
                made
            }
        };
        Ok(Self {
            options: options.clone(),
            place,
            holder,
            workspace,
            record,
            held,
        })
    }

    /// Where the new tree is to be restored.
    #[must_use]
    pub fn staged(&self) -> PathBuf {
        let above = self.place.holder_path(self.record.whole);
        let new = above.join(&self.workspace.name).join(NEW);
        match self.record.whole {
            true => new.join(&self.place.name),
            false => new,
        }
    }

    /// Why its entries are exchanged one by one, if they are.
    #[must_use]
    pub fn hindrance(&self) -> Option<&Hindrance> {
        self.place.hindrance.as_ref()
    }

    /// Puts the new tree in place, which was restored to where [`staged`](Self::staged) says, completely, and synced.
    ///
    /// # Errors
    /// The old tree is in place as it was, unless it says otherwise.
    pub fn put_in_place(mut self) -> Result<Replaced, ReplaceError> {
        let path = self.place.path.clone();
        let at = |error: Errno| ReplaceError::system(&path, error);
        self.write_journal().map_err(at)?;
        let whole = self.record.whole;
        let left = Putting {
            place: &self.place,
            holder: &self.holder,
            name: name(&self.place, whole),
            owners: self.options.owners,
        };
        let replaced = left.put_in_place(self.workspace, &mut self.record)?;
        Ok(Replaced {
            was_unfinished: false,
            ..replaced
        })
    }

    fn write_journal(&mut self) -> rustix::io::Result<()> {
        let whole = self.record.whole;
        let (holder, workspace) = (&self.holder, &self.workspace);
        let exchanges = workspace::exchanges(workspace)?;
        let name = name(&self.place, whole);
        let lines = match whole {
            true => prepared::whole(holder, workspace, name, exchanges)?,
            false => {
                let held = (&self.held, self.record.old.as_ref());
                prepared::entries(holder, workspace, held, exchanges)?
            }
        };
        steps::write(&workspace.fd, lines.into_iter().map(Ok))?;
        let at = self.options.started_at;
        let suffix = kept::free_suffix(holder, name, at)?;
        self.record.exchanges = exchanges;
        self.record.before = Some(Before { suffix, at });
        self.record.progress = Progress::Forward;
        workspace.write(&self.record)
    }
}
