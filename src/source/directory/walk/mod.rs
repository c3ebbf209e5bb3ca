//! An ordered, parallel walk.
//!
//! Items come in the order of a depth-first walk with names sorted by byte, which is the order of
//! paths in a manifest. Behind that order several threads list directories and stat what is in them,
//! because on network file systems each of those costs a round trip. They work ahead of the
//! consumer, nearest first, up to a budget; whatever they have not begun when the consumer needs it,
//! the consumer does itself, so that the walk can never wait for a budget that it holds.
//!
//! What is listed but not yet consumed is bounded, save for one thing: the names of a directory must
//! all be known before the first can be given out in order. Memory grows with the names in the
//! largest directory on the path, some 20 bytes each, and with nothing else.

mod listing;
mod node;
mod pool;

use std::sync::Arc;

use rustix::io::Errno;

use self::listing::{Chunk, Rest};
pub(crate) use self::node::WalkOptions;
use self::node::{Node, Visit, unreadable};
use self::pool::{Pool, Task};
use super::root::Root;
use crate::format::path::EntryPath;
use crate::source::stat::Stat;
use crate::source::{Found, Item};

/// The walk; an iterator that never ends early: what it cannot read, it says.
pub(crate) struct Walk {
    pool: Arc<Pool>,
    workers: Vec<std::thread::JoinHandle<()>>,
    root: Option<Visit>,
    frames: Vec<Frame>,
    enter: Option<Arc<Node>>,
}

/// A directory being given out.
struct Frame {
    items: std::vec::IntoIter<Visit>,
    rest: Option<Rest>,
}

impl From<Chunk> for Frame {
    fn from(chunk: Chunk) -> Self {
        Self {
            items: chunk.items.into_iter(),
            rest: chunk.rest,
        }
    }
}

impl Walk {
    /// Starts the threads, below a root that looks like this.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(
        root: Arc<Root>,
        stat: Stat,
        options: WalkOptions,
    ) -> std::io::Result<Self> {
        let node = Arc::new(Node {
            path: EntryPath::ROOT,
            dev: stat.dev,
            ino: stat.ino,
            parent: None,
        });
        let threads = options.threads;
        let pool = Arc::new(Pool::new(root, options, stat.dev));
        let found = Found::at(EntryPath::ROOT, stat);
        let root = Visit {
            item: Item::Found(found),
            child: Some(node),
        };
        let mut walk = Self {
            pool,
            workers: Vec::with_capacity(threads),
            root: Some(root),
            frames: Vec::new(),
            enter: None,
        };
        for _ in 0..threads {
            let pool = Arc::clone(&walk.pool);
            let thread = std::thread::Builder::new().name("walk".to_owned());
            let worker = thread.spawn(move || pool.work());
            walk.workers.push(worker?);
        }
        Ok(walk)
    }

    fn enter(&mut self, node: Arc<Node>) -> Option<Item> {
        let path = node.path.clone();
        match self.pool.obtain(Task::List(node)) {
            Ok(chunk) => {
                self.frames.push(chunk.into());
                None
            }
            // Gone, or no directory any more.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Some(Item::Vanished(path.into())),
            Err(error) => Some(unreadable(path, error)),
        }
    }

    fn give(&mut self, step: Visit) -> Item {
        self.enter = step.child;
        step.item
    }
}

impl Iterator for Walk {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if let Some(root) = self.root.take() {
            return Some(self.give(root));
        }
        loop {
            if let Some(node) = self.enter.take()
                && let Some(item) = self.enter(node)
            {
                return Some(item);
            }
            let frame = self.frames.last_mut()?;
            if let Some(step) = frame.items.next() {
                return Some(self.give(step));
            }
            match frame.rest.take() {
                Some(rest) => {
                    let directory = rest.directory().clone();
                    match self.pool.obtain(Task::Stat(rest)) {
                        Ok(chunk) => *frame = chunk.into(),
                        Err(error) => return Some(unreadable(directory, error)),
                    }
                }
                None => {
                    self.frames.pop();
                }
            }
        }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.pool.stop();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so; there is nothing left to do for it.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests;
