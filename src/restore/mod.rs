//! Restore: a snapshot back into a directory.
//!
//! First a plan: what the target has, compared with what the snapshot says. Then, if nothing
//! stands in the way, the plan is carried out: directories by one thread, in order; files by
//! several. A file is written without a name, checked, given its metadata, and linked into place;
//! under its own name there is never anything but the whole file (`making`). What is there already
//! and is the same is left alone, so an interrupted restore continues where it was. What a killed one
//! has left is told from what was restored by more than its name (`staging`).
//!
//! The target is never left: every name is opened relative to its directory, and no symbolic link
//! is followed on the way.

mod action;
mod apply;
mod batch;
mod check;
mod compare;
mod contents;
mod deletions;
mod directory;
mod existing;
mod extras;
mod file;
mod filler;
pub mod into_bucket;
mod keys;
mod left_out;
mod leftover;
mod links;
mod making;
mod metadata;
mod names;
mod placed;
mod plan;
mod portion;
mod read_back;
pub(crate) mod removal;
pub mod replace;
mod sharing;
mod staging;
mod target;
mod wanted;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::stop::Stop;

pub use self::action::Action;
pub use self::apply::{ApplyError, apply};
pub use self::check::{TestReport, test};
pub use self::deletions::{DeletionReport, Deletions, delete, look_for_deletions};
pub use self::plan::{Plan, PlanError, Renamed, plan, plan_anew};
pub use self::portion::{Portion, Sample};
pub use self::read_back::{ReadBack, read_back};
pub use self::staging::StagingRecord;
pub use self::worker::RestoreReport;

/// What is restored, and how.
#[derive(Clone)]
pub struct RestoreOptions {
    /// Where the contents of the snapshot go.
    pub target: PathBuf,
    /// Which entries.
    pub portion: Portion,
    /// Whether what is there and differs is replaced.
    pub overwrite: bool,
    /// Whether owners are restored; only root may.
    pub owners: bool,
    /// Requests in flight at once.
    pub concurrency: usize,
    /// Bytes of contents in memory at once.
    pub memory_bytes: usize,
    /// When to stop.
    pub stop: Arc<Stop>,
    /// This machine, for people who find what a restore has left.
    pub host: String,
    /// When the restore began.
    pub started_at: Timestamp,
}

/// Something of which a restore has less than there was.
#[derive(Debug, Clone, Serialize)]
pub struct Shortfall {
    /// What.
    pub path: String,
    /// Why.
    pub error: String,
}
