//! The threads behind a walk: what is to do, what is being done, what is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::listing::{Chunk, Listed, Listing, Rest, Unlisted};
use super::node::{Node, WalkOptions};
use crate::format::path::EntryPath;
use crate::source::directory::root::Root;

/// Weight of finished chunks the threads may be ahead of the consumer; an item weighs one and takes
/// some 200 bytes.
const AHEAD: usize = 16 << 10;

/// Directories with more names than this are listed by the consumer alone, when their turn comes,
/// so that the names of one such directory are in memory and not those of several.
const AHEAD_NAMES: usize = 16 << 10;

/// One piece of work.
pub(super) enum Task {
    /// List a directory and look at its first chunk.
    List(Arc<Node>),
    /// Look at the next chunk of a listing.
    Stat(Rest),
}

/// Where in the walk a piece of work belongs: pieces sort as the consumer will need them. A chunk
/// can begin with the directory that is listed next; the chunk comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Position(EntryPath, Stage);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Stat,
    List,
}

impl Task {
    fn position(&self) -> Position {
        match self {
            Self::List(node) => Position(node.path.clone(), Stage::List),
            Self::Stat(rest) => Position(rest.position(), Stage::Stat),
        }
    }
}

pub(super) struct Pool {
    root: Arc<Root>,
    root_dev: u64,
    options: WalkOptions,
    board: Mutex<Board>,
    /// Something was put on the board, or the consumer has caught up.
    to_do: Condvar,
    /// Something was finished.
    done: Condvar,
}

#[derive(Default)]
struct Board {
    waiting: BTreeMap<Position, Task>,
    running: BTreeSet<Position>,
    finished: BTreeMap<Position, Listed>,
    ahead: usize,
    stopped: bool,
}

impl Pool {
    pub(super) fn new(root: Arc<Root>, options: WalkOptions, root_dev: u64) -> Self {
        Self {
            root,
            root_dev,
            options,
            board: Mutex::default(),
            to_do: Condvar::new(),
            done: Condvar::new(),
        }
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.to_do.notify_all();
    }

    /// A worker's life.
    pub(super) fn work(&self) {
        let mut board = self.lock();
        while !board.stopped {
            let first = match board.ahead < AHEAD {
                true => board.waiting.pop_first(),
                false => None,
            };
            let Some((position, task)) = first else {
                board = self.to_do.wait(board).expect("no worker panics");
                continue;
            };
            board.running.insert(position.clone());
            drop(board);

            let outcome = self.perform(task, AHEAD_NAMES);

            board = self.lock();
            board.running.remove(&position);
            match outcome {
                // Left to the consumer.
                Err(Unlisted::TooMany) => {}
                Err(Unlisted::Failed(error)) => {
                    board.finished.insert(position, Err(error));
                }
                Ok(chunk) => {
                    self.follow_up(&mut board, &chunk);
                    board.ahead += chunk.weight();
                    board.finished.insert(position, Ok(chunk));
                }
            }
            self.done.notify_all();
        }
    }

    /// The chunk that `task` makes: made already, being made, or made now.
    pub(super) fn obtain(&self, task: Task) -> Listed {
        let position = task.position();
        let mut board = self.lock();
        loop {
            if let Some(listed) = board.finished.remove(&position) {
                if let Ok(chunk) = &listed {
                    let was_full = board.ahead >= AHEAD;
                    board.ahead -= chunk.weight();
                    if was_full && board.ahead < AHEAD {
                        self.to_do.notify_all();
                    }
                }
                return listed;
            }
            if !board.running.contains(&position) {
                break;
            }
            board = self.done.wait(board).expect("no worker panics");
        }
        let task = board.waiting.remove(&position).unwrap_or(task);
        drop(board);
        match self.perform(task, usize::MAX) {
            Ok(chunk) => {
                self.follow_up(&mut self.lock(), &chunk);
                Ok(chunk)
            }
            Err(Unlisted::Failed(error)) => Err(error),
            Err(Unlisted::TooMany) => Err(rustix::io::Errno::NOMEM),
        }
    }

    fn perform(&self, task: Task, most_names: usize) -> Result<Chunk, Unlisted> {
        let rest = match task {
            Task::List(node) => Listing::read(&self.root, node, most_names)?,
            Task::Stat(rest) => rest,
        };
        Ok(rest.stat(&self.options, self.root_dev)?)
    }

    /// Puts on the board what a chunk has brought to light.
    fn follow_up(&self, board: &mut MutexGuard<'_, Board>, chunk: &Chunk) {
        let lists = chunk.directories().cloned().map(Task::List);
        let rest = chunk.rest.as_ref().map(|rest| Task::Stat(rest.clone()));
        for task in lists.chain(rest) {
            board.waiting.insert(task.position(), task);
            self.to_do.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("no worker panics")
    }
}
