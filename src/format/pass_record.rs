//! `passes/<pass>.json`: what a pass did, also one that failed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::changes::Changes;
use super::lock::Holder;
use super::origin::Alternation;
use super::pass_id::PassId;
use super::totals::Totals;

/// The largest record of a pass, and the largest `status.json`. A source takes some 600 bytes, and as much
/// as its error is long: room for 10,000 of them.
pub const RECORD_BYTES: u64 = 16 << 20;

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
    pub place: String,
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
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
