//! What the target has and the snapshot lacks, directory by directory.
//!
//! The snapshot's entries come in order; beside each goes what the target has in its place. Symbolic links are never
//! followed, and mount points never entered.

use std::os::fd::OwnedFd;

use rustix::io::{self, Errno};

use super::names::Names;
use super::{leftover, removal, replace, target};
use crate::format::entry::{Entry, Kind};
use crate::format::path::EntryPath;

/// A directory that both have.
struct Level {
    path: EntryPath,
    fd: OwnedFd,
    names: Vec<Vec<u8>>,
    /// Those before it were looked at.
    next: usize,
    /// The backup could not list it: nobody knows what it lacks.
    is_unknown: bool,
    /// The snapshot has nothing in it.
    is_empty: bool,
}

/// Goes through a target beside a snapshot.
pub(super) struct Beside<V> {
    way: Vec<Level>,
    visit: V,
}

/// What is found.
pub(super) enum Extra<'a> {
    /// In this directory there is something of this name that the snapshot lacks.
    Name(&'a OwnedFd, EntryPath),
    /// The same in a directory of which the snapshot has nothing but itself.
    InEmpty(&'a OwnedFd, EntryPath),
    /// Something is mounted there, so nothing in it is looked at.
    Mount(EntryPath),
    /// It may not be looked into.
    Closed(EntryPath),
}

impl<V: FnMut(Extra<'_>) -> io::Result<()>> Beside<V> {
    /// `visit` is told of everything that the snapshot lacks.
    pub(super) fn new(visit: V) -> Self {
        Self {
            way: Vec::new(),
            visit,
        }
    }

    /// Takes the snapshot's next entry.
    pub(super) fn take(&mut self, root: &OwnedFd, entry: &Entry) -> io::Result<()> {
        let path = entry.path();
        let Some(name) = path.name() else {
            let root = root.try_clone().map_err(|_| Errno::MFILE)?;
            return self.enter(entry, root);
        };
        while let Some(level) = self.way.last()
            && !path.is_below(&level.path)
        {
            self.leave()?;
        }
        let Some(level) = self.way.last_mut() else {
            return Ok(());
        };
        // It lies in a directory that the target does not have.
        if level.path.join(name).as_ref() != Ok(path) {
            return Ok(());
        }
        level.is_empty = false;
        let mut is_there = false;
        while let Some(there) = level.names.get(level.next)
            && there[..] <= *name
        {
            is_there = there[..] == *name;
            level.next += 1;
            if !is_there && !level.is_unknown {
                let path = level.path.join(there).map_err(|_| Errno::NAMETOOLONG)?;
                (self.visit)(Extra::Name(&level.fd, path))?;
            }
        }
        if !is_there || entry.metadata.kind != Kind::Directory {
            return Ok(());
        }
        let looked = removal::look_into(&level.fd, name);
        match looked.and_then(|fd| self.enter(entry, fd)) {
            Ok(()) => Ok(()),
            Err(Errno::ACCESS) => (self.visit)(Extra::Closed(path.clone())),
            Err(Errno::XDEV) => (self.visit)(Extra::Mount(path.clone())),
            // It is none there.
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes note that there are no more.
    pub(super) fn finish(mut self) -> io::Result<()> {
        while !self.way.is_empty() {
            self.leave()?;
        }
        Ok(())
    }

    fn enter(&mut self, entry: &Entry, fd: OwnedFd) -> io::Result<()> {
        let names = names_that_may_go(&fd)?;
        self.way.push(Level {
            path: entry.path().clone(),
            fd,
            names,
            next: 0,
            is_unknown: entry.unreadable.is_some(),
            is_empty: true,
        });
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        let Some(level) = self.way.pop() else {
            return Ok(());
        };
        for name in level.names.iter().skip(level.next) {
            if !level.is_unknown {
                let path = level.path.join(name).map_err(|_| Errno::NAMETOOLONG)?;
                (self.visit)(match level.is_empty {
                    true => Extra::InEmpty(&level.fd, path),
                    false => Extra::Name(&level.fd, path),
                })?;
            }
        }
        Ok(())
    }
}

/// What is in a directory, but for what restores keep there, and what the file system does.
pub(super) fn names_that_may_go(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let names = Names::of(directory)?;
    let left = leftover::find(directory, &names)?;
    let own = replace::own_names(directory)?;
    let stays = |name: &&[u8]| {
        left.iter().any(|left| left.covers(name))
            || own.iter().any(|own| own == name)
            || *name == b"lost+found" && target::enter(directory, name).is_ok()
    };
    let mut may_go = Vec::new();
    for name in names.iter().filter(|name| !stays(name)) {
        may_go.push(name.to_vec());
    }
    Ok(may_go)
}
