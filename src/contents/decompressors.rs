//! The decompressors, which are used again.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::ContentsError;
use crate::archive::codec::Decompressor;
use crate::memory::budget::Budget;

/// Files read out of compressed archives at once. Each takes some 3 MiB besides what is fetched: a
/// decompressor with its window, and what has come out of it.
const AT_ONCE: usize = 8;

pub(super) struct Decompressors {
    /// In the order of asking, so that those who share a group come after one another.
    turns: Budget,
    free: Mutex<Vec<Decompressor>>,
}

impl Decompressors {
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            turns: Budget::of_requests(AT_ONCE, runtime),
            free: Mutex::default(),
        }
    }

    /// Waits until one is free.
    pub(super) fn take(&self) -> Result<Taken<'_>, ContentsError> {
        let turn = self.turns.take_one();
        let turn = turn.map_err(|_| ContentsError::Stopped)?;
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Ok(Taken {
            decompressor: free.unwrap_or_default(),
            home: &self.free,
            _turn: turn,
        })
    }
}

/// Goes back when it is dropped.
pub(super) struct Taken<'a> {
    decompressor: Decompressor,
    home: &'a Mutex<Vec<Decompressor>>,
    _turn: OwnedSemaphorePermit,
}

impl Deref for Taken<'_> {
    type Target = Decompressor;

    fn deref(&self) -> &Decompressor {
        &self.decompressor
    }
}

impl DerefMut for Taken<'_> {
    fn deref_mut(&mut self) -> &mut Decompressor {
        &mut self.decompressor
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut free = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(std::mem::take(&mut self.decompressor));
    }
}
