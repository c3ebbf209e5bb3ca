//! What the backup of a source leaves out: by the rules that the snapshot was made with, and by those that hold now.
//! No snapshot has it, so it is not removed because this one lacks it.

use crate::format::path::EntryPath;
use crate::format::rules::Rules;
use crate::format::snapshot::Snapshot;
use crate::source::filter::{Filter, InvalidGlob};
use crate::source::session::is_in_root;

/// What no snapshot has.
pub(super) struct LeftOut {
    filters: Vec<Filter>,
    has_sessions: bool,
    /// Whether the pass was not to look at all sessions.
    is_selection: bool,
    one_file_system: bool,
}

impl LeftOut {
    /// By a snapshot, and by what is configured for its source.
    ///
    /// # Errors
    /// A rule cannot be read: a later version has written it.
    pub(super) fn of(snapshot: &Snapshot, configured: &Rules) -> Result<Self, Vec<InvalidGlob>> {
        let both = [&snapshot.rules, configured];
        let filters = both.iter().map(|rules| Filter::of(rules));
        Ok(Self {
            filters: filters.collect::<Result<_, _>>()?,
            has_sessions: both.iter().any(|rules| rules.sessions),
            is_selection: snapshot.selection.is_some(),
            one_file_system: both.iter().any(|rules| rules.one_file_system),
        })
    }

    /// Whether this is left out, with all that is in it.
    pub(super) fn has(&self, path: &EntryPath, is_directory: bool) -> bool {
        let is_beside_sessions = self.has_sessions && !is_directory;
        (is_in_root(path) && (self.is_selection || is_beside_sessions))
            || (self.filters.iter()).any(|filter| filter.leaves_out(path, is_directory))
    }

    /// Whether a directory of which the snapshot has nothing but itself may not have been looked into.
    pub(super) fn has_what_is_in_empty_directories(&self) -> bool {
        self.one_file_system
    }
}
