//! Groups of small files, fetched and decompressed once for all files in them that are wanted at
//! about the same time.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::ahead::Ahead;
use super::{Contents, ContentsError};
use crate::archive::codec::Decompressor;
use crate::format::archive::ArchiveRange;
use crate::memory::buffers::Buffers;

/// Decompressed, no group is longer; what claims to be is damaged or hostile.
const MOST_BYTES: u64 = 32 << 20;

/// Files that end this far into their range are taken out of it decompressed as a whole. Groups are
/// no longer, but for extended attributes; and what is alone in its range need not be whole.
const GROUP_BYTES: usize = 3 << 19;

/// Groups kept. Files come in order, so that those at work at one time need few.
const KEPT: usize = 4;

/// Whether a file of `size` bytes lies in a range that is worth keeping.
pub(super) fn is_group(range: &ArchiveRange, size: u64) -> bool {
    range.skip.saturating_add(size).max(range.length) <= GROUP_BYTES as u64
}

/// Where a group is: key and offset.
type Place = (Box<str>, u64);

/// A group, once it is there; locked while it is being fetched.
type Slot = Arc<Mutex<Option<Bytes>>>;

/// The groups used last.
pub(super) struct Groups {
    kept: Mutex<VecDeque<(Place, Slot)>>,
    buffers: Buffers,
}

impl Groups {
    pub(super) fn new() -> Self {
        Self {
            kept: Mutex::default(),
            buffers: Buffers::of(GROUP_BYTES),
        }
    }

    /// The decompressed group.
    pub(super) fn get(
        &self,
        contents: &Contents,
        range: &ArchiveRange,
        decompressor: &mut Decompressor,
    ) -> Result<Bytes, ContentsError> {
        let slot = self.slot(range);
        let mut slot = slot.lock().expect("nothing panics holding this");
        if let Some(group) = &*slot {
            return Ok(group.clone());
        }
        let mut ahead = Ahead::of_range(contents, range);
        let mut group = self.buffers.take();
        let decoder = decompressor.read(range.codec, &mut ahead);
        let read = decoder.take(MOST_BYTES).read_to_end(&mut group);
        if read.is_err() {
            return Err(ahead.failure(range));
        }
        let group = Bytes::from_owner(group);
        *slot = Some(group.clone());
        Ok(group)
    }

    /// The next [`get`](Self::get) fetches the group anew.
    pub(super) fn forget(&self, range: &ArchiveRange) {
        let mut kept = self.kept.lock().expect("nothing panics holding this");
        kept.retain(|(place, _)| !is_at(place, range));
    }

    fn slot(&self, range: &ArchiveRange) -> Slot {
        let mut kept = self.kept.lock().expect("nothing panics holding this");
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
