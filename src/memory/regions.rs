//! Memory for contents, of any length, from the system itself.
//!
//! Contents are allocated by one thread and freed by another, in every size there is. An allocator
//! keeps what was freed for that thread and that size, so that with thirty threads it holds several
//! times what is in use. Here it is never more than was in use at once: what is free is used again by
//! contents of about the same length, and given back before anything else is taken from the system.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{MmapMut, MmapOptions};

/// What the system maps at least.
const PAGE_BYTES: usize = 4096;

/// Regions for one purpose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Regions {
    pool: Arc<Mutex<Pool>>,
}

#[derive(Debug, Default)]
struct Pool {
    /// The one that was used last comes last.
    free: VecDeque<MmapMut>,
    free_bytes: usize,
    used_bytes: usize,
    most_used_bytes: usize,
}

/// Bytes that a region of so many takes. There are four lengths for each doubling, so that regions
/// fit one another's contents, and at most a fifth is empty.
pub(crate) fn taken(length: usize) -> usize {
    let pages = length.div_ceil(PAGE_BYTES);
    let step = (pages.next_power_of_two() / 8).max(1);
    pages.next_multiple_of(step) * PAGE_BYTES
}

impl Regions {
    /// A region of this length, with whatever was in it before.
    pub(crate) fn take(&self, length: usize) -> Region {
        let taken = taken(length);
        let mapped = (taken > 0).then(|| {
            let found = self.lock().take(taken);
            found.unwrap_or_else(|| map(taken))
        });
        Region {
            mapped,
            length,
            home: self.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All pages at once, which takes less than a fault for each.
fn map(length: usize) -> MmapMut {
    let mapped = MmapOptions::new().len(length).populate().map_anon();
    mapped.expect("there is memory")
}

impl Pool {
    /// One of this length that is free, or room for it.
    fn take(&mut self, length: usize) -> Option<MmapMut> {
        self.used_bytes += length;
        self.most_used_bytes = self.most_used_bytes.max(self.used_bytes);
        let fitting = self.free.iter().rposition(|free| free.len() == length);
        if let Some(fitting) = fitting.and_then(|at| self.free.remove(at)) {
            self.free_bytes -= length;
            return Some(fitting);
        }
        while self.used_bytes + self.free_bytes > self.most_used_bytes
            && let Some(oldest) = self.free.pop_front()
        {
            self.free_bytes -= oldest.len();
        }
        None
    }

    fn put_back(&mut self, mapped: MmapMut) {
        self.used_bytes -= mapped.len();
        self.free_bytes += mapped.len();
        self.free.push_back(mapped);
    }
}

/// Bytes that nobody else has. It goes back to where it came from when it is dropped.
#[derive(Debug)]
pub(crate) struct Region {
    mapped: Option<MmapMut>,
    length: usize,
    home: Regions,
}

impl Region {
    /// Only the first `length` bytes count from now on.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let mapped = self.mapped.as_deref();
        mapped.map_or(&[], |mapped| &mapped[..self.length])
    }
}

impl DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [u8] {
        let mapped = self.mapped.as_deref_mut();
        mapped.map_or(&mut [], |mapped| &mut mapped[..self.length])
    }
}

impl AsRef<[u8]> for Region {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some(mapped) = self.mapped.take() {
            self.home.lock().put_back(mapped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(regions: &Regions) -> usize {
        let pool = regions.lock();
        pool.used_bytes + pool.free.iter().map(|free| free.len()).sum::<usize>()
    }

    #[test]
    fn at_most_a_fifth_of_a_region_is_empty() {
        assert_eq!(taken(0), 0);
        for length in (1..1_usize << 16).chain([1 << 20, 5 << 20, 16 << 20, (16 << 20) + 1]) {
            let pages = length.div_ceil(PAGE_BYTES) * PAGE_BYTES;
            let taken = taken(length);
            assert!(
                taken >= pages && taken * 4 <= pages * 5,
                "{length}: {taken}"
            );
        }
        assert_eq!(taken(16 << 20), 16 << 20);
    }

    #[test]
    fn there_is_never_more_than_was_in_use_at_once() {
        const MOST: usize = 4 << 20;
        let regions = Regions::default();
        let mut random = fastrand::Rng::with_seed(1);
        let mut used: Vec<Region> = Vec::new();
        for _ in 0..10_000 {
            let most = 1_usize << random.u32(8..21);
            let length = random.usize(0..most);
            while used.iter().map(|region| taken(region.len())).sum::<usize>() + taken(length)
                > MOST
            {
                used.swap_remove(random.usize(..used.len()));
            }
            used.push(regions.take(length));
            assert!(held(&regions) <= MOST);
        }
        used.clear();
        assert!(
            held(&regions) > MOST / 2,
            "nothing is kept to be used again"
        );
    }

    #[test]
    fn a_region_is_used_again_by_contents_of_about_its_length() {
        let regions = Regions::default();
        let mut first = regions.take(100_000);
        first[0] = 1;
        first.truncate(10);
        assert_eq!(first.len(), 10);
        drop(first);
        assert_eq!(regions.take(99_000)[0], 1);
        assert!(regions.take(0).is_empty());
    }
}
