//! The merge: what exists and what was recorded, side by side, both in the order of names.

use std::cmp::Ordering;
use std::sync::Arc;

use super::compare::Verdict;
use super::continued::Continued;
use super::cursor::{Cursor, Damaged, Recorded};
use super::moved::Moved;
use crate::format::path::EntryPath;
use crate::snapshots::entries::StoredSegment;
use crate::source::{Found, Item};
use crate::stop::{Stop, Stopped};
use crate::store::StoreError;

/// Why the merge ended before its inputs did.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    /// The pass is being stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The last snapshot cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A segment of the last snapshot is damaged that nothing in the source can replace.
    #[error("{}", .0.error)]
    Damaged(Damaged),
}

/// Something that exists, beside what was recorded of it.
#[derive(Debug)]
pub(crate) struct Pair {
    /// What exists.
    pub(crate) found: Found,
    /// Of a directory that cannot be listed, why; nothing is known of what is in it.
    pub(crate) unlisted: Option<String>,
    /// What the last snapshot has.
    pub(crate) base: Option<Compared>,
    /// What a pass that was killed has recorded.
    pub(crate) continued: Option<Compared>,
}

/// An entry that was recorded, compared with what exists.
#[derive(Debug)]
pub(crate) struct Compared {
    /// The entry.
    pub(crate) recorded: Recorded,
    /// What has to be done about it.
    pub(crate) verdict: Verdict,
}

/// Who looks through the merge. Everything comes in the order of names.
pub(crate) trait Visitor {
    /// What it makes of all that.
    type Output;

    /// Compares what exists with what the last snapshot has of it.
    fn compare(&self, found: &Found, recorded: &Recorded, moved: &Moved) -> Verdict;

    /// The same for what a pass that was killed has.
    fn compare_continued(&self, found: &Found, recorded: &Recorded, moved: &Moved) -> Verdict {
        self.compare(found, recorded, moved)
    }

    /// The entries that follow lie in the range of this segment of the last snapshot.
    ///
    /// # Errors
    /// The merge is to end.
    fn begin_segment(&mut self, _: Arc<StoredSegment>) -> Result<(), MergeError> {
        Ok(())
    }

    /// That segment is done with, and another one is about to be loaded.
    ///
    /// # Errors
    /// The merge is to end.
    fn end_segment(&mut self) -> Result<(), MergeError> {
        Ok(())
    }

    /// A segment of the last snapshot cannot be used.
    ///
    /// # Errors
    /// The merge is to end.
    fn damaged(&mut self, damaged: Damaged) -> Result<(), MergeError>;

    /// Something exists.
    ///
    /// # Errors
    /// The merge is to end.
    fn there(&mut self, pair: Pair) -> Result<(), MergeError>;

    /// Something was listed, and gone when it was looked at.
    ///
    /// # Errors
    /// The merge is to end.
    fn vanished(&mut self, path: &EntryPath) -> Result<(), MergeError>;

    /// Nothing is known of what is at `path` and below.
    ///
    /// # Errors
    /// The merge is to end.
    fn unknown(&mut self, path: &EntryPath, error: &str) -> Result<(), MergeError>;

    /// The last snapshot has something that does not exist; or of which nothing is known, and why.
    ///
    /// # Errors
    /// The merge is to end.
    fn missing(&mut self, recorded: Recorded, unknown: Option<&str>) -> Result<(), MergeError>;

    /// That was all.
    ///
    /// # Errors
    /// Nobody wants to know.
    fn finish(self) -> Result<Self::Output, MergeError>;
}

/// A merge under way.
pub(super) struct Merge<'a, V> {
    base: Cursor,
    continued: Continued,
    visitor: V,
    stop: &'a Stop,
    /// Below this path nothing is known, and why.
    unknown: Option<(EntryPath, String)>,
    moved: Moved,
}

impl<'a, V: Visitor> Merge<'a, V> {
    pub(super) fn new(base: Cursor, continued: Continued, visitor: V, stop: &'a Stop) -> Self {
        Self {
            base,
            continued,
            visitor,
            stop,
            unknown: None,
            moved: Moved::default(),
        }
    }

    /// Goes through everything.
    pub(super) fn run(
        mut self,
        items: impl Iterator<Item = Item>,
    ) -> Result<V::Output, MergeError> {
        self.load()?;
        self.begin_segments()?;
        let mut items = items.peekable();
        while let Some(item) = items.next() {
            if self.stop.is_set() {
                return Err(Stopped.into());
            }
            match item {
                // A directory that is gone before it is listed.
                Item::Found(found) if matches!(items.peek(), Some(Item::Vanished(path)) if *path == found.path) =>
                    {}
                Item::Found(found) => {
                    let unlisted = match items.peek() {
                        Some(Item::Unreadable(path, error))
                            if *path == found.path || path.is_below(&found.path) =>
                        {
                            Some(error.clone())
                        }
                        _ => None,
                    };
                    self.found(found, unlisted)?;
                }
                Item::Vanished(path) => self.visitor.vanished(&path)?,
                Item::Unreadable(path, error) => {
                    self.catch_up(&path)?;
                    self.visitor.unknown(&path, &error)?;
                    self.unknown = Some((path, error));
                }
            }
        }
        self.load()?;
        while !self.base.is_at_end() {
            self.leave_behind()?;
            self.load()?;
        }
        self.report_damage()?;
        self.visitor.finish()
    }

    fn found(&mut self, found: Found, unlisted: Option<String>) -> Result<(), MergeError> {
        self.catch_up(&found.path)?;
        let mut base = None;
        if self.base.compare(&found.path) == Ordering::Equal {
            self.begin_segments()?;
            base = self.base.take();
        }
        let continued = self.continued.at(&found.path)?;
        let recorded = base.iter().chain(&continued);
        self.moved.look(&found, recorded.map(|r| &r.entry));
        let (moved, visitor) = (&self.moved, &self.visitor);
        let base = base.map(|recorded| Compared {
            verdict: visitor.compare(&found, &recorded, moved),
            recorded,
        });
        let continued = continued.map(|recorded| Compared {
            verdict: visitor.compare_continued(&found, &recorded, moved),
            recorded,
        });
        self.visitor.there(Pair {
            found,
            unlisted,
            base,
            continued,
        })
    }

    /// Leaves behind what the last snapshot has before `path`.
    fn catch_up(&mut self, path: &EntryPath) -> Result<(), MergeError> {
        self.load()?;
        while self.base.compare(path) == Ordering::Less {
            self.leave_behind()?;
            self.load()?;
        }
        Ok(())
    }

    /// Sees to it that the last snapshot's next entry is at hand. Whoever holds the segment before lets
    /// go of it, so that there are never two of them in memory.
    fn load(&mut self) -> Result<(), MergeError> {
        if self.base.is_between() {
            self.visitor.end_segment()?;
            self.base.load()?;
        }
        Ok(())
    }

    /// Passes over the next entry of the last snapshot, which was not found.
    fn leave_behind(&mut self) -> Result<(), MergeError> {
        self.begin_segments()?;
        let Some(recorded) = self.base.take() else {
            return Ok(());
        };
        let at = &recorded.entry.path;
        let unknown = self.unknown.as_ref();
        let unknown = unknown.filter(|(path, _)| at == path || at.is_below(path));
        let why = unknown.map(|(_, error)| error.as_str());
        self.visitor.missing(recorded, why)
    }

    /// Tells of segments that the last snapshot's next entry has brought.
    fn begin_segments(&mut self) -> Result<(), MergeError> {
        self.report_damage()?;
        for segment in self.base.take_begun() {
            self.visitor.begin_segment(segment)?;
        }
        Ok(())
    }

    fn report_damage(&mut self) -> Result<(), MergeError> {
        for damaged in self.base.take_damaged() {
            self.visitor.damaged(damaged)?;
        }
        Ok(())
    }
}
