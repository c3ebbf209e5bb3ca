//! What is to be done with one source, as it was asked for.

use std::path::PathBuf;

use super::archive::ArchiveOptions;
use super::diff::Detect;
use super::policy::sessions::SessionOptions;
use crate::format::keys::SourceName;
use crate::source::filter::Filter;
use crate::store::Placement;

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

/// Where the contents of a source go.
#[derive(Debug, Clone)]
pub enum Method {
    /// Each file into an object of its own.
    Files,
    /// Many files into one archive.
    Archive(ArchiveOptions),
}
