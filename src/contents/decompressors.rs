//! The decompressors, which are used again.

use std::ops::{Deref, DerefMut};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::archive::codec::Decompressor;

/// Files read out of compressed archives at once. Each takes some 3 MiB besides what is fetched: a
/// decompressor with its window, and what has come out of it.
const AT_ONCE: usize = 8;

pub(super) struct Decompressors {
    free: Receiver<Decompressor>,
    back: Sender<Decompressor>,
}

impl Decompressors {
    pub(super) fn new() -> Self {
        let (back, free) = bounded(AT_ONCE);
        for _ in 0..AT_ONCE {
            // There is room for each.
            let _ = back.send(Decompressor::default());
        }
        Self { free, back }
    }

    /// Waits until one is free.
    pub(super) fn take(&self) -> Taken<'_> {
        let decompressor = self.free.recv().ok();
        Taken {
            decompressor: decompressor.unwrap_or_default(),
            back: &self.back,
        }
    }
}

/// Goes back when it is dropped.
pub(super) struct Taken<'a> {
    decompressor: Decompressor,
    back: &'a Sender<Decompressor>,
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
        let _ = self.back.send(std::mem::take(&mut self.decompressor));
    }
}
