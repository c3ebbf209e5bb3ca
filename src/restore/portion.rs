//! Which entries of a snapshot are restored. Decided here, for whoever restores, looks or reads back.

use sha2::{Digest, Sha256};

use crate::format::entry::{Entry, Kind};
use crate::source::filter::Globs;
use crate::window::Window;

/// Which entries. The directories above them come along.
#[derive(Debug, Clone, Default)]
pub enum Portion {
    /// Everything.
    #[default]
    All,
    /// What all of these globs match, and what lies below; of a bucket, where any are given, only what is of one of
    /// these categories.
    Matching(Vec<Globs>, Vec<String>),
    /// Some, by their names.
    Sample(Sample),
}

impl Portion {
    /// What all of these globs match and is of one of these categories; everything without any.
    #[must_use]
    pub fn matching(globs: Vec<Globs>, categories: Vec<String>) -> Self {
        match globs.is_empty() && categories.is_empty() {
            true => Self::All,
            false => Self::Matching(globs, categories),
        }
    }

    /// Whether it leaves out nothing.
    #[must_use]
    pub fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether an entry is among them.
    pub(super) fn selects(&self, entry: &Entry) -> bool {
        match self {
            Self::Sample(sample) => sample.holds(entry),
            Self::Matching(_, categories) if !is_of(entry, categories) => false,
            _ => self.covers(
                entry.name.as_bytes(),
                entry.metadata.kind == Kind::Directory,
            ),
        }
    }

    /// Whether something would be among them that the snapshot need not have. A sample is of entries, and covers
    /// nothing else.
    pub(super) fn covers(&self, name: &[u8], is_directory: bool) -> bool {
        match self {
            Self::All => true,
            Self::Matching(globs, _) => globs.iter().all(|globs| globs.select(name, is_directory)),
            Self::Sample(_) => false,
        }
    }
}

/// A share of the entries of a snapshot, picked by their paths; of a file with several names, by its inode, so that
/// all of them are picked together. Sockets, pipes and devices, which no restore makes, are never picked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample(Window);

impl Sample {
    /// Those that are in a window.
    #[must_use]
    pub fn of(window: Window) -> Self {
        Self(window)
    }

    /// Whether an entry is picked.
    #[must_use]
    pub fn holds(&self, entry: &Entry) -> bool {
        !entry.metadata.kind.is_skipped() && self.0.holds(&digest(entry))
    }

    /// How far an entry lies behind the beginning of the window.
    #[must_use]
    pub fn distance(&self, entry: &Entry) -> f64 {
        self.0.distance(&digest(entry))
    }

    /// The same sample with all that lies up to this distance besides.
    #[must_use]
    pub fn reaching(self, distance: f64) -> Self {
        Self(self.0.reaching(distance))
    }
}

/// Whether an entry is of one of these categories, if there are any.
fn is_of(entry: &Entry, categories: &[String]) -> bool {
    let category = entry.object.as_ref().map(|object| &object.category);
    categories.is_empty() || category.is_some_and(|category| categories.contains(category))
}

fn digest(entry: &Entry) -> [u8; 32] {
    match entry.hardlink {
        Some(group) => {
            let numbers = [group.dev.to_be_bytes(), group.ino.to_be_bytes()];
            Sha256::digest(numbers.concat()).into()
        }
        None => Sha256::digest(entry.name.as_bytes()).into(),
    }
}
