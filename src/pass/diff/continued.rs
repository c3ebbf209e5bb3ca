//! What passes that were killed have recorded.
//!
//! Their entries are trusted as a snapshot's are, because each was written after the contents it
//! names were in the store, and has its digest in its name. A file that still looks as such an entry says
//! is not sent again.

use std::collections::HashSet;

use super::cursor::{Cursor, Recorded};
use crate::format::entry::Entry;
use crate::format::pass_id::PassId;
use crate::format::path::EntryPath;
use crate::format::snapshot::Snapshot;
use crate::pass::unfinished::Unfinished;
use crate::snapshots::entries::Segments;
use crate::store::StoreError;

/// Archives that are complete, by key and by the pass that wrote them: a killed pass may have
/// recorded entries of an archive it never completed, whose key a later one has taken.
#[derive(Debug, Default)]
pub(super) struct Trusted(HashSet<(Box<str>, PassId)>);

impl Trusted {
    /// Those that the last snapshot names, and those that killed passes have recorded.
    #[must_use]
    pub(super) fn of(parent: Option<&Snapshot>, unfinished: &[Unfinished]) -> Self {
        let recorded = parent.into_iter().flat_map(|parent| &parent.archives);
        let continued = unfinished.iter().flat_map(|pass| &pass.archives);
        let archives = recorded.chain(continued);
        Self(archives.map(|a| (a.key.clone(), a.pass)).collect())
    }

    /// Whether the contents of an entry are where it says, as far as archives go.
    fn has(&self, entry: &Entry) -> bool {
        let Some(content) = &entry.content else {
            return true;
        };
        let range = content.archive.as_ref();
        range.is_none_or(|range| self.0.contains(&(range.key.clone(), content.pass)))
    }
}

/// Entries of killed passes, read along with the walk.
#[derive(Default)]
pub(super) struct Continued {
    /// The latest pass first.
    cursors: Vec<Cursor>,
    trusted: Trusted,
    /// Whether entries count only with their extended attributes.
    xattrs: bool,
}

impl Continued {
    /// Reads what `passes` have left. An entry that points into an archive counts only where that
    /// is one of `trusted`: another one was never completed.
    #[must_use]
    pub(super) fn new(passes: Vec<Segments>, trusted: Trusted, xattrs: bool) -> Self {
        Self {
            cursors: passes.into_iter().map(Cursor::new).collect(),
            trusted,
            xattrs,
        }
    }

    /// The entry at `path`. Entries before `path` are
    /// passed over for good.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn at(&mut self, path: &EntryPath) -> Result<Option<Recorded>, StoreError> {
        let mut found = None;
        for cursor in &mut self.cursors {
            while cursor.load()?.compare(path).is_lt() {
                cursor.take();
            }
            if cursor.compare(path).is_eq() {
                let counts = cursor.has_xattrs() || !self.xattrs;
                let recorded = cursor.take();
                found = found.or(recorded.filter(|r| counts && self.trusted.has(&r.entry)));
            }
        }
        Ok(found)
    }
}
