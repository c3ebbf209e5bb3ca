//! What a commit record says of its segments, against what they hold.

use std::collections::HashSet;

use super::report::{Finding, FindingKind, Problem};
use crate::format::entry::Entry;
use crate::format::keys;
use crate::format::name::Name;
use crate::format::segment::{End, SegmentRef};
use crate::format::snapshot::Snapshot;
use crate::format::totals::Totals;
use crate::snapshots::entries::EntryIndex;

/// What one segment holds.
#[derive(Default)]
struct SegmentTally {
    totals: Totals,
    end: End,
    last: Option<Name>,
}

/// Counts entries by segment.
pub struct Tally<'a> {
    snapshot: &'a Snapshot,
    /// Those that are read.
    segments: Vec<&'a SegmentRef>,
    held: Vec<SegmentTally>,
    /// Keys of segments that could not be read whole.
    damaged: HashSet<String>,
}

impl<'a> Tally<'a> {
    /// Of those segments of a snapshot that are read.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot, segments: Vec<&'a SegmentRef>) -> Self {
        let held = segments.iter().map(|_| SegmentTally::default());
        Self {
            snapshot,
            held: held.collect(),
            segments,
            damaged: HashSet::new(),
        }
    }

    /// Counts an entry.
    pub fn count(&mut self, place: EntryIndex, entry: &Entry) {
        let Some(held) = self.held.get_mut(place.segment) else {
            return;
        };
        held.totals += Totals::of(entry);
        held.end.add(entry);
        held.last = Some(entry.name.clone());
    }

    /// Leaves out a segment that could not be read whole.
    pub fn leave_out(&mut self, key: &str) {
        self.damaged.insert(key.to_owned());
    }

    /// What the commit record has wrong, once all entries are counted.
    #[must_use]
    pub fn findings(self) -> Vec<Finding> {
        let snapshot = self.snapshot;
        let record = format!(
            "{}{}/{}.json",
            keys::SNAPSHOTS,
            snapshot.source,
            snapshot.pass
        );
        let mut findings = Vec::new();
        let mut find = |path: &str, what: String| {
            let problem = Problem::new(FindingKind::Record, what);
            findings.push(problem.at(path, record.as_str()));
        };
        for (segment, mut held) in self.segments.into_iter().zip(self.held) {
            let key = &segment.key;
            if self.damaged.contains(key) {
                continue;
            }
            if let Some(last) = &held.last {
                held.end.close(last);
            }
            if let Some(what) = segment.differs(held.totals, &held.end) {
                find(
                    &segment.first,
                    format!("the {what} of `{key}` are not those of its entries"),
                );
            }
        }
        let totals: Totals = snapshot.segments.iter().map(|segment| segment.totals).sum();
        if totals != snapshot.totals {
            find(".", "the totals are not those of the segments".to_owned());
        }
        findings
    }
}
