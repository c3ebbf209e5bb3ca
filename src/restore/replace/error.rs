//! Why a tree was not replaced. The old one is in place then, unless the error says otherwise.

use std::path::Path;

use super::place::PlaceError;
use super::record::ReplaceRecord;
use crate::restore::removal::Stuck;
use crate::snapshots::entries::EntriesError;

/// Why a tree was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Its place cannot be looked at.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Another restore is at work there.
    #[error("another restore is writing there{}", .0.as_ref().map_or(String::new(), |record| format!(" ({record})")))]
    InUse(Option<Box<ReplaceRecord>>),
    /// The system refuses something.
    #[error("`{path}`: {error}")]
    System {
        /// What it was about.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// What an earlier restore has left cannot be removed.
    #[error("what an earlier restore has left beside it stays: {0}")]
    Leftover(String),
    /// Nobody knows what an earlier restore has left.
    #[error(
        "`{path}` was left by an earlier restore and its `replace.json` cannot be read: {error}"
    )]
    Unclear {
        /// The workspace.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
    /// An earlier restore was killed while it put a tree in place.
    #[error("a restore was killed while it put a tree in place in `{path}`")]
    Unfinished {
        /// Where.
        path: String,
    },
    /// The snapshot has things where a file system is mounted.
    #[error(
        "`{0}` is a mount point, and the snapshot has entries below it, which cannot be moved there"
    )]
    MountHasEntries(String),
    /// The snapshot has a file where a directory has to stay.
    #[error("`{0}` has a mount point below it, and is no directory in the snapshot")]
    MountInTheWay(String),
    /// The store or its manifest fails.
    #[error(transparent)]
    Entries(#[from] EntriesError),
    /// A step was refused, and all others were taken back.
    #[error("`{path}` cannot be exchanged: {error}; the old tree is in place, as it was")]
    Refused {
        /// What was to be exchanged.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// Every step was made, and what comes after was refused.
    #[error(
        "the new tree is in place, but the old one could not be put away: {error}; until it is, it lies in `{path}`, as far as it is \
         not beside the new one already"
    )]
    Placed {
        /// The workspace.
        path: String,
        /// What the system says.
        error: String,
    },
    /// A step was refused, and so was taking back another one.
    #[error("`{path}` cannot be exchanged: {error}; the tree is partly exchanged")]
    Stuck {
        /// What was to be exchanged, or put back.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
}

impl ReplaceError {
    /// What the system says of a path.
    pub(super) fn system(path: &Path, error: impl Into<std::io::Error>) -> Self {
        Self::System {
            path: path.display().to_string(),
            error: error.into(),
        }
    }
}

impl From<Stuck> for ReplaceError {
    fn from(stuck: Stuck) -> Self {
        Self::Leftover(stuck.to_string())
    }
}
