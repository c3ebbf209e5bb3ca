//! The root of a source: opened once for a pass, and looked for again before the commit.

use std::sync::Arc;

use rustix::io::Errno;

use super::context::SourceContext;
use super::error::{Nothing, SourceError};
use super::source::DirectorySource;
use crate::source::open::Root;
use crate::source::walk::NotStarted;

impl DirectorySource {
    /// Opens the root, which everything else is reached from.
    ///
    /// # Errors
    /// It is missing, no directory, or cannot be entered.
    pub async fn open(&self) -> Result<Arc<Root>, SourceError> {
        let path = self.written_as.clone();
        let opened = on_a_thread(move || Root::open(&path)).await;
        opened.map(Arc::new).map_err(|error| self.unusable(error))
    }

    /// Makes sure that the path of the source still leads to the root that was opened. What was read is
    /// of one directory in any case; whether it is the one that was meant, nobody can tell any more.
    ///
    /// # Errors
    /// Another directory or volume has taken its place, or nothing has.
    pub async fn confirm(&self, root: &Arc<Root>) -> Result<(), SourceError> {
        let (path, root) = (self.written_as.clone(), Arc::clone(root));
        match on_a_thread(move || root.is_still_at(&path)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SourceError::Replaced {
                directory: self.written_as.clone(),
            }),
            Err(error) => Err(self.unusable(error)),
        }
    }

    /// The error of a walk that could not begin.
    pub(crate) fn not_walked(&self, error: NotStarted) -> SourceError {
        match error {
            NotStarted::Root(error) => self.unusable(error),
            NotStarted::Thread(error) => SourceError::Thread(error),
        }
    }

    /// The error of a root that the system refuses to open or to look at.
    pub(crate) fn unusable(&self, error: Errno) -> SourceError {
        SourceError::Root {
            directory: self.written_as.clone(),
            error,
        }
    }
}

impl SourceContext {
    /// Makes sure that the path of the source still leads to the root that was opened.
    ///
    /// # Errors
    /// As [`DirectorySource::confirm`].
    pub async fn confirm(&self) -> Result<(), SourceError> {
        self.source.confirm(&self.root).await
    }

    /// The error of a source in which nothing was found to back up although it is not empty, or for
    /// its being empty; its last snapshot has so many entries.
    pub async fn nothing_there(&self, otherwise: Nothing, entries: u64) -> SourceError {
        if let Err(error) = self.confirm().await {
            return error;
        }
        let root = Arc::clone(&self.root);
        let nothing = match on_a_thread(move || root.is_empty()).await {
            Ok(false) => otherwise,
            Ok(true) | Err(_) => Nothing::Empty,
        };
        SourceError::Empty {
            directory: self.source.written_as.clone(),
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
