//! What the lock object says: who holds the lease, and what of earlier holders is not settled yet.
//!
//! A version or a feature that is not known is an error, not a free lock.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::abilities::{self, Abilities};
use super::owner::StoreOwner;
use super::pass_id::PassId;
use super::requires::Requires;

/// The largest lock object. A source takes some 150 bytes of one.
pub const LOCK_BYTES: u64 = 1 << 20;

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
pub enum LockState {
    /// In force, unless it has expired.
    Held,
    /// Given back.
    Released,
}

/// How a holder gave the lease back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every source was committed and `status.json` says so.
    Committed,
    /// Something is left: a source failed, or the pass was interrupted.
    Unfinished,
}

/// The lock object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Format version; see [`FORMAT`].
    pub format: u32,
    /// What a reader has to know besides.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// Whether it is in force.
    pub state: LockState,
    /// How often the lock has been taken; each taking raises it.
    pub generation: u64,
    /// The pass that took it.
    pub pass: PassId,
    /// Who runs that pass.
    pub holder: Holder,
    /// Whose store it is; others may not take the lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_owner: Option<StoreOwner>,
    /// When it was taken, in the store's time.
    pub acquired_at: Timestamp,
    /// How long it lasts from each renewal.
    pub ttl_seconds: u64,
    /// How often it was renewed; makes each renewal another version of the object.
    pub renewals: u64,
    /// What the store was found to be able to do; absent where that has not been tried, or something of it
    /// has turned out to be gone.
    #[serde(
        rename = "server",
        default,
        deserialize_with = "abilities::known",
        skip_serializing_if = "Option::is_none"
    )]
    pub abilities: Option<Abilities>,
    /// How the pass ended, once released; absent when it was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Ending>,
    /// Keys of the commit records that the holder may write. Whoever takes the lease over makes sure that
    /// none of them is written later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<String>,
    /// Keys of commit records of earlier holders, of which nobody knows yet whether they will ever be
    /// written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_void: Vec<String>,
    /// Keys of marks that say of objects that they are damaged, which no pass has dealt with yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
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

impl Lock {
    /// Whether the program knows what the record means.
    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!(
                "it has format version {}, this program reads version {FORMAT}",
                self.format
            ));
        }
        self.requires.check().map_err(|error| format!("it {error}"))
    }

    /// Ends the lease. `unsettled` are its commit records of which nobody knows whether they will be
    /// written.
    pub fn end(&mut self, unsettled: impl IntoIterator<Item = String>) {
        self.state = LockState::Released;
        self.commits.clear();
        self.probe = None;
        for key in unsettled {
            if !self.to_void.contains(&key) {
                self.to_void.push(key);
            }
        }
    }

    /// Reads the lock object.
    ///
    /// # Errors
    /// It is no lock, or one that this program does not know; says which.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let lock: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        lock.check()?;
        Ok(lock)
    }

    /// The lock object.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a lock is plain data");
        bytes.push(b'\n');
        bytes.into()
    }

    /// Whether both are the same lease, whatever was written over it by its holder or a probe.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        let who = |lock: &Self| (lock.generation, lock.holder.clone());
        self.state == LockState::Held && who(self) == who(other)
    }

    /// How long the lease lasts from each renewal.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abilities_that_are_not_known_are_tried_again() {
        let lock = |abilities: &str| {
            let text = format!(
                r#"{{"format":1,"state":"released","generation":1,"pass":"20251227T020000Z-7f3a",
                "holder":{{}},"acquired_at":"2025-12-27T02:00:00Z","ttl_seconds":120,"renewals":0
                {abilities}}}"#
            );
            Lock::parse(text.as_bytes()).unwrap().abilities
        };
        let found = r#","server":{"address":"s","checksum_of_parts":"X","parts_if_absent":true}"#;
        let known = lock(&found.replace('X', "sha256")).unwrap();
        assert_eq!(
            lock(&format!(
                r#","server":{}"#,
                serde_json::to_string(&known).unwrap()
            )),
            Some(known)
        );
        assert_eq!(lock(&found.replace('X', "sha512")), None);
        assert_eq!(lock(r#","conditions_checked":true"#), None);
    }
}
