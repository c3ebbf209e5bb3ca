//! The entries of a snapshot, from the store: segments loaded in order, one at a time, checked
//! against the commit record before anything in them is believed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::digests::{self, Beside};
use super::fetch::fetch;
use crate::format::digests::{Digests, unread};
use crate::format::entry::{Digest, Entry};
use crate::format::keys;
use crate::format::lines::{LINES_BYTES, OBJECT_BYTES};
use crate::format::name::Name;
use crate::format::segment::{SegmentReader, SegmentRef};
use crate::format::snapshot::Snapshot;
use crate::store::{Store, StoreError};
use crate::text::count;

/// A segment, in memory.
#[derive(Debug)]
pub struct StoredSegment {
    /// As the commit record has it.
    pub reference: SegmentRef,
    /// The object, which has the digest it should have.
    pub bytes: Bytes,
}

/// What loading a segment came to.
pub enum Loaded {
    /// The segment.
    Segment(Arc<StoredSegment>),
    /// It is missing or damaged; the text says how.
    Damaged(Box<SegmentRef>, String),
    /// The store failed.
    Failed(StoreError),
}

/// Loads a segment and checks its digest.
pub async fn load(store: &dyn Store, reference: SegmentRef) -> Loaded {
    let at_most = reference.size.min(OBJECT_BYTES);
    match fetch(store, &reference.key, at_most, &reference.sha256).await {
        Ok(Ok(bytes)) => Loaded::Segment(Arc::new(StoredSegment { reference, bytes })),
        Ok(Err(error)) => Loaded::Damaged(Box::new(reference), error),
        Err(error) => Loaded::Failed(error),
    }
}

/// Loads a segment that no commit record knows, with the digest that is in its name. What cannot be
/// had is passed over.
async fn load_unrecorded(store: &dyn Store, key: String) -> Loaded {
    let reference = SegmentRef {
        sha256: keys::digest(&key).unwrap_or_default().to_owned(),
        key,
        size: OBJECT_BYTES,
        lines_bytes: LINES_BYTES,
        ..SegmentRef::default()
    };
    match load(store, reference.clone()).await {
        Loaded::Failed(error) => Loaded::Damaged(Box::new(reference), error.to_string()),
        loaded => loaded,
    }
}

/// Segments in order, each loaded when it is asked for. None is loaded ahead: a segment takes
/// megabytes, and reading what it lists takes far longer than loading it.
pub struct Segments {
    runtime: Handle,
    store: Arc<dyn Store>,
    rest: VecDeque<SegmentToLoad>,
}

enum SegmentToLoad {
    Recorded(Box<SegmentRef>),
    Unrecorded(String),
}

impl Segments {
    /// Those that a commit record refers to. Needs a runtime around it.
    #[must_use]
    pub fn recorded(store: &Arc<dyn Store>, references: &[SegmentRef]) -> Self {
        let wanted = references.iter().cloned().map(Box::new);
        Self::new(store, wanted.map(SegmentToLoad::Recorded).collect())
    }

    /// Those that a killed pass has left under these keys. Needs a runtime around it.
    #[must_use]
    pub fn unrecorded(store: &Arc<dyn Store>, keys: Vec<String>) -> Self {
        Self::new(
            store,
            keys.into_iter().map(SegmentToLoad::Unrecorded).collect(),
        )
    }

    fn new(store: &Arc<dyn Store>, rest: VecDeque<SegmentToLoad>) -> Self {
        Self {
            runtime: Handle::current(),
            store: Arc::clone(store),
            rest,
        }
    }

    /// Whether there are no more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Loads the next one. Blocks; for a thread, not for a task.
    pub fn load_next(&mut self) -> Option<Loaded> {
        let store = &*self.store;
        Some(match self.rest.pop_front()? {
            SegmentToLoad::Recorded(reference) => self.runtime.block_on(load(store, *reference)),
            SegmentToLoad::Unrecorded(key) => self.runtime.block_on(load_unrecorded(store, key)),
        })
    }

    fn load_digests(&self, segment: &SegmentRef) -> Beside {
        let store = &*self.store;
        self.runtime.block_on(digests::load(store, segment))
    }
}

/// Why some entries of a snapshot cannot be had. The iterator goes on with those of the next
/// segment.
#[derive(Debug, thiserror::Error)]
pub enum EntriesError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A segment is missing or damaged, and with it, in whole or in part, what lies from its first
    /// path to its last.
    #[error("segment `{}` is damaged: {error}; it lists {}, `{}` to `{}`", segment.key, count(segment.totals.entries, "entry"), segment.first, segment.last)]
    Damaged {
        /// The segment.
        segment: Box<SegmentRef>,
        /// What is wrong with it.
        error: String,
    },
}

/// Where an entry stands in a snapshot. What is damaged in one segment moves nothing in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryIndex {
    /// Number of the segment, from 0.
    pub segment: usize,
    /// Number of the entry in its segment, from 0.
    pub entry: usize,
}

/// All entries of a snapshot in order. Blocks; for a thread, not for a task.
pub struct Entries {
    segments: Segments,
    /// How many of them have come.
    come: usize,
    current: Option<Current>,
    has_digests: bool,
    problems: Vec<DigestsProblem>,
}

/// Digests beside a segment that cannot be had.
#[derive(Debug)]
pub struct DigestsProblem {
    /// The key of the segment.
    pub segment: String,
    /// Why they cannot be had.
    pub problem: String,
}

/// The segment that is being read.
struct Current {
    reference: SegmentRef,
    reader: SegmentReader,
    /// Of its next entry.
    place: EntryIndex,
    /// What lies beside it, once it is needed.
    digests: Option<Digests>,
}

impl Entries {
    /// Begins to read. Needs a runtime around it.
    #[must_use]
    pub fn of(store: &Arc<dyn Store>, snapshot: &Snapshot) -> Self {
        Self::in_segments(store, &snapshot.segments)
    }

    /// Those of some of its segments, which are in order. Needs a runtime around it.
    #[must_use]
    pub fn in_segments(store: &Arc<dyn Store>, segments: &[SegmentRef]) -> Self {
        Self {
            segments: Segments::recorded(store, segments),
            come: 0,
            current: None,
            has_digests: false,
            problems: Vec::new(),
        }
    }

    /// The same, with the digests of what was read after the commit. They lie beside the segments, and take a request for each
    /// that lists contents which no pass has read.
    #[must_use]
    pub fn with_digests(mut self) -> Self {
        self.has_digests = true;
        self
    }

    /// What kept digests from being had, since this was asked last. Contents are then compared with what the manifest has.
    pub fn take_problems(&mut self) -> Vec<DigestsProblem> {
        std::mem::take(&mut self.problems)
    }

    /// Those with this name and below, the first of them with it. No other segments are loaded than those that
    /// may have them. Needs a runtime around it.
    pub fn within(
        store: &Arc<dyn Store>,
        snapshot: &Snapshot,
        name: &Name,
    ) -> impl Iterator<Item = Result<Entry, EntriesError>> + use<> {
        Self::around(store, snapshot, name).only_within(name)
    }

    /// Those of the segments that may have entries with this name and below. Needs a runtime around it.
    #[must_use]
    pub fn around(store: &Arc<dyn Store>, snapshot: &Snapshot, name: &Name) -> Self {
        let segments = snapshot.segments.iter();
        let segments = segments.filter(|segment| segment.may_have(name)).cloned();
        Self::in_segments(store, &segments.collect::<Vec<_>>())
    }

    /// Of those [`around`](Self::around) a name, the ones with it and below.
    pub fn only_within(
        self,
        name: &Name,
    ) -> impl Iterator<Item = Result<Entry, EntriesError>> + use<> {
        let (from, within) = (name.clone(), name.clone());
        self.skip_while(move |entry| entry.as_ref().is_ok_and(|entry| entry.name < from))
            .take_while(move |entry| match entry {
                Ok(entry) => entry.name == within || entry.name.is_below(&within),
                Err(_) => true,
            })
    }

    /// Those whose keys start so. No other segments are loaded than those that may have them. Needs a runtime around
    /// it.
    pub fn with_prefix(
        store: &Arc<dyn Store>,
        snapshot: &Snapshot,
        prefix: &str,
    ) -> impl Iterator<Item = Result<Entry, EntriesError>> + use<> {
        let segments = snapshot.segments.iter();
        let segments = segments.filter(|segment| segment.may_have_prefix(prefix));
        let entries = Self::in_segments(store, &segments.cloned().collect::<Vec<_>>());
        let prefix = prefix.to_owned();
        entries.filter(move |entry| match entry {
            Ok(entry) => entry.name.as_bytes().starts_with(prefix.as_bytes()),
            Err(_) => true,
        })
    }

    /// The next entry with its place.
    pub fn next_placed(&mut self) -> Option<Result<(EntryIndex, Entry), EntriesError>> {
        let damaged = |segment: Box<SegmentRef>, error: String| {
            Some(Err(EntriesError::Damaged { segment, error }))
        };
        loop {
            if let Some(mut current) = self.current.take() {
                match current.reader.next_entry() {
                    Ok(Some(mut entry)) => {
                        let place = current.place;
                        current.place.entry += 1;
                        if self.has_digests {
                            self.add_digest(&mut current, &mut entry);
                        }
                        self.current = Some(current);
                        return Some(Ok((place, entry)));
                    }
                    Ok(None) => {}
                    Err(error) => return damaged(Box::new(current.reference), error.to_string()),
                }
            }
            let loaded = self.segments.load_next()?;
            let place = EntryIndex {
                segment: self.come,
                entry: 0,
            };
            self.come += 1;
            match loaded {
                Loaded::Failed(error) => return Some(Err(error.into())),
                Loaded::Damaged(segment, error) => return damaged(segment, error),
                Loaded::Segment(segment) => {
                    let reference = segment.reference.clone();
                    match SegmentReader::open(segment.bytes.clone(), reference.lines_bytes) {
                        Ok(reader) => {
                            self.current = Some(Current {
                                reference,
                                reader,
                                place,
                                digests: None,
                            });
                        }
                        Err(error) => return damaged(Box::new(reference), error.to_string()),
                    }
                }
            }
        }
    }

    /// Says what the contents of an entry have come to when they were read, if they were.
    fn add_digest(&mut self, current: &mut Current, entry: &mut Entry) {
        let Some(content) = &mut entry.content else {
            return;
        };
        let Some(stored) = unread(content) else {
            return;
        };
        let digests = current.digests.get_or_insert_with(|| {
            let beside = self.segments.load_digests(&current.reference);
            self.problems
                .extend(beside.problem().map(|problem| DigestsProblem {
                    segment: current.reference.key.clone(),
                    problem,
                }));
            match beside {
                Beside::Digests(digests, _) => digests,
                _ => Digests::default(),
            }
        });
        if let Some(sha256) = digests.get(stored) {
            content.digest = Digest::ReadSince(sha256);
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, EntriesError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_placed()?.map(|(_, entry)| entry))
    }
}
