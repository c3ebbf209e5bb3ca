//! Groups of small files, fetched and decompressed once for all files in them that are wanted at
//! about the same time.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::ahead::Ahead;
use super::{Contents, ContentsError};
use crate::archive::codec;
use crate::manifest::archive::ArchiveRange;

/// Decompressed, no group is longer; what claims to be is damaged or hostile.
const MOST_BYTES: u64 = 32 << 20;

/// Files that end this far into their range are taken out of it decompressed as a whole.
const GROUP_BYTES: u64 = 4 << 20;

/// Groups kept.
const KEPT: usize = 16;

/// Whether a file of `size` bytes lies in a range that is worth keeping.
pub(super) fn is_group(range: &ArchiveRange, size: u64) -> bool {
    range.skip.saturating_add(size) <= GROUP_BYTES && range.length <= GROUP_BYTES
}

/// Where a group is: key and offset.
type Place = (Box<str>, u64);

/// A group, once it is there; locked while it is being fetched.
type Slot = Arc<Mutex<Option<Bytes>>>;

/// The groups used last.
#[derive(Default)]
pub(super) struct Groups(Mutex<VecDeque<(Place, Slot)>>);

impl Groups {
    /// The decompressed group.
    pub(super) fn get(
        &self,
        contents: &Contents,
        range: &ArchiveRange,
    ) -> Result<Bytes, ContentsError> {
        let slot = self.slot(range);
        let mut slot = slot.lock().expect("nothing panics holding this");
        if let Some(group) = &*slot {
            return Ok(group.clone());
        }
        let mut ahead = Ahead::of_range(contents, range);
        let mut group = Vec::new();
        let read = codec::decoder(range.codec, &mut ahead)
            .and_then(|decoder| decoder.take(MOST_BYTES).read_to_end(&mut group));
        if read.is_err() {
            return Err(ahead.failure(range));
        }
        let group = Bytes::from(group);
        *slot = Some(group.clone());
        Ok(group)
    }

    /// The next [`get`](Self::get) fetches the group anew.
    pub(super) fn forget(&self, range: &ArchiveRange) {
        let mut kept = self.0.lock().expect("nothing panics holding this");
        kept.retain(|(place, _)| !is_at(place, range));
    }

    fn slot(&self, range: &ArchiveRange) -> Slot {
        let mut kept = self.0.lock().expect("nothing panics holding this");
        if let Some((_, slot)) = kept.iter().find(|(place, _)| is_at(place, range)) {
            return Arc::clone(slot);
        }
        if kept.len() == KEPT {
            kept.pop_front();
        }
        let slot = Slot::default();
        kept.push_back(((range.key.clone(), range.offset), Arc::clone(&slot)));
        slot
    }
}

fn is_at((key, offset): &Place, range: &ArchiveRange) -> bool {
    (key, *offset) == (&range.key, range.offset)
}
