//! What a pass would do, without doing it: the merge, with nobody at its other end.

pub mod differences;
pub mod sessions;
pub mod spot_check;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::format::pass_id::PassId;
use crate::pass::archive;
use crate::pass::context::{Limits, PassContext, SourceContext};
pub use crate::pass::decider::CategorySum;
use crate::pass::decider::{Decider, Merged};
use crate::pass::diff::{Inputs, joined};
use crate::pass::error::{Nothing, SourceError};
use crate::pass::job::{Method, SourceJob};
use crate::pass::past::Past;
use crate::pass::policy;
use crate::pass::steps::{Order, Sink, Step};
use crate::stop::Stopped;

/// What a pass would do with one source.
#[derive(Debug, Serialize)]
pub struct SourcePlan {
    /// Name of the source.
    pub source: String,
    /// What would be backed up.
    pub place: String,
    /// The snapshot it was compared with.
    pub parent: Option<PassId>,
    /// Entries that are not in it.
    pub new: u64,
    /// Entries that look different.
    pub changed: u64,
    /// Entries that are gone.
    pub removed: u64,
    /// Entries that are as they were.
    pub unchanged: u64,
    /// Entries that could not be looked at.
    pub unreadable: u64,
    /// Files to send.
    pub send_files: u64,
    /// Bytes of those.
    pub send_bytes: u64,
    /// Files of the same size to read, and to send if their contents are others.
    pub read_files: u64,
    /// Bytes of those.
    pub read_bytes: u64,
    /// Requests the source would take, files that are only read not counted.
    pub requests: u64,
    /// Whether its archive is a full one; missing where no archive is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<bool>,
    /// By category, where the source is a bucket.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub categories: BTreeMap<String, CategorySum>,
    /// What else there is to know of the source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// By year, with what it takes and costs, where the source has sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<sessions::SessionsPlan>,
}

/// Takes decisions and does nothing about them, but for counting the requests of sending.
#[derive(Default)]
struct Nobody;

impl Sink for Nobody {
    fn step(&mut self, _: Step) -> Result<(), Stopped> {
        Ok(())
    }

    fn order(&mut self, _: Order) -> Result<(), Stopped> {
        Ok(())
    }
}

/// Plans a pass over one source. Reads the source's metadata, its last manifest and what killed passes
/// have left, nothing more.
///
/// # Errors
/// As a pass.
pub async fn plan(pass: &PassContext, source: &SourceJob) -> Result<SourcePlan, SourceError> {
    let past = &Past::find(pass, &source.name).await?;
    let context = &pass.open(source).await?;
    let approach = policy::settle(context, past).await?;
    let may_be_empty = approach.policy.may_be_empty();
    let inputs = Inputs::open(context, approach.only, past)?;
    let decider = Decider::new(context, approach.policy, Nobody);
    let merged = joined(inputs.merge(context, decider)).await?;
    if merged.is_nothing() && !may_be_empty {
        let nothing = context.nothing_there(Nothing::LeftOut, past.entries());
        return Err(nothing.await);
    }
    context.confirm().await?;
    let parent = past.parent.as_ref();
    let segments = parent.map_or(0, |parent| parent.segments.len());
    let listing = context.source.requests(merged.listed());
    let requests = sending(&merged, context) + listing + segments as u64 + 2;
    Ok(SourcePlan {
        source: source.name.to_string(),
        place: source.place.text(),
        parent: parent.map(|parent| parent.pass),
        new: merged.new,
        changed: merged.changed,
        removed: merged.removed,
        unchanged: merged.unchanged,
        unreadable: merged.failed,
        send_files: merged.files_to_send,
        send_bytes: merged.bytes_to_send,
        read_files: merged.files_to_read,
        read_bytes: merged.bytes_to_read,
        requests: requests + written(&merged, &context.limits),
        full: matches!(source.method, Method::Archive(_)).then_some(approach.is_full),
        categories: merged.categories,
        remarks: context.source.remarks(),
        sessions: None,
    })
}

/// Requests that send contents. What an archive is compressed to is not known beforehand.
fn sending(merged: &Merged, context: &SourceContext) -> u64 {
    match context.job.method {
        Method::Files => merged.requests_to_send,
        Method::Archive(_) if merged.new + merged.changed == 0 => 0,
        // The archive and, with it in, the table of objects.
        Method::Archive(_) => {
            1 + archive::requests_at_most(
                merged.bytes_to_send + merged.bytes_to_read,
                merged.new + merged.changed,
            )
        }
    }
}

/// Segments that would be written, roughly: none where nothing changed.
fn written(merged: &Merged, limits: &Limits) -> u64 {
    let touched = merged.new + merged.changed;
    match touched + merged.removed {
        0 => 0,
        _ => touched.div_ceil(limits.segment_entries).max(1),
    }
}
