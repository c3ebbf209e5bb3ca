//! Why the SDK could not ask a service, or got no answer. Its outer layers say "dispatch failure"; the
//! cause is at the end.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;

use crate::text::redacted;

/// What kept a request from being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// There are no credentials, or they cannot be had.
    Credentials(String),
    /// Nobody says which region.
    Region(String),
    /// The network, mostly.
    Transport(String),
}

/// Finds the cause below an error of the SDK that is no answer.
pub(crate) fn cause(error: &(dyn Error + 'static)) -> Cause {
    let mut chain = vec![];
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(credentials) = error.downcast_ref::<CredentialsError>() {
            return Cause::Credentials(last_words(credentials));
        }
        chain.push(redacted(&error.to_string()));
        link = error.source();
    }
    chain.dedup();
    let text = chain.split_off(chain.len().min(1)).join(": ");
    if text.contains("credentials") {
        return Cause::Credentials(text);
    }
    if text.to_ascii_lowercase().contains("region") {
        return Cause::Region(text);
    }
    Cause::Transport(match text.is_empty() {
        true => redacted(&error.to_string()),
        false => text,
    })
}

/// What the innermost error says.
pub(crate) fn last_words(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut link = error.source();
    while let Some(error) = link {
        text = error.to_string();
        link = error.source();
    }
    redacted(&text)
}
