//! What the store says of many objects, found out with few requests.
//!
//! Objects are sorted by key and listed, 1,000 a request: that gives size, ETag and storage class. Each
//! listing begins at a key that is needed, so it never takes more requests than asking for each object
//! would. Where few of the objects listed are needed, each is asked for by itself (`HEAD`) instead: that costs less,
//! and tells the checksum as well. So is whatever a listing does not confirm, before it is called
//! missing or anything else.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::compare::{Look, Recorded, look};
use super::seek::{folder, just_before};
use crate::stop::Stop;
use crate::store::{Listing, Store, StoreResult};

/// Objects of one folder up to which each is asked for, and which a page has to confirm for the listing
/// to go on: AWS charges as much for a page as for 12.5 `HEAD`s (S3 pricing: 0.005 and 0.0004 USD for
/// 1,000 requests in us-east-1).
const FEW: usize = 12;

/// Objects that are asked for each before a listing is tried again that has confirmed few.
const BETWEEN: usize = 64;

/// Objects that are listed one after the other; others are meanwhile. Each stretch wastes half a page at its end.
const STRETCH: usize = 16_384;

/// An object that the store is asked about.
pub(super) trait Wanted: Send + 'static {
    /// Its key.
    fn key(&self) -> &str;

    /// What was recorded of it.
    fn recorded(&self) -> Recorded;
}

/// Asks the store, with so many requests at once.
pub(super) struct Asker {
    pub(super) store: Arc<dyn Store>,
    pub(super) slots: Arc<Semaphore>,
    pub(super) stop: Arc<Stop>,
    /// Whether every object is asked for by itself, which tells its checksum.
    pub(super) for_checksums: bool,
}

/// Who is told what the store says.
pub(super) type Told<W> = Arc<dyn Fn(W, Look) + Send + Sync>;

impl Asker {
    /// Tells what the store says of each object, in no particular order; not of all if the command is
    /// being stopped.
    pub(super) async fn ask<W: Wanted>(
        self: &Arc<Self>,
        mut wanted: Vec<W>,
        told: Told<W>,
    ) -> StoreResult<()> {
        wanted.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        let mut stretches = JoinSet::new();
        while !wanted.is_empty() {
            let later = wanted.split_off(wanted.len().min(STRETCH));
            let stretch = Stretch {
                asker: Arc::clone(self),
                rest: std::mem::replace(&mut wanted, later).into(),
                told: Arc::clone(&told),
                heads: JoinSet::new(),
            };
            stretches.spawn(stretch.ask());
        }
        all(stretches).await
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }
}

async fn all(mut tasks: JoinSet<StoreResult<()>>) -> StoreResult<()> {
    while let Some(task) = tasks.join_next().await {
        match task {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Ok(())
}

/// Objects in order of key.
struct Stretch<W> {
    asker: Arc<Asker>,
    rest: VecDeque<W>,
    told: Told<W>,
    heads: JoinSet<StoreResult<()>>,
}

impl<W: Wanted> Stretch<W> {
    async fn ask(mut self) -> StoreResult<()> {
        while let Some(first) = self.rest.front() {
            if self.asker.stop.is_set() {
                break;
            }
            let folder = folder(first.key()).to_owned();
            let after = just_before(first.key());
            let is_in_it = |wanted: &&W| wanted.key().starts_with(&folder);
            let number = self.rest.iter().take(FEW + 1).take_while(is_in_it).count();
            match number > FEW && !self.asker.for_checksums {
                true => self.list(&folder, &after).await?,
                false => self.head_next().await?,
            }
        }
        all(self.heads).await
    }

    /// Goes through a folder as long as that is worth its requests.
    async fn list(&mut self, folder: &str, after: &str) -> StoreResult<()> {
        let asker = Arc::clone(&self.asker);
        let mut pages = asker.store.list(Listing {
            prefix: folder,
            start_after: Some(after),
            folders: false,
            // Copies of objects are called as their originals are.
            any_keys: folder.starts_with("copies/"),
        });
        loop {
            let slot = asker.slot().await;
            let page = pages.next().await?;
            drop(slot);
            let Some(page) = page else {
                // The listing says that there is nothing more.
                return self.head_while(|key| key.starts_with(folder)).await;
            };
            if page.objects.is_empty() {
                continue;
            }
            let mut confirmed = 0;
            for object in page.objects {
                self.head_while(|key| *key < *object.key).await?;
                while let Some(wanted) = self.rest.pop_front_if(|wanted| wanted.key() == object.key)
                {
                    match wanted.recorded().listed(&object) {
                        Some(look) => {
                            confirmed += 1;
                            (self.told)(wanted, look);
                        }
                        None => self.head(wanted).await?,
                    }
                }
            }
            let next = self.rest.front().map(Wanted::key);
            if !next.is_some_and(|key| key.starts_with(folder)) || asker.stop.is_set() {
                return Ok(());
            }
            if confirmed <= FEW {
                let mut left = BETWEEN;
                let some = |key: &str| {
                    left = left.saturating_sub(1);
                    left > 0 && key.starts_with(folder)
                };
                return self.head_while(some).await;
            }
        }
    }

    async fn head_while(&mut self, mut is_wanted: impl FnMut(&str) -> bool) -> StoreResult<()> {
        while self
            .rest
            .front()
            .is_some_and(|wanted| is_wanted(wanted.key()))
            && !self.asker.stop.is_set()
        {
            self.head_next().await?;
        }
        Ok(())
    }

    async fn head_next(&mut self) -> StoreResult<()> {
        match self.rest.pop_front() {
            Some(wanted) => self.head(wanted).await,
            None => Ok(()),
        }
    }

    /// Asks for one object, while others are.
    async fn head(&mut self, wanted: W) -> StoreResult<()> {
        while let Some(ended) = self.heads.try_join_next() {
            match ended {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        let slot = self.asker.slot().await;
        let (asker, told) = (Arc::clone(&self.asker), Arc::clone(&self.told));
        self.heads.spawn(async move {
            if asker.stop.is_set() {
                return Ok(());
            }
            let seen = look(&*asker.store, wanted.key(), &wanted.recorded()).await?;
            drop(slot);
            told(wanted, seen);
            Ok(())
        });
        Ok(())
    }
}
