//! Asking the store: with credentials that it takes, and again where that can help and the SDK does
//! not repeat.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::S3Store;
use super::classify::{classify, no_credentials};
use crate::store::{Operation, StoreError, StoreErrorKind, StoreResult};

/// Attempts at what the SDK takes for the caller's mistake and does not repeat: a body that arrives
/// damaged, a write that meets another one, an answer that is not the store's.
const ATTEMPTS: u32 = 4;
/// Pause before the second attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

impl S3Store {
    /// Sends a request that the SDK makes, each time `request` is called.
    pub(super) async fn ask<T, E, F>(
        &self,
        operation: Operation,
        key: &str,
        request: impl Fn() -> F + Send,
    ) -> StoreResult<T>
    where
        T: Send,
        E: ProvideErrorMetadata + Error + Send + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    {
        let failed = |kind| self.error(operation, key, kind);
        let used = self.ready(operation, key).await?;
        let kind = match request().await {
            Ok(answer) => return Ok(answer),
            Err(error) => classify(&error, operation),
        };
        // A key that has ended, or was taken back: perhaps there is another one. The answer to a HEAD
        // has no code that says so.
        let is_of_key = match &kind {
            StoreErrorKind::Credentials(_) => true,
            StoreErrorKind::Rejected(_) => operation == Operation::Head,
            _ => false,
        };
        if let (true, Some(credentials)) = (is_of_key, &self.clients.credentials) {
            let others = credentials.others_than(used).await;
            if others.map_err(|error| failed(no_credentials(error)))? {
                let answer = request().await;
                return answer.map_err(|error| failed(classify(&error, operation)));
            }
        }
        Err(failed(kind))
    }

    /// Asks until there is an answer that `understand` makes something of; what it says otherwise is what
    /// is wrong with the answer.
    pub(super) async fn learn<T, U, E, F>(
        &self,
        operation: Operation,
        key: &str,
        request: impl Fn() -> F + Send + Sync,
        understand: impl Fn(T) -> Result<U, &'static str> + Send + Sync,
    ) -> StoreResult<U>
    where
        T: Send,
        U: Send,
        E: ProvideErrorMetadata + Error + Send + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    {
        let mut attempts = Attempts::new();
        loop {
            let answer = self.ask(operation, key, &request).await;
            let understood = answer.and_then(|answer| {
                understand(answer).map_err(|fault| self.unexpected(operation, key, fault))
            });
            if let Some(understood) = attempts.settle(understood).await {
                return understood;
            }
        }
    }

    pub(super) fn unexpected(&self, operation: Operation, key: &str, fault: &str) -> StoreError {
        let kind = StoreErrorKind::UnexpectedAnswer(fault.to_owned());
        self.error(operation, key, kind)
    }

    /// Waits for credentials; the number of those there are.
    pub(super) async fn ready(&self, operation: Operation, key: &str) -> StoreResult<u64> {
        let Some(credentials) = &self.clients.credentials else {
            return Ok(0);
        };
        let ready = credentials.ready().await;
        ready.map_err(|error| self.error(operation, key, no_credentials(error)))
    }
}

/// Attempts at one request, for what the SDK does not repeat.
pub(super) struct Attempts {
    left: u32,
    pause: Duration,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self {
            left: ATTEMPTS,
            pause: PAUSE,
        }
    }

    /// The result, if it is final; otherwise pauses, and the request is to be sent again.
    pub(super) async fn settle<T>(&mut self, result: StoreResult<T>) -> Option<StoreResult<T>> {
        let again = (result.as_ref()).is_err_and(|error| error.kind.is_worth_repeating());
        self.settle_if(again, result).await
    }

    /// The same, where the caller knows whether it can help to send the request again.
    pub(super) async fn settle_if<T>(
        &mut self,
        again: bool,
        result: StoreResult<T>,
    ) -> Option<StoreResult<T>> {
        self.left -= 1;
        if !again || self.left == 0 {
            return Some(result);
        }
        tokio::time::sleep(self.pause).await;
        self.pause *= 2;
        None
    }
}

/// Whether a failed put may have happened all the same.
pub(super) fn may_have_happened(kind: &StoreErrorKind) -> bool {
    matches!(
        kind,
        StoreErrorKind::PreconditionFailed
            | StoreErrorKind::Conflict(_)
            | StoreErrorKind::Unavailable(_)
            | StoreErrorKind::Transport(_)
            | StoreErrorKind::UnexpectedAnswer(_)
    )
}
