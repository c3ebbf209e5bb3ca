//! The merge: what exists and what was recorded, side by side, both in the order of names.

use std::cmp::Ordering;
use std::sync::Arc;

use super::compare::Verdict;
use super::continued::Continued;
use super::cursor::{Cursor, Damaged, Recorded};
use super::moved::Moved;
use crate::format::damage::DamagedContents;
use crate::format::name::Name;
use crate::snapshots::entries::StoredSegment;
use crate::source::{Found, Item, Unusable};
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
    /// The source cannot be gone through to its end.
    #[error(transparent)]
    Source(Unusable),
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

/// Where nothing could be looked at.
#[derive(Debug)]
pub(crate) struct UnknownAt {
    /// There and below.
    pub(crate) at: Name,
    /// What the source says.
    pub(crate) error: String,
}

impl UnknownAt {
    fn has(&self, path: &Name) -> bool {
        *path == self.at || path.is_below(&self.at)
    }
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
    fn vanished(&mut self, path: &Name) -> Result<(), MergeError>;

    /// Nothing is known of what is at `path` and below. What the last snapshot has of that is `missing` for
    /// this reason.
    ///
    /// # Errors
    /// The merge is to end.
    fn unknown(&mut self, path: &Name, error: &str) -> Result<(), MergeError>;

    /// Nor does the last snapshot have anything at that `path`, or is it a directory that was found.
    ///
    /// # Errors
    /// The merge is to end.
    fn unseen(&mut self, _path: &Name, _error: &str) -> Result<(), MergeError> {
        Ok(())
    }

    /// The last snapshot has something that does not exist; or of which nothing is known.
    ///
    /// # Errors
    /// The merge is to end.
    fn missing(
        &mut self,
        recorded: Recorded,
        unknown: Option<&UnknownAt>,
    ) -> Result<(), MergeError>;

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
    unknown: Option<UnknownAt>,
    /// The directory that was found last.
    directory: Name,
    moved: Moved,
    damaged: Arc<DamagedContents>,
}

impl<'a, V: Visitor> Merge<'a, V> {
    pub(super) fn new(base: Cursor, continued: Continued, visitor: V, stop: &'a Stop) -> Self {
        Self {
            base,
            continued,
            visitor,
            stop,
            unknown: None,
            directory: Name::ROOT,
            moved: Moved::default(),
            damaged: Arc::default(),
        }
    }

    /// The same, where some contents are damaged in the store: they count as different, whatever a visitor makes of
    /// their metadata.
    pub(super) fn with_damage(self, damaged: Arc<DamagedContents>) -> Self {
        Self { damaged, ..self }
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
                Item::Found(found) => match items.peek() {
                    // A directory that is gone before it is listed, or anything that cannot be looked at
                    // after all: what comes next says what to do.
                    Some(Item::Vanished(path)) if *path == found.name => {}
                    Some(Item::Unreadable(path, _))
                        if *path == found.name && !found.is_directory() => {}
                    Some(Item::Unreadable(path, error)) if *path == found.name => {
                        let unlisted = error.clone();
                        self.found(found, Some(unlisted))?;
                    }
                    _ => self.found(found, None)?,
                },
                Item::Vanished(path) => self.visitor.vanished(&path)?,
                Item::Unreadable(path, error) => self.unreadable(path, error)?,
                Item::Broken(unusable) => return Err(MergeError::Source(unusable)),
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

    fn unreadable(&mut self, path: Name, error: String) -> Result<(), MergeError> {
        self.catch_up(&path)?;
        self.visitor.unknown(&path, &error)?;
        let is_directory = self.directory == path || self.directory.is_below(&path);
        if !is_directory && self.base.compare(&path) != Ordering::Equal {
            self.visitor.unseen(&path, &error)?;
        }
        if !self.unknown.as_ref().is_some_and(|above| above.has(&path)) {
            self.unknown = Some(UnknownAt { at: path, error });
        }
        Ok(())
    }

    fn found(&mut self, found: Found, unlisted: Option<String>) -> Result<(), MergeError> {
        self.catch_up(&found.name)?;
        if found.is_directory() {
            self.directory = found.name.clone();
        }
        let mut base = None;
        if self.base.compare(&found.name) == Ordering::Equal {
            self.begin_segments()?;
            base = self.base.take().map(|recorded| self.judged(recorded));
        }
        let continued = self.continued.at(&found.name)?;
        let continued = continued.map(|recorded| self.judged(recorded));
        let recorded = base.iter().chain(&continued);
        self.moved.look(&found, recorded.map(|r| &r.entry));
        let (moved, visitor) = (&self.moved, &self.visitor);
        let base = base.map(|recorded| Compared {
            verdict: match recorded.is_damaged {
                true => Verdict::Capture,
                false => visitor.compare(&found, &recorded, moved),
            },
            recorded,
        });
        let continued = continued.map(|recorded| Compared {
            verdict: match recorded.is_damaged {
                true => Verdict::Capture,
                false => visitor.compare_continued(&found, &recorded, moved),
            },
            recorded,
        });
        self.visitor.there(Pair {
            found,
            unlisted,
            base,
            continued,
        })
    }

    /// Finds out whether contents are damaged in the store.
    fn judged(&self, recorded: Recorded) -> Recorded {
        Recorded {
            is_damaged: self.damaged.find(&recorded.entry).is_some(),
            ..recorded
        }
    }

    /// Leaves behind what the last snapshot has before `path`.
    fn catch_up(&mut self, path: &Name) -> Result<(), MergeError> {
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
        let recorded = self.judged(recorded);
        let unknown = self.unknown.as_ref();
        let unknown = unknown.filter(|unknown| unknown.has(&recorded.entry.name));
        self.visitor.missing(recorded, unknown)
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
