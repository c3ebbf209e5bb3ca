//! What has been verified of a source already, so that an object which several snapshots share is asked about
//! once.
//!
//! A pass refers only to objects that its parent, a killed pass after that, or itself holds. So what an entry holds
//! that was captured by the last snapshot that was verified, or before, that snapshot holds too. What was damaged there is looked
//! at again.

use std::collections::{HashMap, HashSet};

use super::report::{FindingKind, VerifyReport};
use crate::format::pass_id::PassId;
use crate::format::segment::SegmentRef;
use crate::format::snapshot::Snapshot;

/// The snapshots of one source that were verified, the earliest first.
#[derive(Debug, Default)]
pub struct Already {
    last: Option<LastVerified>,
}

/// The last of them.
#[derive(Debug)]
pub(super) struct LastVerified {
    pub(super) pass: PassId,
    sequence: u64,
    segments: HashMap<String, SegmentRef>,
    /// Keys of objects that something is wrong with. They are looked at again in each snapshot that needs them: it lacks
    /// them just as much.
    damaged: HashSet<String>,
}

impl LastVerified {
    /// Whether a segment was read and found to be as its commit record says.
    pub(super) fn has(&self, segment: &SegmentRef) -> bool {
        self.damaged.is_empty() && self.segments.get(&segment.key) == Some(segment)
    }

    /// Whether an object that a pass has captured was asked about, and nothing was wrong with it.
    pub(super) fn covers(&self, captured_by: PassId, key: &str) -> bool {
        captured_by <= self.pass && !self.damaged.contains(key)
    }
}

impl Already {
    /// The last snapshot, if `snapshot` comes after it in the same chain. Those between the two may be gone.
    pub(super) fn before(&self, snapshot: &Snapshot) -> Option<&LastVerified> {
        let is_before = |last: &&LastVerified| {
            let has_it_above = snapshot.parent.is_some_and(|parent| parent >= last.pass);
            has_it_above && snapshot.sequence > last.sequence
        };
        self.last.as_ref().filter(is_before)
    }

    /// Notes that a snapshot was verified. Nothing is taken for granted after one that was not read whole.
    pub(super) fn note(&mut self, snapshot: &Snapshot, report: &VerifyReport) {
        let mut findings = report.findings.iter();
        let is_unread = |kind| matches!(kind, FindingKind::Segment | FindingKind::Record);
        let is_whole =
            report.ended_early.is_none() && !findings.any(|finding| is_unread(finding.kind));
        self.last = is_whole.then(|| LastVerified {
            pass: snapshot.pass,
            sequence: snapshot.sequence,
            segments: (snapshot.segments.iter())
                .map(|segment| (segment.key.clone(), segment.clone()))
                .collect(),
            damaged: (report.findings.iter())
                .map(|finding| finding.key.clone())
                .collect(),
        });
    }
}
