//! What has not been captured: why, who is told, and what the snapshot keeps of it.

use std::io;

use rustix::io::Errno;

use super::Capture;
use crate::events::Event;
use crate::format::entry::{Entry, Unreadable};
use crate::pass::steps::Captured;
use crate::source;
use crate::stop::Stopped;
use crate::store::{StoreError, WriteError};

/// Why a file was not captured.
pub(in crate::pass) enum Uncaptured {
    /// Something else is there, or nothing.
    Gone,
    /// The system refuses.
    Unreadable(io::Error),
    /// The store refuses.
    Store(String, StoreError),
    /// The pass is being stopped.
    Stopped,
}

impl Uncaptured {
    /// What could not be written under `key`.
    pub(super) fn unwritten(key: &str, error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => Self::Store(key.to_owned(), error),
            WriteError::Stopped(Stopped) => Self::Stopped,
        }
    }
}

impl From<source::Refused> for Uncaptured {
    fn from(refused: source::Refused) -> Self {
        match refused {
            source::Refused::Gone => Self::Gone,
            source::Refused::Unreadable(error) => Self::Unreadable(error),
        }
    }
}

/// Of something that is open. Whatever the system says, it is not gone.
impl From<Errno> for Uncaptured {
    fn from(error: Errno) -> Self {
        Self::Unreadable(error.into())
    }
}

impl From<Stopped> for Uncaptured {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl Capture {
    pub(super) fn refused(&self, refused: Uncaptured) -> Captured {
        let source = self.options().job.name.clone();
        let path = self.order.found.name.to_string();
        let (event, error, is_unsent) = match refused {
            Uncaptured::Stopped => return Captured::Aborted,
            Uncaptured::Gone => {
                let event = Event::FileVanished { source, path };
                self.options().events.emit(&event);
                return Captured::Vanished;
            }
            Uncaptured::Unreadable(error) => {
                let error = error.to_string();
                let event = Event::FileUnreadable {
                    source,
                    path,
                    error: error.clone(),
                };
                (event, error, false)
            }
            Uncaptured::Store(key, error) => {
                let text = error.to_string();
                let event = Event::FileUploadFailed {
                    source,
                    path,
                    key,
                    error: text.clone(),
                };
                if error.kind.is_fatal() {
                    self.options().events.emit(&event);
                    self.options().first_error.report(error.into());
                    return Captured::Aborted;
                }
                (event, text, true)
            }
        };
        self.options().events.emit(&event);
        let entry = Box::new(self.stand_in(error));
        match is_unsent {
            true => Captured::Unsent(entry),
            false => Captured::Unreadable(entry),
        }
    }

    /// What the snapshot keeps of something that could not be captured: what the last one had, or
    /// the mere fact that it is there.
    fn stand_in(&self, error: String) -> Entry {
        let found = &self.order.found;
        let kind = found.stat.metadata.kind;
        let fallback = self.order.fallback.as_deref();
        let mut entry = match fallback.filter(|old| old.metadata.kind == kind) {
            Some(old) => old.clone(),
            None => {
                let mut entry = Entry::new(found.name.clone(), found.stat.metadata);
                entry.object = found.object.clone();
                entry
            }
        };
        let since = entry.unreadable.map_or(self.options().pass, |u| u.since);
        entry.unreadable = Some(Unreadable { error, since });
        entry
    }
}
