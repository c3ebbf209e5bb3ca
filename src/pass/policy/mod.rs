//! What is done about a difference: one policy for whole trees, one for sessions. Nothing else knows which
//! it is.

pub(crate) mod sessions;
pub(crate) mod tree;

use std::collections::HashSet;
use std::sync::Arc;

use super::context::SourceContext;
use super::diff::{Moved, Pair, Recorded, Verdict};
use super::error::SourceError;
use super::past::Past;
use super::steps::{Apart, Group};
use crate::format::entry::Entry;
use crate::format::name::Name;
use crate::format::selection::SessionSelection;
use crate::source::Found;

/// How something that exists, or was recorded, differs.
pub(crate) enum Change<'a> {
    /// It looks as it was recorded.
    Same(&'a Pair),
    /// It does not.
    Different(&'a Pair),
    /// The last snapshot does not have it.
    New(&'a Pair),
    /// It does not exist any more.
    Gone(&'a Recorded),
    /// Where it was, nothing could be listed.
    Unknown(&'a Recorded),
    /// A segment of the last snapshot cannot be used; what it lists is not known.
    Damaged,
}

impl<'a> Change<'a> {
    /// The difference of something that exists.
    #[must_use]
    pub(crate) fn of(pair: &'a Pair) -> Self {
        match &pair.base {
            None => Self::New(pair),
            Some(base) if base.verdict == Verdict::Unchanged => Self::Same(pair),
            Some(_) => Self::Different(pair),
        }
    }
}

/// What is done about it.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The entry stays as it is.
    Keep,
    /// The last version stays, and is marked as not read.
    Hold,
    /// It is in the manifest no longer.
    Drop,
    /// The metadata alone is recorded, beside any archive.
    Record,
    /// This entry is recorded: whoever made it has captured the contents.
    Take(Box<Entry>),
    /// It is captured, and goes into the group that its name belongs to.
    Capture,
    /// The source fails.
    Fail,
}

/// Decides what is done about differences.
pub(crate) trait Policy: Send {
    /// Compares something with what was recorded of it.
    fn compare(&self, found: &Found, recorded: &Recorded, moved: &Moved) -> Verdict;

    /// What the contents of a name go into together with others'; `None` for an object of their own.
    fn group(&self, name: &Name) -> Option<Arc<Group>>;

    /// Where something that goes into an archive goes besides, if anywhere.
    fn apart(&self, _: &Pair) -> Option<Box<Apart>> {
        None
    }

    /// Decides. Where there is nothing that it exists beside, `Record`, `Take` and `Capture` have no meaning.
    fn decide(&mut self, change: &Change<'_>) -> Decision;

    /// Whether there may be nothing.
    fn may_be_empty(&self) -> bool;
}

/// How one pass goes about a source, settled before it begins.
pub(crate) struct Approach {
    /// Who decides.
    pub(crate) policy: Box<dyn Policy>,
    /// Names in the root that are looked at; everything, if not set.
    pub(crate) only: Option<Arc<HashSet<Vec<u8>>>>,
    /// Whether the archive is a full one.
    pub(crate) is_full: bool,
    /// Whether all entries have their extended attributes afterwards.
    pub(crate) xattrs: bool,
    /// What of the source was asked for, where that is not everything.
    pub(crate) selection: Option<SessionSelection>,
    /// Entries that were seen before the pass begins and are to be come across, besides the root.
    pub(crate) expected: u64,
    /// Entries that no pass could read and none ever will.
    pub(crate) lost: u64,
    /// What exists, was never backed up and will not be by this pass.
    pub(crate) left_out: u64,
}

/// Settles how a pass goes about a source.
///
/// # Errors
/// The policy has looked at the source, and found that there is no going about it.
pub(crate) async fn settle(
    context: &Arc<SourceContext>,
    past: &Past,
) -> Result<Approach, SourceError> {
    match &context.job.sessions {
        Some(options) => sessions::settle(context, options, past).await,
        None => Ok(tree::settle(context, past.parent.as_ref())),
    }
}
