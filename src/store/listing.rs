//! What is in a store, page by page.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{ETag, Operation, Store, StoreError, StoreErrorKind, StoreResult};

/// What is kept of one listing: the keys of 800,000 commit records, which is a snapshot an hour for ninety
/// years.
pub(super) const KEPT_BYTES: usize = 64 << 20;

/// What to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listing<'a> {
    /// Only keys that start with this.
    pub prefix: &'a str,
    /// Only keys after this one.
    pub start_after: Option<&'a str>,
    /// Fold keys together at the next `/` after the prefix.
    pub folders: bool,
    /// Keys may be any, also such as XML cannot carry: those that others have given.
    pub any_keys: bool,
}

/// An object, as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its version.
    pub etag: ETag,
    /// When it was written, by the store's clock; `None` where the store does not say.
    pub last_modified: Option<Timestamp>,
    /// Its storage class, where the store has such and it is not the default.
    pub storage_class: Option<String>,
}

impl ListedObject {
    /// Whether its class is one whose objects have to be thawed. A listing does not tell whether that was done, nor the
    /// tiers of INTELLIGENT_TIERING.
    #[must_use]
    pub fn is_archived(&self) -> bool {
        matches!(
            self.storage_class.as_deref(),
            Some("GLACIER" | "DEEP_ARCHIVE")
        )
    }
}

/// A stretch of a listing. Each follows the one before it, in order of the bytes of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects, at most 1,000.
    pub objects: Vec<ListedObject>,
    /// With [`Listing::folders`]: what other keys were folded into, `/` at the end.
    pub folders: Vec<String>,
}

/// A listing under way.
#[async_trait]
pub trait Pages: Send {
    /// The next page; `None` once there are no more.
    ///
    /// # Errors
    /// The store fails, or the page cannot be the next one.
    async fn next(&mut self) -> StoreResult<Option<Page>>;
}

/// Keys, in order of their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Of objects.
    pub objects: Vec<String>,
    /// With [`Listing::folders`]: what other keys were folded into, `/` at the end.
    pub folders: BTreeSet<String>,
}

/// All keys that match, where there are never many: more than 64 MiB of them are an error.
///
/// # Errors
/// The listing fails.
pub async fn all_keys(store: &dyn Store, listing: Listing<'_>) -> StoreResult<Keys> {
    let mut pages = store.list(listing);
    let (mut keys, mut kept) = (Keys::default(), 0);
    while let Some(page) = pages.next().await? {
        for object in page.objects {
            kept += object.key.len();
            keys.objects.push(object.key);
        }
        for folder in page.folders {
            let length = folder.len();
            kept += if keys.folders.insert(folder) {
                length
            } else {
                0
            };
        }
        if kept > KEPT_BYTES {
            let fault = "a listing of more than 64 MiB of keys".to_owned();
            return Err(StoreError {
                operation: Operation::List,
                location: format!("{}{}", store.location(), listing.prefix),
                kind: StoreErrorKind::UnexpectedAnswer(fault),
            });
        }
    }
    Ok(keys)
}
