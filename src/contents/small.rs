//! Small contents that are objects of their own, several at a time: fetched by one task, and checked there,
//! so that whoever wants them waits once.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::{Contents, ContentsError, Expected};
use crate::format::entry::{Content, Entry};
use crate::format::location::Location;
use crate::memory::regions;
use crate::store::Store;

/// Contents of no more bytes are small: what a request costs is more than what they weigh.
const SMALL_BYTES: u64 = 64 << 10;

/// Contents in the order in which they were asked for, and the memory that they take.
pub struct Fetched {
    contents: std::vec::IntoIter<Result<Bytes, ContentsError>>,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Iterator for Fetched {
    type Item = Result<Bytes, ContentsError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.contents.next()
    }
}

/// What is asked for: where it is, and what it has to be.
struct Asked {
    key: String,
    size: u64,
    expected: Expected,
}

impl Contents {
    /// Whether contents can be fetched by [`fetch`](Self::fetch).
    #[must_use]
    pub fn is_small(entry: &Entry, content: &Content) -> bool {
        matches!(content.location, Location::Object(_)) && entry.metadata.size <= SMALL_BYTES
    }

    /// Fetches small contents, one after the other; every byte of them is checked. Blocks.
    ///
    /// What cannot be had is an error in its place; after one that is fatal, there is no more.
    pub fn fetch<'a>(&self, wanted: impl Iterator<Item = (&'a Entry, &'a Content)>) -> Fetched {
        let asked: Vec<_> = wanted
            .map(|(entry, content)| Asked {
                key: self.key(content).unwrap_or_default().to_owned(),
                size: entry.metadata.size,
                expected: Expected::of(content),
            })
            .collect();
        let taken = |asked: &Asked| usize::try_from(asked.size).map_or(0, regions::taken);
        // Nobody closes this budget.
        let memory = self.memory.take_bytes(asked.iter().map(taken).sum()).ok();
        let (store, stop) = (Arc::clone(&self.store), Arc::clone(&self.stop));
        let fetch = async move {
            let mut fetched = Vec::with_capacity(asked.len());
            for asked in asked {
                let result = match stop.is_set() {
                    true => Err(ContentsError::Stopped),
                    false => fetch_one(&*store, asked).await,
                };
                let is_last = result.as_ref().is_err_and(ContentsError::is_fatal);
                fetched.push(result);
                if is_last {
                    break;
                }
            }
            fetched
        };
        let fetched = self.runtime.block_on(self.runtime.spawn(fetch));
        let fetched = fetched.unwrap_or_else(|_| vec![Err(ContentsError::Stopped)]);
        Fetched {
            contents: fetched.into_iter(),
            _memory: memory,
        }
    }
}

/// In a second attempt if what arrives is damaged.
async fn fetch_one(store: &dyn Store, asked: Asked) -> Result<Bytes, ContentsError> {
    for _ in 0..2 {
        let bytes = store.get_range(&asked.key, 0..asked.size).await?;
        if asked.expected.is_met_by(&bytes) {
            return Ok(bytes);
        }
    }
    Err(asked.expected.failed(asked.key))
}
