//! One range of a bucket, listed by a task of its own that sends its pages and then says that they were all.

use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{PassedOver, passed_over};
use crate::store::{ListedObject, Listing, Page, Store, StoreResult};

/// A part of a bucket, by its keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Range {
    /// It begins after this key; where the bucket does, if not set.
    pub(super) after: Option<String>,
    /// It ends with this key; where the bucket does, if not set.
    pub(super) upto: Option<String>,
}

/// What a range sends.
pub(super) enum Sent {
    /// The next page.
    Page(Page),
    /// There is no more.
    End,
    /// The server has not begun where it was told to.
    NotThere,
}

/// What it takes to list ranges.
#[derive(Clone)]
pub(super) struct Lister {
    pub(super) store: Arc<dyn Store>,
    pub(super) runtime: Handle,
    /// The beginnings of keys that are those of stores.
    pub(super) stores: Arc<[String]>,
    pub(super) seen: Arc<Mutex<PassedOver>>,
}

/// A range that is being listed, until it is dropped.
pub(super) struct Running {
    sent: mpsc::Receiver<StoreResult<Sent>>,
    task: AbortHandle,
}

impl Running {
    /// What the range sends next. Nothing comes after an end or an error, and where the task has not come to its end.
    /// Blocks.
    pub(super) fn next(&mut self) -> Option<StoreResult<Sent>> {
        self.sent.blocking_recv()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lister {
    /// Lists a range, until `ahead` pages wait and one more is there. Where `is_told`, the server is told where to begin; else
    /// it begins at its first key, and what comes before the range is dropped.
    pub(super) fn begin(&self, range: Range, is_told: bool, ahead: usize) -> Running {
        let (sender, sent) = mpsc::channel(ahead);
        let lister = self.clone();
        let task = self.runtime.spawn(async move {
            let last = lister.list(&range, is_told, &sender).await;
            // Nobody may want to know any more.
            let _ = sender.send(last).await;
        });
        Running {
            sent,
            task: task.abort_handle(),
        }
    }

    /// Lists everything but what lies in stores, which is jumped over rather than listed.
    async fn list(
        &self,
        range: &Range,
        is_told: bool,
        pages: &mpsc::Sender<StoreResult<Sent>>,
    ) -> StoreResult<Sent> {
        let mut after = range.after.clone().filter(|_| is_told);
        loop {
            match self.list_after(after.as_deref(), range, pages).await? {
                Next::Jump(jump) => after = Some(jump),
                Next::End => return Ok(Sent::End),
                Next::NotThere => return Ok(Sent::NotThere),
            }
        }
    }

    /// Lists until there is no more, or something of a store comes: then what to go on after.
    async fn list_after(
        &self,
        after: Option<&str>,
        range: &Range,
        pages: &mpsc::Sender<StoreResult<Sent>>,
    ) -> StoreResult<Next> {
        let mut listing = self.store.list(Listing {
            start_after: after,
            any_keys: true,
            ..Listing::default()
        });
        while let Some(mut page) = listing.next().await? {
            let is_first_request = after.is_some() && after == range.after.as_deref();
            if is_first_request && range.all_before(&page) {
                return Ok(Next::NotThere);
            }
            let is_last = range.cut(&mut page);
            let jump = self.leave_out_stores(&mut page, after);
            let has_any = !page.objects.is_empty();
            let is_wanted = !has_any || pages.send(Ok(Sent::Page(page))).await.is_ok();
            match jump {
                _ if !is_wanted => return Ok(Next::End),
                // Keys of the range may have been removed after those of the store.
                Some(jump) if range.goes_beyond(&jump) => return Ok(Next::Jump(jump)),
                Some(_) => return Ok(Next::End),
                None if is_last => return Ok(Next::End),
                None => (),
            }
        }
        Ok(Next::End)
    }

    /// Removes what lies in stores. Where that can be jumped over: after what to go on, and the rest is removed too.
    fn leave_out_stores(&self, page: &mut Page, after: Option<&str>) -> Option<String> {
        let of_store = |object: &ListedObject| {
            let mut stores = self.stores.iter();
            stores.find(|prefix| object.key.starts_with(&***prefix))
        };
        let objects = &mut page.objects;
        let first = objects.iter().position(|o| of_store(o).is_some())?;
        passed_over(&self.seen).stores = true;
        // Almost nothing that begins so sorts after this. What does is passed over one by one.
        let end = format!("{}\u{10ffff}", of_store(&objects[first])?);
        if after.is_some_and(|after| after >= &*end) {
            objects.retain(|object| of_store(object).is_none());
            return None;
        }
        objects.truncate(first);
        Some(end)
    }
}

/// How a listing goes on.
enum Next {
    Jump(String),
    End,
    NotThere,
}

impl Range {
    /// Whether a page has keys and all of them lie before the range.
    fn all_before(&self, page: &Page) -> bool {
        let last = page.objects.last();
        last.is_some_and(|last| self.is_before(&last.key))
    }

    fn is_before(&self, key: &str) -> bool {
        self.after.as_deref().is_some_and(|after| key <= after)
    }

    /// Whether there are keys of the range after this one.
    fn goes_beyond(&self, key: &str) -> bool {
        self.upto.as_deref().is_none_or(|upto| key < upto)
    }

    /// Removes from a page what is not of the range; whether that was its last one.
    fn cut(&self, page: &mut Page) -> bool {
        let objects = &mut page.objects;
        let is_last = objects.last();
        let is_last = is_last.is_some_and(|last| !self.goes_beyond(&last.key));
        let is_within = |object: &ListedObject| {
            let key = &*object.key;
            !self.is_before(key) && self.upto.as_deref().is_none_or(|upto| key <= upto)
        };
        objects.retain(is_within);
        is_last
    }
}
