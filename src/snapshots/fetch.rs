//! Fetching what has its digest on record. What arrives damaged is fetched again: it is damaged in the
//! store only if it comes the same twice.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::store::{Operation, Store, StoreError, StoreErrorKind, StoreResult};

/// How often an object is fetched that does not come the same twice.
const READS: usize = 4;

/// Fetches an object of at most `at_most` bytes whose SHA-256, in hex, is on record. `Err` inside says how it
/// is missing or damaged.
pub(super) async fn fetch(
    store: &dyn Store,
    key: &str,
    at_most: u64,
    recorded: &str,
) -> StoreResult<Result<Bytes, String>> {
    let mut last = None;
    for _ in 0..READS {
        let bytes = match store.get(key, at_most).await {
            Ok(object) => object.bytes,
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                return Ok(Err("it is missing".to_owned()));
            }
            Err(error) if matches!(error.kind, StoreErrorKind::TooLarge { .. }) => {
                return Ok(Err(error.kind.to_string()));
            }
            Err(error) => return Err(error),
        };
        let sha256 = hex::encode(Sha256::digest(&bytes));
        if sha256 == recorded {
            return Ok(Ok(bytes));
        }
        if last.replace(sha256.clone()) == Some(sha256) {
            return Ok(Err("its SHA-256 is not the one on record".to_owned()));
        }
    }
    Err(StoreError {
        operation: Operation::Get,
        location: format!("{}{key}", store.location()),
        kind: StoreErrorKind::Damaged("what is read differs each time".to_owned()),
    })
}
