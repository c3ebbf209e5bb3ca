//! Entries that were recorded, read along with what exists.

use std::sync::Arc;

use crate::format::entry::Entry;
use crate::format::name::Name;
use crate::format::segment::{SegmentError, SegmentReader, SegmentRef};
use crate::snapshots::entries::{Loaded, Segments, StoredSegment};
use crate::store::StoreError;

/// A segment that cannot be used.
#[derive(Debug, Clone)]
pub(crate) struct Damaged {
    /// The segment.
    pub(crate) segment: Box<SegmentRef>,
    /// What is wrong with it.
    pub(crate) error: String,
}

/// An entry as it was recorded.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// The entry.
    pub(crate) entry: Entry,
    /// When the scan that vouches for it began.
    pub(crate) scan_started_ns: i64,
    /// Whether its contents are damaged in the store.
    pub(crate) is_damaged: bool,
}

/// Entries of a sequence of segments, in order, with one looked at ahead.
pub(super) struct Cursor {
    segments: Segments,
    reader: Option<SegmentReader>,
    entry: Option<Entry>,
    /// The segment that is being read.
    current: Option<SegmentRef>,
    /// Segments begun since [`Cursor::take_begun`] was last asked.
    begun: Vec<Arc<StoredSegment>>,
    damaged: Vec<Damaged>,
    scan_started_ns: i64,
    has_xattrs: bool,
}

impl Cursor {
    /// Stands before the first segment, with nothing loaded.
    #[must_use]
    pub(super) fn new(segments: Segments) -> Self {
        Self {
            segments,
            reader: None,
            entry: None,
            current: None,
            begun: Vec::new(),
            damaged: Vec::new(),
            scan_started_ns: 0,
            has_xattrs: false,
        }
    }

    /// Whether it stands between two segments, so that [`Cursor::load`] has something to do.
    #[must_use]
    pub(super) fn is_between(&self) -> bool {
        self.entry.is_none() && !self.segments.is_empty()
    }

    /// Sees to it that the next entry, if there is one, is in memory.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn load(&mut self) -> Result<&mut Self, StoreError> {
        while self.is_between() {
            match self.segments.load_next() {
                None => break,
                Some(Loaded::Failed(error)) => return Err(error),
                Some(Loaded::Damaged(segment, error)) => {
                    self.damaged.push(Damaged { segment, error });
                }
                Some(Loaded::Segment(segment)) => self.begin(segment),
            }
        }
        Ok(self)
    }

    fn begin(&mut self, segment: Arc<StoredSegment>) {
        match SegmentReader::open(segment.bytes.clone(), segment.reference.lines_bytes) {
            Ok(reader) => {
                self.scan_started_ns = reader.header().scan_started_ns;
                self.has_xattrs = reader.header().xattrs;
                self.reader = Some(reader);
                self.current = Some(segment.reference.clone());
                self.begun.push(segment);
                self.advance();
            }
            Err(error) => {
                self.damaged.push(Damaged {
                    segment: Box::new(segment.reference.clone()),
                    error: error.to_string(),
                });
            }
        }
    }

    /// Whether no entry is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.entry.is_none() && self.segments.is_empty()
    }

    /// Whether the extended attributes of the next entry that is loaded were recorded.
    pub(super) fn has_xattrs(&self) -> bool {
        self.has_xattrs
    }

    /// Whether the next entry that is loaded lies before, at or after `name`; after, if there is none.
    pub(super) fn compare(&self, name: &Name) -> std::cmp::Ordering {
        match &self.entry {
            Some(entry) => entry.name.cmp(name),
            None => std::cmp::Ordering::Greater,
        }
    }

    /// Takes the next entry. What follows it in another segment is not loaded yet.
    pub(super) fn take(&mut self) -> Option<Recorded> {
        let scan_started_ns = self.scan_started_ns;
        let entry = self.entry.take();
        self.advance();
        entry.map(|entry| Recorded {
            entry,
            scan_started_ns,
            is_damaged: false,
        })
    }

    /// Segments whose entries begin at or before the next one and were not told of yet.
    pub(super) fn take_begun(&mut self) -> Vec<Arc<StoredSegment>> {
        std::mem::take(&mut self.begun)
    }

    /// Segments that were passed over because they are damaged.
    pub(super) fn take_damaged(&mut self) -> Vec<Damaged> {
        std::mem::take(&mut self.damaged)
    }

    /// Goes on within the segment.
    fn advance(&mut self) {
        let Some(reader) = &mut self.reader else {
            return;
        };
        // A segment with the right digest that cannot be read was written wrongly, by a newer
        // program or a defect; whatever it is, it is no reason to go without a backup.
        match reader.next_entry() {
            Ok(Some(entry)) => self.entry = Some(entry),
            Ok(None) => self.reader = None,
            Err(error) => {
                self.give_up(&error);
                self.reader = None;
            }
        }
    }

    fn give_up(&mut self, error: &SegmentError) {
        if let Some(segment) = self.current.take() {
            self.damaged.push(Damaged {
                segment: Box::new(segment),
                error: error.to_string(),
            });
        }
    }
}
