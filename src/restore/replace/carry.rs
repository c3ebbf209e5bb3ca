//! Going through a journal: putting the new tree in place, putting the old one back, and what is left to do when
//! the new one is in place.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use jiff::Timestamp;
use rustix::io::{self, Errno};

use super::files;
use super::kept;
use super::moves::{Sides, apart, give_mode, rename_to_free};
use super::protected::Protected;
use super::record::{KeptRecord, ReplaceRecord};
use super::steps::{self, Attributes, Line, Mark, Place, Step};
use super::workspace::{NEW, OLD, Workspace};
use crate::format::path::EntryPath;
use crate::restore::metadata::{self, NotGiven};
use crate::restore::names::Names;
use crate::restore::target;
use crate::source::directory::root::Root;
use crate::source::stat::Stat;

/// A replacement that has its journal.
pub(super) struct Carry<'a> {
    /// The directory in which names are put in place.
    pub(super) holder: &'a OwnedFd,
    pub(super) workspace: &'a Workspace,
    pub(super) record: &'a ReplaceRecord,
    /// The target's name in the holder; empty where that is the target.
    pub(super) target_name: &'a [u8],
    /// Whether owners are restored; only root may.
    pub(super) owners: bool,
}

/// A step that was refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) path: String,
    pub(super) error: Errno,
}

/// What became of a replacement.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// What the old tree is called now, in the holder.
    pub(super) kept: Option<Vec<u8>>,
    /// What is not as it should be: path and reason.
    pub(super) lacking: Vec<(String, String)>,
    /// Whether the new tree as a whole was put in place earlier, and is not there any more.
    pub(super) is_gone: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

/// The directory at hand, on all sides.
struct Opened {
    path: EntryPath,
    here: OwnedFd,
    staged: OwnedFd,
    away: OwnedFd,
    names: HashSet<Vec<u8>>,
}

impl Carry<'_> {
    /// Where old things go.
    fn away(&self) -> &'static str {
        match self.record.exchanges {
            true => NEW,
            false => OLD,
        }
    }

    fn root(&self) -> io::Result<Root> {
        let holder = self.holder.try_clone();
        Ok(holder.map_err(|_| Errno::MFILE)?.into())
    }

    /// Makes every step that is not made yet.
    pub(super) fn forward(&self, carried: &mut Carried) -> Result<(), Refused> {
        // It is called what it is called in the end once all steps are made.
        let away = files::open_directory(&self.workspace.fd, self.away().as_bytes());
        if matches!(away, Err(Errno::NOENT)) {
            return Ok(());
        }
        self.go(Direction::Forward, carried)
    }

    /// Takes back every step that was made.
    pub(super) fn back(&self) -> Result<(), Refused> {
        self.go(Direction::Back, &mut Carried::default())
    }

    fn go(&self, direction: Direction, carried: &mut Carried) -> Result<(), Refused> {
        let refused = |path: &EntryPath, name: &[u8], error| Refused {
            path: path.join(name).unwrap_or_default().to_string(),
            error,
        };
        let mut opened: Option<Opened> = None;
        let root = EntryPath::ROOT;
        let lines = steps::read(&self.workspace.fd).map_err(|error| refused(&root, b"", error))?;
        for line in lines {
            match line.map_err(|error| refused(&root, b"", error))? {
                Line::Directory(place) => {
                    self.done_with(opened.take(), direction, carried)
                        .map_err(|error| refused(&root, b"", error))?;
                    let path = EntryPath::parse(place.path.to_vec()).unwrap_or_default();
                    let next = self.open(path.clone());
                    opened = Some(next.map_err(|error| refused(&path, b"", error))?);
                }
                Line::Name(step) => {
                    if let Some(opened) = &mut opened {
                        let made = self.step(opened, &step, direction);
                        let name = step.name.to_vec();
                        let is_gone = made.map_err(|error| refused(&opened.path, &name, error))?;
                        if is_gone {
                            self.is_gone(&opened.path, &name, carried);
                        }
                        opened.names.insert(name);
                    }
                }
                Line::Stays(name) => {
                    let opened = opened.as_mut();
                    opened.map(|opened| opened.names.insert(name.to_vec()));
                }
            }
        }
        self.done_with(opened, direction, carried)
            .map_err(|error| refused(&root, b"", error))
    }

    /// Makes a step, or takes it back. Whether what it has put in place is not there any more.
    fn step(&self, opened: &Opened, step: &Step, direction: Direction) -> io::Result<bool> {
        let sides = Sides {
            here: &opened.here,
            staged: &opened.staged,
            away: &opened.away,
            exchanges: self.record.exchanges,
        };
        match direction {
            Direction::Forward => {
                sides.forward(step)?;
                Ok(!sides.is_in_place(step)?)
            }
            Direction::Back => sides.back(step).map(|()| false),
        }
    }

    fn is_gone(&self, path: &EntryPath, name: &[u8], carried: &mut Carried) {
        carried.is_gone |= self.record.whole;
        let path = path.join(name).unwrap_or_default();
        let error = "was removed or replaced since it was put in place";
        carried.lacking.push((path.to_string(), error.to_owned()));
    }

    fn open(&self, path: EntryPath) -> io::Result<Opened> {
        let in_workspace = |name: &str| {
            let side = files::open_directory(&self.workspace.fd, name.as_bytes())?;
            Root::from(side).open_directory(&path)
        };
        Ok(Opened {
            here: self.root()?.open_directory(&path)?,
            staged: in_workspace(NEW)?,
            away: in_workspace(self.away())?,
            names: HashSet::new(),
            path,
        })
    }

    /// Makes what was done last, and tells what came meanwhile.
    fn done_with(
        &self,
        opened: Option<Opened>,
        direction: Direction,
        carried: &mut Carried,
    ) -> io::Result<()> {
        let Some(opened) = opened else {
            return Ok(());
        };
        for directory in [&opened.here, &opened.staged, &opened.away] {
            files::sync(directory)?;
        }
        if self.record.whole || direction == Direction::Back {
            return Ok(());
        }
        let protected = Protected::of(&opened.here, &opened.path, self.workspace)?;
        let stays = |name: &[u8]| opened.names.contains(name) || protected.has(name);
        for name in Names::of(&opened.here)?.iter().filter(|name| !stays(name)) {
            let path = opened.path.join(name).unwrap_or_default();
            let error = "has come there since the restore began, and was left there";
            carried.lacking.push((path.to_string(), error.to_owned()));
        }
        Ok(())
    }

    /// The directories that stay.
    fn places(&self) -> io::Result<Vec<(EntryPath, Place)>> {
        let mut places = Vec::new();
        for line in steps::read(&self.workspace.fd)? {
            if let Line::Directory(place) = line? {
                let path = EntryPath::parse(place.path.to_vec()).unwrap_or_default();
                places.push((path, place));
            }
        }
        Ok(places)
    }

    /// What is left to do once the new tree is in place: the old one gets its name, the directories that stayed
    /// their metadata.
    pub(super) fn finish(&self, carried: &mut Carried) -> io::Result<()> {
        match self.record.whole {
            true => self.keep_whole(carried),
            false => self.keep_entries(carried),
        }
    }

    fn keep_whole(&self, carried: &mut Carried) -> io::Result<()> {
        let mut old = None;
        for line in steps::read(&self.workspace.fd)? {
            if let Line::Name(step) = line? {
                old = step.old;
            }
        }
        let away = files::open_directory(&self.workspace.fd, self.away().as_bytes())?;
        let before = self.before();
        let put_away = target::look(&away, self.target_name)?;
        // Whatever was in place when the new tree came there; nothing, where it was gone by then.
        let there = put_away.as_ref().map(|stat| stat.ino);
        let is_known = |inode: u64| old.as_ref().filter(|old| old.inode == inode).cloned();
        let kept = match there {
            Some(inode) => Some(inode),
            None => kept::inode_of(self.holder, &before)?,
        };
        if let Some(inode) = kept {
            let mark = is_known(inode).or_else(|| put_away.as_ref().map(Mark::of));
            let mark = mark.unwrap_or(Mark {
                inode,
                closed_mode: None,
            });
            self.keep((&away, self.target_name), &before, &mark)?;
            carried.kept = Some(before);
        }
        let apart = apart(self.target_name);
        if let Some(stat) = target::look(&away, &apart)? {
            let at = self.replaced_at();
            let suffix = kept::free_suffix(self.holder, self.target_name, at)?;
            let before = kept::name_of(self.target_name, &suffix);
            self.keep((&away, &apart), &before, &Mark::of(&stat))?;
            let error = format!(
                "something else had come there meanwhile; it is `{}` now",
                String::from_utf8_lossy(&before)
            );
            let path = String::from_utf8_lossy(self.target_name).into_owned();
            carried.lacking.push((path, error));
        }
        files::sync(self.holder)
    }

    fn keep_entries(&self, carried: &mut Carried) -> io::Result<()> {
        let places = self.places()?;
        let mut has_old = false;
        for line in steps::read(&self.workspace.fd)? {
            has_old |= matches!(line?, Line::Name(step) if step.old.is_some());
        }
        if has_old {
            let before = self.before();
            let away = self.away().as_bytes();
            if let Some(stat) = target::look(&self.workspace.fd, away)? {
                self.keep((&self.workspace.fd, away), &before, &Mark::of(&stat))?;
            }
            let kept = Root::from(files::open_directory(self.holder, &before)?);
            for (path, place) in places.iter().rev() {
                if let (Some(old), Ok(fd)) = (&place.old, kept.open_directory(path)) {
                    // What is refused here was refused to the tree itself.
                    let _ = give(&fd, old, self.owners);
                }
            }
            carried.kept = Some(before);
        }
        let root = self.root()?;
        for (path, place) in places.iter().rev() {
            if let Some(new) = &place.new
                && let Err(refused) = give(&root.open_directory(path)?, new, self.owners)
            {
                let error = format!("restored {refused}");
                carried.lacking.push((path.to_string(), error));
            }
        }
        files::sync(self.holder)
    }

    /// What the target's own directory is to have. Read before the workspace goes, which changes its time.
    pub(super) fn own(&self) -> io::Result<Option<Attributes>> {
        let places = self.places()?;
        let own = places.into_iter().find(|(path, _)| path.is_root());
        Ok(own.and_then(|(_, place)| place.new))
    }

    fn replaced_at(&self) -> Timestamp {
        let before = self.record.before.as_ref();
        before.map_or(self.record.started_at, |before| before.at)
    }

    fn before(&self) -> Vec<u8> {
        let suffix = self.record.before.as_ref();
        let suffix = suffix.map_or("before", |before| &before.suffix);
        kept::name_of(self.target_name, suffix)
    }

    /// Gives the old tree the name under which it is kept.
    fn keep(&self, (from, name): (&OwnedFd, &[u8]), before: &[u8], old: &Mark) -> io::Result<()> {
        let record = self.record;
        let kept = KeptRecord {
            target: record.target.clone(),
            source: record.source.clone(),
            snapshot: record.snapshot.clone(),
            replaced_at: self.replaced_at(),
            by_source: record.by_source,
            inode: old.inode,
        };
        let is_kept = Stat::at(self.holder, before).is_ok_and(|stat| stat.ino == old.inode);
        if !is_kept {
            kept::write((&self.workspace.fd, self.holder), before, &kept)?;
            if let Some(mode) = old.closed_mode {
                let open = mode | target::PRIVATE_DIRECTORY.as_raw_mode();
                give_mode(from, name, old, open)?;
            }
            rename_to_free((from, name), (self.holder, before))?;
        }
        if let Some(mode) = old.closed_mode {
            give_mode(self.holder, before, old, mode)?;
        }
        files::sync(self.holder)
    }
}

/// Gives a directory its metadata.
pub(super) fn give(
    directory: &OwnedFd,
    attributes: &Attributes,
    owners: bool,
) -> Result<(), NotGiven> {
    metadata::of_open(directory, &attributes.entry(), owners)
}
