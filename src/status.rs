//! What passes leave behind for people and probes: `passes/<pass>.json`, one for each pass, and
//! `status.json`, the last one and the state of every source.
//!
//! `status.json` is the one object besides the lock that is overwritten. It is written before the
//! lease is released, by the pass that the lock names, so that the next pass can tell whether it is
//! up to date. Of a source that is settled in such a status, nothing need be listed.

use serde::Serialize;

use crate::format::keys;
use crate::format::pass_record::{PassRecord, RECORD_BYTES};
use crate::format::status::Status;
use crate::store::{Condition, Listing, Store, StoreError, StoreErrorKind, StoreResult, all_keys};

/// Writes the record of a pass.
///
/// # Errors
/// The request fails.
pub async fn record(store: &dyn Store, record: &PassRecord) -> StoreResult<()> {
    put_json(store, &keys::pass(record.pass), record, &Condition::Absent).await
}

/// Writes the status over the version that was read, which `unchanged` stands for.
///
/// # Errors
/// The request fails; another pass has written it since, which is later.
pub async fn replace(store: &dyn Store, status: &Status, unchanged: &Condition) -> StoreResult<()> {
    put_json(store, keys::STATUS, status, unchanged).await
}

/// Reads the status; `None` where there is none, or none that this program understands.
///
/// # Errors
/// The request fails.
pub async fn read(store: &dyn Store) -> StoreResult<Option<Status>> {
    Ok(read_to_replace(store).await?.0)
}

/// The same, with the condition that it is still what was read.
///
/// # Errors
/// The request fails.
pub async fn read_to_replace(store: &dyn Store) -> StoreResult<(Option<Status>, Condition)> {
    match store.get(keys::STATUS, RECORD_BYTES).await {
        Ok(object) => Ok((
            Status::parse(&object.bytes),
            Condition::Matches(object.etag),
        )),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok((None, Condition::Absent)),
        // Whatever it is, it is no status.
        Err(error) if matches!(error.kind, StoreErrorKind::TooLarge { .. }) => {
            let found = store.head(keys::STATUS).await?;
            Ok((None, Condition::Matches(found.etag)))
        }
        Err(error) => Err(error),
    }
}

/// The last `most` passes, the latest first. Records that cannot be read are left out.
///
/// # Errors
/// A request fails.
pub async fn history(store: &dyn Store, most: usize) -> StoreResult<Vec<PassRecord>> {
    let listing = Listing {
        prefix: keys::PASSES,
        ..Listing::default()
    };
    let listed = all_keys(store, listing).await?;
    let mut records = Vec::new();
    for key in listed.objects.iter().rev().take(most) {
        match store.get(key, RECORD_BYTES).await {
            Ok(object) => records.extend(serde_json::from_slice::<PassRecord>(&object.bytes).ok()),
            Err(error) if matches!(error.kind, StoreErrorKind::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

async fn put_json(
    store: &dyn Store,
    key: &str,
    value: &impl Serialize,
    condition: &Condition,
) -> Result<(), StoreError> {
    let mut body = serde_json::to_vec_pretty(value).expect("reports are plain data");
    body.push(b'\n');
    store.put(key, body.into(), condition).await?;
    Ok(())
}
