//! Files with several names: captured under the first one, and only recorded under the others.
//!
//! That holds as long as the names are still those of one file when they are opened. A name under
//! which another file is found by then, or the same one changed since, is captured like any other.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::format::entry::{Entry, LinkGroup};
use crate::stop::Stop;

/// How often a waiting thread looks whether the pass is being stopped.
const LOOK: Duration = Duration::from_millis(200);

/// What has become of the first name.
#[derive(Debug, Clone)]
pub(in crate::pass) enum First {
    /// Its contents are in the store, where its entry says.
    Stored(Arc<Entry>),
    /// It is a member of the archive that is being written.
    Member(Arc<Entry>),
    /// Nothing that another name could share.
    Nothing,
}

/// What is known of first names.
#[derive(Default)]
pub(in crate::pass) struct Links {
    known: Mutex<HashMap<LinkGroup, LinkState>>,
    changed: Condvar,
}

struct LinkState {
    first: First,
    /// Names that have not asked yet. Those outside the source never do.
    names: u32,
}

impl Links {
    /// Says what has become of the first of a file's names, of which so many are to follow. What was
    /// said first counts.
    pub(in crate::pass) fn settle(&self, group: LinkGroup, names: u32, first: First) {
        let mut known = self.known.lock().expect("nothing panics holding this");
        known.entry(group).or_insert(LinkState { first, names });
        drop(known);
        self.changed.notify_all();
    }

    /// Waits until it is known what has become of the first name, which every pass takes before it
    /// takes the others. Each of those asks once.
    pub(in crate::pass) fn first(&self, group: LinkGroup, stop: &Stop) -> First {
        let mut known = self.known.lock().expect("nothing panics holding this");
        loop {
            if let Some(found) = known.get_mut(&group) {
                found.names = found.names.saturating_sub(1);
                if found.names > 0 {
                    return found.first.clone();
                }
            }
            if let Some(found) = known.remove(&group) {
                return found.first;
            }
            if stop.is_set() {
                return First::Nothing;
            }
            let waited = self.changed.wait_timeout(known, LOOK);
            (known, _) = waited.expect("nothing panics holding this");
        }
    }
}
