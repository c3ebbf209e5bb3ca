//! Conditional requests.
//!
//! Writes: S3 user guide, "Add preconditions to S3 operations with conditional requests". Reads:
//! RFC 9110, section 13. A failed condition on a write changes nothing.

use super::{Backend, timestamp};
use crate::object::StoredObject;
use crate::state::no_such_key;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use s3s::dto::{ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use std::sync::Arc;

impl Backend {
    /// Whether a write may replace `existing`, as far as this server cares.
    pub(super) fn check_write(
        &self,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
        existing: Option<&Arc<StoredObject>>,
    ) -> S3Result<()> {
        check_write(
            if_match.filter(|_| !self.ignores_if_match),
            if_none_match.filter(|_| !self.ignores_if_none_match),
            existing,
        )
    }
}

/// Whether a write may replace `existing`.
fn check_write(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
    existing: Option<&Arc<StoredObject>>,
) -> S3Result<()> {
    match if_none_match {
        Some(ETagCondition::Any) if existing.is_some() => return Err(failed("If-None-Match")),
        // AWS knows only the asterisk on writes.
        Some(ETagCondition::ETag(_)) => {
            return Err(s3_error!(
                NotImplemented,
                "A header you provided implies functionality that is not implemented"
            ));
        }
        _ => {}
    }
    check_current(if_match, existing)
}

/// Whether `existing` is still what the client thinks it is; it has to be there at all.
pub(super) fn check_current(
    if_match: Option<&ETagCondition>,
    existing: Option<&Arc<StoredObject>>,
) -> S3Result<()> {
    let Some(condition) = if_match else {
        return Ok(());
    };
    let existing = existing.ok_or_else(no_such_key)?;
    if is_match(condition, existing) {
        Ok(())
    } else {
        Err(failed("If-Match"))
    }
}

/// The four conditions of a read or of the source of a copy.
#[derive(Debug, Default)]
pub(super) struct ReadConditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

/// How a condition that fails is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Unchanged objects answer 304.
    Client,
    /// A copy answers 412 in every case.
    Copy,
}

impl ReadConditions {
    pub(super) fn check(&self, object: &StoredObject, reader: Reader) -> S3Result<()> {
        let modified = timestamp(object.last_modified);
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) if !is_match(condition, object) => return Err(failed("If-Match")),
            // If-Match has precedence: where it holds, the time does not matter.
            (None, Some(time)) if modified > *time => return Err(failed("If-Unmodified-Since")),
            _ => {}
        }
        let is_unchanged = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => is_match(condition, object),
            (None, Some(time)) => modified <= *time,
            (None, None) => false,
        };
        match (is_unchanged, reader) {
            (false, _) => Ok(()),
            (true, Reader::Client) => Err(not_modified(object)),
            (true, Reader::Copy) => Err(failed("If-None-Match")),
        }
    }
}

fn is_match(condition: &ETagCondition, object: &StoredObject) -> bool {
    condition
        .as_etag()
        .is_none_or(|etag| etag.value() == object.bare_etag())
}

fn failed(condition: &'static str) -> S3Error {
    s3_error!(
        PreconditionFailed,
        "At least one of the pre-conditions you specified did not hold: {condition}"
    )
}

fn not_modified(object: &StoredObject) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    let modified = httpdate::fmt_http_date(object.last_modified);
    let headers = [
        (header::ETAG, object.etag.clone()),
        (header::LAST_MODIFIED, modified),
    ];
    let valid =
        |(name, value): (HeaderName, String)| Some((name, HeaderValue::from_str(&value).ok()?));
    error.set_headers(headers.into_iter().filter_map(valid).collect::<HeaderMap>());
    error
}

/// A condition in a header that s3s does not read for the operation at hand.
pub(super) fn in_header(headers: &HeaderMap, name: &HeaderName) -> S3Result<Option<ETagCondition>> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let parsed = ETagCondition::parse_http_header(value.as_bytes());
    parsed
        .map(Some)
        .map_err(|_| s3_error!(InvalidArgument, "invalid header: {name}"))
}

#[cfg(test)]
mod tests {
    use super::super::etag_of;
    use super::*;
    use crate::checksum::ChecksumAlgorithm;
    use crate::object::{Attributes, Payload};
    use bytes::Bytes;
    use std::time::{Duration, UNIX_EPOCH};

    fn object() -> Arc<StoredObject> {
        let payload = Payload::unclaimed(Bytes::new(), ChecksumAlgorithm::Crc64Nvme);
        Arc::new(StoredObject::whole(
            payload,
            Attributes::default(),
            UNIX_EPOCH + Duration::from_secs(1_000),
        ))
    }

    fn at(seconds: u64) -> Option<Timestamp> {
        Some(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    #[test]
    fn a_matching_etag_outweighs_the_time() {
        let object = object();
        let same = Some(ETagCondition::ETag(etag_of(&object)));
        let stale = ReadConditions {
            if_match: same.clone(),
            if_unmodified_since: at(1),
            ..Default::default()
        };
        assert!(stale.check(&object, Reader::Client).is_ok());
        let other = Some("\"other\"".parse().unwrap());
        let changed = ReadConditions {
            if_none_match: other,
            if_modified_since: at(2_000),
            ..Default::default()
        };
        assert!(changed.check(&object, Reader::Client).is_ok());
    }

    #[test]
    fn an_unchanged_object_is_not_sent_again_but_a_copy_of_it_fails() {
        let object = object();
        let conditions = ReadConditions {
            if_modified_since: at(1_000),
            ..Default::default()
        };
        let code = |reader| {
            conditions
                .check(&object, reader)
                .unwrap_err()
                .code()
                .clone()
        };
        assert_eq!(code(Reader::Client), S3ErrorCode::NotModified);
        assert_eq!(code(Reader::Copy), S3ErrorCode::PreconditionFailed);
    }
}
