//! From what the SDK reports to what it means.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::aws::cause::{Cause, NoCredentials, cause, is_clock};
use crate::store::{Operation, StoreErrorKind};

/// Something is wrong with an answer that the SDK has found nothing wrong with.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Strange(pub(super) &'static str);

/// What a failed request means.
pub(super) fn classify<E>(error: &SdkError<E, HttpResponse>, operation: Operation) -> StoreErrorKind
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(context) => {
            let headers = context.raw().headers();
            // The SDK makes up a code where there is no document.
            let has_document = !context.raw().body().bytes().unwrap_or_default().is_empty();
            Answer {
                status: context.raw().status().as_u16(),
                code: context.err().code().filter(|_| has_document),
                message: context.err().message(),
                region: headers.get("x-amz-bucket-region"),
                location: headers.get("location"),
                is_page: headers.get("content-type").is_some_and(is_html),
                has_document: operation != Operation::Head,
            }
            .meaning()
        }
        other => from_chain(other),
    }
}

/// An answer that is not success.
#[derive(Default)]
struct Answer<'a> {
    status: u16,
    /// S3's code; none where there is no document, or one of somebody else's.
    code: Option<&'a str>,
    message: Option<&'a str>,
    region: Option<&'a str>,
    location: Option<&'a str>,
    /// Whether it is a page for people, which S3 has none of.
    is_page: bool,
    /// Whether S3 answers such a request with a document. A HEAD request has no body, so that its
    /// status alone has to do.
    has_document: bool,
}

impl Answer<'_> {
    /// What it means. Codes are those of the Amazon S3 API reference, "Error responses".
    fn meaning(&self) -> StoreErrorKind {
        let says = self.says();
        match self.code.unwrap_or_default() {
            "NoSuchBucket" => StoreErrorKind::NoSuchBucket,
            "InvalidObjectState" => StoreErrorKind::Archived(says),
            _ if is_clock(&says) => StoreErrorKind::ClockSkew(says),
            // Its status is no help in a success that has begun before it failed.
            "AccessDenied" => StoreErrorKind::AccessDenied(says),
            "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch" => StoreErrorKind::Credentials(says),
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => self.wrong_region(),
            "BadDigest"
            | "XAmzContentSHA256Mismatch"
            | "InvalidDigest"
            | "IncompleteBody"
            | "XAmzContentChecksumMismatch" => StoreErrorKind::Damaged(says),
            "NotImplemented" => StoreErrorKind::Unsupported(says),
            "ConditionalRequestConflict" | "OperationAborted" => StoreErrorKind::Conflict(says),
            "RequestTimeout" | "InternalError" => StoreErrorKind::Unavailable(says),
            "SlowDown"
            | "ServiceUnavailable"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "TooManyRequests" => StoreErrorKind::Throttled(says),
            _ => self.meaning_of_status(says),
        }
    }

    fn meaning_of_status(&self, says: String) -> StoreErrorKind {
        match self.status {
            // A success that is none, or a redirect: S3's own ones name their region.
            ..300 => StoreErrorKind::UnexpectedAnswer(says),
            301 | 307 if self.region.is_some() => self.wrong_region(),
            300..=399 => StoreErrorKind::UnexpectedAnswer(match self.location {
                Some(location) => format!("{says}, a redirect to `{location}`"),
                None => says,
            }),
            // A proxy's, in place of the store's.
            400..500 if self.is_page && !matches!(self.status, 408 | 429) => {
                StoreErrorKind::UnexpectedAnswer(says)
            }
            401 | 403 => StoreErrorKind::AccessDenied(says),
            // "There is no such object" has to be proven.
            404 if self.has_document && self.code.is_none() => {
                StoreErrorKind::UnexpectedAnswer(says)
            }
            404 => StoreErrorKind::NotFound,
            412 => StoreErrorKind::PreconditionFailed,
            416 => StoreErrorKind::TooShort,
            429 | 503 => StoreErrorKind::Throttled(says),
            501 => StoreErrorKind::Unsupported(says),
            408 | 500.. => StoreErrorKind::Unavailable(says),
            _ => StoreErrorKind::Rejected(says),
        }
    }

    fn says(&self) -> String {
        let status = self.status;
        match (self.code, self.message) {
            (Some(code), Some(message)) => format!("{status} {code}: {message}"),
            (Some(code), None) => format!("{status} {code}"),
            (None, _) if self.status < 300 => format!("{status}, and not what was asked for"),
            (None, _) if self.is_page => format!("{status}, with a web page"),
            (None, _) if self.has_document => format!("{status}, without a code of S3's"),
            (None, _) => status.to_string(),
        }
    }

    fn wrong_region(&self) -> StoreErrorKind {
        StoreErrorKind::WrongRegion(match self.region {
            Some(region) => format!("it is in {region}"),
            None => self.says(),
        })
    }
}

fn is_html(content_type: &str) -> bool {
    content_type
        .to_ascii_lowercase()
        .trim_start()
        .starts_with("text/html")
}

/// What a failure means that is not an answer of the store.
fn from_chain(error: &(dyn Error + 'static)) -> StoreErrorKind {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(strange) = error.downcast_ref::<Strange>() {
            return StoreErrorKind::UnexpectedAnswer(strange.to_string());
        }
        link = error.source();
    }
    match cause(error) {
        Cause::Credentials(error) => no_credentials(error),
        Cause::Region(text) => StoreErrorKind::WrongRegion(text),
        Cause::Transport(text) => StoreErrorKind::Transport(text),
    }
}

pub(super) fn no_credentials(error: NoCredentials) -> StoreErrorKind {
    match error {
        NoCredentials::Refused(text) => StoreErrorKind::Credentials(text),
        NoCredentials::Unavailable(text) => StoreErrorKind::CredentialsUnavailable(text),
        NoCredentials::ClockSkew(text) => StoreErrorKind::ClockSkew(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StoreErrorKind as Kind;

    fn is_meant(answer: &Answer<'_>, expected: &Kind) {
        let meaning = answer.meaning();
        assert_eq!(
            std::mem::discriminant(&meaning),
            std::mem::discriminant(expected),
            "{} {:?}: {meaning}",
            answer.status,
            answer.code
        );
    }

    #[test]
    fn answers_mean_what_the_api_reference_says() {
        let some = String::new;
        for (status, code, expected) in [
            (404, "NoSuchKey", Kind::NotFound),
            (404, "NoSuchBucket", Kind::NoSuchBucket),
            (412, "PreconditionFailed", Kind::PreconditionFailed),
            (403, "AccessDenied", Kind::AccessDenied(some())),
            (403, "InvalidObjectState", Kind::Archived(some())),
            (403, "SignatureDoesNotMatch", Kind::Credentials(some())),
            (403, "RequestTimeTooSkewed", Kind::ClockSkew(some())),
            (400, "ExpiredToken", Kind::Credentials(some())),
            (503, "SlowDown", Kind::Throttled(some())),
            (500, "InternalError", Kind::Unavailable(some())),
            // In a success that has begun before it failed.
            (200, "InternalError", Kind::Unavailable(some())),
            (200, "ServiceUnavailable", Kind::Throttled(some())),
            (200, "AccessDenied", Kind::AccessDenied(some())),
            (409, "ConditionalRequestConflict", Kind::Conflict(some())),
            (400, "BadDigest", Kind::Damaged(some())),
            (301, "PermanentRedirect", Kind::WrongRegion(some())),
            (307, "TemporaryRedirect", Kind::WrongRegion(some())),
            (400, "InvalidStorageClass", Kind::Rejected(some())),
            (501, "NotImplemented", Kind::Unsupported(some())),
        ] {
            let answer = Answer {
                status,
                code: Some(code),
                has_document: true,
                ..Answer::default()
            };
            is_meant(&answer, &expected);
        }
    }

    #[test]
    fn without_a_code_of_s3s_little_is_believed() {
        let some = String::new;
        for (status, has_document, expected) in [
            (404, false, Kind::NotFound),
            (404, true, Kind::UnexpectedAnswer(some())),
            (200, true, Kind::UnexpectedAnswer(some())),
            (204, true, Kind::UnexpectedAnswer(some())),
            (302, true, Kind::UnexpectedAnswer(some())),
            (307, false, Kind::UnexpectedAnswer(some())),
            (403, true, Kind::AccessDenied(some())),
            (502, true, Kind::Unavailable(some())),
        ] {
            let answer = Answer {
                status,
                has_document,
                ..Answer::default()
            };
            is_meant(&answer, &expected);
        }
        for (status, expected) in [
            (403, Kind::UnexpectedAnswer(some())),
            (404, Kind::UnexpectedAnswer(some())),
            (412, Kind::UnexpectedAnswer(some())),
            (429, Kind::Throttled(some())),
            (503, Kind::Throttled(some())),
        ] {
            let page = Answer {
                status,
                is_page: is_html("Text/HTML; charset=utf-8"),
                ..Answer::default()
            };
            is_meant(&page, &expected);
        }
        let elsewhere = Answer {
            status: 301,
            region: Some("eu-west-1"),
            ..Answer::default()
        };
        is_meant(&elsewhere, &Kind::WrongRegion(some()));
    }
}
