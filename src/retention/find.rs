//! What there is of a source, for a prune.

use std::sync::Arc;

use super::plan::{Known, Snapshots};
use crate::format::keys::{self, SourceName};
use crate::format::pass_id::PassId;
use crate::format::prune_record::{PruneRecord, RECORD_BYTES};
use crate::format::record::RecordError;
use crate::snapshots::chain::{self, AT_ONCE, ChainError, Standing};
use crate::snapshots::marks::{Marks, MarksError};
use crate::store::{Listing, Store, StoreError, all_keys};

/// Why nothing can be planned.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// A commit record cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A mark cannot be read.
    #[error(transparent)]
    Marks(#[from] MarksError),
    /// The record of the last prune cannot be read.
    #[error("record `{key}` {error}")]
    Prune {
        /// Its key under the prefix.
        key: String,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the commit records of a source and its marks.
///
/// # Errors
/// The store fails, or something cannot be understood: nothing may be condemned then.
pub async fn snapshots(
    store: &Arc<dyn Store>,
    source: &SourceName,
) -> Result<Snapshots, FindError> {
    let passes = chain::passes(&**store, source)
        .await
        .map_err(ChainError::from)?;
    let mut found = Snapshots::none(source);
    for some in passes.chunks(AT_ONCE) {
        for stored in chain::stored_several(store, source, some).await? {
            let snapshot = stored.standing.snapshot();
            let parent = snapshot.parent.map(|parent| (snapshot.pass, parent));
            found.parents.extend(parent);
            match stored.standing {
                Standing::Live(snapshot) => found.live.push(Known::of(&snapshot, stored.etag)),
                Standing::Condemned(condemned) => {
                    let snapshot = condemned.snapshot;
                    let loss = snapshot.loss.map(|loss| (snapshot.pass, loss));
                    found.losses_of_condemned.extend(loss);
                    let bytes = &mut found.condemned_bytes;
                    *bytes = bytes.saturating_add(snapshot.uploaded_bytes);
                }
            }
        }
    }
    // Last: who undeletes pins first, so what is seen as live again is seen as pinned.
    found.marks = Marks::read(store, source).await?;
    Ok(found)
}

/// What the last prune decided.
///
/// # Errors
/// The store fails, or the record is not one.
pub async fn last_prune(store: &dyn Store) -> Result<Option<PruneRecord>, FindError> {
    let listing = Listing {
        prefix: keys::PRUNES,
        ..Listing::default()
    };
    let listed = all_keys(store, listing).await?;
    let id = |key: &String| -> Option<PassId> {
        let id = key.strip_prefix(keys::PRUNES)?.strip_suffix(".json")?;
        id.parse().ok()
    };
    let Some(last) = listed.objects.iter().filter_map(id).max() else {
        return Ok(None);
    };
    let key = keys::prune(last);
    let object = store.get(&key, RECORD_BYTES).await?;
    match PruneRecord::parse(&object.bytes) {
        Ok(record) => Ok(Some(record)),
        Err(error) => Err(FindError::Prune { key, error }),
    }
}
