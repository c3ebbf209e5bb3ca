//! `RestoreObject`: archived objects become readable at once, unless the server is told to keep
//! them waiting.

use super::{Backend, timestamp};
use crate::object::{Restore, StoredObject};
use http::StatusCode;
use s3s::dto::{RestoreObjectInput, RestoreObjectOutput, RestoreStatus};
use s3s::{S3Result, s3_error};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn restore(
    backend: &Backend,
    input: &RestoreObjectInput,
) -> S3Result<(RestoreObjectOutput, StatusCode)> {
    let days = input
        .restore_request
        .as_ref()
        .and_then(|request| request.days);
    backend.state.with_bucket(&input.bucket, |bucket| {
        let version = input.version_id.as_deref();
        let object = bucket.find(&input.key, version)?;
        if !object.is_archived() {
            return Err(s3_error!(
                InvalidObjectState,
                "Restore is not allowed for the object's current storage class"
            ));
        }
        // A second request while the copy is readable only moves its end, and answers 200.
        let status = match object.restore {
            Restore::Pending => {
                return Err(s3_error!(
                    RestoreAlreadyInProgress,
                    "Object restore is already in progress"
                ));
            }
            Restore::Until(_) => StatusCode::OK,
            Restore::NotAsked => StatusCode::ACCEPTED,
        };
        // An object in `INTELLIGENT_TIERING` comes back for good; of others a copy is lent.
        let is_tiered = object.archive_tier.is_some();
        let days = match (is_tiered, days) {
            (true, None) => 0,
            (false, Some(days @ 1..)) => days.unsigned_abs(),
            _ => {
                return Err(s3_error!(
                    MalformedXML,
                    "A restore request needs a number of days, unless the object is in \
                     INTELLIGENT_TIERING."
                ));
            }
        };
        let stays_pending = backend.restores_stay_pending;
        let end = backend.clock.last_modified() + DAY * days;
        bucket.amend(&input.key, version, |object| {
            match (stays_pending, is_tiered) {
                (true, _) => object.restore = Restore::Pending,
                (false, true) => object.archive_tier = None,
                (false, false) => object.restore = Restore::Until(end),
            }
        })?;
        Ok((RestoreObjectOutput::default(), status))
    })
}

/// What a listing says of it, if it is asked for.
pub(super) fn status(object: &StoredObject, now: SystemTime) -> Option<RestoreStatus> {
    let expiry = match object.restore {
        Restore::NotAsked => return None,
        Restore::Pending => None,
        Restore::Until(end) if end <= now => return None,
        Restore::Until(end) => Some(timestamp(end)),
    };
    Some(RestoreStatus {
        is_restore_in_progress: Some(expiry.is_none()),
        restore_expiry_date: expiry,
    })
}

/// The `x-amz-restore` header of an object; there is none any more once its copy has expired.
pub(super) fn header(object: &StoredObject, now: SystemTime) -> Option<String> {
    match object.restore {
        Restore::NotAsked => None,
        Restore::Pending => Some("ongoing-request=\"true\"".to_owned()),
        Restore::Until(end) if end <= now => None,
        Restore::Until(end) => Some(format!(
            "ongoing-request=\"false\", expiry-date=\"{}\"",
            httpdate::fmt_http_date(end)
        )),
    }
}
