//! The objects of a snapshot that are wanted, each beside what the bucket has under its key. Both come in the order of
//! keys.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::IntoBucket;
use crate::format::entry::Entry;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{Entries, EntriesError};
use crate::store::{
    ListedObject, Listing, Operation, Store, StoreError, StoreErrorKind, StoreResult,
};

/// An object of a snapshot.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) entry: Entry,
    /// What the bucket has under its key.
    pub(super) there: Option<ListedObject>,
}

impl Beside {
    pub(super) fn key(&self) -> &str {
        key_of(&self.entry)
    }
}

pub(super) fn key_of(entry: &Entry) -> &str {
    entry.name.key().map_or("", |key| key.as_str())
}

/// What cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// A part of the snapshot.
    #[error(transparent)]
    Entries(#[from] EntriesError),
    /// The bucket.
    #[error(transparent)]
    Target(StoreError),
}

/// Goes through both. Blocks.
pub(super) struct SideBySide<'a> {
    entries: Entries,
    what: &'a IntoBucket,
    there: There<'a>,
}

impl<'a> SideBySide<'a> {
    pub(super) fn of(store: &Arc<dyn Store>, snapshot: &Snapshot, what: &'a IntoBucket) -> Self {
        Self {
            entries: Entries::of(store, snapshot),
            what,
            there: There {
                store: &*what.target,
                runtime: Handle::current(),
                page: VecDeque::new(),
                after: None,
                is_over: false,
            },
        }
    }
}

impl Iterator for SideBySide<'_> {
    type Item = Result<Beside, Unread>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            if self.what.portion.selects(&entry) {
                let there = self.there.find(key_of(&entry));
                let there = there.map_err(Unread::Target);
                return Some(there.map(|there| Beside { entry, there }));
            }
        }
    }
}

/// What the bucket has. It is asked for keys in order, and lists no more than it takes to find them.
struct There<'a> {
    store: &'a dyn Store,
    runtime: Handle,
    page: VecDeque<ListedObject>,
    /// Up to here it was listed.
    after: Option<String>,
    is_over: bool,
}

impl There<'_> {
    fn find(&mut self, key: &str) -> StoreResult<Option<ListedObject>> {
        loop {
            while let Some(object) = self.page.front() {
                if *object.key > *key {
                    return Ok(None);
                }
                let object = self.page.pop_front();
                if let Some(object) = object.filter(|object| object.key == key) {
                    return Ok(Some(object));
                }
            }
            if self.is_over {
                return Ok(None);
            }
            self.list(key)?;
        }
    }

    /// Lists on, from shortly before this key if that is further on than what was listed.
    fn list(&mut self, key: &str) -> StoreResult<()> {
        let before = shortly_before(key);
        if self.after.as_deref().is_none_or(|after| after < before) {
            self.after = (!before.is_empty()).then(|| before.to_owned());
        }
        let listing = Listing {
            start_after: self.after.as_deref(),
            any_keys: true,
            ..Listing::default()
        };
        let mut pages = self.store.list(listing);
        let page = self.runtime.block_on(pages.next())?.unwrap_or_default();
        drop(pages);
        let after = self.after.as_deref();
        let is_in_order = page.objects.is_sorted_by(|one, other| one.key < other.key)
            && (page.objects.first()).is_none_or(|first| after.is_none_or(|a| *first.key > *a));
        if !is_in_order {
            let fault = "keys in another order, or not after the one that was named".to_owned();
            return Err(StoreError {
                operation: Operation::List,
                location: self.store.location(),
                kind: StoreErrorKind::UnexpectedAnswer(fault),
            });
        }
        match page.objects.last() {
            Some(last) => self.after = Some(last.key.clone()),
            None => self.is_over = true,
        }
        self.page = page.objects.into();
        Ok(())
    }
}

/// What a key begins with, but for its last character: it comes before the key, with little between the two.
fn shortly_before(key: &str) -> &str {
    let last = key.char_indices().next_back();
    last.map_or("", |(at, _)| &key[..at])
}
