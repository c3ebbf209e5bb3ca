//! Finding the snapshots of a source.

use crate::manifest::keys::{self, SourceName};
use crate::manifest::pass_id::PassId;
use crate::manifest::snapshot::{Snapshot, SnapshotError};
use crate::store::{Listing, Store, StoreError, StoreErrorKind, StoreResult};

/// A commit record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LatestError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record is there and is not what it should be.
    #[error("commit record `{key}` {error}")]
    Record {
        /// Its key under the prefix.
        key: String,
        /// What is wrong with it.
        error: SnapshotError,
    },
}

impl LatestError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => error.kind.hint(),
            Self::Record { .. } => Some(
                "read it with `aws s3 cp`; if it is damaged, move it away and the snapshot before it counts",
            ),
        }
    }
}

/// The passes that committed a snapshot of `source`, the earliest first.
///
/// # Errors
/// The listing fails.
pub async fn passes(store: &dyn Store, source: &SourceName) -> StoreResult<Vec<PassId>> {
    let prefix = keys::snapshots(source);
    let listing = Listing {
        prefix: &prefix,
        ..Listing::default()
    };
    let listed = store.list(&listing).await?;
    let pass = |key: &String| {
        key.strip_prefix(&prefix)?
            .strip_suffix(".json")?
            .parse()
            .ok()
    };
    Ok(listed.keys.iter().filter_map(pass).collect())
}

/// Reads a commit record; `None` where there is none.
///
/// # Errors
/// The store fails, or the record is not one, or not this one.
pub async fn read(
    store: &dyn Store,
    source: &SourceName,
    pass: PassId,
) -> Result<Option<Snapshot>, LatestError> {
    let key = keys::snapshot(source, pass);
    match store.get(&key).await {
        Ok(object) => match parse(&object.bytes, source, pass) {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(error) => Err(LatestError::Record { key, error }),
        },
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A record is believed under its own key only: its source becomes the name of a directory.
fn parse(bytes: &[u8], source: &SourceName, pass: PassId) -> Result<Snapshot, SnapshotError> {
    let snapshot = Snapshot::parse(bytes)?;
    if snapshot.source != source.as_str() || snapshot.pass != pass {
        return Err(SnapshotError::Misplaced {
            source_name: snapshot.source,
            pass: snapshot.pass,
        });
    }
    Ok(snapshot)
}

/// The latest snapshot of `source`. With `hint`, that one is tried first and taken to be the
/// latest if it is there.
///
/// # Errors
/// The store fails, or the record is not one.
pub async fn latest(
    store: &dyn Store,
    source: &SourceName,
    hint: Option<PassId>,
) -> Result<Option<Snapshot>, LatestError> {
    if let Some(pass) = hint
        && let Some(snapshot) = read(store, source, pass).await?
    {
        return Ok(Some(snapshot));
    }
    match passes(store, source).await?.last() {
        Some(pass) => read(store, source, *pass).await,
        None => Ok(None),
    }
}
