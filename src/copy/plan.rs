//! Which snapshots are to be copied, in which order.

use std::sync::Arc;

use crate::format::keys::SourceName;
use crate::format::pass_id::PassId;
use crate::snapshots::chain::{self, Chain, ChainError, Standing};
use crate::store::Store;

/// Why nothing can be copied.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The snapshot was there and is not any more.
    #[error("snapshot {0} is gone")]
    Gone(PassId),
    /// There is no such snapshot, or it is in another chain than the latest.
    #[error("its history has no snapshot {0}")]
    NotInHistory(PassId),
    /// The other store has a later one.
    #[error(
        "snapshot {snapshot} is earlier than {newest}, the newest one in the store that it is copied to, and copies only go forward"
    )]
    Earlier {
        /// What was asked for.
        snapshot: PassId,
        /// The newest snapshot there.
        newest: PassId,
    },
    /// The other store has gone its own way.
    #[error(
        "it has a history of its own in the store that it is copied to: its newest snapshot there, {newest}, is none of those here"
    )]
    Diverged {
        /// The newest snapshot there.
        newest: PassId,
    },
}

impl PlanError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Gone(_) => None,
            Self::NotInHistory(_) => Some("`offsite list` shows which there are"),
            Self::Earlier { .. } => Some("copy it to another place"),
            Self::Diverged { .. } => Some(
                "both stores were backed up to: see that one of them is not any more, and copy to a place where nothing is, so that everything comes along; what was backed up to the other one stays there",
            ),
        }
    }
}

/// The newest snapshot of a source.
///
/// # Errors
/// The store fails, or the record is not one.
pub async fn newest(store: &dyn Store, source: &SourceName) -> Result<Option<PassId>, ChainError> {
    Ok(chain::latest(store, source)
        .await?
        .map(|snapshot| snapshot.pass))
}

/// The snapshots of a source that follow the newest one of the other store, the earliest first; of all, or of
/// those up to `only`, and then that one alone.
///
/// # Errors
/// The store fails; the other store's newest is no ancestor of what is here.
pub async fn to_copy(
    from: &Arc<dyn Store>,
    source: &SourceName,
    newest_there: Option<PassId>,
    only: Option<PassId>,
) -> Result<Vec<PassId>, super::CopyError> {
    let mut chain = Chain::of(from, source).await?;
    let mut passes = Vec::new();
    let mut follows = newest_there.is_none();
    // Condemned snapshots are not copied, and still say what came before them.
    while let Some(standing) = chain.next_standing().await? {
        let snapshot = standing.snapshot();
        if newest_there.is_some_and(|newest| snapshot.pass <= newest) {
            follows = newest_there == Some(snapshot.pass);
            break;
        }
        if matches!(standing, Standing::Live(_)) {
            passes.push(snapshot.pass);
        }
        if newest_there.is_some() && snapshot.parent == newest_there {
            // Whose record may have been removed here.
            follows = true;
            break;
        }
    }
    if let (Some(newest), false) = (newest_there, follows) {
        return Err(PlanError::Diverged { newest }.into());
    }
    passes.reverse();
    match only {
        None => Ok(passes),
        Some(only) if passes.contains(&only) => Ok(vec![only]),
        Some(only) if newest_there == Some(only) => Ok(Vec::new()),
        Some(snapshot) => Err(match newest_there.filter(|newest| snapshot < *newest) {
            Some(newest) => PlanError::Earlier { snapshot, newest },
            None => PlanError::NotInHistory(snapshot),
        }
        .into()),
    }
}
