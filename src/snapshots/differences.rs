//! What differs between two snapshots of a source: two streams of entries in one order. Segments that both
//! refer to are the same in both, and are not read.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;

use super::entries::{Entries, EntriesError};
use crate::format::entry::{Digest, Entry, Kind};
use crate::format::location::ETag;
use crate::format::segment::SegmentRef;
use crate::format::snapshot::Snapshot;
use crate::store::Store;

/// In what way something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// It was not there before.
    Added,
    /// It is not there any more.
    Removed,
    /// It has become another type of thing.
    Type,
    /// It has other contents, or leads elsewhere.
    Contents,
    /// It has another owner, mode, time or other extended attributes. The time of a directory does not count:
    /// it changes with what is in it.
    Metadata,
    /// It has the same size and other times, and was not read: whether its contents are others is not known. Of
    /// what is on a disk, never of two snapshots.
    Touched,
}

/// Something that differs. One of the two is there at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In what way.
    pub kind: DifferenceKind,
    /// As it was.
    pub before: Option<Entry>,
    /// As it is.
    pub after: Option<Entry>,
}

impl Difference {
    /// The entry as it is; as it was, if it is gone.
    ///
    /// # Panics
    /// If there is neither.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        let entry = self.after.as_ref().or(self.before.as_ref());
        entry.expect("one of the two is there")
    }
}

/// Compares what two snapshots have at one path, as far as a restore would show it: change times, inodes and
/// where contents lie do not count.
#[must_use]
pub fn difference_kind(before: &Entry, after: &Entry) -> Option<DifferenceKind> {
    let (was, is) = (&before.metadata, &after.metadata);
    if was.kind != is.kind {
        return Some(DifferenceKind::Type);
    }
    let same_contents =
        was.size == is.size && digest(before) == digest(after) && before.target == after.target;
    if !same_contents {
        return Some(DifferenceKind::Contents);
    }
    let same_time = was.mtime_ns == is.mtime_ns || is.kind == Kind::Directory;
    let same_metadata = (was.mode, was.uid, was.gid) == (is.mode, is.uid, is.gid)
        && same_time
        && before.xattrs == after.xattrs;
    (!same_metadata).then_some(DifferenceKind::Metadata)
}

/// What tells the contents of an entry from others: their SHA-256, or the bucket's name for the version of an object
/// that nobody has read.
fn digest(entry: &Entry) -> Option<(Digest, Option<&ETag>)> {
    let digest = entry.content.as_ref()?.digest;
    let etag = entry.object.as_ref().map(|object| &object.etag);
    Some((digest, etag.filter(|_| digest == Digest::Vouched)))
}

/// All differences in order of path. Blocks; for a thread, not for a task.
///
/// After an error nothing more can be said: what one side lists there, the other may have or not.
pub struct Differences {
    before: Side,
    after: Side,
}

struct Side {
    entries: Entries,
    next: Option<Entry>,
}

impl Side {
    fn of(store: &Arc<dyn Store>, segments: &[SegmentRef], shared: &HashSet<&str>) -> Self {
        let own = segments.iter().filter(|s| !shared.contains(&*s.sha256));
        Self {
            entries: Entries::in_segments(store, &own.cloned().collect::<Vec<_>>()),
            next: None,
        }
    }

    fn load(&mut self) -> Result<(), EntriesError> {
        if self.next.is_none() {
            self.next = self.entries.next().transpose()?;
        }
        Ok(())
    }
}

impl Differences {
    /// Between two snapshots of one source; without the first, everything is new. Needs a runtime around it.
    #[must_use]
    pub fn between(store: &Arc<dyn Store>, before: Option<&Snapshot>, after: &Snapshot) -> Self {
        let before = before.map_or(&[][..], |before| &before.segments);
        let after = &after.segments[..];
        fn digests(segments: &[SegmentRef]) -> HashSet<&str> {
            segments.iter().map(|segment| &*segment.sha256).collect()
        }
        let shared = &digests(before) & &digests(after);
        Self {
            before: Side::of(store, before, &shared),
            after: Side::of(store, after, &shared),
        }
    }

    fn next_difference(&mut self) -> Result<Option<Difference>, EntriesError> {
        loop {
            self.before.load()?;
            self.after.load()?;
            let order = match (&self.before.next, &self.after.next) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(before), Some(after)) => before.name.cmp(&after.name),
            };
            let before = order.is_le().then(|| self.before.next.take()).flatten();
            let after = order.is_ge().then(|| self.after.next.take()).flatten();
            let kind = match (&before, &after) {
                (Some(before), Some(after)) => difference_kind(before, after),
                (Some(_), None) => Some(DifferenceKind::Removed),
                (None, _) => Some(DifferenceKind::Added),
            };
            if let Some(kind) = kind {
                return Ok(Some(Difference {
                    kind,
                    before,
                    after,
                }));
            }
        }
    }
}

impl Iterator for Differences {
    type Item = Result<Difference, EntriesError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_difference().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::Content;
    use crate::format::entry::Metadata;
    use crate::format::location::Location;
    use crate::format::path::EntryPath;

    fn entry(kind: Kind) -> Entry {
        let metadata = Metadata {
            kind,
            size: 1,
            mtime_ns: 1,
            ctime_ns: 1,
            mode: 0o644,
            uid: 1,
            gid: 1,
        };
        let mut entry = Entry::new(EntryPath::parse("x").unwrap(), metadata);
        entry.content = (kind == Kind::File).then(|| content(1));
        entry
    }

    fn content(digit: u8) -> Content {
        Content {
            digest: Digest::Sha256([digit; 32]),
            pass: "20251227T020000Z-7f3a".parse().unwrap(),
            captured_as: None,
            location: Location::Inline,
        }
    }

    fn after(kind: Kind, change: impl Fn(&mut Entry)) -> Option<DifferenceKind> {
        let before = entry(kind);
        let mut after = before.clone();
        change(&mut after);
        difference_kind(&before, &after)
    }

    #[test]
    fn what_a_restore_would_show_is_a_difference_and_nothing_else() {
        use DifferenceKind::{Contents, Metadata, Type};
        let file = |change: fn(&mut Entry)| after(Kind::File, change);
        assert_eq!(file(|_| {}), None);
        assert_eq!(file(|e| e.metadata.ctime_ns = 2), None);
        assert_eq!(file(|e| e.racy = true), None);
        assert_eq!(
            file(|e| e.content.as_mut().unwrap().captured_as = Some(Box::new(EntryPath::ROOT))),
            None
        );
        assert_eq!(file(|e| e.metadata.kind = Kind::Symlink), Some(Type));
        assert_eq!(file(|e| e.metadata.size = 2), Some(Contents));
        assert_eq!(file(|e| e.content = Some(content(2))), Some(Contents));
        assert_eq!(file(|e| e.content = None), Some(Contents));
        assert_eq!(file(|e| e.metadata.mtime_ns = 2), Some(Metadata));
        assert_eq!(file(|e| e.metadata.mode = 0o600), Some(Metadata));
        assert_eq!(file(|e| e.metadata.uid = 2), Some(Metadata));
        assert_eq!(file(|e| e.metadata.gid = 2), Some(Metadata));
        assert_eq!(
            file(|e| e.xattrs = vec![(vec![1], vec![2])]),
            Some(Metadata)
        );
        // Other contents are what is said of a file that has both.
        let both = file(|e| (e.metadata.mode, e.content) = (0o600, None));
        assert_eq!(both, Some(Contents));
        let link = after(Kind::Symlink, |e| e.target = Some(vec![1]));
        assert_eq!(link, Some(Contents));
        let directory = |change: fn(&mut Entry)| after(Kind::Directory, change);
        assert_eq!(directory(|e| e.metadata.mtime_ns = 2), None);
        assert_eq!(directory(|e| e.inode = Some(2)), None);
        assert_eq!(directory(|e| e.metadata.mode = 0o700), Some(Metadata));
    }
}
