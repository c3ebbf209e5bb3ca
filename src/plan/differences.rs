//! What differs between a snapshot and what its source has now: the one merge, which passes look through.
//! Nothing is read but metadata, so of a file of the same size with other times it is not known whether its
//! contents are others.

use crate::format::entry::{Entry, Kind};
use crate::format::name::Name;
use crate::format::object::ObjectMetadata;
use crate::format::snapshot::Snapshot;
use crate::pass::context::PassContext;
use crate::pass::diff::{
    Compared, Damaged, Inputs, MergeError, Moved, Pair, Recorded, UnknownAt, Verdict, Visitor,
    joined,
};
use crate::pass::error::{Nothing, SourceError};
use crate::pass::job::{Detect, SourceJob};
use crate::pass::past::Past;
use crate::snapshots::differences::{Difference, DifferenceKind};
use crate::source::Found;

/// Who is told what there is.
pub trait Listener: Send + 'static {
    /// Something differs. They come in order of path.
    fn differs(&mut self, difference: Difference);

    /// Nothing is known of what is at `path` and below, for this reason.
    fn unreadable(&mut self, path: &Name, error: &str);
}

/// Compares a snapshot with what its source has now, as a pass would that had it for its last one.
///
/// # Errors
/// As a pass. What was told until then is not all.
pub async fn differences<L: Listener>(
    pass: &PassContext,
    source: &SourceJob,
    snapshot: &Snapshot,
    listener: L,
) -> Result<L, SourceError> {
    let past = &Past {
        parent: Some(snapshot.clone()),
        ..Past::default()
    };
    let context = &pass.open(source).await?;
    let inputs = Inputs::open(context, None, past)?;
    let onlooker = Onlooker {
        listener,
        records_xattrs: context.source.records_xattrs(),
        found: 0,
        has_root: false,
        unknown: 0,
    };
    let onlooker = joined(inputs.merge(context, onlooker)).await?;
    let is_nothing = onlooker.found <= u64::from(onlooker.has_root) && onlooker.unknown == 0;
    if is_nothing && !source.allow_empty {
        let nothing = context.nothing_there(Nothing::LeftOut, past.entries());
        return Err(nothing.await);
    }
    context.confirm().await?;
    Ok(onlooker.listener)
}

/// Looks through the merge and does nothing.
struct Onlooker<L> {
    listener: L,
    /// Whether a pass would record extended attributes.
    records_xattrs: bool,
    /// Entries that exist.
    found: u64,
    /// Whether a root is among them.
    has_root: bool,
    /// Those that cannot be looked at.
    unknown: u64,
}

impl<L: Listener> Visitor for Onlooker<L> {
    type Output = Self;

    fn compare(&self, found: &Found, recorded: &Recorded, moved: &Moved) -> Verdict {
        moved.compare(found, recorded, Detect::Metadata)
    }

    fn damaged(&mut self, damaged: Damaged) -> Result<(), MergeError> {
        Err(MergeError::Damaged(damaged))
    }

    fn there(&mut self, pair: Pair) -> Result<(), MergeError> {
        self.found += 1;
        self.has_root |= pair.found.name.is_root();
        let after = || {
            let mut entry = Entry::new(pair.found.name.clone(), pair.found.stat.metadata);
            entry.object = pair.found.object.clone();
            Some(entry)
        };
        let difference = match pair.base {
            None => Difference {
                kind: DifferenceKind::Added,
                before: None,
                after: after(),
            },
            Some(base) => {
                let kind = kind_on_the_source(&pair.found, &base, self.records_xattrs);
                let Some(kind) = kind else {
                    return Ok(());
                };
                Difference {
                    kind,
                    after: after(),
                    before: Some(base.recorded.entry),
                }
            }
        };
        self.listener.differs(difference);
        Ok(())
    }

    fn vanished(&mut self, _: &Name) -> Result<(), MergeError> {
        Ok(())
    }

    fn unknown(&mut self, path: &Name, error: &str) -> Result<(), MergeError> {
        self.unknown += 1;
        self.listener.unreadable(path, error);
        Ok(())
    }

    fn missing(
        &mut self,
        recorded: Recorded,
        unknown: Option<&UnknownAt>,
    ) -> Result<(), MergeError> {
        if unknown.is_none() {
            self.listener.differs(Difference {
                kind: DifferenceKind::Removed,
                before: Some(recorded.entry),
                after: None,
            });
        }
        Ok(())
    }

    fn finish(self) -> Result<Self, MergeError> {
        Ok(self)
    }
}

/// Whether the bytes of an object are those that were recorded.
fn is_same_version(found: &Found, recorded: &Entry) -> bool {
    let etag = |object: &Option<Box<ObjectMetadata>>| Some(object.as_ref()?.etag.clone());
    found.stat.metadata == recorded.metadata && etag(&found.object) == etag(&recorded.object)
}

/// In what way something differs, as far as metadata tell.
fn kind_on_the_source(
    found: &Found,
    base: &Compared,
    records_xattrs: bool,
) -> Option<DifferenceKind> {
    let (was, is) = (&base.recorded.entry.metadata, &found.stat.metadata);
    if was.kind != is.kind {
        return Some(DifferenceKind::Type);
    }
    let same_owner_and_mode = (was.mode, was.uid, was.gid) == (is.mode, is.uid, is.gid);
    let same_time = was.mtime_ns == is.mtime_ns;
    match (base.verdict, is.kind) {
        (Verdict::Unchanged, _) => None,
        // Nothing is known to differ: less was recorded than is looked at now.
        (Verdict::Reread, Kind::Object) => None,
        (Verdict::Capture, Kind::Object) if is_same_version(found, &base.recorded.entry) => {
            Some(DifferenceKind::Metadata)
        }
        (Verdict::Capture, _) => Some(DifferenceKind::Contents),
        (Verdict::Reread, _) | (Verdict::Rerecord, Kind::Symlink)
            if same_owner_and_mode || !same_time =>
        {
            Some(DifferenceKind::Touched)
        }
        (Verdict::Rerecord, Kind::Directory) if same_owner_and_mode => {
            // What comes and goes in it changes both times. The change time alone: its attributes, it may be.
            let may_have_others = records_xattrs && same_time && was.ctime_ns != is.ctime_ns;
            may_have_others.then_some(DifferenceKind::Touched)
        }
        (Verdict::Reread | Verdict::Rerecord, _) => {
            let same = same_owner_and_mode && same_time;
            (!same).then_some(DifferenceKind::Metadata)
        }
    }
}
