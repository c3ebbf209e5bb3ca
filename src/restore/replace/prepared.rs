//! The journal of a new tree that is complete: what is to be put in place, and what is there.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, fchmod, mkdirat, unlinkat};
use rustix::io::{self, Errno};

use super::files;
use super::held::Held;
use super::protected::Protected;
use super::steps::{Attributes, Bytes, Line, Mark, Place, Step};
use super::workspace::{NEW, OLD, Workspace};
use crate::restore::names::Names;
use crate::restore::target;
use crate::source::directory::root::Root;

/// The lines for a tree that is exchanged as a whole.
pub(super) fn whole(
    holder: &OwnedFd,
    workspace: &Workspace,
    name: &[u8],
    exchanges: bool,
) -> io::Result<Vec<Line>> {
    let staged = files::open_directory(&workspace.fd, NEW.as_bytes())?;
    if !exchanges {
        make(&workspace.fd, OLD.as_bytes())?;
    }
    let place = Place {
        path: Bytes::of(b""),
        old: None,
        new: None,
    };
    Ok(vec![
        Line::Directory(place),
        Line::Name(step(holder, &staged, name)?),
    ])
}

/// The lines for a tree that is exchanged entry by entry.
pub(super) fn entries(
    holder: &OwnedFd,
    workspace: &Workspace,
    (held, old): (&Held, Option<&Attributes>),
    exchanges: bool,
) -> io::Result<Vec<Line>> {
    let new = files::open_directory(&workspace.fd, NEW.as_bytes())?;
    open_up(&new)?;
    let (here, staged) = (root(holder)?, root(&new)?);
    let away = match exchanges {
        true => root(&new)?,
        false => root(&make(&workspace.fd, OLD.as_bytes())?)?,
    };
    let mut lines = Vec::new();
    for (path, wanted) in &held.directories {
        // Where the snapshot has no such directory, what is in it goes, and it stays.
        let (above, name) = match path.is_root() {
            true => (staged.open_directory(path)?, b"".as_slice()),
            false => staged.open_above(path)?,
        };
        if !name.is_empty() {
            make(&above, name)?;
            let (above_away, name) = away.open_above(path)?;
            make(&above_away, name)?;
            // The journal counts on them.
            files::sync(&above)?;
            files::sync(&above_away)?;
        }
        let (here, staged) = (here.open_directory(path)?, staged.open_directory(path)?);
        open_up(&staged)?;
        lines.push(Line::Directory(Place {
            path: Bytes::of(path.as_bytes()),
            // Making the workspace has changed the time of its own.
            old: match old.filter(|_| path.is_root()) {
                Some(old) => Some(old.clone()),
                None => Some(Attributes::of(&here)?),
            },
            new: wanted.clone(),
        }));
        let protected = Protected::of(&here, path, workspace)?;
        let new = Names::of(&staged)?;
        let old = Names::of(&here)?;
        let old = old
            .iter()
            .filter(|name| !protected.has(name) || new.has(name));
        let names: BTreeSet<_> = old.chain(new.iter()).collect();
        for name in names {
            let path = path.join(name).map_err(|_| Errno::NAMETOOLONG)?;
            if held.mounts.contains(&path) {
                // The snapshot has an empty directory there.
                remove_empty(&staged, name)?;
            }
            lines.push(match held.has(&path) {
                true => Line::Stays(Bytes::of(name)),
                false => Line::Name(step(&here, &staged, name)?),
            });
        }
    }
    Ok(lines)
}

fn step(here: &OwnedFd, staged: &OwnedFd, name: &[u8]) -> io::Result<Step> {
    let mark = |directory| {
        let stat = target::look(directory, name)?;
        Ok::<_, Errno>(stat.as_ref().map(Mark::of))
    };
    Ok(Step {
        name: Bytes::of(name),
        old: mark(here)?,
        new: mark(staged)?,
    })
}

fn root(directory: &OwnedFd) -> io::Result<Root> {
    let same = directory.try_clone().map_err(|_| Errno::MFILE)?;
    Ok(same.into())
}

/// Makes a directory if it is not there.
fn make(above: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    match mkdirat(above, name, target::PRIVATE_DIRECTORY) {
        Ok(()) | Err(Errno::EXIST) => files::open_directory(above, name),
        Err(error) => Err(error),
    }
}

/// Lets its owner move things out of a directory that was restored.
fn open_up(directory: &OwnedFd) -> io::Result<()> {
    let mode = crate::source::stat::Stat::of(directory)?.metadata.mode;
    let mode = Mode::from_raw_mode(mode);
    match mode.contains(target::PRIVATE_DIRECTORY) {
        true => Ok(()),
        false => fchmod(directory, mode | target::PRIVATE_DIRECTORY),
    }
}

fn remove_empty(above: &OwnedFd, name: &[u8]) -> io::Result<()> {
    match unlinkat(above, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}
