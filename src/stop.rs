//! Telling everybody that a pass, or the backup of one source, is over before its work is. Why it is
//! over travels beside this: a signal is remembered by `signal`, an error by whoever met it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The pass, or the backup of this source, is being stopped, so this was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pass is being stopped")]
pub struct Stopped;

/// Set once, looked at often.
#[derive(Debug)]
pub struct Stop {
    flag: AtomicBool,
    phase: Arc<watch::Sender<Phase>>,
    left_at: Arc<OnceLock<Instant>>,
    outer: Option<Arc<Stop>>,
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Working,
    Stopping,
    Hurrying,
    Leaving,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            flag: AtomicBool::new(false),
            phase: Arc::new(watch::Sender::new(Phase::Working)),
            left_at: Arc::default(),
            outer: None,
        }
    }
}

impl Stop {
    /// A stop that is set when `outer` is, and can be set without it.
    #[must_use]
    pub fn within(outer: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self {
            phase: Arc::clone(&outer.phase),
            left_at: Arc::clone(&outer.left_at),
            outer: Some(Arc::clone(outer)),
            ..Self::default()
        })
    }

    /// No new work is begun; what is in flight is finished.
    pub fn stop(&self) {
        self.flag.store(true, Ordering::Relaxed);
        if self.outer.is_none() {
            self.raise(Phase::Stopping);
        }
    }

    fn raise(&self, to: Phase) {
        self.phase.send_modify(|phase| *phase = to.max(*phase));
    }

    /// What is in flight is not waited for any longer.
    pub fn hurry(&self) {
        self.stop();
        self.raise(Phase::Hurrying);
    }

    /// Nothing is waited for any longer, whatever becomes of it.
    pub fn leave(&self) {
        self.stop();
        self.left_at.get_or_init(Instant::now);
        self.raise(Phase::Leaving);
    }

    /// Completes once the pass is to stop.
    pub async fn stopped(&self) {
        self.reached(Phase::Stopping).await;
    }

    /// Completes once there is no time left for what is in flight.
    pub async fn hurried(&self) {
        self.reached(Phase::Hurrying).await;
    }

    /// Completes once the pass is to be left where it is.
    pub async fn left(&self) {
        self.reached(Phase::Leaving).await;
    }

    /// Completes once that was so long ago, however late this is called.
    pub async fn left_for(&self, duration: Duration) {
        self.left().await;
        let left_at = *self.left_at.get_or_init(Instant::now);
        tokio::time::sleep_until(left_at + duration).await;
    }

    async fn reached(&self, phase: Phase) {
        // The sender lives as long as `self`, so this ends only when it is told to.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Whether to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed) || self.outer.as_ref().is_some_and(|outer| outer.is_set())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_to_leave_is_counted_once() {
        let outer = Arc::new(Stop::default());
        let inner = Stop::within(&outer);
        outer.leave();
        let time = Duration::from_millis(50);
        outer.left_for(time).await;
        for stop in [&inner, &outer, &Stop::within(&inner)] {
            let is_over = tokio::select! {
                biased;
                () = stop.left_for(time) => true,
                () = std::future::ready(()) => false,
            };
            assert!(is_over);
        }
    }
}
