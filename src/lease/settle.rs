//! Making sure that a commit record is written now or never.
//!
//! A void record takes the key, so that a commit that is still on its way (`If-None-Match: *`) fails
//! whenever it arrives. A void record that is there already, of an earlier lease, is replaced by one of
//! this lease, so that its entity tag changes: whoever may replace a void record does it by `If-Match`. A copy,
//! which commits over void records of its own lease too, replaces those as well.

use jiff::Timestamp;

use crate::format::pass_id::PassId;
use crate::format::snapshot::{RECORD_BYTES, Record, Void};
use crate::store::{Condition, Store, StoreError, StoreErrorKind, StoreResult};

/// How often somebody else may write the key before one look and one put follow each other.
const ATTEMPTS: u32 = 8;

/// What a key turned out to hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// A void record of this lease; nothing will ever be committed there.
    Voided,
    /// A void record of a later one.
    Blocked,
    /// Something else, which no commit will replace.
    Taken,
}

/// Who writes void records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voider {
    pub(super) generation: u64,
    pub(super) pass: PassId,
    /// Whether void records of this lease give way as well.
    pub(super) replaces_own: bool,
}

impl Voider {
    /// Blocks the commit record under `key`, unless it exists. Only an answer settles it: after an
    /// error nobody knows what the key will hold.
    pub(super) async fn settle(self, store: &dyn Store, key: &str) -> StoreResult<Settled> {
        let void = |at: Timestamp| {
            let void = Void::new(self.generation, self.pass, at, fastrand::u32(..));
            void.to_bytes().into()
        };
        let mut condition = Condition::Absent;
        let mut attempt = 1;
        loop {
            let put = store.put(key, void(store.now()), &condition);
            let Err(refused) = put.await else {
                return Ok(Settled::Voided);
            };
            if refused.kind != StoreErrorKind::PreconditionFailed || attempt == ATTEMPTS {
                return Err(refused);
            }
            attempt += 1;
            condition = match self.look(store, key).await? {
                AtKey::Nothing => Condition::Absent,
                AtKey::Settled(settled) => return Ok(settled),
                AtKey::Older(condition) => condition,
            };
        }
    }

    fn replaces(self, void: &Void) -> bool {
        let is_own = void.generation == self.generation;
        void.generation < self.generation || is_own && self.replaces_own
    }

    /// What a key holds now.
    pub(super) async fn look(self, store: &dyn Store, key: &str) -> Result<AtKey, StoreError> {
        let object = match store.get(key, RECORD_BYTES).await {
            Ok(object) => object,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(AtKey::Nothing),
            Err(error) if matches!(error.kind, StoreErrorKind::TooLarge { .. }) => {
                return Ok(AtKey::Settled(Settled::Taken));
            }
            Err(error) => return Err(error),
        };
        Ok(match Record::parse(&object.bytes) {
            Ok(Record::Void(void)) if self.replaces(&void) => {
                AtKey::Older(Condition::Matches(object.etag))
            }
            Ok(Record::Void(_)) => AtKey::Settled(Settled::Blocked),
            // What cannot be read takes the key as well as what can.
            Ok(Record::Live(_) | Record::Condemned(_) | Record::Other(_)) | Err(_) => {
                AtKey::Settled(Settled::Taken)
            }
        })
    }
}

/// What a key holds.
pub(super) enum AtKey {
    Nothing,
    Settled(Settled),
    /// A void record of an earlier lease, and the condition that it still is.
    Older(Condition),
}
