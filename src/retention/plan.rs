//! What a prune would do, and why. Pure: everything it needs was read before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::rules::{self, Candidate, Rule};
use crate::format::keys::SourceName;
use crate::format::pass_id::PassId;
use crate::format::retention::{Policy, span};
use crate::format::snapshot::{Loss, Snapshot};
use crate::snapshots::marks::Marks;
use crate::store::ETag;

/// Clocks that differ by more than this are not believed.
pub const CLOCKS_APART: SignedDuration = SignedDuration::from_hours(1);

/// What a plan has to know of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The snapshot.
    pub pass: PassId,
    /// When it was committed, in the store's time.
    pub committed_at: Timestamp,
    /// Whether it has everything that was in the source.
    pub is_complete: bool,
    /// Bytes that its pass put into the store.
    pub uploaded_bytes: u64,
    /// Less than half of this is left in it.
    pub loss: Option<Loss>,
    /// The version of its record that was read.
    pub etag: ETag,
}

/// The snapshots of one source: what is to be judged.
#[derive(Debug)]
pub struct Snapshots {
    /// Name of the source.
    pub source: SourceName,
    /// Those that exist, in the order of their ids.
    pub live: Vec<Known>,
    /// What condemned ones have lost, by the snapshot that shows it.
    pub losses_of_condemned: Vec<(PassId, Loss)>,
    /// What passes uploaded whose snapshots are condemned already.
    pub condemned_bytes: u64,
    /// The parents of all of them, also of condemned ones.
    pub parents: BTreeMap<PassId, PassId>,
    /// What was said of them.
    pub marks: Marks,
}

impl Snapshots {
    /// Nothing of a source.
    #[must_use]
    pub fn none(source: &SourceName) -> Self {
        Self {
            source: source.clone(),
            live: Vec::new(),
            losses_of_condemned: Vec::new(),
            condemned_bytes: 0,
            parents: BTreeMap::new(),
            marks: Marks::default(),
        }
    }
}

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Reason {
    /// A rule keeps it.
    Rule(Rule),
    /// The next pass will be compared with it.
    Newest,
    /// Nothing newer has everything.
    NewestComplete,
    /// It says that it was committed later than now, so no rule can judge it.
    LaterThanNow,
    /// Somebody has pinned it.
    Pinned {
        /// Why.
        reason: String,
        /// Not after this.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// More than half was gone in the next snapshot, and nobody has said that this was meant.
    Held {
        /// The snapshot that shows the loss.
        lost_in: PassId,
    },
}

/// Why a snapshot goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Removal {
    /// Another one of the same period stays.
    Superseded {
        /// By this one.
        by: PassId,
        /// `hour`, `day`, `week`, `month` or `year`.
        of_the_same: &'static str,
    },
    /// It is older than any rule reaches.
    BeyondAllRules,
}

/// What is decided of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The snapshot.
    pub snapshot: PassId,
    /// When it was committed, in the store's time.
    pub committed_at: Timestamp,
    /// Whether it has everything that was in the source.
    pub complete: bool,
    /// Bytes that its pass put into the store.
    pub uploaded_bytes: u64,
    /// The version of its record that was read.
    #[serde(skip)]
    pub etag: ETag,
    /// Its nearest ancestor that stays.
    #[serde(skip)]
    pub after: Option<PassId>,
    /// Why it stays; empty if it goes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Reason>,
    /// Why it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removal>,
}

/// What a prune would do with one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourcePlan {
    /// Name of the source.
    pub source: SourceName,
    /// The policy.
    pub policy: Policy,
    /// All its snapshots, the oldest first.
    pub snapshots: Vec<Decision>,
    /// What passes uploaded whose snapshots are condemned already.
    pub condemned_bytes: u64,
}

/// Tells each snapshot which of its ancestors is the nearest that stays.
fn link(snapshots: &mut [Decision], parents: &BTreeMap<PassId, PassId>) {
    let stays = |one: &&Decision| one.removed.is_none();
    let kept: BTreeSet<_> = snapshots
        .iter()
        .filter(stays)
        .map(|one| one.snapshot)
        .collect();
    for one in snapshots {
        let mut after = parents.get(&one.snapshot);
        while let Some(ancestor) = after.filter(|ancestor| !kept.contains(ancestor)) {
            // Ids only ever grow along a chain; what a hand has made otherwise ends here.
            after = parents.get(ancestor).filter(|parent| *parent < ancestor);
        }
        one.after = after.copied();
    }
}

impl SourcePlan {
    /// Decides by a policy, whose time zone is `zone`.
    #[must_use]
    pub fn of(found: &Snapshots, policy: &Policy, zone: &TimeZone, now: Timestamp) -> Self {
        let is_future = |at: Timestamp| at.duration_since(now) > CLOCKS_APART;
        let judged = found
            .live
            .iter()
            .filter(|known| !is_future(known.committed_at));
        let candidates: Vec<_> = judged.map(Known::candidate).collect();
        let newest = found.live.iter().map(|known| known.pass).max();
        let complete = found.live.iter().filter(|known| known.is_complete);
        let newest_complete = complete.map(|known| known.pass).max();
        let live = found.live.iter();
        let losses = live.filter_map(|known| Some((known.pass, known.loss?)));
        let losses: Vec<_> = losses
            .chain(found.losses_of_condemned.iter().copied())
            .filter(|(lost_in, _)| !found.marks.is_acknowledged(*lost_in))
            .collect();
        let verdicts = rules::apply(policy, zone, &candidates).into_iter();
        let mut verdicts: BTreeMap<_, _> = verdicts.map(|one| (one.candidate.pass, one)).collect();
        let decide = |known: &Known| {
            let pass = known.pass;
            let (mut kept, superseded_by) = match verdicts.remove(&pass) {
                Some(verdict) => {
                    let kept_by = verdict.kept_by.into_iter();
                    (kept_by.map(Reason::Rule).collect(), verdict.superseded_by)
                }
                None => (vec![Reason::LaterThanNow], None),
            };
            if newest == Some(pass) {
                kept.push(Reason::Newest);
            } else if newest_complete == Some(pass) {
                kept.push(Reason::NewestComplete);
            }
            if let Some(pin) = found.marks.pin(pass, now) {
                let (reason, until) = (pin.reason, pin.until);
                kept.push(Reason::Pinned { reason, until });
            }
            let lost_next = losses.iter().find(|(_, loss)| loss.before == pass);
            kept.extend(lost_next.map(|(lost_in, _)| Reason::Held { lost_in: *lost_in }));
            let removed = kept.is_empty().then(|| match superseded_by {
                Some((by, every)) => Removal::Superseded {
                    by,
                    of_the_same: every.unit(),
                },
                None => Removal::BeyondAllRules,
            });
            Decision {
                snapshot: pass,
                committed_at: known.committed_at,
                complete: known.is_complete,
                uploaded_bytes: known.uploaded_bytes,
                etag: known.etag.clone(),
                after: None,
                kept,
                removed,
            }
        };
        let mut snapshots: Vec<_> = found.live.iter().map(decide).collect();
        snapshots.sort_by_key(|one| (one.committed_at, one.snapshot));
        link(&mut snapshots, &found.parents);
        Self {
            source: found.source.clone(),
            policy: policy.clone(),
            snapshots,
            condemned_bytes: found.condemned_bytes,
        }
    }

    /// What goes, and why.
    pub fn removed(&self) -> impl Iterator<Item = (&Decision, Removal)> {
        let removed = |decision: &'_ Decision| decision.removed;
        self.snapshots
            .iter()
            .filter_map(move |decision| Some((decision, removed(decision)?)))
    }

    /// How many go.
    #[must_use]
    pub fn removes(&self) -> u64 {
        self.removed().count() as u64
    }

    /// How many stay.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.snapshots.len() as u64 - self.removes()
    }

    /// At most about so many bytes come free, once everything that is condemned is collected, by this prune and by
    /// earlier ones: what the passes of those snapshots uploaded.
    #[must_use]
    pub fn frees_at_most(&self) -> u64 {
        match self.removes() {
            0 => 0,
            _ => self
                .removed()
                .map(|(decision, _)| decision.uploaded_bytes)
                .fold(self.condemned_bytes, u64::saturating_add),
        }
    }
}

impl Known {
    /// What a plan has to know of a snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot, etag: ETag) -> Self {
        Self {
            pass: snapshot.pass,
            committed_at: snapshot.committed_at,
            is_complete: snapshot.complete,
            uploaded_bytes: snapshot.uploaded_bytes,
            loss: snapshot.loss,
            etag,
        }
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            pass: self.pass,
            at: self.committed_at,
            is_complete: self.is_complete,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last { number, of } => write!(f, "last {number} of {of}"),
            Self::Within { seconds } => write!(f, "within {}", span(*seconds)),
            Self::Calendar { every, number, of } => {
                write!(f, "{} {number} of {of}", every.name())
            }
            Self::Oldest { every } => write!(f, "oldest, until {} is full", every.name()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::Newest => f.write_str("newest"),
            Self::NewestComplete => f.write_str("newest complete"),
            Self::LaterThanNow => f.write_str("later than now: the store's clock was wrong"),
            Self::Pinned {
                reason,
                until: None,
            } => write!(f, "pinned: {reason}"),
            Self::Pinned {
                reason,
                until: Some(until),
            } => write!(f, "pinned until {until}: {reason}"),
            Self::Held { lost_in } => write!(
                f,
                "held: {lost_in} has less than half of it, and nobody has acknowledged that"
            ),
        }
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superseded { by, of_the_same } => {
                write!(f, "{by} is kept for the same {of_the_same}")
            }
            Self::BeyondAllRules => f.write_str("older than any rule reaches"),
        }
    }
}
