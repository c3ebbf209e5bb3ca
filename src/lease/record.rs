//! What the lock object says.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Previous, Request};
use crate::format::keys::{self, SourceName};
use crate::format::pass_id::PassId;

/// Format version of the lock object. A version not known is an error, not a free lock.
const FORMAT: u32 = 1;

/// Who holds a lease, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// Host name; under Kubernetes, the pod's.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Pod and namespace, under Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// ARN of the task, under ECS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_task: Option<String>,
    /// ARN of the cluster, under ECS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs_cluster: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.ecs_task, &self.pod) {
            (Some(task), _) => write!(f, "task {task}"),
            (None, Some(pod)) => write!(f, "pod {pod}"),
            (None, None) => write!(f, "{} (process {})", self.host, self.pid),
        }
    }
}

/// Whether a lease is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// In force, unless it has expired.
    Held,
    /// Given back.
    Released,
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every source was committed and `status.json` says so.
    Committed,
    /// Something is left: a source failed, or the pass was interrupted.
    Unfinished,
}

/// The lock object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// Whether it is in force.
    pub state: State,
    /// How often the lock has been taken; each taking raises it.
    pub generation: u64,
    /// The pass that took it.
    pub pass: PassId,
    /// Who runs that pass.
    pub holder: Holder,
    /// When it was taken, in the store's time.
    pub acquired_at: Timestamp,
    /// How long it lasts from each renewal.
    pub ttl_seconds: u64,
    /// How often it was renewed; makes each renewal another version of the object.
    pub renewals: u64,
    /// Whether the store was seen to refuse a put whose condition does not hold.
    #[serde(default)]
    pub conditions_checked: bool,
    /// How the pass ended, once released; absent when it was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Keys of the commit records that the holder may write. Whoever takes the lease over makes sure that
    /// none of them is written later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<String>,
    /// Keys of commit records of earlier holders, of which nobody knows yet whether they will ever be
    /// written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_void: Vec<String>,
    /// Somebody is finding out whether the lease has expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
}

/// The mark of somebody who finds out whether a lease has expired: it gives the object a new time. The
/// holder, if it is alive, removes it with its next renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Who.
    pub by: Holder,
    /// Makes each probe another version of the object.
    pub nonce: u32,
    /// When the holder renewed the lease last, in the store's time.
    pub renewed_at: Timestamp,
}

impl Record {
    pub(super) fn new(request: &Request, now: Timestamp, previous: Option<&Previous>) -> Self {
        let pass = PassId::new(now, previous.map(|p| p.pass), request.random);
        Self {
            format: FORMAT,
            state: State::Held,
            generation: previous.map_or(0, |p| p.generation) + 1,
            pass,
            holder: request.holder.clone(),
            acquired_at: now,
            ttl_seconds: request.ttl.as_secs().max(1),
            renewals: 0,
            conditions_checked: false,
            outcome: None,
            commits: commit_keys(&request.sources, pass),
            to_void: previous.map_or_else(Vec::new, |p| p.to_void.clone()),
            probe: None,
        }
    }

    /// Gives the pass another id, and with it other commit records.
    pub(super) fn rename(&mut self, sources: &[SourceName], pass: PassId) {
        self.pass = pass;
        self.commits = commit_keys(sources, pass);
    }

    /// Ends the lease. `unsettled` are its commit records of which nobody knows whether they will be
    /// written.
    pub(super) fn end(&mut self, unsettled: impl IntoIterator<Item = String>) {
        self.state = State::Released;
        self.commits.clear();
        self.probe = None;
        for key in unsettled {
            if !self.to_void.contains(&key) {
                self.to_void.push(key);
            }
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if record.format != FORMAT {
            return Err(format!(
                "it has format version {}, this program knows version {FORMAT}",
                record.format
            ));
        }
        Ok(record)
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a lease is plain data");
        bytes.push(b'\n');
        bytes.into()
    }

    /// Whether both are the same lease, whatever was written over it by its holder or a probe.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        let who = |record: &Self| (record.generation, record.holder.clone());
        self.state == State::Held && who(self) == who(other)
    }

    /// How long the lease lasts from each renewal.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_seconds)
    }
}

fn commit_keys(sources: &[SourceName], pass: PassId) -> Vec<String> {
    let key = |source| keys::snapshot(source, pass);
    sources.iter().map(key).collect()
}
