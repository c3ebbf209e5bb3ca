//! A bucket, listed in ranges at once and handed out in order.
//!
//! Where the last snapshot says how its keys divide, some ranges are listed ahead of the one whose turn it is. Each keeps
//! as many pages as it had keys then, and waits when it has more: how large a bucket is, and how it has grown, makes no
//! difference to the memory this takes. The first range begins without a key to begin after, so a bucket that cannot be
//! listed fails as any; a server that does not begin where it is told to is listed in one range from there on.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::PassedOver;
use super::range::{Lister, Range, Running, Sent};
use crate::format::name::Name;
use crate::format::segment::CUT_ENTRIES;
use crate::store::{Operation, Page, StoreError, StoreErrorKind, StoreResult};

/// Ranges that are listed at once, at most. With 8 and 50 ms a page, 160,000 keys a second are listed. Sixteen took 48 MiB
/// more than one, which is too much for a pass that is to do with 64.
const AT_ONCE: usize = 8;

/// Bytes of the pages of all ranges: eight with keys of 60 bytes, and one with the longest keys.
const PAGES_BYTES: usize = 16 << 20;

/// Bytes that an object of a page takes besides its key.
const OBJECT_BYTES: usize = 200;

/// A bucket with fewer cuts, so of fewer than some 50,000 keys, is listed by one request after the other: it takes a few
/// seconds, and not a request more than there are pages.
const WORTH_IT: usize = 6;

/// Pages of a single range that wait; one more is being gone through, and one on its way.
const AHEAD_OF_ONE: usize = 1;

/// Pages of each of several ranges that wait, and one more that does not fit: what lies between two cuts.
const AHEAD_OF_MANY: usize = CUT_ENTRIES as usize / 1000 - 1;

/// A bucket that is being listed.
pub(super) struct Ranges {
    lister: Lister,
    /// In order: the first is that whose turn it is.
    running: VecDeque<(Range, Running)>,
    /// What comes after these.
    waiting: VecDeque<Range>,
    ahead: usize,
}

impl Ranges {
    /// Begins to list, in at most `threads` ranges at once.
    pub(super) fn begin(lister: Lister, cuts: &[Name], threads: usize) -> Self {
        let at_once = threads.min(at_once(cuts)).max(1);
        let waiting = divided(cuts, at_once);
        let mut ranges = Self {
            lister,
            running: VecDeque::new(),
            ahead: match waiting.len() {
                1 => AHEAD_OF_ONE,
                _ => AHEAD_OF_MANY,
            },
            waiting,
        };
        for _ in 0..at_once {
            ranges.begin_next();
        }
        ranges
    }

    /// What was passed over.
    pub(super) fn seen(&self) -> &Mutex<PassedOver> {
        &self.lister.seen
    }

    /// The next page; `None` after the last one. Blocks.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn next_page(&mut self) -> StoreResult<Option<Page>> {
        loop {
            let Some((_, range)) = self.running.front_mut() else {
                return Ok(None);
            };
            match range.next() {
                Some(sent) => match sent? {
                    Sent::Page(page) => return Ok(Some(page)),
                    Sent::End => {
                        self.running.pop_front();
                        self.begin_next();
                    }
                    Sent::NotThere => self.go_on_as_one(),
                },
                None => return Err(self.ended_early()),
            }
        }
    }

    fn begin_next(&mut self) {
        if let Some(range) = self.waiting.pop_front() {
            let running = self.lister.begin(range.clone(), true, self.ahead);
            self.running.push_back((range, running));
        }
    }

    /// Lists what is left in one range, from the first key of the bucket.
    fn go_on_as_one(&mut self) {
        self.waiting.clear();
        let first = self.running.drain(..).next();
        let rest = Range {
            after: first.and_then(|(range, _)| range.after),
            upto: None,
        };
        let running = self.lister.begin(rest.clone(), false, AHEAD_OF_ONE);
        self.running.push_back((rest, running));
    }

    /// A listing whose task is gone has not come to its end, and what it lacks must not count as deleted.
    fn ended_early(&self) -> StoreError {
        let fault = "a listing that ended early".to_owned();
        StoreError {
            operation: Operation::List,
            location: self.lister.store.location().to_string(),
            kind: StoreErrorKind::UnexpectedAnswer(fault),
        }
    }
}

/// How many ranges may be listed at once, by the length of keys.
fn at_once(cuts: &[Name]) -> usize {
    let bytes: usize = cuts.iter().map(|cut| cut.as_bytes().len()).sum();
    let key_bytes = bytes / cuts.len().max(1);
    let range_bytes = CUT_ENTRIES as usize * (key_bytes + OBJECT_BYTES);
    AT_ONCE.min(PAGES_BYTES / range_bytes)
}

/// The ranges between cuts that are in order; one, where more are not worth it.
fn divided(cuts: &[Name], at_once: usize) -> VecDeque<Range> {
    let keys = cuts.iter().filter_map(Name::key);
    let keys: Vec<_> = keys.map(|key| key.as_str().to_owned()).collect();
    let is_worth_it = at_once > 1 && keys.len() >= WORTH_IT;
    if !is_worth_it || !keys.windows(2).all(|pair| pair[0] < pair[1]) {
        return VecDeque::from([Range::default()]);
    }
    let mut ranges = VecDeque::new();
    let mut after = None;
    for key in keys {
        let upto = Some(key.clone());
        ranges.push_back(Range { after, upto });
        after = Some(key);
    }
    ranges.push_back(Range { after, upto: None });
    ranges
}
