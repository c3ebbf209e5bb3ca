//! How much there is: counts that add up, of entries, segments and snapshots.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Kind, Metadata};

/// Counts over a set of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Everything, the root included.
    pub entries: u64,
    /// Regular files, and objects of a bucket.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Sockets, pipes and devices: recorded, not captured.
    pub special: u64,
    /// Bytes in those.
    pub bytes: u64,
    /// Entries that show an earlier state, or none, because they could not be read.
    pub unreadable: u64,
}

impl Totals {
    /// What a single entry counts.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        Self {
            unreadable: u64::from(entry.unreadable.is_some()),
            ..Self::of_metadata(&entry.metadata)
        }
    }

    /// What something that was just looked at counts.
    #[must_use]
    pub fn of_metadata(metadata: &Metadata) -> Self {
        let mut totals = Self {
            entries: 1,
            ..Self::default()
        };
        match metadata.kind {
            Kind::File | Kind::Object => (totals.files, totals.bytes) = (1, metadata.size),
            Kind::Directory => totals.directories = 1,
            Kind::Symlink => totals.symlinks = 1,
            Kind::Fifo | Kind::Socket | Kind::CharDevice | Kind::BlockDevice => totals.special = 1,
        }
        totals
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        // What was read from a store may say anything.
        for (sum, more) in [
            (&mut self.entries, other.entries),
            (&mut self.files, other.files),
            (&mut self.directories, other.directories),
            (&mut self.symlinks, other.symlinks),
            (&mut self.special, other.special),
            (&mut self.bytes, other.bytes),
            (&mut self.unreadable, other.unreadable),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

impl Add for Totals {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}
