//! The shared objects of a snapshot, from the store.

use bytes::Bytes;

use super::fetch::fetch;
use crate::format::lines::OBJECT_BYTES;
use crate::format::objects::{ObjectTable, TableError, TableRef};
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
    let damaged = damaged(snapshot, table);
    let bytes = load_bytes(store, snapshot, table).await?;
    let read = ObjectTable::parse(bytes, table.lines_bytes);
    read.map_err(|error| match error {
        TableError::Format(_) | TableError::Unsupported(_) => ObjectsError::Newer {
            key: table.key.clone(),
            error,
        },
        TableError::Lines(_) | TableError::Line(_) => damaged(format!("it {error}")),
    })
}

/// Loads the table of a snapshot's shared objects as it lies in the store, and checks its digest.
///
/// # Errors
/// The store fails, or the table is missing or damaged.
pub async fn load_bytes(
    store: &dyn Store,
    snapshot: &Snapshot,
    table: &TableRef,
) -> Result<Bytes, ObjectsError> {
    let at_most = table.size.min(OBJECT_BYTES);
    let bytes = fetch(store, &table.key, at_most, &table.sha256).await?;
    bytes.map_err(damaged(snapshot, table))
}

fn damaged(snapshot: &Snapshot, table: &TableRef) -> impl Fn(String) -> ObjectsError {
    let (key, snapshot) = (table.key.clone(), snapshot.pass.to_string());
    move |error| ObjectsError::Damaged {
        key: key.clone(),
        snapshot: snapshot.clone(),
        error,
    }
}
