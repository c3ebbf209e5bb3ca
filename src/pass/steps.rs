//! What was decided, on its way to the manifest writer and to the captures.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::format::entry::{Content, Entry};
use crate::format::totals::Totals;
use crate::snapshots::entries::StoredSegment;
use crate::source::Found;
use crate::stop::Stopped;
use crate::store::Placement;

/// One step of the new manifest, in order.
#[derive(Debug)]
pub(crate) enum Step {
    /// The entries that follow lie in the range of this segment of the last snapshot.
    Begin(Arc<StoredSegment>),
    /// That segment is done with, and another one is about to be loaded.
    End,
    /// The next entries of that segment are as they were.
    Kept(Totals),
    /// The next entry of that segment is not taken over.
    Dropped,
    /// An entry that needs no capture.
    Ready(Box<Entry>),
    /// An entry that is being captured.
    Pending(oneshot::Receiver<Captured>),
    /// What came so far must survive a kill; then the sender is told.
    Checkpoint(oneshot::Sender<()>),
}

/// Which of its file's names an order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhichName {
    /// The only one.
    Only,
    /// The first of several.
    First,
    /// Another one.
    Further {
        /// All names have been seen now.
        is_last: bool,
    },
}

/// What became of a capture.
#[derive(Debug)]
pub(crate) enum Captured {
    /// Its contents were sent.
    Uploaded(Box<Entry>),
    /// It is empty, and there was nothing to send.
    Inline(Box<Entry>),
    /// Its contents are those recorded before.
    Same(Box<Entry>),
    /// It is another name of a file that was captured.
    Linked(Box<Entry>),
    /// It could not be read; the entry says so.
    Unreadable(Box<Entry>),
    /// The store did not take it; the entry says so.
    Unsent(Box<Entry>),
    /// It was gone.
    Vanished,
    /// The pass was stopped before its turn.
    Aborted,
}

/// A file or link to capture.
#[derive(Debug)]
pub(crate) struct Order {
    /// What the walk found.
    pub(crate) found: Found,
    /// Which name of its file this is.
    pub(crate) name: WhichName,
    /// Contents that are not sent again if they are the same.
    pub(crate) known: Option<Content>,
    /// What stands in for it if it cannot be captured.
    pub(crate) fallback: Option<Box<Entry>>,
    /// Where it goes besides the archive that it goes into.
    pub(crate) apart: Option<Box<Apart>>,
    /// Where the result goes.
    pub(crate) reply: oneshot::Sender<Captured>,
}

/// Where a file of an archive goes as an object of its own as well, to which its entry points then.
#[derive(Debug)]
pub(crate) struct Apart {
    /// Its key, unless something is there.
    pub(crate) key: String,
    /// Contents that are such an object already, and are not sent again if they are the same.
    pub(crate) known: Option<Content>,
}

/// What goes into one archive together.
#[derive(Debug)]
pub(crate) struct Group {
    /// Where the archive goes, unless something is there.
    pub(crate) key: String,
    /// What it is called, where there are several.
    pub(crate) name: Option<String>,
    /// How it is kept.
    pub(crate) placement: Placement,
    /// Whether directories go into it. They do not where only what has to be read again goes there.
    pub(crate) takes_directories: bool,
    /// Whether it is the only one, so that all names of a file are in it, and it ends with the source.
    pub(crate) is_only: bool,
}

/// Where decisions go: to the writer and the captures, or, for a plan, nowhere.
pub(crate) trait Sink {
    /// Takes a step.
    ///
    /// # Errors
    /// Nobody wants any more; so with all of these.
    fn step(&mut self, step: Step) -> Result<(), Stopped>;
    /// Takes an order.
    ///
    /// # Errors
    /// As with a step.
    fn order(&mut self, order: Order) -> Result<(), Stopped>;
    /// What follows goes into another archive.
    ///
    /// # Errors
    /// As with a step.
    fn begin_group(&mut self, _: &Arc<Group>) -> Result<(), Stopped> {
        Ok(())
    }
    /// That archive has everything.
    ///
    /// # Errors
    /// As with a step.
    fn end_group(&mut self, _: &Arc<Group>) -> Result<(), Stopped> {
        Ok(())
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn step(&mut self, step: Step) -> Result<(), Stopped> {
        (**self).step(step)
    }

    fn order(&mut self, order: Order) -> Result<(), Stopped> {
        (**self).order(order)
    }

    fn begin_group(&mut self, group: &Arc<Group>) -> Result<(), Stopped> {
        (**self).begin_group(group)
    }

    fn end_group(&mut self, group: &Arc<Group>) -> Result<(), Stopped> {
        (**self).end_group(group)
    }
}

/// Sends steps and orders on, waiting where a queue is full.
pub(crate) struct Queues {
    /// To the manifest writer.
    pub(crate) steps: mpsc::Sender<Step>,
    /// To the threads that read.
    pub(crate) orders: crossbeam_channel::Sender<Order>,
}

impl Sink for Queues {
    fn step(&mut self, step: Step) -> Result<(), Stopped> {
        self.steps.blocking_send(step).map_err(|_| Stopped)
    }

    fn order(&mut self, order: Order) -> Result<(), Stopped> {
        self.orders.send(order).map_err(|_| Stopped)
    }
}
