//! Why an object was not carried.

use super::CopyError;
use crate::format::pass_id::PassId;
use crate::store::{StoreError, WriteError};

/// Why an object was not carried.
pub(super) enum NotCarried {
    Store(StoreError),
    /// It is not what was recorded.
    Wrong(&'static str),
    Stopped,
}

impl NotCarried {
    pub(super) fn into_copy_error(self, key: String, snapshot: PassId) -> CopyError {
        match self {
            Self::Store(error) => error.into(),
            Self::Wrong(error) => CopyError::Object {
                key,
                snapshot,
                error: error.to_owned(),
            },
            Self::Stopped => CopyError::Stopped,
        }
    }
}

impl From<StoreError> for NotCarried {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<WriteError> for NotCarried {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => Self::Store(error),
            WriteError::Stopped(_) => Self::Stopped,
        }
    }
}
