//! Going through a whole manifest before a drill: whether it is all there, what is due, and how much there is.

use std::collections::HashSet;
use std::sync::Arc;

use super::DrillError;
use super::project::Whole;
use crate::contents::RANGE_BYTES;
use crate::format::entry::{Content, Entry, Kind, LinkGroup};
use crate::format::location::{Location, Member, ObjectId};
use crate::format::snapshot::Snapshot;
use crate::restore::Sample;
use crate::snapshots::entries::{Entries, EntriesError};
use crate::stop::Stop;
use crate::store::Store;
use crate::verify::{Finding, Tally};

/// What is known of a snapshot by its manifest.
pub(super) struct Survey {
    /// What is due: the window, and at least one file if there is any.
    pub(super) sample: Sample,
    /// Where the commit record contradicts its manifest.
    pub(super) findings: Vec<Finding>,
    /// All of it.
    pub(super) whole: Whole,
}

/// Counts every entry. A segment that is damaged is left out here; the restore, which needs it too, tells it.
pub(super) fn survey(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    sample: Sample,
    stop: &Stop,
) -> Result<Survey, DrillError> {
    let mut tally = Tally::of(snapshot, snapshot.segments.iter().collect());
    let mut entries = Entries::of(store, snapshot);
    let (mut counting, mut nearest) = (Counting::default(), Nearest::default());
    while let Some(placed) = entries.next_placed() {
        if stop.is_set() {
            return Err(DrillError::Stopped);
        }
        match placed {
            Ok((place, entry)) => {
                tally.count(place, &entry);
                nearest.consider(&entry, sample);
                counting.count(&entry);
            }
            Err(EntriesError::Store(error)) => return Err(error.into()),
            Err(EntriesError::Damaged { segment, .. }) => tally.leave_out(&segment.key),
        }
    }
    let mut whole = counting.whole;
    // A restore reads the manifest twice, to plan and to carry out.
    let manifest = snapshot.segments.iter().map(|segment| segment.size);
    whole.requests += 2 * snapshot.segments.len() as u64 + u64::from(snapshot.objects.is_some());
    whole.bytes_fetched += 2 * manifest.sum::<u64>();
    Ok(Survey {
        sample: nearest
            .distance
            .map_or(sample, |(_, distance)| sample.reaching(distance)),
        findings: tally.findings(),
        whole,
    })
}

/// What is next to come into the window, in case nothing is in it: a file that has contents to fetch rather than an
/// empty one, and a file rather than anything else.
#[derive(Default)]
struct Nearest {
    distance: Option<(u8, f64)>,
}

impl Nearest {
    fn consider(&mut self, entry: &Entry, sample: Sample) {
        let rank = match (entry.metadata.kind, &entry.content) {
            (kind, _) if kind.is_skipped() || entry.name.is_root() => return,
            (Kind::File | Kind::Object, None) => return,
            (Kind::File | Kind::Object, Some(content)) => {
                u8::from(content.location == Location::Inline)
            }
            _ => 2,
        };
        let this = (rank, sample.distance(entry));
        if self.distance.is_none_or(|nearest| this < nearest) {
            self.distance = Some(this);
        }
    }
}

/// Adds up what a full restore fetches.
#[derive(Default)]
struct Counting {
    whole: Whole,
    /// Files with several names are fetched once.
    seen: HashSet<(LinkGroup, [u8; 32])>,
    /// Small files that lie together in an archive are fetched together.
    group: Option<(ObjectId, u64)>,
}

impl Counting {
    fn count(&mut self, entry: &Entry) {
        let Some(content) = &entry.content else {
            return;
        };
        let is_new = |group| self.seen.insert((group, content.lot()));
        if !entry.hardlink.is_none_or(is_new) {
            return;
        }
        self.whole.files += 1;
        self.whole.bytes += entry.metadata.size;
        let fetched = self.fetched(content);
        self.whole.requests += fetched.div_ceil(RANGE_BYTES);
        self.whole.bytes_fetched += fetched;
    }

    fn fetched(&mut self, content: &Content) -> u64 {
        match &content.location {
            Location::Inline => 0,
            Location::Object(stored) => stored.size,
            Location::Member(member) => {
                let Member {
                    of, offset, length, ..
                } = **member;
                match self.group.replace((of, offset)) == Some((of, offset)) {
                    true => 0,
                    false => length,
                }
            }
        }
    }
}
