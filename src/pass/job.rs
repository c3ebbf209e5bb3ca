//! What is to be done with one source, as it was asked for.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::policy::sessions::SessionOptions;
use crate::archive::template::KeyTemplate;
use crate::format::codec::Codec;
use crate::format::keys::SourceName;
use crate::format::snapshot::Snapshot;
use crate::retention::Retention;
use crate::source::Place;
use crate::store::Placement;

/// Of two of the store's times the later one may look this much earlier.
const CLOCK_STEP: SignedDuration = SignedDuration::from_mins(1);

/// What is to be done with a source.
#[derive(Debug, Clone)]
pub struct SourceJob {
    /// Its stable name.
    pub name: SourceName,
    /// Where it is.
    pub place: Arc<dyn Place>,
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
    /// Which of its snapshots are kept; all of them, without.
    pub retention: Option<Retention>,
    /// Sources without whose success it is skipped.
    pub depends_on: Vec<SourceName>,
}

/// Where the contents of a source go.
#[derive(Debug, Clone)]
pub enum Method {
    /// Each file into an object of its own.
    Files,
    /// Many files into one archive.
    Archive(ArchiveOptions),
}

/// How closely files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detect {
    /// Type, size, times and ownership tell.
    #[default]
    Metadata,
    /// Every file is read and its SHA-256 compared.
    Checksum,
}

/// How a source is archived.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    /// How archives are compressed.
    pub codec: Codec,
    /// How hard: 0 to 9 for gzip, -7 to 22 for zstd.
    pub level: i32,
    /// Where archives go.
    pub template: KeyTemplate,
    /// Whether an archive holds only what has changed since the last snapshot.
    pub incremental: bool,
    /// How old the last full archive may become.
    pub full_every: Option<Duration>,
}

impl ArchiveOptions {
    /// Whether the archive that is due is a full one.
    #[must_use]
    pub fn is_full_due(&self, parent: Option<&Snapshot>, now: Timestamp) -> bool {
        let Some(full) = parent.and_then(|parent| parent.full) else {
            return true;
        };
        let age = now.duration_since(full.created_at);
        // A schedule is never exact: a pass that comes a little early is the one that was meant.
        let is_old = |most: Duration| {
            age >= SignedDuration::try_from(most - most / 24).unwrap_or(SignedDuration::MAX)
        };
        // Made under a clock that was ahead: nobody knows how old it is.
        let is_from_the_future = age < -CLOCK_STEP;
        let is_due = |most| is_from_the_future || is_old(most);
        !self.incremental || self.full_every.is_some_and(is_due)
    }
}
