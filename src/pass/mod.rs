//! What to do with what there is: compare a directory with its last snapshot, capture what is new,
//! write the manifest, commit.
//!
//! ```text
//!            walk ─┐                ┌─► captures (threads that read, tasks that send) ─┐
//!                  ├─► merge thread ┤                                                  ├─► manifest writer
//! last snapshot ───┘                └─► decisions, in order ───────────────────────────┘
//! ```
//!
//! The merge goes through the walk and the last snapshot together, both sorted, and decides about
//! each entry. Decisions reach the manifest writer in order; a decision that needs a capture is a
//! promise that the writer waits for. Every queue is bounded, so memory does not grow with the
//! number of entries. Nothing is visible until the commit record is written, which is the last
//! thing that happens.

pub mod archive;
pub mod capture;
pub mod commit;
pub mod compare;
pub mod continued;
pub mod decisions;
pub mod error;
mod fatal;
mod gaps;
pub mod merge;
mod moved;
pub mod origins;
mod place;
pub mod previous;
mod root;
pub mod sessions;
pub mod writer;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::format::keys::SourceName;
use crate::format::snapshot::Snapshot;
use crate::source::filter::Filter;
use crate::store::Placement;

pub use self::archive::ArchiveOptions;
pub use self::commit::{SourceReport, back_up};
pub use self::compare::Detect;
pub use self::error::SourceError;
pub use self::sessions::SessionOptions;

/// A directory to back up.
#[derive(Debug, Clone)]
pub struct DirectorySource {
    /// Its stable name.
    pub name: SourceName,
    /// Where it is: absolute and clean, as names and records have it.
    pub directory: PathBuf,
    /// The same as it was written, which is what is opened: `..` after a symbolic link leads elsewhere
    /// than the clean path.
    pub written_as: PathBuf,
    /// What of it is left out.
    pub filter: Filter,
    /// Whether to leave out other file systems mounted in it.
    pub one_file_system: bool,
    /// Whether to record extended attributes.
    pub xattrs: bool,
    /// How closely to look.
    pub detect: Detect,
    /// Whether there may be nothing in it.
    pub allow_empty: bool,
    /// Whether to capture everything afresh, whatever the last snapshot has.
    pub afresh: bool,
    /// Where contents go: into objects of their own, or into archives.
    pub method: Method,
    /// What is particular about its sessions, where each directory in it is one.
    pub sessions: Option<SessionOptions>,
    /// How contents are kept.
    pub placement: Placement,
}

impl DirectorySource {
    /// Whether a pass at `now` makes a full archive of it, given its last snapshot.
    #[must_use]
    pub fn is_full_due(&self, parent: Option<&Snapshot>, now: Timestamp) -> bool {
        match &self.method {
            Method::Files => false,
            Method::Archive(_) if self.sessions.is_some() => false,
            Method::Archive(archive) => self.afresh || archive.is_full_due(parent, now),
        }
    }
}

/// Where the contents of a source go.
#[derive(Debug, Clone)]
pub enum Method {
    /// Each file into an object of its own.
    Files,
    /// Many files into one archive.
    Archive(ArchiveOptions),
}

/// How much a pass may do at once, and how it cuts its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests that send contents, in flight at once.
    pub concurrency: usize,
    /// Bytes of contents in memory at once.
    pub memory_bytes: usize,
    /// Threads that list and stat.
    pub scan_threads: usize,
    /// Threads that read and hash.
    pub read_threads: usize,
    /// Entries in a segment.
    pub segment_entries: u64,
    /// Entries captured before a checkpoint.
    pub checkpoint_entries: u64,
    /// Time before a checkpoint, if anything was captured.
    pub checkpoint_interval: Duration,
}
