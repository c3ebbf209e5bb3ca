//! What a commit record says of its segments, against what they hold.

use std::collections::{BTreeMap, HashSet};

use super::report::{Finding, FindingKind, Problem};
use crate::format::entry::{Content, Entry};
use crate::format::keys;
use crate::format::location::ObjectId;
use crate::format::snapshot::Snapshot;
use crate::format::totals::Totals;
use crate::snapshots::entries::Place;

/// What one segment holds.
#[derive(Default)]
struct Held {
    totals: Totals,
    objects: BTreeMap<ObjectId, u64>,
}

/// Counts entries by segment.
pub(super) struct Tally<'a> {
    snapshot: &'a Snapshot,
    held: Vec<Held>,
    /// Keys of segments that could not be read whole.
    damaged: HashSet<String>,
}

impl<'a> Tally<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let segments = snapshot.segments.iter();
        Self {
            snapshot,
            held: segments.map(|_| Held::default()).collect(),
            damaged: HashSet::new(),
        }
    }

    pub(super) fn count(&mut self, place: Place, entry: &Entry) {
        let Some(held) = self.held.get_mut(place.segment) else {
            return;
        };
        held.totals += Totals::of(entry);
        if let Some(member) = entry.content.as_ref().and_then(Content::member) {
            let live = held.objects.entry(member.of).or_default();
            *live = live.saturating_add(entry.metadata.size);
        }
    }

    /// Leaves out a segment that could not be read whole.
    pub(super) fn leave_out(&mut self, key: &str) {
        self.damaged.insert(key.to_owned());
    }

    /// What the commit record has wrong, once all entries are counted.
    pub(super) fn findings(self) -> Vec<Finding> {
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
        for (segment, held) in snapshot.segments.iter().zip(&self.held) {
            if self.damaged.contains(&segment.key) {
                continue;
            }
            let (key, path) = (&segment.key, segment.first.as_str());
            if segment.totals != held.totals {
                find(
                    path,
                    format!("the totals of `{key}` are not those of its entries"),
                );
            }
            if segment.objects != held.objects {
                find(
                    path,
                    format!("the objects of `{key}` are not those its entries point into"),
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
