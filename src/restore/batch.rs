//! What a thread is given at a time: one file, or several small ones of one directory, whose contents are
//! fetched together. So a thread waits once for many files, and threads work in different directories
//! rather than wait for one another at the same one.

use std::sync::Arc;

use super::action::Action;
use super::file;
use super::links::NameToMake;
use super::placed::Placed;
use super::worker::Worker;
use crate::contents::Contents;

/// Many enough that waiting for them costs little for each, few enough that a directory of some hundred
/// files occupies several threads.
const MOST_FILES: usize = 16;

pub(super) enum Batch {
    One(Box<Placed>, NameToMake),
    /// Of one directory, and with one name each: none of them waits for another file.
    Small(Vec<Placed>),
}

/// Whether a file may be in a batch with others.
pub(super) fn is_small(placed: &Placed, name: &NameToMake) -> bool {
    let content = placed.entry.content.as_ref();
    matches!(name, NameToMake::Only)
        && matches!(placed.action, Action::Create | Action::Replace)
        && content.is_some_and(|content| Contents::is_small(&placed.entry, content))
}

/// Whether a batch of small files has room for one more.
pub(super) fn has_room(batch: &[Placed], placed: &Placed) -> bool {
    let is_near = |last: &Placed| Arc::ptr_eq(&last.directory, &placed.directory);
    batch.len() < MOST_FILES && batch.last().is_none_or(is_near)
}

impl Batch {
    pub(super) fn restore(self, worker: &Worker) {
        match self {
            Self::One(placed, name) => {
                let result = file::restore(worker, &placed, name);
                worker.settle(placed.entry.path(), result);
            }
            Self::Small(batch) => small(worker, batch),
        }
    }
}

fn small(worker: &Worker, batch: Vec<Placed>) {
    let wanted =
        (batch.iter()).filter_map(|placed| Some((&placed.entry, placed.entry.content.as_ref()?)));
    let mut fetched = worker.contents.fetch(wanted);
    for mut placed in batch {
        if worker.options.stop.is_set() {
            return;
        }
        // Nothing is fetched after what ends the restore.
        let Some(contents) = fetched.next() else {
            return;
        };
        let result = match contents {
            Ok(bytes) => {
                placed.fetched = Some(bytes);
                file::restore(worker, &placed, NameToMake::Only)
            }
            Err(error) => Err(error.into()),
        };
        worker.settle(placed.entry.path(), result);
    }
}
