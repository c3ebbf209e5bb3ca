//! Writing down what is damaged, so that no crash loses it: the lock names the mark before it exists, and a pass
//! that finds none there forgets its name.

use crate::format::damage::DamagedObject;
use crate::format::keys::{self, SourceName};
use crate::format::lock::Holder;
use crate::format::mark::{Mark, RepairedObject, Says};
use crate::format::pass_id::PassId;
use crate::lease::{Lease, Lost};
use crate::snapshots::marks::{self, MarksError};
use crate::store::{Condition, Store, StoreError, StoreErrorKind};

/// Objects in one mark, of some 300 bytes each and twenty paths: a mark has at most 16 MiB.
const IN_A_MARK: usize = 2000;

/// How often somebody else may write the next number first.
const ATTEMPTS: u32 = 16;

/// Why something was not written down.
#[derive(Debug, thiserror::Error)]
pub enum MarkingError {
    /// The lease is gone.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A mark that the lock names cannot be read.
    #[error(transparent)]
    Marks(#[from] MarksError),
}

/// Who writes marks about a snapshot.
pub(super) struct Marker<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) lease: &'a Lease,
    pub(super) holder: &'a Holder,
    pub(super) source: &'a SourceName,
    pub(super) snapshot: PassId,
}

impl Marker<'_> {
    fn mark(&self, says: Says) -> Mark {
        let (source, at) = (self.source.clone(), self.store.now());
        Mark::new(source, self.snapshot, at, self.holder.clone(), says)
    }

    /// Writes down what was put back with another ETag.
    pub(super) async fn repaired(&self, objects: &[RepairedObject]) -> Result<(), MarkingError> {
        for some in objects.chunks(IN_A_MARK) {
            let objects = some.to_vec();
            marks::write(self.store, &self.mark(Says::Repaired { objects })).await?;
        }
        Ok(())
    }

    /// Writes down what the next pass has to capture again, unless that is written down already.
    pub(super) async fn damaged(&self, objects: Vec<DamagedObject>) -> Result<(), MarkingError> {
        let known = self.known().await?;
        let is_new = |object: &DamagedObject| !known.iter().any(|known| known.covers(object));
        let new: Vec<_> = objects.into_iter().filter(is_new).collect();
        for some in new.chunks(IN_A_MARK) {
            self.write(some.to_vec()).await?;
        }
        Ok(())
    }

    /// What is written down.
    async fn known(&self) -> Result<Vec<DamagedObject>, MarkingError> {
        let prefix = keys::marks(self.source);
        let mut known = Vec::new();
        for key in self.lease.record().await.damaged {
            if !key.starts_with(&prefix) {
                continue;
            }
            let mark = marks::read_one(self.store, &key).await?;
            if let Some(Says::Damaged { objects }) = mark.map(|mark| mark.says) {
                known.extend(objects);
            }
        }
        Ok(known)
    }

    async fn write(&self, objects: Vec<DamagedObject>) -> Result<(), MarkingError> {
        let mark = self.mark(Says::Damaged { objects });
        let number = marks::last_number(self.store, self.source, self.snapshot).await?;
        let mut attempt = 1;
        loop {
            let key = keys::mark(self.source, self.snapshot, number.saturating_add(attempt));
            self.lease.note_damage(&key).await?;
            let put = self
                .store
                .put(&key, mark.to_bytes().into(), &Condition::Absent);
            match put.await {
                // Somebody has pinned the snapshot meanwhile.
                Err(error)
                    if error.kind == StoreErrorKind::PreconditionFailed && attempt < ATTEMPTS =>
                {
                    self.lease.forget_damage(&[key]).await;
                    attempt += 1;
                }
                put => return Ok(put.map(drop)?),
            }
        }
    }
}
