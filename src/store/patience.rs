//! Asking again while a store fails or has too much to do, of what is asked for many objects at once.

use std::time::Duration;

use super::{StoreErrorKind, StoreResult};
use crate::memory::turns::Turn;

/// How often a store is asked for something that it fails at or has too much to do for: with the pauses below, a minute.
const ATTEMPTS: u32 = 9;
/// Before the second time. Each further pause is twice as long, and a part of it at random, so that not all come back
/// at once.
const PAUSE: Duration = Duration::from_millis(200);

/// Asks again while the store fails or has too much to do, and lets everybody know who takes turns with `turn`.
pub(crate) async fn patiently<T, F>(turn: &Turn, ask: impl Fn() -> F) -> StoreResult<T>
where
    F: Future<Output = StoreResult<T>>,
{
    let mut pause = PAUSE;
    for attempt in 1.. {
        let answer = ask().await;
        let Err(error) = &answer else {
            turn.is_granted();
            return answer;
        };
        let is_busy = matches!(error.kind, StoreErrorKind::Throttled(_));
        if is_busy {
            turn.is_refused();
        }
        let has_failed = matches!(
            error.kind,
            StoreErrorKind::Unavailable(_) | StoreErrorKind::Transport(_)
        );
        if attempt == ATTEMPTS || !(is_busy || has_failed || error.kind.is_worth_repeating()) {
            return answer;
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause *= 2;
    }
    unreachable!("the last attempt returns")
}
