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
mod pool;

use std::sync::Arc;

use rustix::io::Errno;

use self::listing::{Chunk, Rest};
use self::pool::{Pool, Task};
use super::filter::Filter;
use super::open::Root;
use super::stat::Stat;
use crate::format::path::EntryPath;

/// What to walk, and how.
#[derive(Debug, Clone)]
pub struct WalkOptions {
    /// What is left out.
    pub filter: Filter,
    /// Whether to stay on the root's file system. A directory on which another one is mounted is
    /// an item then, and what lies in it is not.
    pub one_file_system: bool,
    /// Threads that work ahead.
    pub threads: usize,
}

/// Why a walk could not begin.
#[derive(Debug)]
pub enum NotStarted {
    /// The system does not say what the root is.
    Root(Errno),
    /// The system does not give another thread.
    Thread(std::io::Error),
}

impl From<Errno> for NotStarted {
    fn from(error: Errno) -> Self {
        Self::Root(error)
    }
}

/// What a walk comes across.
#[derive(Debug)]
pub enum Item {
    /// An entry; of a directory, what is in it follows.
    Found(Found),
    /// The entry was listed, and gone when it was looked at.
    Vanished(EntryPath),
    /// The entry is there and cannot be looked at, or the directory, given out before, cannot be
    /// listed. Nothing is known of it or of what lies below.
    Unreadable(EntryPath, Errno),
}

/// An entry and what the system says of it.
#[derive(Debug)]
pub struct Found {
    /// Relative to the root of the walk.
    pub path: EntryPath,
    /// What the system says.
    pub stat: Stat,
    /// A directory that is not entered, and why.
    pub not_entered: Option<NotEntered>,
    child: Option<Arc<Node>>,
}

/// Why a walk does not enter a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotEntered {
    /// Another file system is mounted on it.
    OtherFileSystem,
    /// It is the same directory as one above it, by a bind mount.
    Loop,
}

/// A directory on the way down.
#[derive(Debug)]
struct Node {
    path: EntryPath,
    dev: u64,
    ino: u64,
    parent: Option<Arc<Node>>,
}

impl Node {
    fn is_or_lies_below(&self, dev: u64, ino: u64) -> bool {
        let mut node = Some(self);
        while let Some(this) = node {
            if (this.dev, this.ino) == (dev, ino) {
                return true;
            }
            node = this.parent.as_deref();
        }
        false
    }
}

/// The walk; an iterator that never ends early: what it cannot read, it says.
pub struct Walk {
    pool: Arc<Pool>,
    workers: Vec<std::thread::JoinHandle<()>>,
    root: Option<Found>,
    frames: Vec<Frame>,
    enter: Option<Arc<Node>>,
}

/// A directory being given out.
struct Frame {
    items: std::vec::IntoIter<Item>,
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
    /// Starts the threads.
    ///
    /// # Errors
    /// The system does not say what the root is, or gives no thread.
    pub fn start(root: Arc<Root>, options: WalkOptions) -> Result<Self, NotStarted> {
        let stat = Stat::of(&*root)?;
        let node = Arc::new(Node {
            path: EntryPath::ROOT,
            dev: stat.dev,
            ino: stat.ino,
            parent: None,
        });
        let threads = options.threads;
        let pool = Arc::new(Pool::new(root, options, stat.dev));
        let found = Found {
            path: EntryPath::ROOT,
            stat,
            not_entered: None,
            child: Some(node),
        };
        let mut walk = Self {
            pool,
            workers: Vec::with_capacity(threads),
            root: Some(found),
            frames: Vec::new(),
            enter: None,
        };
        for _ in 0..threads {
            let pool = Arc::clone(&walk.pool);
            let thread = std::thread::Builder::new().name("walk".to_owned());
            let worker = thread.spawn(move || pool.work());
            walk.workers.push(worker.map_err(NotStarted::Thread)?);
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
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Some(Item::Vanished(path)),
            Err(error) => Some(Item::Unreadable(path, error)),
        }
    }

    fn give(&mut self, item: Item) -> Item {
        if let Item::Found(found) = &item {
            self.enter.clone_from(&found.child);
        }
        item
    }
}

impl Iterator for Walk {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if let Some(root) = self.root.take() {
            return Some(self.give(Item::Found(root)));
        }
        loop {
            if let Some(node) = self.enter.take()
                && let Some(item) = self.enter(node)
            {
                return Some(item);
            }
            let frame = self.frames.last_mut()?;
            if let Some(item) = frame.items.next() {
                return Some(self.give(item));
            }
            match frame.rest.take() {
                Some(rest) => match self.pool.obtain(Task::Stat(rest)) {
                    Ok(chunk) => *frame = chunk.into(),
                    Err(error) => return Some(Item::Unreadable(EntryPath::ROOT, error)),
                },
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
