//! Where something goes whose key is made from a template: nothing is ever put over anything else.

use crate::archive::template::candidates;
use crate::format::pass_id::PassId;
use crate::store::{ObjectInfo, Store, StoreErrorKind, StoreResult};

/// What has been found out about a key and those that may be taken instead of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing is under this key.
    Free(String),
    /// What was to go there is there.
    Occupied,
}

/// Looks for a place, beginning with `key`. An object that `is_same` is not put twice.
///
/// # Errors
/// The store fails.
pub(super) async fn find(
    store: &dyn Store,
    (key, ending): (&str, &str),
    pass: PassId,
    is_same: impl Fn(&ObjectInfo) -> bool,
) -> StoreResult<Place> {
    let mut last = key.to_owned();
    for key in candidates(key, ending, pass) {
        match store.head(&key).await {
            Ok(object) if is_same(&object) => return Ok(Place::Occupied),
            Ok(_) => last = key,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(Place::Free(key)),
            Err(error) => return Err(error),
        }
    }
    // The put says that it is taken.
    Ok(Place::Free(last))
}
