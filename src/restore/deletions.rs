//! Removing from the target what the snapshot lacks: planned first, done last.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, fchmod};
use rustix::io::{self, Errno};
use serde::Serialize;

use super::extras::{Beside, Extra, names_that_may_go};
use super::left_out::LeftOut;
use super::names::Names;
use super::{PlanError, RestoreOptions, Shortfall, metadata, removal, target};
use crate::format::entry::Kind;
use crate::format::path::EntryPath;
use crate::format::rules::Rules;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{Entries, EntriesError};
use crate::source::directory::root::Root;
use crate::source::stat::Stat;
use crate::store::Store;

/// Paths that are named; the rest is counted.
const NAMED: usize = 1000;

/// The same of what the backup leaves out.
const NAMED_OF_LEFT_OUT: usize = 20;

/// What is to be removed.
#[derive(Debug, Default, Serialize)]
pub struct Deletions {
    #[serde(skip)]
    going: Vec<Going>,
    /// Files, links and directories.
    pub delete: u64,
    /// Bytes of those files.
    pub delete_bytes: u64,
    /// What the snapshot lacks, at most a thousand; of a directory only itself.
    pub deletions: Vec<String>,
    /// What stays though the snapshot lacks it, and why.
    pub left: Vec<Shortfall>,
    /// What stays because the backup leaves it out, a directory with all that is in it as one; nowhere else is there
    /// a copy of it.
    pub left_out: u64,
    /// Some of that.
    pub left_out_paths: Vec<String>,
    /// Why nothing is removed, if something keeps it from that.
    pub prevented: Option<String>,
}

/// Something that is to be removed, with all that is in it.
#[derive(Debug)]
struct Going {
    path: EntryPath,
    device: u64,
    inode: u64,
    entries: u64,
}

/// What was removed.
#[derive(Debug, Default, Serialize)]
pub struct DeletionReport {
    /// Files, links and directories.
    pub deleted: u64,
    /// What was to be removed and stays, and why.
    pub failures: Vec<Shortfall>,
}

/// What is in a directory.
#[derive(Default)]
struct Measured {
    entries: u64,
    bytes: u64,
    has_mount: bool,
    /// Something in it may not be looked into.
    is_closed: bool,
    /// Something in it is in no snapshot.
    has_left_out: bool,
}

/// Looks for what the target has and the snapshot lacks. With patterns, only what they select. What the snapshot's rules
/// or those that are `configured` leave out stays. Changes nothing. Blocks.
///
/// # Errors
/// The target or the store cannot be read.
pub fn look_for_deletions(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    configured: &Rules,
) -> Result<Deletions, PlanError> {
    let failed = |error: Errno| PlanError::Target {
        path: options.target.display().to_string(),
        error: error.into(),
    };
    let mut deletions = Deletions::default();
    let root = match target::open(&options.target) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(deletions),
        Err(error) => return Err(failed(error)),
    };
    let left_out = match LeftOut::of(snapshot, configured) {
        Ok(left_out) => left_out,
        Err(invalid) => {
            let invalid: Vec<_> = invalid.iter().map(ToString::to_string).collect();
            deletions.prevented = Some(format!(
                "what the backup leaves out is not known: {}",
                invalid.join(", ")
            ));
            return Ok(deletions);
        }
    };
    let which = (options, &left_out);
    let visit = |extra: Extra<'_>| deletions.visit(extra, which);
    let mut beside = Beside::new(visit);
    for entry in Entries::of(store, snapshot) {
        match entry {
            Ok(entry) => beside.take(&root, &entry).map_err(failed)?,
            Err(EntriesError::Store(error)) => return Err(error.into()),
            Err(damaged) => {
                let reason = format!("what the snapshot has is not known: {damaged}");
                return Ok(Deletions {
                    prevented: Some(reason),
                    ..Deletions::default()
                });
            }
        }
    }
    beside.finish().map_err(failed)?;
    Ok(deletions)
}

/// What is selected, and what no snapshot has.
type Which<'a> = (&'a RestoreOptions, &'a LeftOut);

impl Deletions {
    fn visit(&mut self, extra: Extra<'_>, which: Which<'_>) -> io::Result<()> {
        let (_, left_out) = which;
        match extra {
            Extra::Mount(path) => {
                self.stays(&path, "is a mount point: nothing in it is removed");
                Ok(())
            }
            Extra::Closed(path) => {
                self.stays(&path, "may not be looked into: nothing in it is removed");
                Ok(())
            }
            Extra::InEmpty(_, path) if left_out.has_what_is_in_empty_directories() => {
                self.is_left_out(&path, which);
                Ok(())
            }
            Extra::Name(directory, path) | Extra::InEmpty(directory, path) => {
                self.look(directory, path, which)
            }
        }
    }

    fn stays(&mut self, path: &EntryPath, error: &str) {
        if self.left.len() < NAMED {
            self.left.push(Shortfall {
                path: path.to_string(),
                error: error.to_owned(),
            });
        }
    }

    fn is_left_out(&mut self, path: &EntryPath, (options, _): Which<'_>) {
        if !options.portion.covers(path.as_bytes(), true) {
            return;
        }
        self.left_out += 1;
        if self.left_out_paths.len() < NAMED_OF_LEFT_OUT {
            self.left_out_paths.push(path.to_string());
        }
    }

    fn look(&mut self, directory: &OwnedFd, path: EntryPath, which: Which<'_>) -> io::Result<()> {
        let (options, left_out) = which;
        let name = path.name().unwrap_or_default();
        let Some(stat) = target::look(directory, name)? else {
            return Ok(());
        };
        let is_directory = stat.metadata.kind == Kind::Directory;
        if left_out.has(&path, is_directory) {
            self.is_left_out(&path, which);
            return Ok(());
        }
        if !options.portion.covers(path.as_bytes(), is_directory) {
            return match is_directory {
                true => self.look_below(directory, &path, which),
                false => Ok(()),
            };
        }
        let measured = match is_directory {
            true => measure(directory, &path, left_out)?,
            false => Measured {
                entries: 1,
                bytes: stat.metadata.size,
                ..Measured::default()
            },
        };
        if measured.has_mount {
            self.stays(
                &path,
                "is not removed: something is mounted there or below it",
            );
            return Ok(());
        }
        if measured.is_closed {
            self.stays(
                &path,
                "is not removed: it may not be looked into, or something below it",
            );
            return Ok(());
        }
        if measured.has_left_out {
            return self.look_below(directory, &path, which);
        }
        self.delete += measured.entries;
        self.delete_bytes += measured.bytes;
        if self.deletions.len() < NAMED {
            self.deletions.push(path.to_string());
        }
        self.going.push(Going {
            path,
            device: stat.dev,
            inode: stat.ino,
            entries: measured.entries,
        });
        Ok(())
    }

    /// In a directory that stays, not everything may.
    fn look_below(
        &mut self,
        above: &OwnedFd,
        path: &EntryPath,
        which: Which<'_>,
    ) -> io::Result<()> {
        let directory = removal::look_into(above, path.name().unwrap_or_default());
        let looked =
            directory.and_then(|directory| Ok((names_that_may_go(&directory)?, directory)));
        let (names, directory) = match looked {
            Ok(looked) => looked,
            Err(Errno::XDEV | Errno::ACCESS) => return Ok(()),
            Err(error) => return Err(error),
        };
        for name in names {
            let below = path.join(&name).map_err(|_| Errno::NAMETOOLONG)?;
            self.look(&directory, below, which)?;
        }
        Ok(())
    }
}

/// Counts what is in a directory, and itself.
fn measure(above: &OwnedFd, path: &EntryPath, left_out: &LeftOut) -> io::Result<Measured> {
    let mut measured = Measured::default();
    let mut way: Vec<(OwnedFd, EntryPath, std::vec::IntoIter<Vec<u8>>)> = Vec::new();
    let mut next = Some(path.clone());
    loop {
        let at = way.last().map_or(above, |(directory, ..)| directory);
        if let Some(path) = next
            && let name = path.name().unwrap_or_default()
            && let Some(stat) = target::look(at, name)?
        {
            let is_directory = stat.metadata.kind == Kind::Directory;
            measured.entries += 1;
            measured.bytes += stat.metadata.size;
            measured.has_left_out |= left_out.has(&path, is_directory);
            let look_into = || {
                let directory = removal::look_into(at, name)?;
                Ok((Names::of(&directory)?, directory))
            };
            match is_directory.then(look_into) {
                None => {}
                Some(Err(Errno::XDEV)) => measured.has_mount = true,
                Some(Err(Errno::ACCESS)) => measured.is_closed = true,
                Some(looked) => {
                    let (names, directory) = looked?;
                    let names: Vec<_> = names.iter().map(<[u8]>::to_vec).collect();
                    way.push((directory, path, names.into_iter()));
                }
            }
        }
        next = loop {
            let Some((_, path, names)) = way.last_mut() else {
                return Ok(measured);
            };
            if let Some(name) = names.next() {
                break Some(path.join(&name).map_err(|_| Errno::NAMETOOLONG)?);
            }
            way.pop();
        };
    }
}

/// Removes what was planned, unless it has become something else. To be called once everything was restored. Blocks.
///
/// # Errors
/// The target cannot be opened, or another restore is at work in it (`EWOULDBLOCK`).
pub fn delete(target: &Path, deletions: &Deletions) -> io::Result<DeletionReport> {
    let root = target::open(target)?;
    if !target::lock(&root) {
        return Err(Errno::WOULDBLOCK);
    }
    let root = Root::from(root);
    let mut report = DeletionReport::default();
    for going in &deletions.going {
        match remove(&root, going) {
            Ok(()) => report.deleted += going.entries,
            Err(error) => report.failures.push(Shortfall {
                path: going.path.to_string(),
                error,
            }),
        }
    }
    Ok(report)
}

fn remove(root: &Root, going: &Going) -> Result<(), String> {
    let said = |error: Errno| std::io::Error::from(error).to_string();
    let name = going.path.name().unwrap_or_default();
    let above = going.path.components().count().saturating_sub(1);
    let above: Vec<_> = going.path.components().take(above).collect();
    let above = EntryPath::parse(above.join(&b'/')).unwrap_or_default();
    let above = root.open_directory(&above).map_err(said)?;
    let there = target::look(&above, name).map_err(said)?;
    let Some(there) = there else {
        return Ok(());
    };
    if (there.dev, there.ino) != (going.device, going.inode) {
        return Err("has been replaced since the restore began, and was left".to_owned());
    }
    let before = Stat::of(&above).map_err(said)?;
    let removed = removal::tree(&above, name);
    // The directory is as it was restored.
    let mode = Mode::from_raw_mode(before.metadata.mode);
    let is_open = Stat::of(&above).is_ok_and(|stat| stat.metadata.mode != before.metadata.mode);
    if is_open {
        fchmod(&above, mode).map_err(said)?;
    }
    let _ = metadata::give_time(&above, before.metadata.mtime_ns);
    removed.map_err(|stuck| stuck.to_string())
}
