//! What passes leave behind for people and probes: `passes/<pass>.json`, one for each pass, and
//! `status.json`, the last one and the state of every source.
//!
//! `status.json` is the one object besides the lock that is overwritten. It is written before the
//! lease is released, by the pass that the lock names, so that the next pass can tell whether it is
//! up to date. Of a source that is settled in such a status, nothing need be listed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::events::Changes;
use crate::format::keys::{self, SourceName};
use crate::format::origin::Alternation;
use crate::format::pass_id::PassId;
use crate::format::totals::Totals;
use crate::lease::Holder;
use crate::store::{Condition, Listing, Store, StoreError, StoreErrorKind, StoreResult, all_keys};

/// Format version of both objects.
const FORMAT: u32 = 1;

/// The largest of either object. A source takes some 600 bytes, and as much as its error is long: room for
/// 10,000 of them.
const RECORD_BYTES: u64 = 16 << 20;

/// How long a source is shown of which there never was a snapshot.
const NEVER_BACKED_UP: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How a pass, or a source in it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Committed, and every entry shows the state of the pass.
    Complete,
    /// Committed, and some entries could not be read.
    Incomplete,
    /// Not committed.
    Failed,
    /// Not committed, because the pass was told to stop.
    Interrupted,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        })
    }
}

/// What a pass did with one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceResult {
    /// Name of the source.
    pub source: String,
    /// What was backed up.
    pub directory: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What the snapshot holds, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// What was done for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Sessions on the disk that are in no snapshot, because nobody has asked for them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// The origins that take turns under the source's name, where some do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternation: Option<Alternation>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// `passes/<pass>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassRecord {
    format: u32,
    /// The pass.
    pub pass: PassId,
    /// How it ended.
    pub outcome: Outcome,
    /// What the process exits with.
    pub exit_code: u8,
    /// When it took the lock, in the store's time.
    pub started_at: Timestamp,
    /// When it was over, in the store's time.
    pub finished_at: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// Requests sent until the record was written.
    pub requests: u64,
    /// Who ran it.
    pub holder: Holder,
    /// Version of the program.
    pub offsite: String,
    /// What it did.
    pub sources: Vec<SourceResult>,
}

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
    pub directory: String,
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
            directory: result.directory.clone(),
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PassRecord {
    /// A record of this program's format.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is a field of the record")]
    pub fn new(
        pass: PassId,
        outcome: Outcome,
        exit_code: u8,
        started_at: Timestamp,
        finished_at: Timestamp,
        duration_ms: u64,
        requests: u64,
        holder: Holder,
        sources: Vec<SourceResult>,
    ) -> Self {
        Self {
            format: FORMAT,
            pass,
            outcome,
            exit_code,
            started_at,
            finished_at,
            duration_ms,
            requests,
            holder,
            offsite: env!("CARGO_PKG_VERSION").to_owned(),
            sources,
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// The request fails.
    pub async fn write(&self, store: &dyn Store) -> StoreResult<()> {
        put_json(store, &keys::pass(self.pass), self, &Condition::Absent).await
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

    /// Writes the status over the version that was read, which `unchanged` stands for.
    ///
    /// # Errors
    /// The request fails; another pass has written it since, which is later.
    pub async fn write(&self, store: &dyn Store, unchanged: &Condition) -> StoreResult<()> {
        put_json(store, keys::STATUS, self, unchanged).await
    }

    /// Reads the status; `None` where there is none, or none that this program understands. It is
    /// only ever a summary of what other objects say.
    ///
    /// # Errors
    /// The request fails.
    pub async fn read(store: &dyn Store) -> StoreResult<Option<Self>> {
        Ok(Self::read_to_replace(store).await?.0)
    }

    /// The same, with the condition that it is still what was read.
    ///
    /// # Errors
    /// The request fails.
    pub async fn read_to_replace(store: &dyn Store) -> StoreResult<(Option<Self>, Condition)> {
        match store.get(keys::STATUS, RECORD_BYTES).await {
            Ok(object) => {
                let status: Option<Self> = serde_json::from_slice(&object.bytes).ok();
                let status = status.filter(|status| status.format == FORMAT);
                Ok((status, Condition::Matches(object.etag)))
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok((None, Condition::Absent)),
            // Whatever it is, it is no status.
            Err(error) if matches!(error.kind, StoreErrorKind::TooLarge { .. }) => {
                let found = store.head(keys::STATUS).await?;
                Ok((None, Condition::Matches(found.etag)))
            }
            Err(error) => Err(error),
        }
    }
}

/// The last `most` passes, the latest first. Records that cannot be read are left out.
///
/// # Errors
/// A request fails.
pub async fn history(store: &dyn Store, most: usize) -> StoreResult<Vec<PassRecord>> {
    let listing = Listing {
        prefix: keys::PASSES,
        ..Listing::default()
    };
    let listed = all_keys(store, listing).await?;
    let mut records = Vec::new();
    for key in listed.objects.iter().rev().take(most) {
        match store.get(key, RECORD_BYTES).await {
            Ok(object) => records.extend(serde_json::from_slice::<PassRecord>(&object.bytes).ok()),
            Err(error) if matches!(error.kind, StoreErrorKind::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

async fn put_json(
    store: &dyn Store,
    key: &str,
    value: &impl Serialize,
    condition: &Condition,
) -> Result<(), StoreError> {
    let mut body = serde_json::to_vec_pretty(value).expect("reports are plain data");
    body.push(b'\n');
    store.put(key, body.into(), condition).await?;
    Ok(())
}
