//! The shared objects of a snapshot, from the store.

use super::fetch::fetch;
use crate::format::lines::OBJECT_BYTES;
use crate::format::objects::{ObjectTable, TableError};
use crate::format::snapshot::Snapshot;
use crate::store::{Store, StoreError};

/// A table of objects that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was written by a newer program.
    #[error("table of objects `{key}` {error}")]
    Newer {
        /// Its key under the prefix.
        key: String,
        /// Which version or feature it has.
        error: TableError,
    },
    /// It is missing or damaged.
    #[error("table of objects `{key}` of snapshot {snapshot} is damaged: {error}")]
    Damaged {
        /// Its key under the prefix.
        key: String,
        /// The snapshot.
        snapshot: String,
        /// What is wrong with it.
        error: String,
    },
}

impl ObjectsError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => error.kind.hint(),
            Self::Newer { .. } => None,
            Self::Damaged { .. } => Some(
                "nothing that lies in archives can be found without it; move the commit record away, and the snapshot before it counts",
            ),
        }
    }
}

/// Loads the table of a snapshot's shared objects, and checks its digest.
///
/// # Errors
/// The store fails, or the table is missing or damaged.
pub async fn load(store: &dyn Store, snapshot: &Snapshot) -> Result<ObjectTable, ObjectsError> {
    let Some(table) = &snapshot.objects else {
        return Ok(ObjectTable::default());
    };
    let damaged = |error: String| ObjectsError::Damaged {
        key: table.key.clone(),
        snapshot: snapshot.pass.to_string(),
        error,
    };
    let at_most = table.size.min(OBJECT_BYTES);
    let bytes = fetch(store, &table.key, at_most, &table.sha256).await?;
    let read = ObjectTable::parse(bytes.map_err(damaged)?, table.lines_bytes);
    read.map_err(|error| match error {
        TableError::Format(_) | TableError::Unsupported(_) => ObjectsError::Newer {
            key: table.key.clone(),
            error,
        },
        TableError::Lines(_) | TableError::Line(_) => damaged(format!("it {error}")),
    })
}
