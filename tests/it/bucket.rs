//! Buckets as sources: copied by the store itself, looked at, verified, and put back.

mod busy;
mod config;
mod digests;
mod failures;
mod into_bucket;
mod into_bucket_killed;
mod killed;
mod many;
mod pass;
mod place;
mod ranges;
mod recorded;
mod restore;
mod rights;
mod second_store;
mod servers;
mod streamed;
mod tags;
mod verify;
mod versions;

use local_s3::{LocalS3, LoggedRequest, Operation};

pub(crate) use self::place::{BUCKET_SOURCE, Documents, ODD_KEYS, longest_key};
pub(crate) use self::recorded::recorded;

/// How many requests of an operation there were.
fn count(requests: &[LoggedRequest], operation: Operation) -> usize {
    let is_it = |request: &&LoggedRequest| request.operation == operation;
    requests.iter().filter(is_it).count()
}

/// Requests that do not come again and again as long as a pass takes.
fn besides_the_lock(requests: &[LoggedRequest]) -> usize {
    let is_lock = |key: &str| key.ends_with("/lock");
    let others = |request: &&LoggedRequest| !request.key.as_deref().is_some_and(is_lock);
    requests.iter().filter(others).count()
}

/// A server that has both the store and the bucket that is backed up.
fn server() -> LocalS3 {
    LocalS3::builder()
        .bucket(crate::support::BUCKET)
        .bucket(BUCKET_SOURCE)
        .start()
        .unwrap()
}
