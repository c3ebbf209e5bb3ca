//! Reading back what a restore has made: whether it is what the snapshot says, to the last byte.
//!
//! It does not ask the restore what it has done. It goes through the manifest once more, looks at each entry in
//! the target, reads and hashes each file, and counts the names in every directory. For a target that was empty and
//! is going to be removed: what even its owner may not read is opened up.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags, chmod, fchmod, openat};
use rustix::io::{self, Errno};

use super::action::Action;
use super::compare::compare;
use super::links::Inode;
use super::names::Names;
use super::wanted::Wanted;
use super::{RestoreOptions, RestoreReport, Shortfall, metadata, target};
use crate::format::entry::{Entry, Kind, Metadata};
use crate::format::path::EntryPath;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::EntriesError;
use crate::source::directory::root::path_in;
use crate::source::directory::xattr;
use crate::source::stat::Stat;
use crate::store::{Store, StoreError};
use crate::unnamed::path_of;

/// What differs is named up to this number; the rest is counted.
const NAMED: usize = 1000;

/// What is in the target.
#[derive(Debug, Default)]
pub struct ReadBack {
    /// Entries that should be there, the target itself aside.
    pub expected: u64,
    /// Names in the target.
    pub found: u64,
    /// Entries that are not there.
    pub missing: u64,
    /// Files that were read back and have the contents of the manifest.
    pub files: u64,
    /// Bytes of those. Of a file with several names, they are counted once.
    pub bytes: u64,
    /// What differs, at most a thousand; what the restore has told already is not among it.
    pub mismatches: Vec<Shortfall>,
    /// How much differs.
    pub mismatch_count: u64,
    /// What this process may not look at, at most a thousand: nothing is known of it.
    pub unread: Vec<Shortfall>,
    /// How much that is.
    pub unread_count: u64,
}

/// Reads back what a restore with these options has made in a target that was empty. Blocks.
///
/// # Errors
/// The manifest cannot be read, because the store fails.
pub fn read_back(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    report: &RestoreReport,
) -> Result<ReadBack, StoreError> {
    let told = report.failures.iter().map(|failure| &*failure.path);
    let mut reader = Reader {
        options,
        told: told.collect(),
        open: Vec::new(),
        shut: None,
        links: HashMap::new(),
        read: ReadBack::default(),
    };
    if let Ok(target) = target::open(&options.target) {
        reader.enter(EntryPath::ROOT, target);
    }
    for wanted in Wanted::of(store, snapshot, options) {
        if options.stop.is_set() {
            break;
        }
        match wanted {
            Ok(wanted) => reader.look(&wanted.entry),
            Err(EntriesError::Store(error)) => return Err(error),
            // The restore has told it.
            Err(EntriesError::Damaged { .. }) => {}
        }
    }
    Ok(reader.read)
}

struct Reader<'a> {
    options: &'a RestoreOptions,
    /// Paths of what the restore has failed to make.
    told: HashSet<&'a str>,
    /// The directories above the current entry, the target first.
    open: Vec<(EntryPath, OwnedFd)>,
    /// The last directory that could not be opened.
    shut: Option<EntryPath>,
    /// Files with several names, by what the snapshot and the file system tell one from another by.
    links: HashMap<Inode, (u64, u64)>,
    read: ReadBack,
}

impl Reader<'_> {
    fn look(&mut self, entry: &Entry) {
        let Some(name) = entry.path().name() else {
            // Only a restore of everything gives the target the metadata of the root.
            return;
        };
        if entry.metadata.kind.is_skipped() {
            return;
        }
        self.read.expected += 1;
        let is_above = |above: &EntryPath| above.is_root() || entry.path().is_below(above);
        self.open.retain(|(above, _)| is_above(above));
        // That directory is named itself.
        if self
            .shut
            .as_ref()
            .is_some_and(|shut| entry.path().is_below(shut))
        {
            self.read.unread_count += 1;
            return;
        }
        let looked = match self.above(entry.path()) {
            None => Err(Errno::NOENT),
            Some(Err(_)) => Err(Errno::MFILE),
            Some(Ok(above)) => self.compare(&above, name, entry),
        };
        self.read.missing += u64::from(looked == Err(Errno::NOENT));
        let path = entry.path().to_string();
        let is_told = self.told.contains(&*path);
        let ReadBack {
            mismatches,
            mismatch_count,
            unread,
            unread_count,
            ..
        } = &mut self.read;
        let (error, named, count) = match looked {
            Ok(None) => return,
            Ok(Some(problem)) => (problem, mismatches, mismatch_count),
            Err(Errno::NOENT) => {
                let problem = "does not exist after the restore".to_owned();
                (problem, mismatches, mismatch_count)
            }
            Err(error) => {
                let error = std::io::Error::from(error);
                if entry.metadata.kind == Kind::Directory {
                    self.shut = Some(entry.path().clone());
                }
                (
                    format!("cannot be read back: {error}"),
                    unread,
                    unread_count,
                )
            }
        };
        if is_told {
            return;
        }
        *count += 1;
        if named.len() < NAMED {
            named.push(Shortfall { path, error });
        }
    }

    /// The directory that an entry is in; `None` where that is not there.
    fn above(&self, path: &EntryPath) -> Option<std::io::Result<OwnedFd>> {
        let (above, fd) = self.open.last()?;
        let is_in_it = path.directories_below(above).next().is_none();
        is_in_it.then(|| fd.try_clone())
    }

    /// Goes into a directory, and counts what is in it.
    fn enter(&mut self, path: EntryPath, directory: OwnedFd) {
        if let Ok(names) = Names::of(&directory) {
            self.read.found += names.iter().count() as u64;
        }
        self.open.push((path, directory));
    }

    /// What is wrong with what is there for an entry, if anything is.
    fn compare(
        &mut self,
        above: &OwnedFd,
        name: &[u8],
        entry: &Entry,
    ) -> io::Result<Option<String>> {
        let stat = target::look(above, name)?.ok_or(Errno::NOENT)?;
        // Before anything is opened up.
        let mut problem = metadata_problem(&stat, entry, self.options.owners);
        match stat.metadata.kind {
            Kind::Directory => {
                let directory = target::enter_own(above, name)?;
                open_up_directory(&directory, &stat)?;
                if !metadata::has_attributes(&directory, entry) {
                    problem.get_or_insert_with(attributes);
                }
                self.enter(entry.path().clone(), directory);
            }
            Kind::File => {
                open_up(above, name, &stat)?;
                if !metadata::has_attributes(target::open_file(above, name)?, entry) {
                    problem.get_or_insert_with(attributes);
                }
            }
            _ if entry.xattrs.is_empty() => {}
            _ => {
                let there = xattr::of_path(&path_in(above.as_fd(), name))?;
                if !entry.xattrs.iter().all(|wanted| there.contains(wanted)) {
                    problem.get_or_insert_with(attributes);
                }
            }
        }
        let (action, _) = compare(above, name, entry)?;
        if action != Action::Keep {
            return Ok(Some(
                "what was restored is not what the manifest says".to_owned(),
            ));
        }
        if entry.metadata.kind == Kind::File {
            problem = self.count(entry, &stat).or(problem);
        }
        Ok(problem)
    }

    /// Counts a file that has the right contents. Names of one file must be names of one file.
    fn count(&mut self, entry: &Entry, stat: &Stat) -> Option<String> {
        self.read.files += 1;
        let there = (stat.dev, stat.ino);
        let known = Inode::of(entry).map(|inode| self.links.entry(inode));
        match known {
            Some(Slot::Occupied(first)) if *first.get() == there => return None,
            Some(Slot::Occupied(_)) => {
                let problem = "is a file of its own, and not a link to its other names";
                return Some(problem.to_owned());
            }
            Some(Slot::Vacant(first)) => *first.insert(there),
            None => there,
        };
        self.read.bytes += entry.metadata.size;
        None
    }
}

fn attributes() -> String {
    "has other extended attributes than the manifest says".to_owned()
}

/// What of the metadata differs, attributes aside.
fn metadata_problem(stat: &Stat, entry: &Entry, owners: bool) -> Option<String> {
    if metadata::is_given(stat, entry, owners) {
        return None;
    }
    let (there, wanted) = (&stat.metadata, &entry.metadata);
    let shown = [
        |of: &Metadata| format!("owner {}:{}", of.uid, of.gid),
        |of: &Metadata| format!("mode {:04o}", of.mode),
        |of: &Metadata| format!("time {}", time(of.mtime_ns)),
    ];
    // Who is not root gives no owners.
    let shown = shown[usize::from(!owners)..].iter();
    let differing = shown.filter_map(|show| {
        let (there, wanted) = (show(there), show(wanted));
        (there != wanted).then(|| format!("expected {wanted}, got {there}"))
    });
    Some(differing.collect::<Vec<_>>().join("; "))
}

fn time(nanoseconds: i64) -> String {
    Timestamp::from_nanosecond(nanoseconds.into())
        .map_or_else(|_| nanoseconds.to_string(), |time| time.to_string())
}

/// Lets the owner of a directory look at what is in it. Root may anyway, where it may do everything.
fn open_up_directory(directory: &OwnedFd, stat: &Stat) -> io::Result<()> {
    let mode = Mode::from_raw_mode(stat.metadata.mode);
    match mode.contains(Mode::RWXU) {
        true => Ok(()),
        false => fchmod(directory, mode | Mode::RWXU),
    }
}

/// Lets the owner of a file read it. Root may anyway, where it may do everything.
fn open_up(above: &OwnedFd, name: &[u8], stat: &Stat) -> io::Result<()> {
    match target::open_file(above, name) {
        Err(Errno::ACCESS) => {}
        other => return other.map(drop),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let unopened = openat(above, OsStr::from_bytes(name), flags, Mode::empty())?;
    let mode = Mode::from_raw_mode(stat.metadata.mode) | Mode::RUSR;
    // What was opened so takes no `fchmod`.
    chmod(path_of(unopened.as_fd()), mode)
}
