//! Objects of files that are asked about together.
//!
//! Manifests are in order of path, component by component, and listings in order of the bytes of keys, in which every
//! pass has a folder of its own. So as many objects as there is memory for are collected, and sorted.

use super::asking::Wanted;
use super::compare::Recorded;
use crate::format::entry::Digest;
use crate::format::location::Stored;
use crate::format::name::Name;

/// What is collected, in bytes: some 80,000 objects, so that a million take a dozen listings of each folder.
const BATCH_BYTES: usize = 32 << 20;

/// What an object takes besides its texts: the structure, three allocations and their ends.
const EACH_BYTES: usize = 256;

/// The object of a file.
pub(super) struct WantedFile {
    pub(super) name: Name,
    pub(super) stored: Box<Stored>,
    pub(super) digest: Digest,
    pub(super) is_copied: bool,
}

impl Wanted for WantedFile {
    fn key(&self) -> &str {
        &self.stored.key
    }

    fn recorded(&self) -> Recorded {
        Recorded::of_contents(&self.stored, self.digest).copied(self.is_copied)
    }
}

/// Objects that the store has not been asked about yet.
#[derive(Default)]
pub(super) struct Batch {
    wanted: Vec<WantedFile>,
    bytes: usize,
}

impl Batch {
    pub(super) fn push(&mut self, wanted: WantedFile) {
        let etag = wanted.stored.etag.as_ref().map_or(0, |etag| etag.0.len());
        let texts = wanted.name.as_bytes().len() + wanted.stored.key.len() + etag;
        self.bytes += texts + EACH_BYTES;
        self.wanted.push(wanted);
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES
    }

    pub(super) fn take(&mut self) -> Vec<WantedFile> {
        self.bytes = 0;
        std::mem::take(&mut self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::location::{Checksum, ETag};
    use crate::format::path::EntryPath;

    #[test]
    fn a_batch_is_full_before_it_takes_much_memory() {
        let wanted = |length: usize| WantedFile {
            name: EntryPath::parse(&[b'x'].repeat(length)[..]).unwrap().into(),
            stored: Box::new(Stored {
                key: "k".repeat(length + 40).into(),
                size: 1,
                checksum: Checksum::None,
                etag: Some(ETag("e".repeat(34))),
            }),
            digest: Digest::Sha256([0; 32]),
            is_copied: false,
        };
        for (length, at_least, at_most) in [(40, 60_000, 100_000), (250, 30_000, 50_000)] {
            let mut batch = Batch::default();
            let mut number = 0;
            while !batch.is_full() {
                batch.push(wanted(length));
                number += 1;
            }
            assert!((at_least..at_most).contains(&number), "{number}");
            assert_eq!(batch.take().len(), number);
            assert!(!batch.is_full());
        }
    }
}
