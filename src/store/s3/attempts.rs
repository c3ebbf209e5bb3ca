//! Sending a request again where that can help and the SDK does not.

use std::time::Duration;

use crate::store::{StoreErrorKind, StoreResult};

/// Attempts at what the SDK takes for the caller's mistake and does not repeat: a body that arrives
/// damaged, a write that meets another one.
pub(super) const ATTEMPTS: u32 = 4;
/// Pause before the second attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

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
        self.left -= 1;
        match &result {
            Err(error) if self.left > 0 && error.kind.is_worth_repeating() => {
                tokio::time::sleep(self.pause).await;
                self.pause *= 2;
                None
            }
            _ => Some(result),
        }
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
    )
}
