//! What of the last snapshot is known to be damaged in the store, so that it is captured again whatever its metadata
//! say. The lock names the marks that say so; where it names none, nothing is asked for.

use super::context::SourceContext;
use super::error::SourceError;
use crate::events::Event;
use crate::format::damage::DamagedContents;
use crate::format::keys::{self, SourceName};
use crate::format::mark::Says;
use crate::lease::{self, Lease, LeaseError};
use crate::snapshots::marks::{self, MarksError};
use crate::store::Store;

/// Marks that this pass is to deal with.
#[derive(Debug, Default)]
pub(super) struct Marked {
    /// Their keys.
    keys: Vec<String>,
    /// What they say is damaged.
    pub(super) contents: DamagedContents,
}

impl Marked {
    /// Those of a source that the lock names.
    ///
    /// # Errors
    /// The store fails, or one of them cannot be read.
    pub(super) async fn of(context: &SourceContext, lease: &Lease) -> Result<Self, SourceError> {
        let named = lease.record().await.damaged;
        Self::named(&*context.store, &context.job.name, named).await
    }

    /// The same for a command that only looks.
    ///
    /// # Errors
    /// The store fails, or one of them cannot be read.
    pub(super) async fn find(store: &dyn Store, source: &SourceName) -> Result<Self, SourceError> {
        match lease::look(store).await {
            Ok(seen) => {
                let named = seen.map(|seen| seen.record.damaged);
                Self::named(store, source, named.unwrap_or_default()).await
            }
            Err(LeaseError::Store(error)) => Err(error.into()),
            // A pass says so.
            Err(_) => Ok(Self::default()),
        }
    }

    async fn named(
        store: &dyn Store,
        source: &SourceName,
        mut keys: Vec<String>,
    ) -> Result<Self, SourceError> {
        let prefix = keys::marks(source);
        keys.retain(|key| key.starts_with(&prefix));
        let mut objects = Vec::new();
        for key in &keys {
            match marks::read_one(store, key).await {
                Ok(Some(mark)) => {
                    if let Says::Damaged { objects: damaged } = mark.says {
                        objects.extend(damaged);
                    }
                }
                // Whoever was to write it was killed before.
                Ok(None) => {}
                Err(MarksError::Store(error)) => return Err(error.into()),
                Err(error @ MarksError::Mark { .. }) => {
                    return Err(SourceError::Mark(error.to_string()));
                }
            }
        }
        Ok(Self {
            keys,
            contents: DamagedContents::of(objects),
        })
    }

    /// They are dealt with: a snapshot is committed that has nothing of what they name, or `left` of it.
    pub(super) async fn settle(&self, context: &SourceContext, lease: &Lease, left: u64) {
        if self.keys.is_empty() {
            return;
        }
        if left == 0 {
            lease.forget_damage(&self.keys).await;
        }
        let name = &context.job.name;
        let message = match left {
            0 => format!(
                "{name}: everything that was damaged in the store and still exists was captured again; earlier snapshots lack it"
            ),
            left => format!(
                "{name}: {left} entries hold contents that are damaged in the store and could not be captured again; `offsite verify` names them"
            ),
        };
        context.events.emit(&Event::Notice { message });
    }
}
