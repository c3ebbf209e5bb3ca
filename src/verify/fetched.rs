//! What was fetched of each object, piece by piece: to put an archive's checksum together, and to
//! tell damage in the store from damage on the way. What comes the same twice is what the store has.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

use crc_fast::CrcAlgorithm::Crc64Nvme;

/// A piece of an object, as it came last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) length: u64,
    pub(super) crc64nvme: u64,
    /// Whether it came the same the time before.
    is_confirmed: bool,
}

/// Pieces by offset.
pub(super) type Pieces = BTreeMap<u64, Piece>;

/// The pieces of all objects that are being read.
#[derive(Default)]
pub(super) struct Fetched(Mutex<HashMap<Box<str>, Pieces>>);

impl Fetched {
    /// Notes bytes that have arrived.
    pub(super) fn note(&self, key: &str, offset: u64, bytes: &[u8]) {
        let length = bytes.len() as u64;
        let crc64nvme = crc_fast::checksum(Crc64Nvme, bytes);
        let mut objects = self.lock();
        let pieces = match objects.get_mut(key) {
            Some(pieces) => pieces,
            None => objects.entry(key.into()).or_default(),
        };
        let before = pieces.get(&offset);
        let is_same = |before: &Piece| (before.length, before.crc64nvme) == (length, crc64nvme);
        let piece = Piece {
            length,
            crc64nvme,
            is_confirmed: before.is_some_and(is_same),
        };
        pieces.insert(offset, piece);
    }

    /// Whether all that was fetched of a range has come the same the last two times.
    pub(super) fn is_confirmed(&self, key: &str, range: Range<u64>) -> bool {
        let objects = self.lock();
        let pieces = objects.get(key);
        pieces.is_none_or(|pieces| pieces.range(range).all(|(_, piece)| piece.is_confirmed))
    }

    /// Forgets an object, and returns what came of it.
    pub(super) fn take(&self, key: &str) -> Pieces {
        self.lock().remove(key).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Pieces>> {
        self.0.lock().expect("nothing panics holding this")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirmed_is_what_came_the_same_twice_in_a_row() {
        let fetched = Fetched::default();
        let is_confirmed = || fetched.is_confirmed("k", 0..10);
        fetched.note("k", 0, b"one");
        assert!(!is_confirmed());
        fetched.note("k", 0, b"two");
        assert!(!is_confirmed());
        fetched.note("k", 0, b"two");
        assert!(is_confirmed());
        fetched.note("k", 3, b"more");
        assert!(!is_confirmed());
        assert!(fetched.is_confirmed("k", 0..3));
        assert_eq!(fetched.take("k").len(), 2);
        assert!(fetched.take("k").is_empty());
    }
}
