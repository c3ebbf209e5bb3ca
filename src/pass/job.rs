//! What is to be done with one source, as it was asked for.

use std::sync::Arc;

use super::archive::ArchiveOptions;
use super::diff::Detect;
use super::policy::sessions::SessionOptions;
use crate::format::keys::SourceName;
use crate::source::Place;
use crate::store::Placement;

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
}

/// Where the contents of a source go.
#[derive(Debug, Clone)]
pub enum Method {
    /// Each file into an object of its own.
    Files,
    /// Many files into one archive.
    Archive(ArchiveOptions),
}
