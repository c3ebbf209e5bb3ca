//! Groups of small files, fetched and decompressed once for all files in them that are wanted at
//! about the same time.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::ahead::Ahead;
use super::{Contents, ContentsError};
use crate::archive::codec::Decompressor;
use crate::format::location::{Member, ObjectId};
use crate::memory::buffers::Buffers;

/// Decompressed, no group is longer; what claims to be is damaged or hostile.
const MOST_BYTES: u64 = 32 << 20;

/// Files that end this far into their range are taken out of it decompressed as a whole. Groups are
/// no longer, but for extended attributes; and what is alone in its range need not be whole.
const GROUP_BYTES: usize = 3 << 19;

/// Groups kept. Files come in order, so that those at work at one time need few.
const KEPT: usize = 4;

/// Whether a file of `size` bytes lies in a range that is worth keeping.
pub(super) fn is_group(member: &Member, size: u64) -> bool {
    member.skip.saturating_add(size).max(member.length) <= GROUP_BYTES as u64
}

/// Where a group is: its object, and the offset in it.
type GroupStart = (ObjectId, u64);

/// A group, once it is there; locked while it is being fetched.
type Slot = Arc<Mutex<Option<Bytes>>>;

/// The groups used last.
pub(super) struct Groups {
    kept: Mutex<VecDeque<(GroupStart, Slot)>>,
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
        (key, member): (&str, &Member),
        decompressor: &mut Decompressor,
    ) -> Result<Bytes, ContentsError> {
        let slot = self.slot(member);
        let mut slot = slot.lock().expect("nothing panics holding this");
        if let Some(group) = &*slot {
            return Ok(group.clone());
        }
        let mut ahead = Ahead::of_member(contents, key, member);
        let mut group = self.buffers.take();
        let decoder = decompressor.read(member.codec, &mut ahead);
        let read = decoder.take(MOST_BYTES).read_to_end(&mut group);
        if read.is_err() {
            return Err(ahead.failure());
        }
        let group = Bytes::from_owner(group);
        *slot = Some(group.clone());
        Ok(group)
    }

    /// The next [`get`](Self::get) fetches the group anew.
    pub(super) fn forget(&self, member: &Member) {
        let mut kept = self.kept.lock().expect("nothing panics holding this");
        kept.retain(|(at, _)| *at != place(member));
    }

    fn slot(&self, member: &Member) -> Slot {
        let mut kept = self.kept.lock().expect("nothing panics holding this");
        if let Some((_, slot)) = kept.iter().find(|(at, _)| *at == place(member)) {
            return Arc::clone(slot);
        }
        if kept.len() == KEPT {
            kept.pop_front();
        }
        let slot = Slot::default();
        kept.push_back((place(member), Arc::clone(&slot)));
        slot
    }
}

fn place(member: &Member) -> GroupStart {
    (member.of, member.offset)
}
