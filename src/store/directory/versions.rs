//! Objects that change: versions by number, of which the highest counts.
//!
//! An object that was put once is a file. Replacing it makes the file of the next number in a directory
//! beside it, `<key>.%v/<number>`; that no two do so is sure where no two can make a file of the same name. No
//! lock is taken: some mounts keep locks to one machine without saying so.
//!
//! - The first version is the file itself, and counts as long as there is no number 2.
//! - A number counts from when it is made. Whoever was stopped for long may make one that others have had and
//!   removed long ago. So whoever has made a number lists all: seeing a higher one, it has lost, and
//!   removes its own. The highest is never removed.
//! - Then a link takes the place of the file, for people. The program does not follow it: it may lead to an
//!   old one. It shows those who read contents, which hardly ever change, that there are numbers.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Statx, renameat, symlinkat};
use rustix::io::Errno;

use super::keys::VERSIONS;
use super::making::Draft;
use super::root::{Root, stat};
use super::trouble::{Result, Trouble};
use crate::store::ETag;

/// Digits of a number; as many as any has.
const DIGITS: usize = 20;

/// Others may be faster so many times in a row.
const ATTEMPTS: usize = 1000;

/// An object as it is now.
pub(super) struct Version {
    number: u64,
    pub(super) file: OwnedFd,
    pub(super) stat: Statx,
}

impl Version {
    fn of(number: u64, file: OwnedFd) -> Result<Self> {
        let stat = stat(&file)?;
        Ok(Self { number, file, stat })
    }

    pub(super) fn etag(&self) -> ETag {
        etag(self.number, &self.stat)
    }
}

/// What no two versions under a key have in common.
pub(super) fn etag(number: u64, stat: &Statx) -> ETag {
    let time = stat.stx_mtime;
    let (seconds, nanoseconds) = (time.tv_sec, time.tv_nsec);
    ETag(format!(
        "\"{number}-{seconds:x}.{nanoseconds:x}-{:x}\"",
        stat.stx_size
    ))
}

/// The version that counts, of what is under a path.
pub(super) fn latest(root: &Root, path: &Path) -> Result<Version> {
    match highest(root, path) {
        Err(Trouble::System(Errno::NOENT)) => current(root, path),
        highest => highest,
    }
}

/// The same with one call less, for contents: what replaces them has the same bytes, so one more reader may
/// have what was there before.
pub(super) fn current(root: &Root, path: &Path) -> Result<Version> {
    match root.look(path) {
        Ok(file) => {
            let version = Version::of(1, file)?;
            match FileType::from_raw_mode(version.stat.stx_mode.into()) {
                FileType::RegularFile => Ok(version),
                _ => Err(Errno::NOENT.into()),
            }
        }
        Err(Errno::LOOP) => highest(root, path),
        Err(Errno::NOTDIR | Errno::NXIO | Errno::NAMETOOLONG) => Err(Errno::NOENT.into()),
        Err(error) => Err(error.into()),
    }
}

/// The highest number.
fn highest(root: &Root, path: &Path) -> Result<Version> {
    let directory = directory_of(path);
    for _ in 0..ATTEMPTS {
        let last = numbers(root, &directory)?.into_iter().max();
        let number = last.ok_or(Errno::NOENT)?;
        match root.look(&file_of(&directory, number)) {
            Ok(file) => return Version::of(number, file),
            // It was replaced meanwhile.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Makes `draft` the next version, if the one that counts is `seen`. It has to be on the disk.
pub(super) fn replace(root: &Root, path: &Path, seen: &ETag, draft: &mut Draft) -> Result<ETag> {
    let before = match latest(root, path) {
        Err(Trouble::System(Errno::NOENT)) => return Err(Trouble::Condition),
        before => before?,
    };
    if before.etag() != *seen {
        return Err(Trouble::Condition);
    }
    let directory = directory_of(path);
    // Nobody gets there by counting: somebody else has made such a file.
    let number = before.number.checked_add(1).ok_or(Errno::OVERFLOW)?;
    let own = file_of(&directory, number);
    match draft.name(&own) {
        Err(Trouble::System(Errno::EXIST)) => return Err(Trouble::Condition),
        named => named?,
    }
    let numbers = numbers(root, &directory)?;
    if numbers.iter().any(|other| *other > number) {
        root.remove(&own)?;
        return Err(Trouble::Condition);
    }
    let etag = etag(number, &stat(&draft.file)?);
    // It is for people; the next version puts another one.
    let _ = point(root, path, &own);
    sync(root, path, &directory)?;
    for other in numbers.into_iter().filter(|other| *other < number) {
        // The next version does it otherwise.
        let _ = root.remove(&file_of(&directory, other));
    }
    Ok(etag)
}

/// Sees to it that the names of a new version are on the disk.
fn sync(root: &Root, path: &Path, directory: &Path) -> Result<()> {
    for directory in [directory, path.parent().unwrap_or(Path::new(""))] {
        rustix::fs::fsync(root.enter(directory)?)?;
    }
    Ok(())
}

/// Lets the link at `path` lead to a version.
fn point(root: &Root, path: &Path, version: &Path) -> Result<()> {
    let temporary = root.temporary();
    // From beside the object.
    let below = version.strip_prefix(path.parent().unwrap_or(Path::new("")));
    symlinkat(below.unwrap_or(version), root, &temporary)?;
    if let Err(error) = renameat(root, &temporary, root, path) {
        let _ = root.remove(&temporary);
        return Err(error.into());
    }
    Ok(())
}

fn numbers(root: &Root, directory: &Path) -> Result<Vec<u64>> {
    let opened = match root.enter(directory) {
        // Nor is there the object itself.
        Err(Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => return Err(Errno::NOENT.into()),
        opened => opened?,
    };
    let mut numbers = Vec::new();
    for entry in Dir::new(opened)? {
        let entry = entry?;
        let name = entry.file_name().to_str().unwrap_or_default();
        if let (DIGITS, Ok(number)) = (name.len(), name.parse()) {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

fn directory_of(path: &Path) -> PathBuf {
    let mut directory = path.as_os_str().to_owned();
    directory.push(VERSIONS);
    directory.into()
}

fn file_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:0DIGITS$}"))
}
