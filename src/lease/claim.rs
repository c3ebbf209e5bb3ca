//! Whose store a lease may be taken of.

use super::LeaseError;
use crate::format::lock::Lock;
use crate::format::owner::StoreOwner;
use crate::store::Store;

/// Whose store it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This one's. A store that is nobody's becomes this one's; without a name, it has to be nobody's.
    Owner(Option<StoreOwner>),
    /// Anybody's, and it stays that.
    Anybody,
}

impl Claim {
    /// Whom the lock of `store` names once it is taken over from `found`.
    ///
    /// # Errors
    /// The store is another one's.
    pub fn owner_after(
        &self,
        found: Option<&Lock>,
        store: &dyn Store,
    ) -> Result<Option<StoreOwner>, LeaseError> {
        let recorded = found.and_then(|lock| lock.store_owner.as_ref());
        match (self, recorded) {
            (Self::Owner(own), None) => Ok(own.clone()),
            (Self::Owner(own), Some(recorded)) if own.as_ref() != Some(recorded) => {
                Err(LeaseError::OtherOwner {
                    store: store.location(),
                    recorded: recorded.clone(),
                    own: own.clone(),
                })
            }
            (Self::Owner(_) | Self::Anybody, recorded) => Ok(recorded.cloned()),
        }
    }
}
