//! Why the SDK could not ask a service, or got no answer. Its outer layers say "dispatch failure"; the
//! cause is at the end.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;

use crate::text::redacted;

/// What kept a request from being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No credentials.
    Credentials(NoCredentials),
    /// Nobody says which region.
    Region(String),
    /// The network, mostly.
    Transport(String),
}

/// Why there are no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoCredentials {
    /// Nobody has any for this machine, or who has them refuses to give them: asking again is no use.
    #[error("{0}")]
    Refused(String),
    /// Whoever gives them fails, is throttling or does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// Whoever gives them finds that this machine's clock is wrong.
    #[error("{0}")]
    ClockSkew(String),
}

/// Codes of STS that say "not now" with a status of 400, in lower case and as they begin.
const NOT_NOW: [&str; 4] = [
    "throttl",
    "requestlimitexceeded",
    "toomanyrequests",
    "idpcommunicationerror",
];

/// What AWS says of signatures by a clock that is wrong, in lower case: S3's code, that of the query
/// protocol, and what STS says besides `SignatureDoesNotMatch`.
const WRONG_CLOCK: [&str; 4] = [
    "requesttimetooskewed",
    "requestexpired",
    "signature expired",
    "signature not yet current",
];

/// Whether a refusal is this machine's clock's fault.
pub(crate) fn is_clock(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    WRONG_CLOCK.iter().any(|known| text.contains(known))
}

impl NoCredentials {
    /// What an error of a provider means, whose last request was answered with `status`.
    pub(crate) fn of(error: &CredentialsError, status: Option<u16>) -> Self {
        let chain = chain(error);
        let text = match (chain.last(), status) {
            (Some(last), Some(status)) if !last.contains(&status.to_string()) => {
                format!("{last} (status {status})")
            }
            (last, _) => last.cloned().unwrap_or_default(),
        };
        let is_said = |known: &str| {
            let said = |link: &String| link.to_ascii_lowercase().contains(known);
            chain.iter().any(said)
        };
        if chain.iter().any(|link| is_clock(link)) {
            return Self::ClockSkew(text);
        }
        let is_refused = match error {
            CredentialsError::CredentialsNotLoaded(_)
            | CredentialsError::InvalidConfiguration(_) => true,
            _ => match status {
                Some(408 | 429) => false,
                Some(400..500) => !NOT_NOW.into_iter().any(is_said),
                _ => false,
            },
        };
        match is_refused {
            true => Self::Refused(text),
            false => Self::Unavailable(text),
        }
    }
}

/// Finds the cause below an error of the SDK that is no answer.
pub(crate) fn cause(error: &(dyn Error + 'static)) -> Cause {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(error) = error.downcast_ref::<CredentialsError>() {
            return Cause::Credentials(NoCredentials::of(error, None));
        }
        link = error.source();
    }
    let mut chain = chain(error);
    let text = chain.split_off(chain.len().min(1)).join(": ");
    if text.contains("credentials") {
        return Cause::Credentials(NoCredentials::Refused(text));
    }
    if text.to_ascii_lowercase().contains("region") {
        return Cause::Region(text);
    }
    Cause::Transport(match text.is_empty() {
        true => redacted(&error.to_string()),
        false => text,
    })
}

/// What each layer of an error says, the outermost first.
fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut chain = vec![];
    let mut link = Some(error);
    while let Some(error) = link {
        chain.push(redacted(&error.to_string()));
        link = error.source();
    }
    chain.dedup();
    chain
}

/// What the innermost error says.
pub(crate) fn last_words(error: &(dyn Error + 'static)) -> String {
    chain(error).pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_refuses_for_good_has_refused() {
        use NoCredentials as No;
        let failed = || CredentialsError::provider_error("failed");
        for (error, status, expected) in [
            (
                CredentialsError::not_loaded("none"),
                None,
                No::Refused("none".into()),
            ),
            (
                CredentialsError::invalid_configuration("bad"),
                None,
                No::Refused("bad".into()),
            ),
            (
                failed(),
                Some(403),
                No::Refused("failed (status 403)".into()),
            ),
            (
                failed(),
                Some(404),
                No::Refused("failed (status 404)".into()),
            ),
            (failed(), None, No::Unavailable("failed".into())),
            (
                failed(),
                Some(200),
                No::Unavailable("failed (status 200)".into()),
            ),
            (
                failed(),
                Some(302),
                No::Unavailable("failed (status 302)".into()),
            ),
            (
                failed(),
                Some(408),
                No::Unavailable("failed (status 408)".into()),
            ),
            (
                failed(),
                Some(429),
                No::Unavailable("failed (status 429)".into()),
            ),
            (
                failed(),
                Some(503),
                No::Unavailable("failed (status 503)".into()),
            ),
            (
                CredentialsError::provider_error("unhandled error (Throttling)"),
                Some(400),
                No::Unavailable("unhandled error (Throttling) (status 400)".into()),
            ),
            (
                CredentialsError::provider_error("SignatureDoesNotMatch: Signature expired: 2025"),
                Some(403),
                No::ClockSkew("SignatureDoesNotMatch: Signature expired: 2025 (status 403)".into()),
            ),
        ] {
            assert_eq!(NoCredentials::of(&error, status), expected);
        }
    }
}
