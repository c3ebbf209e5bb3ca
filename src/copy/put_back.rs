//! Putting one object back that is damaged or missing, from a store that has a copy of it.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::by_store::ByStore;
use super::need::Need;
use super::not_carried::NotCarried;
use super::objects::Carrier;
use crate::memory::budget::Budget;
use crate::store::{Condition, Placement, Store, StoreErrorKind, StoreResult};

/// What is put back is in memory up to so many bytes at once: some parts.
const MEMORY_BYTES: usize = 64 << 20;

/// Parts that are sent at once.
const REQUESTS: usize = 4;

/// From which store to which, and how.
pub struct PutBack {
    /// The store that has a copy.
    pub from: Arc<dyn Store>,
    /// The store in which it is damaged or missing.
    pub to: Arc<dyn Store>,
    /// What has to be in its place still.
    pub condition: Condition,
    /// How it is kept.
    pub placement: Placement,
}

impl PutBack {
    /// Puts it back. `false` if the other store does not have what was recorded either; nothing was written then.
    ///
    /// # Errors
    /// One of the stores fails, or something else is in its place by now.
    pub async fn put(self, object: &Need) -> StoreResult<bool> {
        match self.carrier().put_back(object).await {
            Ok(is_put) => Ok(is_put),
            Err(NotCarried::Wrong(_) | NotCarried::Stopped) => Ok(false),
            Err(NotCarried::Store(error)) => match error.kind {
                StoreErrorKind::NotFound | StoreErrorKind::TooShort => Ok(false),
                _ => Err(error),
            },
        }
    }

    fn carrier(self) -> Carrier {
        let runtime = Handle::current();
        Carrier {
            by_store: Arc::new(ByStore::between(&*self.from, &*self.to)),
            from: self.from,
            to: self.to,
            memory: Budget::of_bytes(MEMORY_BYTES, runtime.clone()),
            requests: Budget::of_requests(REQUESTS, runtime),
            large: Semaphore::new(1),
            condition: self.condition,
            placement: self.placement,
        }
    }
}

impl Need {
    /// Whether a store has the object as it was recorded. All of it is read.
    ///
    /// # Errors
    /// The store fails.
    pub async fn is_in(&self, store: &Arc<dyn Store>) -> StoreResult<bool> {
        let itself = PutBack {
            from: Arc::clone(store),
            to: Arc::clone(store),
            condition: Condition::Absent,
            placement: Placement::default(),
        };
        match itself.carrier().is_same_there(self).await {
            Ok(is_same) => Ok(is_same),
            Err(NotCarried::Wrong(_) | NotCarried::Stopped) => Ok(false),
            Err(NotCarried::Store(error)) => match error.kind {
                StoreErrorKind::NotFound | StoreErrorKind::TooShort => Ok(false),
                _ => Err(error),
            },
        }
    }
}
