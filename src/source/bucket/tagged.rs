//! The objects of a bucket with what their tags come to: a request for each, several ahead of whoever goes through them,
//! in the order of the listing.
//!
//! An object whose tags are refused counts as unreadable, whatever else is known of it. It is looked at before it is copied: what is recorded may be older
//! than what the copy has, and then the next pass copies it once more, but never newer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::listing::Listed;
use super::{Bucket, BucketPlace};
use crate::format::object::tags_sha256;
use crate::memory::turns::{Turn, Turns};
use crate::source::{Found, Item};
use crate::store::patience::patiently;
use crate::store::{Operation, Store, StoreError, StoreErrorKind, StoreResult};

/// Objects with their tags.
pub(super) struct Tagged {
    listed: Listed,
    place: BucketPlace,
    store: Arc<dyn Store>,
    runtime: Handle,
    turns: Turns,
    at_once: usize,
    ahead: VecDeque<Ahead>,
    is_listed: bool,
    is_over: bool,
}

/// What comes next, once its tags have.
enum Ahead {
    Asked(Found, JoinHandle<StoreResult<String>>),
    Item(Item),
}

impl Tagged {
    /// Of what is listed, with so many requests at once.
    pub(super) fn of(listed: Listed, bucket: &Bucket, at_once: usize) -> Self {
        Self {
            listed,
            place: bucket.place.clone(),
            store: Arc::clone(&bucket.store),
            runtime: bucket.runtime.clone(),
            turns: Turns::of(at_once, bucket.runtime.clone()),
            at_once: at_once.max(1),
            ahead: VecDeque::new(),
            is_listed: false,
            is_over: false,
        }
    }

    /// Asks ahead.
    fn ask(&mut self) {
        while !self.is_listed && self.ahead.len() < self.at_once {
            match self.listed.next() {
                Some(Item::Found(found)) => {
                    let asked = self.asked(found);
                    self.ahead.push_back(asked);
                }
                Some(item) => self.ahead.push_back(Ahead::Item(item)),
                None => self.is_listed = true,
            }
        }
    }

    /// Asks for the tags of an object. Where that cannot be done it does not look like the end of the bucket, for what
    /// comes after that counts as deleted.
    fn asked(&self, found: Found) -> Ahead {
        let (Ok(turn), Some(key)) = (self.turns.take(), found.name.key()) else {
            return Ahead::Item(self.interrupted(&found));
        };
        let asking = tags(Arc::clone(&self.store), key.as_str().to_owned(), turn);
        let asked = self.runtime.spawn(asking);
        Ahead::Asked(found, asked)
    }

    /// Nobody asks any more.
    fn interrupted(&self, found: &Found) -> Item {
        let key = found.name.to_string();
        let error = StoreError {
            operation: Operation::Get,
            location: format!("{}{key}", self.place.url),
            kind: StoreErrorKind::Transport("interrupted".to_owned()),
        };
        Item::Broken(self.place.untagged(&key, &error))
    }

    /// The object, or what it means that its tags cannot be had.
    fn item(&mut self, mut found: Found, tags: StoreResult<String>) -> Item {
        let error = match tags {
            Ok(tags) => {
                if let Some(object) = &mut found.object {
                    object.tags_sha256 = Some(tags);
                }
                return Item::Found(found);
            }
            Err(error) => error,
        };
        match &error.kind {
            StoreErrorKind::NotFound => Item::Vanished(found.name),
            StoreErrorKind::AccessDenied(_) | StoreErrorKind::Rejected(_) => {
                found.refused = Some(format!("its tags cannot be read: {}", error.kind));
                Item::Found(found)
            }
            _ => {
                self.is_over = true;
                let key = found.name.to_string();
                Item::Broken(self.place.untagged(&key, &error))
            }
        }
    }
}

impl Iterator for Tagged {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.is_over {
            return None;
        }
        self.ask();
        match self.ahead.pop_front()? {
            Ahead::Item(item) => Some(item),
            Ahead::Asked(found, asked) => match self.runtime.block_on(asked) {
                Ok(tags) => Some(self.item(found, tags)),
                Err(panic) => match panic.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime ends, and with it the pass.
                    Err(_) => {
                        self.is_over = true;
                        Some(self.interrupted(&found))
                    }
                },
            },
        }
    }
}

/// What the tags of an object come to.
async fn tags(store: Arc<dyn Store>, key: String, turn: Turn) -> StoreResult<String> {
    let copies = store.copies().expect("a bucket can do this");
    let tags: BTreeMap<_, _> = patiently(&turn, || copies.tags(&key)).await?;
    Ok(tags_sha256(&tags))
}
