//! What passes that were killed have recorded.
//!
//! Their entries are trusted as a snapshot's are, because each was written after the contents it
//! names were in the store, and has its digest in its name. A file that still looks as such an entry says
//! is not sent again.

use std::collections::HashSet;

use super::cursor::{Cursor, Recorded};
use crate::format::entry::{Content, Entry};
use crate::format::location::ObjectId;
use crate::format::name::Name;
use crate::pass::past::Past;
use crate::snapshots::entries::Segments;
use crate::store::StoreError;

/// Shared objects that are complete. A killed pass may have recorded entries of one that it never
/// completed.
#[derive(Debug, Default)]
pub(super) struct Trusted(HashSet<ObjectId>);

impl Trusted {
    /// Those of the last snapshot, and those that killed passes have recorded.
    pub(super) fn of(past: &Past) -> Self {
        let continued = past.unfinished.iter().flat_map(|pass| &pass.objects);
        let continued = continued.map(|object| object.object);
        Self(past.objects().into_iter().chain(continued).collect())
    }

    /// Whether the contents of an entry are where it says, as far as shared objects go.
    fn has(&self, entry: &Entry) -> bool {
        let member = entry.content.as_ref().and_then(Content::member);
        member.is_none_or(|member| self.0.contains(&member.of))
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
    /// Reads what `passes` have left. An entry that points into a shared object counts only where that
    /// is one of `trusted`: another one was never completed.
    #[must_use]
    pub(super) fn new(passes: Vec<Segments>, trusted: Trusted, xattrs: bool) -> Self {
        Self {
            cursors: passes.into_iter().map(Cursor::new).collect(),
            trusted,
            xattrs,
        }
    }

    /// The entry of this name. Entries before it are passed over for good.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn at(&mut self, name: &Name) -> Result<Option<Recorded>, StoreError> {
        let mut found = None;
        for cursor in &mut self.cursors {
            while cursor.load()?.compare(name).is_lt() {
                cursor.take();
            }
            if cursor.compare(name).is_eq() {
                let counts = cursor.has_xattrs() || !self.xattrs;
                let recorded = cursor.take();
                found = found.or(recorded.filter(|r| counts && self.trusted.has(&r.entry)));
            }
        }
        Ok(found)
    }
}
