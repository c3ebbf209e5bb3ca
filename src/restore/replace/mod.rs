//! A tree put in place of the one that exists.
//!
//! The new tree is restored beside the old one, every byte checked; then the two change places by one `renameat2`
//! (`RENAME_EXCHANGE`), and the old one is kept under another name until it is discarded. Where that cannot be (the
//! tree is a mount point, or has some below it; nothing may be made beside it), the new tree is restored in the old
//! one's own directory, and the entries of the two change places one by one.
//!
//! What is to be done is written to a journal first. Until it is there, the old tree is untouched, and whatever was
//! left is continued or removed by the next restore. Once it is there, the next restore goes on with it: the
//! journal says of each name what is to be in its place, and looking tells what is. A step that the system refuses
//! makes all others be taken back.
//!
//! Where a file system does not exchange names, what is old is moved away and what is new into its place, by the
//! same journal.

mod carry;
mod error;
mod files;
mod held;
mod kept;
mod left;
mod mounts;
mod moves;
mod place;
mod prepared;
mod protected;
mod putting;
mod record;
mod replacement;
mod steps;
mod workspace;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

pub use self::error::ReplaceError;
use self::held::Held;
pub use self::left::{Discarded, OldTree, discard, old_trees};
use self::place::Place;
pub use self::place::{Hindrance, PlaceError};
pub use self::record::{KeptRecord, ReplaceRecord};
pub use self::replacement::{Begun, Replacement, begin};
use super::Shortfall;
use crate::format::snapshot::Snapshot;
use crate::store::Store;

/// What is replaced, and by what.
#[derive(Debug, Clone)]
pub struct ReplaceOptions {
    /// The tree.
    pub target: PathBuf,
    /// Whether it was given by a directory for several sources.
    pub by_source: bool,
    /// Whether owners are restored; only root may.
    pub owners: bool,
    /// This machine, for people who find what a restore has left.
    pub host: String,
    /// When the restore began.
    pub started_at: Timestamp,
}

/// A tree that was replaced.
#[derive(Debug, Clone, Serialize)]
pub struct Replaced {
    /// What was replaced, without symbolic links.
    pub target: String,
    /// Name of the source it was replaced by.
    pub source: String,
    /// The snapshot.
    pub snapshot: String,
    /// Where the old tree is now, if there was one.
    pub kept: Option<String>,
    /// Whether an earlier restore had restored the new tree, and only putting it in place was left to do.
    pub was_unfinished: bool,
    /// What is not as it should be.
    pub failures: Vec<Shortfall>,
}

/// How a tree would be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplacePlan {
    /// What would be replaced, without symbolic links.
    pub target: String,
    /// Whether there is something.
    pub exists: bool,
    /// Why its entries would be exchanged one by one, if they would.
    pub entry_by_entry_because: Option<String>,
}

/// Says how a tree would be replaced. Changes nothing.
///
/// # Errors
/// Its place cannot be looked at, or the snapshot has something where a file system is mounted.
pub fn plan_to_replace(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    target: &Path,
) -> Result<ReplacePlan, ReplaceError> {
    let place = Place::find(target)?;
    Held::of(&place.path, &place.mounts, (store, snapshot))?;
    Ok(ReplacePlan {
        target: place.path.display().to_string(),
        exists: place.existing.is_some(),
        entry_by_entry_because: (place.hindrance.as_ref()).map(ToString::to_string),
    })
}

/// The names in a directory under which this program keeps old trees, or new ones that are not finished.
pub(super) fn own_names(directory: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut own = Vec::new();
    for kept in kept::find(directory, None)? {
        own.extend(kept.names());
    }
    own.extend(workspace::names(directory)?);
    Ok(own)
}
