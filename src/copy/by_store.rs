//! Leaving large objects to the stores, where the one that is copied to can take them from the other one.
//!
//! Whether it can, and may, turns out at the first object. If not, everything passes through here from then on.

use std::sync::{Arc, OnceLock};

use super::need::Need;
use super::not_carried::NotCarried;
use crate::memory::budget::Budget;
use crate::store::server_side::{Expected, NotCopied, copy_object, could_copy};
use crate::store::{PART_BYTES, Placement, Store};

/// What is known of it.
pub(super) struct ByStore {
    is_possible: bool,
    refusal: OnceLock<String>,
}

/// What has become of an object that was left to the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handover {
    Copied,
    /// Nothing.
    NotCopied,
    /// Nothing: by what the store says, it would have been another one. It is damaged, or the store is wrong.
    Different,
}

impl ByStore {
    pub(super) fn between(from: &dyn Store, to: &dyn Store) -> Self {
        Self {
            is_possible: could_copy(from, to),
            refusal: OnceLock::new(),
        }
    }

    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.get().map(String::as_str)
    }

    /// Whether an object may be left to the stores. What was sent in one request is read: its store keeps a SHA-256
    /// of it, and a copy that has the same may have it from there.
    pub(super) fn may_copy(&self, need: &Need) -> bool {
        let is_large = need.size > PART_BYTES as u64;
        is_large && need.crc64nvme.is_some() && self.is_possible && self.refusal.get().is_none()
    }

    /// Leaves nothing to the stores from now on: the one that is copied to says what is not so.
    pub(super) fn disbelieve(&self) {
        let reason = "what it says of the parts that it has copied is not so";
        let _ = self.refusal.set(reason.to_owned());
    }

    /// Makes the store copy an object, unless it has turned out that it does not. Nothing has become of one that is
    /// not proven to be what was recorded.
    pub(super) async fn copy(
        &self,
        (from, to): (&Arc<dyn Store>, &Arc<dyn Store>),
        need: &Need,
        placement: &Placement,
        requests: &Budget,
    ) -> Result<Handover, NotCarried> {
        let (Some(crc64nvme), Some(copies)) = (need.crc64nvme, from.copies()) else {
            return Ok(Handover::NotCopied);
        };
        let request = requests.one().await.map_err(|_| NotCarried::Stopped)?;
        let info = from.head(&need.key).await;
        drop(request);
        // Whoever reads it finds out what is wrong with it.
        let Some(info) = info.ok().filter(|info| info.size == need.size) else {
            return Ok(Handover::NotCopied);
        };
        let object = copies.named(&need.key, info.etag);
        let expected = Expected {
            key: &need.key,
            size: need.size,
            crc64nvme,
            placement,
        };
        match copy_object(to, &object, expected, requests).await {
            Ok(_) => Ok(Handover::Copied),
            Err(NotCopied::Different) => Ok(Handover::Different),
            Err(NotCopied::Failed(_)) => Ok(Handover::NotCopied),
            Err(NotCopied::Unable(reason)) => {
                let _ = self.refusal.set(reason);
                Ok(Handover::NotCopied)
            }
            Err(NotCopied::Store(error)) => Err(error.into()),
            Err(NotCopied::Stopped(_)) => Err(NotCarried::Stopped),
        }
    }
}
