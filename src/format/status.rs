//! `status.json`: how the last pass ended, and the state of every source. It is only ever a summary of what
//! other objects say.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::keys::SourceName;
use super::origin::Alternation;
use super::pass_id::PassId;
use super::pass_record::{Outcome, PassRecord, SourceResult};
use super::totals::Totals;

/// How long a source is shown of which there never was a snapshot.
const NEVER_BACKED_UP: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The state of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its last snapshot.
    pub snapshot: Option<PassId>,
    /// Whether `snapshot` is sure to be the last one, with nothing unfinished after it. It no longer
    /// is once a pass has failed, or has died and told nobody which sources it had begun.
    #[serde(default)]
    pub settled: bool,
    /// What that holds.
    pub totals: Option<Totals>,
    /// The last pass that tried.
    pub last_pass: PassId,
    /// When that was over, in the store's time.
    pub last_pass_at: Timestamp,
    /// How that went.
    pub last_outcome: Outcome,
    /// What was backed up.
    pub place: String,
    /// Sessions that were on the disk and are in no snapshot, because nobody has asked for them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// The origins that take turns under its name, where some do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternation: Option<Alternation>,
    /// Why the last pass failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a copy of the store went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStatus {
    /// Where it goes.
    pub store: String,
    /// Whether a pass is incomplete without it.
    pub required: bool,
    /// When that was over, in the time of the store that was copied.
    pub finished_at: Timestamp,
    /// Why it does not have everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// `status.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    format: u32,
    /// The lease's generation during the last pass.
    pub generation: u64,
    /// The last pass.
    pub pass: PassId,
    /// How it ended.
    pub outcome: Outcome,
    /// What the process exited with.
    pub exit_code: u8,
    /// When it took the lock, in the store's time.
    pub started_at: Timestamp,
    /// When it was over, in the store's time.
    pub finished_at: Timestamp,
    /// What became of the copies that the last pass has made of this store, once they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyStatus>,
    /// Every source that was ever backed up here, and those for which that failed lately.
    pub sources: BTreeMap<String, SourceStatus>,
}

impl SourceStatus {
    /// What there is to say of a source after a pass. A pass that committed nothing changes nothing about
    /// the last snapshot.
    fn after(known: Option<Self>, result: &SourceResult, record: &PassRecord) -> Self {
        let committed = result.totals.is_some();
        let known = known.filter(|_| !committed);
        Self {
            snapshot: match &known {
                _ if committed => Some(record.pass),
                Some(known) => known.snapshot,
                None => None,
            },
            settled: committed,
            totals: result
                .totals
                .or(known.as_ref().and_then(|known| known.totals)),
            last_pass: record.pass,
            last_pass_at: record.finished_at,
            last_outcome: result.outcome,
            place: result.place.clone(),
            left_out: known
                .as_ref()
                .map_or(result.left_out, |known| known.left_out),
            alternation: match known {
                Some(known) => known.alternation,
                None => result.alternation.clone(),
            },
            error: result.error.clone(),
        }
    }
}

impl Status {
    /// What the status is after a pass: sources it did not touch stay as they were, but for those
    /// that nobody has tried for long and that never had a snapshot, as of a mistyped directory.
    #[must_use]
    pub fn after(previous: Option<Self>, record: &PassRecord, generation: u64) -> Self {
        let mut sources = previous.map(|status| status.sources).unwrap_or_default();
        for result in &record.sources {
            let known = sources.remove(&result.source);
            let status = SourceStatus::after(known, result, record);
            sources.insert(result.source.clone(), status);
        }
        sources.retain(|_, source| {
            let age = record.finished_at.duration_since(source.last_pass_at);
            source.snapshot.is_some() || age < NEVER_BACKED_UP
        });
        Self {
            format: FORMAT,
            generation,
            pass: record.pass,
            outcome: record.outcome,
            exit_code: record.exit_code,
            started_at: record.started_at,
            finished_at: record.finished_at,
            copies: Vec::new(),
            sources,
        }
    }

    /// The status as it counts after `last`, the last pass that held the lock: unless that pass wrote
    /// it, no source is settled.
    #[must_use]
    pub fn after_pass(mut self, last: Option<PassId>) -> Self {
        if last != Some(self.pass) {
            for source in self.sources.values_mut() {
                source.settled = false;
            }
        }
        self
    }

    /// The state of a source, if it is settled.
    #[must_use]
    pub fn settled(&self, source: &SourceName) -> Option<&SourceStatus> {
        let known = self.sources.get(source.as_str());
        known.filter(|known| known.settled)
    }

    /// Reads a status; `None` where it is none that this program understands.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let status: Option<Self> = serde_json::from_slice(bytes).ok();
        status.filter(|status| status.format == FORMAT)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
