//! Making a condemned snapshot live again.
//!
//! It needs no lease: the record changes by `If-Match`, and whoever collects takes it the same way.

use jiff::Timestamp;

use crate::format::condemned;
use crate::format::keys::{self, SourceName};
use crate::format::pass_id::PassId;
use crate::snapshots::chain::{self, ChainError, Standing};
use crate::store::{Condition, Store, StoreError, StoreErrorKind};

/// How often somebody else may change the record between reading and replacing it.
const ATTEMPTS: u32 = 4;

/// Why a snapshot is not live.
#[derive(Debug, thiserror::Error)]
pub enum UndeleteError {
    /// There is no such snapshot any more, or there never was.
    #[error("snapshot {0} is neither live nor condemned")]
    Gone(PassId),
    /// Its record cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a snapshot live; whether it was condemned before.
///
/// # Errors
/// It is not live.
pub async fn undelete(
    store: &dyn Store,
    source: &SourceName,
    pass: PassId,
    now: Timestamp,
) -> Result<bool, UndeleteError> {
    let mut attempt = 1;
    loop {
        let stored = chain::stored(store, source, pass).await?;
        let stored = stored.ok_or(UndeleteError::Gone(pass))?;
        if matches!(stored.standing, Standing::Live(_)) {
            // By an earlier attempt, whose answer was lost, too.
            return Ok(attempt > 1);
        }
        let record = condemned::undelete(&stored.record, now).expect("it was parsed");
        let key = keys::snapshot(source, pass);
        let unchanged = Condition::Matches(stored.etag);
        match store.put(&key, record.into(), &unchanged).await {
            Ok(_) => return Ok(true),
            Err(error)
                if error.kind == StoreErrorKind::PreconditionFailed && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
