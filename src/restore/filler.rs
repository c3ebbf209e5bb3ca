//! Going through the entries in order: directories and symbolic links are made, files handed out.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;

use super::action::Action;
use super::batch::{self, Batch};
use super::directory::Directory;
use super::file;
use super::placed::Placed;
use super::wanted::WantedEntry;
use super::worker::{RestoreReport, Unrestored, Worker};
use super::{metadata, names, target};
use crate::contents::ContentsError;
use crate::format::entry::{Entry, Kind};
use crate::format::path::EntryPath;
use crate::snapshots::entries::EntriesError;

/// Who may do what with a directory that is made for objects.
const OBJECTS_DIRECTORY: Mode = Mode::from_raw_mode(0o755);

/// Where the restore is in the tree.
pub(super) struct Filler<'a> {
    worker: &'a Arc<Worker>,
    report: &'a mut RestoreReport,
    target: Arc<Directory>,
    /// Directories below the target on the way to the current entry.
    open: Vec<(EntryPath, Arc<Directory>)>,
    files: crossbeam_channel::Sender<Batch>,
    /// Small files of the directory at hand, to be handed out together.
    small: Vec<Placed>,
    /// Whether there are objects to restore, which no directories are recorded of.
    has_objects: bool,
}

impl<'a> Filler<'a> {
    pub(super) fn new(
        worker: &'a Arc<Worker>,
        report: &'a mut RestoreReport,
        target: Arc<Directory>,
        files: crossbeam_channel::Sender<Batch>,
    ) -> Self {
        Self {
            worker,
            report,
            target,
            open: Vec::new(),
            files,
            small: Vec::new(),
            has_objects: false,
        }
    }

    pub(super) fn take(&mut self, wanted: Result<WantedEntry, EntriesError>) {
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(EntriesError::Store(error)) => {
                return self.worker.end_early(error.to_string());
            }
            Err(damaged) => {
                let path = EntryPath::parse("(manifest)").unwrap_or_default();
                return self.worker.failed(&path, &damaged.to_string());
            }
        };
        self.has_objects |= wanted.key.is_some();
        let lacking = wanted.lacking();
        let entry = wanted.entry;
        let is_earlier = entry.unreadable.is_some() && lacking.is_none();
        self.report.earlier_state += u64::from(is_earlier);
        self.open
            .retain(|(directory, _)| entry.path().is_below(directory));
        if entry.metadata.kind.is_skipped() {
            self.report.special += 1;
            return;
        }
        let Some(action) = self.worker.plan.action(wanted.place) else {
            let error =
                "its segment could not be read when the target was looked at; restore again";
            return self.worker.failed(entry.path(), error);
        };
        if matches!(action, Action::Skip | Action::Conflict) {
            return;
        }
        if let Some(error) = lacking {
            self.worker.failed(entry.path(), &error);
        }
        let path = entry.path().clone();
        let result = match entry.metadata.kind {
            Kind::Directory => self.directory(entry, action),
            _ => self.other(entry, action),
        };
        self.worker.settle(&path, result);
    }

    fn directory(&mut self, entry: Entry, action: Action) -> Result<(), Unrestored> {
        self.report.directories += 1;
        self.hand_out_small()?;
        let Some(name) = entry.path().name() else {
            self.target(entry);
            return Ok(());
        };
        let above = self.above(entry.path())?;
        let fd = match action {
            Action::Keep => target::enter_own(&above.fd, name)?,
            Action::Replace => {
                above.change(|fd| target::remove(fd, name))?;
                above.change(|fd| target::make(fd, name))?
            }
            _ => make_or_enter(&above, name)?,
        };
        let path = entry.path().clone();
        let directory = above.child(fd, path.clone(), Some(entry));
        self.open.push((path, directory));
        Ok(())
    }

    /// A target that was there before keeps what it has; but for one that is, by all but its time and
    /// its owner's own rights, what this snapshot has. That may be what a restore has left that was killed
    /// when only these were lacking.
    fn target(&self, entry: Entry) {
        let is_new = self.worker.record.target_is_new;
        let owners = self.worker.options.owners;
        let is_all = self.worker.options.is_all();
        if is_all && (is_new || metadata::is_almost_given(&self.target.fd, &entry, owners)) {
            self.target.give(entry);
        }
    }

    fn other(&mut self, entry: Entry, action: Action) -> Result<(), Unrestored> {
        let placed = Placed {
            directory: self.above(entry.path())?,
            entry,
            action,
            fetched: None,
        };
        if placed.entry.metadata.kind == Kind::Symlink {
            return file::restore_symlink(self.worker, &placed);
        }
        let name = self.worker.links.name(&placed.entry);
        if !batch::is_small(&placed, &name) {
            return self.hand_out(Batch::One(Box::new(placed), name));
        }
        if !batch::has_room(&self.small, &placed) {
            self.hand_out_small()?;
        }
        self.small.push(placed);
        Ok(())
    }

    fn hand_out_small(&mut self) -> Result<(), Unrestored> {
        match std::mem::take(&mut self.small) {
            none if none.is_empty() => Ok(()),
            some => self.hand_out(Batch::Small(some)),
        }
    }

    fn hand_out(&self, batch: Batch) -> Result<(), Unrestored> {
        let sent = self.files.send(batch);
        sent.map_err(|_| ContentsError::Stopped.into())
    }

    /// Hands out what is left. No more files come after this.
    pub(super) fn finish(mut self) {
        let _ = self.hand_out_small();
    }

    /// The directory something goes into.
    fn above(&mut self, path: &EntryPath) -> Result<Arc<Directory>, Unrestored> {
        let last = self.open.last().map(|(last, _)| last.clone());
        for missing in path.directories_below(&last.unwrap_or_default()) {
            self.stand_in(missing)?;
        }
        Ok(Arc::clone(self.last()))
    }

    fn last(&self) -> &Arc<Directory> {
        self.open.last().map_or(&self.target, |(_, last)| last)
    }

    /// Makes a directory whose own entry is lost with a damaged segment, so that what is in it is not
    /// lost as well. Only its owner gets in: nobody knows who else may.
    fn stand_in(&mut self, path: EntryPath) -> Result<(), Unrestored> {
        let above = Arc::clone(self.last());
        let name = path.name().ok_or(Errno::NOENT)?;
        if self.has_objects {
            self.hand_out_small()?;
            let fd = make_for_objects(&above, name)?;
            self.report.directories += 1;
            let directory = above.child(fd, path.clone(), None);
            self.open.push((path, directory));
            return Ok(());
        }
        let fd = make_or_enter(&above, name)?;
        let error = "made without its metadata: its own entry is lost or failed";
        self.worker.failed(&path, error);
        let directory = above.child(fd, path.clone(), None);
        self.open.push((path, directory));
        Ok(())
    }
}

/// Makes a directory that keys go on below, for everybody to look into as into any that is made.
fn make_for_objects(above: &Directory, name: &[u8]) -> Result<OwnedFd, Unrestored> {
    match above.change(|fd| target::make(fd, name)) {
        Err(Errno::EXIST) if names::holds(&above.fd, name)? => {
            Ok(target::enter_own(&above.fd, name)?)
        }
        Err(Errno::EXIST) => Err(Unrestored::Alias),
        Err(error) => Err(error.into()),
        Ok(made) => {
            fchmod(&made, OBJECTS_DIRECTORY)?;
            Ok(made)
        }
    }
}

/// Makes a directory, unless one of exactly this name has come there.
fn make_or_enter(above: &Directory, name: &[u8]) -> Result<OwnedFd, Unrestored> {
    match above.change(|fd| target::make(fd, name)) {
        Err(Errno::EXIST) => {}
        made => return Ok(made?),
    }
    match names::holds(&above.fd, name)? {
        true => Ok(target::enter_own(&above.fd, name)?),
        false => Err(Unrestored::Alias),
    }
}
