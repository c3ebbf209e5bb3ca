//! Going through a bucket in order of keys: a task lists ahead, a page at a time, and what comes is sorted out.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::{BucketPlace, PassedOver, passed_over};
use crate::format::location::ETag;
use crate::format::name::ObjectKey;
use crate::format::object::ObjectMetadata;
use crate::source::stat::Stat;
use crate::source::{Cause, Found, Item, Unusable};
use crate::store::{ListedObject, Listing, Page, Store, StoreResult};

/// Pages that wait to be gone through; one more is being gone through, and one on its way.
const AHEAD: usize = 1;

/// The objects of a bucket that are to be backed up.
pub(super) struct Listed {
    place: BucketPlace,
    pages: mpsc::Receiver<StoreResult<Page>>,
    page: std::vec::IntoIter<ListedObject>,
    /// The last key that came.
    last: Option<String>,
    seen: Arc<Mutex<PassedOver>>,
    is_over: bool,
}

impl Listed {
    /// Begins to list; what is refused comes as an item.
    pub(super) fn begin(
        place: BucketPlace,
        store: &Arc<dyn Store>,
        runtime: &Handle,
        seen: Arc<Mutex<PassedOver>>,
    ) -> Self {
        let (sender, pages) = mpsc::channel(AHEAD);
        let (store, stores) = (Arc::clone(store), place.stores.clone());
        let noted = Arc::clone(&seen);
        runtime.spawn(async move {
            if let Err(error) = list(&*store, &stores, &sender, &noted).await {
                // Nobody may want to know any more.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self {
            place,
            pages,
            page: Vec::new().into_iter(),
            last: None,
            seen,
            is_over: false,
        }
    }

    fn next_object(&mut self) -> Result<Option<ListedObject>, Unusable> {
        loop {
            if let Some(object) = self.page.next() {
                if self.last.as_ref().is_some_and(|last| object.key <= *last) {
                    return Err(self.out_of_order());
                }
                self.last = Some(object.key.clone());
                return Ok(Some(object));
            }
            match self.pages.blocking_recv() {
                Some(Ok(page)) => self.page = page.objects.into_iter(),
                Some(Err(error)) => return Err(self.place.unusable(&error)),
                None => return Ok(None),
            }
        }
    }

    fn out_of_order(&self) -> Unusable {
        let message = format!(
            "`{}` is not listed in order of keys: it cannot be compared with its last snapshot",
            self.place.url
        );
        let hint = "directory buckets (S3 Express One Zone) cannot be backed up, nor can servers that list in another order";
        Unusable::new(Cause::Unreadable, message, hint)
    }

    /// The item of an object, unless it is passed over.
    fn item(&self, object: ListedObject) -> Option<Item> {
        let is_marker = object.size == 0 && object.key.ends_with('/');
        let Ok(key) = ObjectKey::parse(&*object.key) else {
            // Nothing but the prefix.
            passed_over(&self.seen).markers += 1;
            return None;
        };
        if is_marker {
            passed_over(&self.seen).markers += 1;
            return None;
        }
        let category = self.place.categories.of(&object.key);
        if !self.place.wants(category) || self.place.filter.leaves_out_key(&object.key) {
            return None;
        }
        let metadata = ObjectMetadata {
            etag: ETag(object.etag.bare().to_owned()),
            last_modified: object.last_modified.unwrap_or(Timestamp::UNIX_EPOCH),
            category: category.to_owned(),
            class: object.storage_class,
            version: None,
            tags_sha256: None,
            headers: None,
        };
        Some(Item::Found(Found {
            name: key.into(),
            stat: Stat::made(metadata.common(object.size)),
            object: Some(Box::new(metadata)),
            not_entered: None,
            refused: None,
        }))
    }
}

impl Iterator for Listed {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        while !self.is_over {
            match self.next_object() {
                Ok(Some(object)) => {
                    if let Some(item) = self.item(object) {
                        return Some(item);
                    }
                }
                Ok(None) => self.is_over = true,
                Err(unusable) => {
                    self.is_over = true;
                    return Some(Item::Broken(unusable));
                }
            }
        }
        None
    }
}

/// Lists everything but what lies in stores, which is jumped over rather than listed.
async fn list(
    store: &dyn Store,
    stores: &[String],
    pages: &mpsc::Sender<StoreResult<Page>>,
    seen: &Mutex<PassedOver>,
) -> StoreResult<()> {
    let mut after: Option<String> = None;
    loop {
        let jump = list_after(store, after.as_deref(), stores, pages, seen).await?;
        match jump {
            Some(jump) => after = Some(jump),
            None => return Ok(()),
        }
    }
}

/// Lists until there is no more, or something of a store comes: then what to go on after.
async fn list_after(
    store: &dyn Store,
    after: Option<&str>,
    stores: &[String],
    pages: &mpsc::Sender<StoreResult<Page>>,
    seen: &Mutex<PassedOver>,
) -> StoreResult<Option<String>> {
    let mut listing = store.list(Listing {
        start_after: after,
        any_keys: true,
        ..Listing::default()
    });
    while let Some(mut page) = listing.next().await? {
        let of_store = |object: &ListedObject| {
            stores
                .iter()
                .find(|prefix| object.key.starts_with(&***prefix))
        };
        let first = page
            .objects
            .iter()
            .position(|object| of_store(object).is_some());
        let mut jump = None;
        if let Some(at) = first {
            passed_over(seen).stores = true;
            // Almost nothing that begins so sorts after this. What does is passed over one by one.
            let end = of_store(&page.objects[at]).map(|prefix| format!("{prefix}\u{10ffff}"));
            match end {
                Some(end) if after.is_none_or(|after| *after < *end) => {
                    page.objects.truncate(at);
                    jump = Some(end);
                }
                _ => page.objects.retain(|object| of_store(object).is_none()),
            }
        }
        let is_wanted = pages.send(Ok(page)).await.is_ok();
        if jump.is_some() || !is_wanted {
            return Ok(jump.filter(|_| is_wanted));
        }
    }
    Ok(None)
}
