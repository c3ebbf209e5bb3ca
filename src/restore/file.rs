//! Putting files and links in place, and leaving alone what is there.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, linkat, symlinkat};
use rustix::io::{self, Errno};

use super::action::Action;
use super::links::{Further, NameToMake};
use super::placed::Placed;
use super::worker::{Unrestored, Worker};
use super::{contents, making, metadata, target};
use crate::format::entry::{Content, Entry};
use crate::format::path::EntryPath;
use crate::source::stat::Stat;

/// Restores a regular file: under one of its names with its contents, under the others as a link.
pub(super) fn restore(
    worker: &Worker,
    placed: &Placed,
    name: NameToMake,
) -> Result<(), Unrestored> {
    let turn = match name {
        NameToMake::Only => return restore_contents(worker, placed),
        NameToMake::First(turn) => turn,
        NameToMake::Further(inode) => match worker.links.further(inode) {
            Further::First(turn) => turn,
            Further::Link(first) => {
                let Err(error) = restore_link(worker, &first, placed) else {
                    return Ok(());
                };
                match error {
                    // That one is gone.
                    Unrestored::Target(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    // It is out of reach, or takes no more links; or nothing here does.
                    Unrestored::Target(
                        Errno::ACCESS | Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP,
                    ) => {
                        let error = format!(
                            "restored as a file of its own, not as a link to `{first}`: {error}"
                        );
                        worker.failed(placed.entry.path(), &error);
                    }
                    error => return Err(error),
                }
                worker.links.turn(inode)
            }
        },
    };
    restore_contents(worker, placed)?;
    turn.made(placed.entry.path());
    Ok(())
}

fn restore_contents(worker: &Worker, placed: &Placed) -> Result<(), Unrestored> {
    let entry = &placed.entry;
    let Some(content) = &entry.content else {
        return Ok(());
    };
    if matches!(placed.action, Action::Keep | Action::Separate) {
        return keep(worker, placed, content);
    }
    let made = making::file(worker, placed, |file| {
        contents::write(worker, file, placed, content)?;
        give_metadata(worker, file, entry);
        Ok(())
    });
    match made {
        Err(Unrestored::Target(Errno::EXIST)) => {
            placed.has_come()?;
            keep(worker, placed, content)
        }
        made => {
            made?;
            worker.restored(entry.metadata.size);
            Ok(())
        }
    }
}

/// Leaves a file with the right contents where it is, and gives it its metadata. Where other names
/// would get it too that the snapshot does not have, the file is made again under this one.
fn keep(worker: &Worker, placed: &Placed, content: &Content) -> Result<(), Unrestored> {
    let entry = &placed.entry;
    let owners = worker.options.owners;
    let stat = placed.look()?;
    let is_given = metadata::is_given(&stat, entry, owners)
        && (entry.xattrs.is_empty() || metadata::has_attributes(placed.open()?, entry));
    let is_to_part = placed.action == Action::Separate && stat.nlink > 1;
    if is_given && !is_to_part {
        worker.kept();
        return Ok(());
    }
    if !is_to_part {
        let file = placed.open()?;
        let stat = Stat::of(&file)?;
        if stat.nlink <= worker.plan.sharing.names(&stat, entry) {
            give_metadata(worker, &file, entry);
            worker.kept();
            return Ok(());
        }
    }
    let there = placed.open().ok();
    making::file(worker, placed, |file| {
        let is_copied = match &there {
            Some(there) => contents::copy(there, file, entry, content)?,
            None => false,
        };
        if !is_copied {
            contents::write(worker, file, placed, content)?;
        }
        give_metadata(worker, file, entry);
        Ok(())
    })?;
    worker.restored(entry.metadata.size);
    Ok(())
}

fn give_metadata(worker: &Worker, file: &OwnedFd, entry: &Entry) {
    let given = metadata::of_open(file, entry, worker.options.owners);
    worker.given_metadata(entry, given);
}

/// Restores a symbolic link.
pub(super) fn restore_symlink(worker: &Worker, placed: &Placed) -> Result<(), Unrestored> {
    let entry = &placed.entry;
    let owners = worker.options.owners;
    let points_to = OsStr::from_bytes(entry.target.as_deref().unwrap_or_default());
    let (directory, name) = (&placed.directory.fd, placed.name().as_bytes());
    let give = |directory: &OwnedFd, name: &[u8]| metadata::of_link(directory, name, entry, owners);
    let is_made =
        placed.is_free() && made_or_come(placed, |fd| symlinkat(points_to, fd, placed.name()))?;
    if is_made {
        worker.given_metadata(entry, give(directory, name));
        worker.restored(0);
        return Ok(());
    }
    if placed.action != Action::Replace {
        let stat = placed.look()?;
        let is_given = entry.xattrs.is_empty() && metadata::is_given(&stat, entry, owners);
        // Manifests do not know several names of a link.
        if is_given || stat.nlink == 1 {
            if !is_given {
                worker.given_metadata(entry, give(directory, name));
            }
            worker.kept();
            return Ok(());
        }
    }
    let given = Cell::new(Ok(()));
    making::replace(placed, |staging, temporary| {
        symlinkat(points_to, staging, temporary)?;
        given.set(give(staging, temporary.as_bytes()));
        Ok(())
    })?;
    worker.given_metadata(entry, given.into_inner());
    worker.restored(0);
    Ok(())
}

/// Makes something in a place that was free. Whether it did: `false` where just what belongs there has
/// come meanwhile.
fn made_or_come(
    placed: &Placed,
    make: impl Fn(&OwnedFd) -> io::Result<()>,
) -> Result<bool, Unrestored> {
    match placed.directory.change(make) {
        Err(Errno::EXIST) => placed.has_come().map(|()| false),
        made => Ok(made.map(|()| true)?),
    }
}

/// Makes `placed` another name of `first`, which has the same contents and is there.
fn restore_link(worker: &Worker, first: &EntryPath, placed: &Placed) -> Result<(), Unrestored> {
    let (directory, first) = worker.root.open_above(first)?;
    let there = target::look(&directory, first)?;
    let here = target::look(&placed.directory.fd, placed.name().as_bytes())?;
    if let (Some(there), Some(here)) = (there, here)
        && (there.dev, there.ino) == (here.dev, here.ino)
    {
        worker.kept();
        return Ok(());
    }
    let first = OsStr::from_bytes(first);
    let link = |fd: &OwnedFd, name: &OsStr| linkat(&directory, first, fd, name, AtFlags::empty());
    let is_made = placed.is_free() && made_or_come(placed, |fd| link(fd, placed.name()))?;
    if !is_made {
        // Identical contents are replaced by the link, whatever the plan says of contents.
        making::replace(placed, |staging, temporary| {
            link(staging, OsStr::new(temporary))
        })?;
    }
    worker.restored(0);
    Ok(())
}
