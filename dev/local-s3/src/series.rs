//! Objects that are computed instead of kept, for buckets of millions of them.
//!
//! Name and content follow from a number, so an object costs one bit: whether it is there. Copies that
//! are made under the same name behind another prefix are computed too; all of one series have the
//! attributes and the time of the first.

use crate::checksum::ChecksumAlgorithm;
use crate::object::{Attributes, Payload, StoredObject};
use bytes::Bytes;
use std::borrow::Cow;
use std::iter::from_fn;
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

/// More would not have six digits of a folder, and names would not be in the order of their numbers.
pub(crate) const MOST: u64 = 1_000_000_000;

const IN_A_FOLDER: u64 = 1_000;
/// The length of `000000/0000000000.jpg`.
const NAME_LENGTH: usize = 21;

fn extension(index: u64) -> &'static str {
    match index % 3 {
        0 => "jpg",
        1 => "pdf",
        _ => "txt",
    }
}

fn name(index: u64) -> String {
    let folder = index / IN_A_FOLDER;
    format!("{folder:06}/{index:010}.{}", extension(index))
}

/// What lies under a name: a line, up to sixteen times.
pub(crate) fn content(index: u64) -> Bytes {
    let times = 1 + index % 16;
    let line = format!("object {index:010}\n");
    (0..times).map(|_| line.as_str()).collect::<String>().into()
}

/// The prefix and the number of a key that ends as the names of a series do.
pub(crate) fn split(key: &str) -> Option<(&str, u64)> {
    let (prefix, rest) = key.split_at_checked(key.len().checked_sub(NAME_LENGTH)?)?;
    let (_, file) = rest.split_once('/')?;
    let index = file.split_once('.')?.0.parse().ok()?;
    (index < MOST && name(index) == rest).then_some((prefix, index))
}

#[derive(Debug)]
pub(crate) struct Series {
    prefix: String,
    /// A bit for each object that is there.
    present: Vec<u64>,
    attributes: Attributes,
    algorithm: ChecksumAlgorithm,
    last_modified: SystemTime,
}

impl Series {
    /// Objects from 0 to `count`, without a prefix.
    pub(crate) fn full(count: u64, last_modified: SystemTime) -> Self {
        let mut series = Self {
            prefix: String::new(),
            present: vec![u64::MAX; position(count).0],
            attributes: Attributes::default(),
            algorithm: ChecksumAlgorithm::Crc64Nvme,
            last_modified,
        };
        let (_, bit) = position(count);
        series.present.push((1 << bit) - 1);
        series
    }

    /// No objects yet; there will be copies like this one.
    pub(crate) fn of_copies(prefix: &str, first: &StoredObject) -> Self {
        Self {
            prefix: prefix.to_owned(),
            present: Vec::new(),
            attributes: first.attributes.clone(),
            algorithm: first.checksum.algorithm,
            last_modified: first.last_modified,
        }
    }

    /// Whether a copy can be one of this series.
    pub(crate) fn is_like(&self, prefix: &str, copy: &StoredObject) -> bool {
        self.prefix == prefix
            && self.attributes == copy.attributes
            && self.algorithm == copy.checksum.algorithm
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<StoredObject>> {
        self.present_index(key).map(|index| self.object(index))
    }

    pub(crate) fn insert(&mut self, index: u64) {
        let (word, bit) = position(index);
        if self.present.len() <= word {
            self.present.resize(word + 1, 0);
        }
        if let Some(word) = self.present.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(index) = self.present_index(key) {
            let (word, bit) = position(index);
            if let Some(word) = self.present.get_mut(word) {
                *word &= !(1 << bit);
            }
        }
    }

    /// The objects from a key on, in order.
    pub(crate) fn starting_at(
        &self,
        start: &Bound<String>,
    ) -> impl Iterator<Item = (Cow<'_, str>, Arc<StoredObject>)> + use<'_> {
        let mut next = self.first_from(start);
        from_fn(move || {
            let index = self.next_present(next)?;
            next = index + 1;
            Some((Cow::Owned(self.key(index)), self.object(index)))
        })
    }

    fn present_index(&self, key: &str) -> Option<u64> {
        let (prefix, index) = split(key)?;
        (prefix == self.prefix && self.next_present(index) == Some(index)).then_some(index)
    }

    /// The first number from `index` on that is there.
    fn next_present(&self, index: u64) -> Option<u64> {
        let (mut at, bit) = position(index);
        let mut word = *self.present.get(at)? & (u64::MAX << bit);
        while word == 0 {
            at += 1;
            word = *self.present.get(at)?;
        }
        Some(at as u64 * 64 + u64::from(word.trailing_zeros()))
    }

    /// The least number whose key is not before `start`.
    fn first_from(&self, start: &Bound<String>) -> u64 {
        let is_before = |index: u64| match start {
            Bound::Included(start) => self.key(index) < *start,
            Bound::Excluded(start) => self.key(index) <= *start,
            Bound::Unbounded => false,
        };
        let (mut low, mut high) = (0, self.present.len() as u64 * 64);
        while low < high {
            let middle = low.midpoint(high);
            if is_before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn key(&self, index: u64) -> String {
        format!("{}{}", self.prefix, name(index))
    }

    fn object(&self, index: u64) -> Arc<StoredObject> {
        let payload = Payload::unclaimed(content(index), self.algorithm);
        let attributes = self.attributes.clone();
        Arc::new(StoredObject::whole(payload, attributes, self.last_modified))
    }
}

/// The word and the bit of a number.
fn position(index: u64) -> (usize, u32) {
    let word = usize::try_from(index / 64).unwrap_or(usize::MAX);
    (word, (index % 64) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn numbers(series: &Series, start: &Bound<String>) -> Vec<u64> {
        let keys = series.starting_at(start);
        keys.filter_map(|(key, _)| Some(split(&key)?.1)).collect()
    }

    #[test]
    fn a_series_has_as_many_objects_as_it_was_told() {
        for count in [0, 1, 63, 64, 65, 2_001] {
            let series = Series::full(count, UNIX_EPOCH);
            let expected: Vec<u64> = (0..count).collect();
            assert_eq!(numbers(&series, &Bound::Unbounded), expected);
        }
    }

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let at = [0, 1, 999, 1_000, 99_999, 100_000, MOST - 1];
        assert!(at.map(name).is_sorted());
        assert!(at.iter().all(|index| name(*index).len() == NAME_LENGTH));
    }

    #[test]
    fn a_listing_starts_where_it_is_told_to() {
        let series = Series::full(200, UNIX_EPOCH);
        assert_eq!(
            numbers(&series, &Bound::Included(name(150))).first(),
            Some(&150)
        );
        assert_eq!(
            numbers(&series, &Bound::Excluded(name(150))).first(),
            Some(&151)
        );
        assert_eq!(numbers(&series, &Bound::Included("1".to_owned())), [0; 0]);
    }

    #[test]
    fn what_is_removed_is_not_there_and_comes_back() {
        let mut series = Series::full(3, UNIX_EPOCH);
        series.remove(&name(1));
        assert!(series.get(&name(1)).is_none());
        assert_eq!(numbers(&series, &Bound::Unbounded), [0, 2]);
        series.insert(1);
        assert_eq!(
            series.get(&name(1)).map(|o| o.bytes.clone()),
            Some(content(1))
        );
        assert!(series.get("0/1.jpg").is_none());
    }
}
