//! Errors that end the backup of a source, whatever else of it could still be done.
//!
//! Threads and tasks that meet one report it here, and it stops the others. The error is what it is all
//! the way to the exit code; that the others were stopped is only how it ends.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::stop::Stop;
use crate::store::StoreError;

/// What ended the backup of a source.
#[derive(Debug)]
pub(crate) enum FatalError {
    /// Every other request would fail like this one.
    Store(StoreError),
    /// The archive cannot be compressed as asked.
    Compression(io::Error),
    /// The system does not give another thread.
    Thread(io::Error),
}

impl From<StoreError> for FatalError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Where the first of them is kept: later ones are mostly its consequences.
#[derive(Debug, Clone)]
pub(crate) struct FirstError {
    error: Arc<Mutex<Option<FatalError>>>,
    stop: Arc<Stop>,
}

impl FirstError {
    /// Sets `stop` when an error is reported.
    #[must_use]
    pub(crate) fn stopping(stop: &Arc<Stop>) -> Self {
        Self {
            error: Arc::default(),
            stop: Arc::clone(stop),
        }
    }

    /// Ends the source for this reason, unless there is one already.
    pub(crate) fn report(&self, error: FatalError) {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        drop(first);
        self.stop.stop();
    }

    /// The error that was reported first, if one was.
    #[must_use]
    pub(crate) fn take(&self) -> Option<FatalError> {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        first.take()
    }
}

/// Starts a thread.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, FatalError> {
    let thread = Builder::new().name(name.to_owned());
    thread.spawn(run).map_err(FatalError::Thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_counts_and_stops_the_others() {
        let stop = Arc::new(Stop::default());
        let first_error = FirstError::stopping(&stop);
        assert!(first_error.take().is_none() && !stop.is_set());
        first_error.report(FatalError::Thread(io::Error::other("first")));
        first_error.report(FatalError::Compression(io::Error::other("second")));
        assert!(stop.is_set());
        assert!(matches!(first_error.take(), Some(FatalError::Thread(_))));
    }
}
