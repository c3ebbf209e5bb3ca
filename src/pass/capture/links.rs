//! Files with several names: captured under the first one, and only recorded under the others.
//!
//! That holds as long as the names are still those of one file when they are opened. A name under
//! which another file is found by then, or the same one changed since, is captured like any other.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::Capture;
use crate::format::entry::{Entry, LinkGroup};
use crate::pass::steps::{Captured, WhichName};
use crate::source::stat::Stat;
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

impl Capture {
    /// What the first name has become and how the file looks now, where this is another name of the
    /// same file and it has not changed since.
    pub(in crate::pass) fn another_name(&self) -> Option<(First, Stat)> {
        if !matches!(self.order.name, WhichName::Further { .. }) {
            return None;
        }
        let group = self.order.found.stat.link_group()?;
        let links = &self.capturer.links;
        let first = links.first(group, &self.options().stop);
        let (First::Stored(entry) | First::Member(entry)) = &first else {
            return None;
        };
        let stat = self.options().source.open(&self.order.found).ok()?.stat;
        let (now, then) = (stat.metadata, entry.metadata);
        let same = (now.kind, now.size, now.mtime_ns, now.ctime_ns)
            == (then.kind, then.size, then.mtime_ns, then.ctime_ns);
        (same && stat.link_group() == entry.hardlink).then_some((first, stat))
    }

    /// The entry of another name of `first`.
    pub(in crate::pass) fn linked(&self, first: &Entry, stat: &Stat) -> Entry {
        Entry {
            name: self.order.found.name.clone(),
            metadata: stat.metadata,
            ..first.clone()
        }
    }

    /// Tells the other names of a file that its first is a member of the archive that is being
    /// written, before it is known where.
    pub(in crate::pass) fn is_member(&self, entry: &Entry) {
        let group = self.order.found.stat.link_group();
        if let (WhichName::First, Some(group)) = (self.order.name, group) {
            let first = match entry.hardlink == Some(group) {
                true => First::Member(Arc::new(entry.clone())),
                false => First::Nothing,
            };
            self.settle_as(group, first);
        }
    }

    fn settle_as(&self, group: LinkGroup, first: First) {
        let names = self.order.found.stat.nlink.saturating_sub(1);
        self.capturer.links.settle(group, names, first);
    }

    /// Tells the other names of a file what has become of its first.
    pub(super) fn settle(&self, captured: &Captured) {
        let Some(group) = self.order.found.stat.link_group() else {
            return;
        };
        if self.order.name != WhichName::First {
            return;
        }
        let first = match captured {
            Captured::Uploaded(entry) | Captured::Inline(entry) | Captured::Same(entry)
                if entry.hardlink == Some(group) =>
            {
                let content = entry.content.clone();
                let content = content.map(|content| content.captured_as(entry.path()));
                First::Stored(Arc::new(Entry {
                    content,
                    ..Entry::clone(entry)
                }))
            }
            _ => First::Nothing,
        };
        self.settle_as(group, first);
    }
}
