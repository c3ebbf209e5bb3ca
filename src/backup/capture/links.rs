//! Files with several names: captured under the first one, and only recorded under the others.
//!
//! That holds as long as the names are still those of one file when they are opened. A name under
//! which another file is found by then, or the same one changed since, is captured like any other.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::manifest::entry::{Entry, LinkGroup};
use crate::stop::Stop;

/// How often a waiting thread looks whether the pass is being stopped.
const LOOK: Duration = Duration::from_millis(200);

/// What has become of the first name.
#[derive(Debug, Clone)]
pub(in crate::backup) enum First {
    /// Its contents are in the store, where its entry says.
    Stored(Arc<Entry>),
    /// It is a member of the archive that is being written.
    Member(Arc<Entry>),
    /// Nothing that another name could share.
    Nothing,
}

/// What is known of first names.
#[derive(Default)]
pub(in crate::backup) struct Links {
    known: Mutex<HashMap<LinkGroup, First>>,
    changed: Condvar,
}

impl Links {
    /// Says what has become of a first name. What was said first counts.
    pub(in crate::backup) fn settle(&self, group: LinkGroup, first: First) {
        let mut known = self.known.lock().expect("nothing panics holding this");
        known.entry(group).or_insert(first);
        drop(known);
        self.changed.notify_all();
    }

    /// Waits until it is known what has become of the first name, which every pass settles earlier
    /// than it takes the next one. With `is_last`, nobody asks after this.
    pub(in crate::backup) fn first(&self, group: LinkGroup, is_last: bool, stop: &Stop) -> First {
        let mut known = self.known.lock().expect("nothing panics holding this");
        loop {
            let found = match is_last {
                true => known.remove(&group),
                false => known.get(&group).cloned(),
            };
            if let Some(first) = found {
                return first;
            }
            if stop.is_set() {
                return First::Nothing;
            }
            let waited = self.changed.wait_timeout(known, LOOK);
            (known, _) = waited.expect("nothing panics holding this");
        }
    }
}
