//! Finding the snapshots of a source.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::format::condemned::Condemned;
use crate::format::keys::{self, SourceName};
use crate::format::pass_id::PassId;
use crate::format::snapshot::{RECORD_BYTES, Record, Snapshot, SnapshotError};
use crate::store::{ETag, Listing, Store, StoreError, StoreErrorKind, StoreResult, all_keys};

/// A commit record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record is there and is not what it should be.
    #[error("commit record `{key}` {error}")]
    Record {
        /// Its key under the prefix.
        key: String,
        /// What is wrong with it.
        error: SnapshotError,
    },
}

impl ChainError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => error.kind.hint(),
            Self::Record { .. } => Some(
                "read it with `aws s3 cp`, in a directory with `cat`; if it is damaged, move it away and the snapshot before it counts",
            ),
        }
    }
}

/// The passes of which there is something under the key of a snapshot of `source`, the earliest first.
/// The snapshot exists where that is a live commit record.
///
/// # Errors
/// The listing fails.
pub async fn passes(store: &dyn Store, source: &SourceName) -> StoreResult<Vec<PassId>> {
    let prefix = keys::snapshots(source);
    let listing = Listing {
        prefix: &prefix,
        ..Listing::default()
    };
    let listed = all_keys(store, listing).await?;
    let pass = |key: &String| {
        key.strip_prefix(&prefix)?
            .strip_suffix(".json")?
            .parse()
            .ok()
    };
    Ok(listed.objects.iter().filter_map(pass).collect())
}

/// A snapshot that exists, or that can be made to exist again.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// It exists.
    Live(Box<Snapshot>),
    /// A prune has condemned it.
    Condemned(Box<Condemned>),
}

impl Standing {
    /// The snapshot, whether it exists or not.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        match self {
            Self::Live(snapshot) => snapshot,
            Self::Condemned(condemned) => &condemned.snapshot,
        }
    }

    /// The snapshot if it exists.
    #[must_use]
    pub fn into_live(self) -> Option<Snapshot> {
        match self {
            Self::Live(snapshot) => Some(*snapshot),
            Self::Condemned(_) => None,
        }
    }
}

/// The record of a snapshot as it is stored, and what it says.
#[derive(Debug, Clone)]
pub struct Stored {
    /// What it says.
    pub standing: Standing,
    /// The record.
    pub record: Bytes,
    /// Its version.
    pub etag: ETag,
}

/// Reads a commit record as it is stored; `None` where there is none, or one that is neither live nor condemned.
///
/// # Errors
/// The store fails, or the record is not one, or not this one.
pub async fn stored(
    store: &dyn Store,
    source: &SourceName,
    pass: PassId,
) -> Result<Option<Stored>, ChainError> {
    let key = keys::snapshot(source, pass);
    match store.get(&key, RECORD_BYTES).await {
        Ok(object) => match parse(&object.bytes, source, pass) {
            Ok(standing) => Ok(standing.map(|standing| Stored {
                standing,
                record: object.bytes,
                etag: object.etag,
            })),
            Err(error) => Err(ChainError::Record { key, error }),
        },
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads a commit record; `None` where there is none, or one that is not live: the snapshot does not
/// exist then.
///
/// # Errors
/// The store fails, or the record is not one, or not this one.
pub async fn read(
    store: &dyn Store,
    source: &SourceName,
    pass: PassId,
) -> Result<Option<Snapshot>, ChainError> {
    let stored = stored(store, source, pass).await?;
    Ok(stored.and_then(|stored| stored.standing.into_live()))
}

/// Reads the commit records of these passes at once; the snapshots that exist and those that are condemned, the
/// earliest first, as they are stored.
///
/// # Errors
/// The store fails, or a record is not one.
pub async fn stored_several(
    store: &Arc<dyn Store>,
    source: &SourceName,
    passes: &[PassId],
) -> Result<Vec<Stored>, ChainError> {
    let mut reads = JoinSet::new();
    for pass in passes {
        let (store, source, pass) = (Arc::clone(store), source.clone(), *pass);
        reads.spawn(async move { stored(&*store, &source, pass).await });
    }
    let mut found: Vec<Stored> = Vec::new();
    while let Some(read) = reads.join_next().await {
        match read {
            Ok(read) => found.extend(read?),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    found.sort_by_key(|stored| stored.standing.snapshot().pass);
    Ok(found)
}

/// The same, without how they are stored.
///
/// # Errors
/// The store fails, or a record is not one.
pub async fn standings(
    store: &Arc<dyn Store>,
    source: &SourceName,
    passes: &[PassId],
) -> Result<Vec<Standing>, ChainError> {
    let stored = stored_several(store, source, passes).await?;
    Ok(stored.into_iter().map(|stored| stored.standing).collect())
}

/// Reads the commit records of these passes at once; the snapshots that exist, the earliest first.
///
/// # Errors
/// The store fails, or a record is not one.
pub async fn read_several(
    store: &Arc<dyn Store>,
    source: &SourceName,
    passes: &[PassId],
) -> Result<Vec<Snapshot>, ChainError> {
    let standings = standings(store, source, passes).await?;
    Ok(standings
        .into_iter()
        .filter_map(Standing::into_live)
        .collect())
}

/// The last `most` snapshots of `source`, the earliest first.
///
/// # Errors
/// The store fails, or a record is not one.
pub async fn last(
    store: &Arc<dyn Store>,
    source: &SourceName,
    most: usize,
) -> Result<Vec<Snapshot>, ChainError> {
    let mut left = passes(&**store, source).await?;
    let mut found = Vec::new();
    while found.len() < most && !left.is_empty() {
        let wanted = (most - found.len()).min(AT_ONCE);
        let read = left.split_off(left.len().saturating_sub(wanted));
        let read = read_several(store, source, &read).await?;
        found.splice(0..0, read);
    }
    Ok(found)
}

/// A record is believed under its own key only: its source becomes the name of a directory.
fn parse(
    bytes: &[u8],
    source: &SourceName,
    pass: PassId,
) -> Result<Option<Standing>, SnapshotError> {
    let standing = match Record::parse(bytes)? {
        Record::Live(snapshot) => Standing::Live(snapshot),
        Record::Condemned(condemned) => Standing::Condemned(condemned),
        Record::Void(_) | Record::Other(_) => return Ok(None),
    };
    let snapshot = standing.snapshot();
    if snapshot.source != *source || snapshot.pass != pass {
        return Err(SnapshotError::Misplaced {
            source_name: snapshot.source.to_string(),
            pass: snapshot.pass,
        });
    }
    Ok(Some(standing))
}

/// Commit records that are read at once.
pub const AT_ONCE: usize = 16;

/// The latest snapshot of a source, its parent, and so on. Where a parent does not exist any more, the
/// chain goes on with the latest snapshot before it.
pub struct Chain {
    store: Arc<dyn Store>,
    source: SourceName,
    /// Passes not read yet, the earliest first.
    left: Vec<PassId>,
    /// Read ahead, the next one last.
    ahead: Vec<Standing>,
    /// Snapshots later than this are in another chain.
    not_after: Option<PassId>,
}

impl Chain {
    /// Begins with the latest snapshot of `source`.
    ///
    /// # Errors
    /// The listing fails.
    pub async fn of(store: &Arc<dyn Store>, source: &SourceName) -> StoreResult<Self> {
        Ok(Self {
            store: Arc::clone(store),
            source: source.clone(),
            left: passes(&**store, source).await?,
            ahead: Vec::new(),
            not_after: None,
        })
    }

    /// The next snapshot that exists.
    ///
    /// # Errors
    /// The store fails, or a record is not one.
    pub async fn next(&mut self) -> Result<Option<Snapshot>, ChainError> {
        while let Some(standing) = self.next_standing().await? {
            if let Standing::Live(snapshot) = standing {
                return Ok(Some(*snapshot));
            }
        }
        Ok(None)
    }

    /// The next snapshot, whether it exists or is condemned.
    ///
    /// # Errors
    /// The store fails, or a record is not one.
    pub async fn next_standing(&mut self) -> Result<Option<Standing>, ChainError> {
        loop {
            while let Some(standing) = self.ahead.pop() {
                let snapshot = standing.snapshot();
                let is_in_chain = self.not_after.is_none_or(|most| snapshot.pass <= most);
                if is_in_chain {
                    // A first snapshot, or one of a record made by hand.
                    let parent = snapshot.parent.filter(|parent| *parent < snapshot.pass);
                    self.not_after = parent.or(Some(snapshot.pass));
                    return Ok(Some(standing));
                }
            }
            if self.left.is_empty() {
                return Ok(None);
            }
            self.read_ahead().await?;
        }
    }

    async fn read_ahead(&mut self) -> Result<(), ChainError> {
        let from = self.left.len().saturating_sub(AT_ONCE);
        let next = self.left.split_off(from);
        self.ahead = standings(&self.store, &self.source, &next).await?;
        Ok(())
    }
}

/// The latest snapshot of `source`.
///
/// # Errors
/// The store fails, or the record is not one.
pub async fn latest(
    store: &dyn Store,
    source: &SourceName,
) -> Result<Option<Snapshot>, ChainError> {
    for pass in passes(store, source).await?.into_iter().rev() {
        if let Some(snapshot) = read(store, source, pass).await? {
            return Ok(Some(snapshot));
        }
    }
    Ok(None)
}

/// The same, where the latest pass with anything under a snapshot's key is known.
///
/// # Errors
/// The store fails, or the record is not one.
pub async fn not_after(
    store: &dyn Store,
    source: &SourceName,
    known: Option<PassId>,
) -> Result<Option<Snapshot>, ChainError> {
    let Some(pass) = known else {
        return Ok(None);
    };
    match read(store, source, pass).await? {
        Some(snapshot) => Ok(Some(snapshot)),
        None => latest(store, source).await,
    }
}
