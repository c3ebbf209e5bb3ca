//! Removing from the target what the snapshot lacks: planned first, done last.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, fchmod};
use rustix::io::{self, Errno};
use serde::Serialize;

use super::extras::{Beside, Extra, names_that_may_go};
use super::names::Names;
use super::{PlanError, RestoreOptions, Shortfall, metadata, removal, target};
use crate::format::entry::Kind;
use crate::format::path::EntryPath;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{Entries, EntriesError};
use crate::source::directory::root::Root;
use crate::source::stat::Stat;
use crate::store::Store;

/// Paths that are named; the rest is counted.
const NAMED: usize = 1000;

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
}

/// Looks for what the target has and the snapshot lacks. With patterns, only what they select. Blocks.
///
/// # Errors
/// The target or the store cannot be read.
pub fn look_for_deletions(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
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
    let visit = |extra: Extra<'_>| deletions.visit(extra, options);
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

impl Deletions {
    fn visit(&mut self, extra: Extra<'_>, options: &RestoreOptions) -> io::Result<()> {
        match extra {
            Extra::Mount(path) => {
                self.stays(&path, "is a mount point: nothing in it is removed");
                Ok(())
            }
            Extra::Name(directory, path) => self.look(directory, path, options),
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

    fn look(
        &mut self,
        directory: &OwnedFd,
        path: EntryPath,
        options: &RestoreOptions,
    ) -> io::Result<()> {
        let name = path.name().unwrap_or_default();
        let Some(stat) = target::look(directory, name)? else {
            return Ok(());
        };
        let is_directory = stat.metadata.kind == Kind::Directory;
        let mut wanted = options.wanted.iter();
        if !wanted.all(|globs| globs.select(path.as_bytes(), is_directory)) {
            return match is_directory {
                true => self.look_below(directory, &path, options),
                false => Ok(()),
            };
        }
        let measured = match is_directory {
            true => measure(directory, name)?,
            false => Measured {
                entries: 1,
                bytes: stat.metadata.size,
                has_mount: false,
            },
        };
        if measured.has_mount {
            self.stays(
                &path,
                "is not removed: something is mounted there or below it",
            );
            return Ok(());
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

    /// In a directory that is not selected itself, something may be.
    fn look_below(
        &mut self,
        above: &OwnedFd,
        path: &EntryPath,
        options: &RestoreOptions,
    ) -> io::Result<()> {
        let directory = match removal::enter(above, path.name().unwrap_or_default()) {
            Ok(directory) => directory,
            Err(Errno::XDEV) => return Ok(()),
            Err(error) => return Err(error),
        };
        for name in names_that_may_go(&directory)? {
            let below = path.join(&name).map_err(|_| Errno::NAMETOOLONG)?;
            self.look(&directory, below, options)?;
        }
        Ok(())
    }
}

/// Counts what is in a directory, and itself.
fn measure(above: &OwnedFd, name: &[u8]) -> io::Result<Measured> {
    let mut measured = Measured::default();
    let mut way: Vec<(OwnedFd, std::vec::IntoIter<Vec<u8>>)> = Vec::new();
    let mut next = Some(name.to_vec());
    loop {
        let at = way.last().map_or(above, |(directory, _)| directory);
        if let Some(name) = next
            && let Some(stat) = target::look(at, &name)?
        {
            let is_directory = stat.metadata.kind == Kind::Directory;
            measured.entries += 1;
            measured.bytes += stat.metadata.size;
            match is_directory.then(|| removal::enter(at, &name)) {
                None => {}
                Some(Err(Errno::XDEV)) => measured.has_mount = true,
                Some(directory) => {
                    let directory = directory?;
                    let names = Names::of(&directory)?;
                    let names: Vec<_> = names.iter().map(<[u8]>::to_vec).collect();
                    way.push((directory, names.into_iter()));
                }
            }
        }
        let Some((_, names)) = way.last_mut() else {
            return Ok(measured);
        };
        next = names.next();
        if next.is_none() {
            way.pop();
            if way.is_empty() {
                return Ok(measured);
            }
        }
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
