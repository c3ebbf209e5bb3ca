//! Opening a source, and making sure before the commit that it still is the one that was opened.

use std::sync::Arc;

use super::context::{PassContext, SourceContext};
use super::error::{Nothing, SourceError};
use super::job::SourceJob;

impl PassContext {
    /// Opens a source.
    ///
    /// # Errors
    /// It is missing, of another kind, or cannot be entered.
    pub(crate) async fn open(&self, job: &SourceJob) -> Result<Arc<SourceContext>, SourceError> {
        // Before: a source may look at its items as soon as it is opened.
        let opened_ns = self.now_ns();
        let place = Arc::clone(&job.place);
        let source = on_a_thread(move || place.open()).await?;
        Ok(self.for_source(job, source, opened_ns))
    }
}

impl SourceContext {
    /// Makes sure that the source is still the one that was opened.
    ///
    /// # Errors
    /// Another one has taken its place, or nothing has.
    pub(crate) async fn confirm(&self) -> Result<(), SourceError> {
        let source = Arc::clone(&self.source);
        let confirmed = on_a_thread(move || source.confirm()).await;
        Ok(confirmed?)
    }

    /// The error of a source in which nothing was found to back up, for its being empty or, if it is
    /// not, `otherwise`; its last snapshot has so many entries.
    pub(crate) async fn nothing_there(&self, otherwise: Nothing, entries: u64) -> SourceError {
        if let Err(error) = self.confirm().await {
            return error;
        }
        let source = Arc::clone(&self.source);
        let nothing = match on_a_thread(move || source.is_empty()).await {
            Ok(false) => otherwise,
            Ok(true) | Err(_) => Nothing::Empty,
        };
        SourceError::Empty {
            place: self.job.place.written_as(),
            if_empty: self.job.place.if_empty(),
            nothing,
            entries,
        }
    }
}

/// A file server that does not answer must not keep the pass from hearing a signal.
async fn on_a_thread<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(look).await {
        Ok(seen) => seen,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
