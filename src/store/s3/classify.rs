//! From what the SDK reports to what it means.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::cause::{Cause, cause};
use crate::store::StoreErrorKind;

/// What a failed request means.
pub(super) fn classify<E>(error: &SdkError<E, HttpResponse>) -> StoreErrorKind
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            let code = context.err().code();
            let message = context.err().message();
            let region = context.raw().headers().get("x-amz-bucket-region");
            from_answer(status, code, message, region)
        }
        other => from_chain(other),
    }
}

/// What an answer means that is not success. Codes as in the Amazon S3 API reference, "Error
/// responses"; a HEAD request has no body, so its status alone has to do.
fn from_answer(
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
    region: Option<&str>,
) -> StoreErrorKind {
    let says = match (code, message) {
        (Some(code), Some(message)) => format!("{status} {code}: {message}"),
        (Some(code), None) => format!("{status} {code}"),
        (None, _) => status.to_string(),
    };
    match code.unwrap_or_default() {
        "NoSuchBucket" => StoreErrorKind::NoSuchBucket,
        "InvalidObjectState" => StoreErrorKind::Archived(says),
        "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch" => StoreErrorKind::Credentials(says),
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => StoreErrorKind::WrongRegion(match region {
            Some(region) => format!("it is in {region}"),
            None => says,
        }),
        "BadDigest"
        | "XAmzContentSHA256Mismatch"
        | "InvalidDigest"
        | "IncompleteBody"
        | "XAmzContentChecksumMismatch" => StoreErrorKind::Damaged(says),
        "ConditionalRequestConflict" | "OperationAborted" => StoreErrorKind::Conflict(says),
        "RequestTimeout" | "InternalError" => StoreErrorKind::Unavailable(says),
        "SlowDown" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequests" => {
            StoreErrorKind::Throttled(says)
        }
        _ => match status {
            301 | 307 => StoreErrorKind::WrongRegion(match region {
                Some(region) => format!("it is in {region}"),
                None => says,
            }),
            401 | 403 => StoreErrorKind::AccessDenied(says),
            404 => StoreErrorKind::NotFound,
            412 => StoreErrorKind::PreconditionFailed,
            416 => StoreErrorKind::TooShort,
            429 | 503 => StoreErrorKind::Throttled(says),
            408 | 500.. => StoreErrorKind::Unavailable(says),
            _ => StoreErrorKind::Rejected(says),
        },
    }
}

/// What a failure means that is not an answer of the store.
fn from_chain(error: &(dyn Error + 'static)) -> StoreErrorKind {
    match cause(error) {
        Cause::Credentials(text) => StoreErrorKind::Credentials(text),
        Cause::Region(text) => StoreErrorKind::WrongRegion(text),
        Cause::Transport(text) => StoreErrorKind::Transport(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_the_api_reference_says() {
        use StoreErrorKind as Kind;
        let kind = |status, code: &str| {
            let code = (!code.is_empty()).then_some(code);
            std::mem::discriminant(&from_answer(status, code, None, None))
        };
        let some = String::new;
        for (status, code, expected) in [
            (404, "NoSuchKey", Kind::NotFound),
            (404, "", Kind::NotFound),
            (404, "NoSuchBucket", Kind::NoSuchBucket),
            (412, "PreconditionFailed", Kind::PreconditionFailed),
            (403, "AccessDenied", Kind::AccessDenied(some())),
            (403, "InvalidObjectState", Kind::Archived(some())),
            (403, "SignatureDoesNotMatch", Kind::Credentials(some())),
            (400, "ExpiredToken", Kind::Credentials(some())),
            (503, "SlowDown", Kind::Throttled(some())),
            (500, "InternalError", Kind::Unavailable(some())),
            (409, "ConditionalRequestConflict", Kind::Conflict(some())),
            (400, "BadDigest", Kind::Damaged(some())),
            (301, "PermanentRedirect", Kind::WrongRegion(some())),
            (400, "InvalidStorageClass", Kind::Rejected(some())),
        ] {
            assert_eq!(
                kind(status, code),
                std::mem::discriminant(&expected),
                "{status} {code}"
            );
        }
    }
}
