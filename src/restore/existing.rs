//! The directories of the target on the way to the entry at hand.

use std::os::fd::OwnedFd;

use rustix::io::{self, Errno};

use super::names::Names;
use super::staging::StagingName;
use super::{leftover, target};
use crate::format::path::EntryPath;

/// A directory that is there, and what is in it.
pub(super) struct Existing {
    pub(super) fd: OwnedFd,
    names: Names,
    /// Left by restores that were killed, and to be removed before anything else is done.
    leftovers: Vec<StagingName>,
}

impl Existing {
    /// Lists a directory. It must allow to look at what is in it as well.
    pub(super) fn of(fd: OwnedFd) -> io::Result<Self> {
        let names = Names::of(&fd)?;
        let leftovers = leftover::find(&fd, &names)?;
        Ok(Self {
            fd,
            names,
            leftovers,
        })
    }

    /// Whether it has something under this name that stays there.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.names.has(name) && !self.is_left_over(name)
    }

    /// Whether it has nothing, or nothing that stays there.
    pub(super) fn is_empty(&self) -> bool {
        self.names.iter().all(|name| self.is_left_over(name))
    }

    /// Whether a restore that was killed has yet to give this directory, its target, its metadata.
    pub(super) fn is_unfinished(&self) -> bool {
        let mut records =
            (self.leftovers.iter()).filter_map(|name| leftover::record(&self.fd, name));
        records.any(|record| record.target_is_new)
    }

    fn is_left_over(&self, name: &[u8]) -> bool {
        self.leftovers.iter().any(|leftover| leftover.covers(name))
    }
}

/// The directories above the current entry, the target first, and what restores have left in them.
pub(super) struct Way {
    directories: Vec<(EntryPath, Option<Existing>)>,
    pub(super) leftovers: Vec<(EntryPath, StagingName)>,
    /// A name that none of them may have.
    staging_name: StagingName,
    pub(super) has_staging_name: bool,
}

impl Way {
    /// To the target; `None` where it is not there.
    pub(super) fn new(target: Option<Existing>, staging_name: &StagingName) -> Self {
        let mut way = Self {
            directories: Vec::new(),
            leftovers: Vec::new(),
            staging_name: staging_name.clone(),
            has_staging_name: false,
        };
        way.push(EntryPath::ROOT, target);
        way
    }

    /// The directory that an entry is in, if the target has it.
    pub(super) fn to(&mut self, path: &EntryPath) -> io::Result<Option<&Existing>> {
        let is_above = |directory: &EntryPath| directory.is_root() || path.is_below(directory);
        self.directories
            .retain(|(directory, _)| is_above(directory));
        let here = self.directories.last().map(|(here, _)| here.clone());
        // Those whose own entry is lost with a segment; the restore makes them.
        for missing in path.directories_below(&here.unwrap_or_default()) {
            self.enter(&missing)?;
        }
        Ok(self.here())
    }

    /// Goes into a directory below the last one, whether the target has it or not.
    pub(super) fn enter(&mut self, path: &EntryPath) -> io::Result<()> {
        let name = path.name().unwrap_or_default();
        let existing = match self.here().filter(|above| above.has(name)) {
            Some(above) => match target::enter(&above.fd, name).and_then(Existing::of) {
                // What may not be looked into turns out when it is restored, and is not written over.
                // What is no directory gives way or is in the way.
                Err(Errno::ACCESS | Errno::NOTDIR | Errno::LOOP) => None,
                existing => Some(existing?),
            },
            None => None,
        };
        self.push(path.clone(), existing);
        Ok(())
    }

    fn here(&self) -> Option<&Existing> {
        self.directories.last()?.1.as_ref()
    }

    fn push(&mut self, path: EntryPath, existing: Option<Existing>) {
        let left = existing.iter().flat_map(|existing| &existing.leftovers);
        let left = left.map(|name| (path.clone(), name.clone()));
        self.leftovers.extend(left);
        self.has_staging_name |= existing.as_ref().is_some_and(|existing| {
            let mut names = existing.names.iter();
            names.any(|name| self.staging_name.covers(name))
        });
        self.directories.push((path, existing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staging_name_that_a_directory_has_is_noticed() {
        let path = |text: &str| EntryPath::parse(text).unwrap();
        for taken in ["", ".unfinished"] {
            let target = tempfile::tempdir().unwrap();
            let name = StagingName::random();
            let deep = target.path().join("a/b");
            std::fs::create_dir_all(&deep).unwrap();
            std::fs::write(deep.join(format!("{}{taken}", name.as_str())), "").unwrap();
            let root = Existing::of(target::open(target.path()).unwrap()).unwrap();
            let mut way = Way::new(Some(root), &name);
            way.enter(&path("a")).unwrap();
            assert!(!way.has_staging_name);
            // As for a directory whose own entry is lost.
            assert!(way.to(&path("a/b/c")).unwrap().is_some());
            assert!(way.has_staging_name);
            assert!(way.leftovers.is_empty());
        }
    }
}
