//! Where something goes whose key is made from a template: nothing is ever put over anything else, and nothing
//! that lies there is taken for what was to go there, as nobody may need it any more.

use crate::archive::template::candidates;
use crate::format::pass_id::PassId;
use crate::store::{Store, StoreErrorKind, StoreResult};

/// A key that is free: `key`, or one of those that are taken instead of it.
///
/// # Errors
/// The store fails.
pub(super) async fn find(
    store: &dyn Store,
    (key, ending): (&str, &str),
    pass: PassId,
) -> StoreResult<String> {
    let mut last = key.to_owned();
    for key in candidates(key, ending, pass) {
        match store.head(&key).await {
            Ok(_) => last = key,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(key),
            Err(error) => return Err(error),
        }
    }
    // The put says that it is taken.
    Ok(last)
}
