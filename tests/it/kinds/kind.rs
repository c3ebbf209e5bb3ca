//! What a kind of source has to bring along to be tried.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use offsite::source::Place;

/// A kind of source, with a place of its own in a directory that is empty at first.
pub(super) trait KindOfSource: Sync {
    /// The place.
    fn place(&self, home: &Path) -> Arc<dyn Place>;

    /// Gives the source these items, in this order, and no others. Returns what a restore is to show: names
    /// and contents.
    fn fill(&self, home: &Path, items: &[&str]) -> BTreeMap<String, Vec<u8>>;

    /// Puts another source in its place, as one that is mounted over it.
    fn replace(&self, home: &Path);

    /// Leaves nothing in its place.
    fn take_away(&self, home: &Path);

    /// What can be brought about to be the matter with an item.
    fn troubles(&self) -> &'static [Trouble] {
        &[]
    }

    /// The same as [`fill`](Self::fill), with one of those troubles of the item of this number.
    fn fill_with(&self, _home: &Path, _items: &[&str], trouble: (usize, Trouble)) {
        unreachable!("this kind does not know {trouble:?}");
    }
}

/// What may be the matter with an item that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Its contents cannot be read to their end.
    BreaksOff,
    /// It is listed, and cannot be looked at.
    Unlooked,
}
