//! What was said of snapshots after they were committed: pins, acknowledgements.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::chain::AT_ONCE;
use crate::format::keys::{self, SourceName};
use crate::format::mark::{MARK_BYTES, Mark, Says};
use crate::format::pass_id::PassId;
use crate::format::record::RecordError;
use crate::store::{Condition, ETag, Listing, Store, StoreError, StoreErrorKind, all_keys};

/// How often somebody else may write the next number first.
const ATTEMPTS: u32 = 16;

/// Why marks cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MarksError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One of them is not what it should be.
    #[error("mark `{key}` {error}")]
    Mark {
        /// Its key under the prefix.
        key: String,
        /// What is wrong with it.
        error: RecordError,
    },
}

/// The marks of a source: of each snapshot, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Marks {
    by_snapshot: BTreeMap<PassId, Vec<Mark>>,
}

/// Why a snapshot is kept that somebody has pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// What was said.
    pub reason: String,
    /// Not after this; for ever, without.
    pub until: Option<Timestamp>,
}

impl Marks {
    /// Reads those of a source.
    ///
    /// # Errors
    /// The store fails, or a mark is not one. Whoever condemns must not go on then.
    pub async fn read(store: &Arc<dyn Store>, source: &SourceName) -> Result<Self, MarksError> {
        let prefix = keys::marks(source);
        let listing = Listing {
            prefix: &prefix,
            ..Listing::default()
        };
        let keys = all_keys(&**store, listing).await?.objects;
        let mut marks = Self::default();
        for some in keys.chunks(AT_ONCE) {
            let mut reads = JoinSet::new();
            for key in some {
                let (store, key) = (Arc::clone(store), key.clone());
                reads.spawn(async move { read(&*store, key).await });
            }
            for (_, mark) in reads
                .join_all()
                .await
                .into_iter()
                .collect::<Result<BTreeMap<_, _>, _>>()?
            {
                marks
                    .by_snapshot
                    .entry(mark.snapshot)
                    .or_default()
                    .push(mark);
            }
        }
        Ok(marks)
    }

    /// Those of one snapshot.
    #[must_use]
    pub fn of(&self, snapshot: PassId) -> &[Mark] {
        self.by_snapshot.get(&snapshot).map_or(&[], Vec::as_slice)
    }

    /// Whether a snapshot is pinned now.
    #[must_use]
    pub fn pin(&self, snapshot: PassId, now: Timestamp) -> Option<Pin> {
        let mut newest_first = self.of(snapshot).iter().rev();
        newest_first.find_map(|mark| match &mark.says {
            Says::Pin { reason, until } => Some(match until.is_none_or(|until| now <= until) {
                true => Some(Pin {
                    reason: reason.clone(),
                    until: *until,
                }),
                false => None,
            }),
            Says::Unpin => Some(None),
            Says::Acknowledge { .. }
            | Says::Damaged { .. }
            | Says::Repaired { .. }
            | Says::Drill(_)
            | Says::Unknown => None,
        })?
    }

    /// The version of an object that a repair has put back last, whichever snapshot it was found in.
    #[must_use]
    pub fn repaired(&self, key: &str) -> Option<&ETag> {
        let marks = self.by_snapshot.values().flatten();
        let of_key = marks.filter_map(|mark| match &mark.says {
            Says::Repaired { objects } => {
                let object = objects.iter().find(|object| object.key == key)?;
                Some((mark.at, &object.etag))
            }
            _ => None,
        });
        of_key.max_by_key(|(at, _)| *at).map(|(_, etag)| etag)
    }

    /// Whether somebody has said that what a snapshot lacks is meant to be gone.
    #[must_use]
    pub fn is_acknowledged(&self, snapshot: PassId) -> bool {
        let is_it = |mark: &Mark| matches!(mark.says, Says::Acknowledge { .. });
        self.of(snapshot).iter().any(is_it)
    }
}

/// Reads one mark; `None` where there is none under the key.
///
/// # Errors
/// The store fails, or it is no mark.
pub async fn read_one(store: &dyn Store, key: &str) -> Result<Option<Mark>, MarksError> {
    match read(store, key.to_owned()).await {
        Ok((_, mark)) => Ok(Some(mark)),
        Err(MarksError::Store(error)) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number of the last mark of a snapshot; 0 if it has none.
///
/// # Errors
/// The listing fails.
pub async fn last_number(
    store: &dyn Store,
    source: &SourceName,
    snapshot: PassId,
) -> Result<u32, StoreError> {
    let prefix = keys::marks_of(source, snapshot);
    let listing = Listing {
        prefix: &prefix,
        ..Listing::default()
    };
    let last = all_keys(store, listing).await?.objects.pop();
    let number = |key: &String| {
        key.strip_prefix(&prefix)?
            .strip_suffix(".json")?
            .parse()
            .ok()
    };
    Ok(last.as_ref().and_then(number).unwrap_or(0))
}

/// Writes a mark after those that a snapshot has.
///
/// # Errors
/// The store fails.
pub async fn write(store: &dyn Store, mark: &Mark) -> Result<(), StoreError> {
    let mut number = last_number(store, &mark.source, mark.snapshot).await?;
    let mut attempt = 1;
    loop {
        number = number.saturating_add(1);
        let key = keys::mark(&mark.source, mark.snapshot, number);
        match store
            .put(&key, mark.to_bytes().into(), &Condition::Absent)
            .await
        {
            Err(error)
                if error.kind == StoreErrorKind::PreconditionFailed && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            put => return put.map(drop),
        }
    }
}

pub(super) async fn read(store: &dyn Store, key: String) -> Result<(String, Mark), MarksError> {
    let object = store.get(&key, MARK_BYTES).await?;
    match Mark::parse(&object.bytes) {
        Ok(mark) => Ok((key, mark)),
        Err(error) => Err(MarksError::Mark { key, error }),
    }
}
