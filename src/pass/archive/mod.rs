//! Archives: contents go into one tar object instead of objects of their own.
//!
//! ```text
//!                 ┌─► pieces, in order ──────────────────────────┐
//! merge ─► packer ┤                                              ├─► assembler ─► parts ─► store
//!                 └─► workers (read, hash, tar, compress) ───────┘
//! ```
//!
//! The packer cuts the merge's orders, in order, into pieces: a group of small files, or a stretch
//! of a large one. Workers turn pieces into gzip members or zstd frames, in parallel. The assembler
//! joins them in order, knows therefore where each lies, and sends them in parts. So the manifest
//! can say of each file which few bytes of the archive hold it, and the whole is still a tar stream
//! for everybody else. Nothing touches a disk, and every queue is bounded in bytes.
//!
//! The archive object exists once its upload is completed, which happens after the merge has come
//! to its end and before the commit record is written. Where there are several, each is completed at its
//! group's end; its record, which makes a later pass trust it, follows once a checkpoint has the group's
//! entries.

mod assembler;
mod packer;
mod worker;

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::capture::Capturer;
use super::context::SourceContext;
use super::fatal::{FatalError, spawn};
use super::job::ArchiveOptions;
use super::steps::{Group, Order, Sink, Step};
use crate::format::entry::{Entry, Kind};
use crate::format::objects::SharedObject;
use crate::memory::budget::Budget;
use crate::memory::buffers::Buffers;
use crate::stop::Stopped;
use crate::store::{Length, PART_BYTES, Uploader};

/// Bytes of an archive for each entry besides its contents: a header, and one of what it has no
/// room for.
const HEADER_BYTES: u64 = 1024;

/// Requests that sending an archive of `entries` with so many bytes of contents takes, if they
/// cannot be compressed.
#[must_use]
pub(crate) fn requests_at_most(bytes: u64, entries: u64) -> u64 {
    Length::Unknown.requests(bytes + entries * HEADER_BYTES)
}

/// What the merge sends to the packer.
enum ToPack {
    /// A directory that is new or different.
    Directory(Box<Entry>),
    /// Something to capture.
    Order(Box<Order>),
    /// Nothing to pack, but the manifest has gone on: what is open must not be waited for too long.
    Cut,
    /// Another archive is next.
    Begin(Arc<Group>),
    /// The archive has everything. It counts as complete once its entries are recorded, of which
    /// the receiver tells.
    End(Option<oneshot::Receiver<()>>),
}

/// Steps after which the packer closes a group, so that the manifest writer, which waits for the
/// group's files, never holds up the merge that would fill it. Well below what the queue of steps
/// holds.
const STEPS_BETWEEN_CUTS: u32 = 1024;

/// Items that wait for the packer.
const ITEMS: usize = 1024;

/// Sends steps to the manifest writer, and what belongs into the archive to the packer.
pub(crate) struct ArchiveQueues {
    steps: mpsc::Sender<Step>,
    items: crossbeam_channel::Sender<ToPack>,
    steps_since_cut: u32,
    takes_directories: bool,
}

impl ArchiveQueues {
    fn item(&mut self, item: ToPack) -> Result<(), Stopped> {
        self.items.send(item).map_err(|_| Stopped)
    }
}

impl Sink for ArchiveQueues {
    fn step(&mut self, step: Step) -> Result<(), Stopped> {
        let item = match &step {
            Step::Ready(entry)
                if entry.metadata.kind == Kind::Directory
                    && entry.unreadable.is_none()
                    && self.takes_directories =>
            {
                Some(ToPack::Directory(entry.clone()))
            }
            _ => None,
        };
        self.steps.blocking_send(step).map_err(|_| Stopped)?;
        if let Some(item) = item {
            self.item(item)?;
        }
        self.steps_since_cut += 1;
        if self.steps_since_cut >= STEPS_BETWEEN_CUTS {
            self.steps_since_cut = 0;
            self.item(ToPack::Cut)?;
        }
        Ok(())
    }

    fn order(&mut self, order: Order) -> Result<(), Stopped> {
        self.item(ToPack::Order(Box::new(order)))
    }

    fn begin_group(&mut self, group: &Arc<Group>) -> Result<(), Stopped> {
        self.takes_directories = group.takes_directories;
        self.item(ToPack::Begin(Arc::clone(group)))
    }

    fn end_group(&mut self, group: &Arc<Group>) -> Result<(), Stopped> {
        self.takes_directories = false;
        if group.is_only || !group.takes_directories {
            return self.item(ToPack::End(None));
        }
        let (recorded, is_recorded) = oneshot::channel();
        let step = self.steps.blocking_send(Step::Checkpoint(recorded));
        step.map_err(|_| Stopped)?;
        self.item(ToPack::End(Some(is_recorded)))
    }
}

/// The threads that make an archive.
pub(crate) struct Archiver {
    reading: Budget,
    uploader: Uploader,
    threads: Vec<std::thread::JoinHandle<()>>,
    assembler: std::thread::JoinHandle<Result<Vec<SharedObject>, Stopped>>,
}

impl Archiver {
    /// Starts the threads. They end when the sink is dropped.
    ///
    /// # Errors
    /// The compressor does not know the level, or a thread cannot be started.
    pub(crate) fn start(
        options: Arc<SourceContext>,
        archive: &ArchiveOptions,
        steps: mpsc::Sender<Step>,
    ) -> Result<(Self, ArchiveQueues), FatalError> {
        let compressors = worker::Compressors::new(archive).map_err(FatalError::Compression)?;
        let runtime = Handle::current();
        let limits = &options.limits;
        let workers = limits.read_threads.max(1);
        // Half for what is read and compressed, with the file that each worker reads into a group at
        // the time; half for what is sent, with the part that is being filled.
        let half = limits.memory_bytes / 2;
        let read_now = workers * packer::ALONE_BYTES;
        let reading = half.saturating_sub(read_now).max(packer::BUFFER_BYTES);
        let reading = Budget::of_bytes(reading, runtime.clone());
        let sending = half.saturating_sub(PART_BYTES).max(PART_BYTES);
        let uploader = Uploader::new(Arc::clone(&options.store), sending, limits.concurrency);
        // Files in a group are paid for with their group.
        let unlimited = Budget::of_bytes(usize::MAX, runtime.clone());
        let requests = Budget::of_requests(limits.concurrency, runtime.clone());
        let budgets = (unlimited, requests);
        let capturer = Capturer::new(options, budgets, uploader.clone(), runtime);

        let (items_in, items) = crossbeam_channel::bounded(ITEMS);
        let (work_in, work) = crossbeam_channel::bounded(workers);
        let (slots_in, slots) = mpsc::channel(4 * workers);
        let mut threads = Vec::new();
        let pieces = Buffers::of(packer::BUFFER_BYTES);
        let packer = packer::Packer::new(
            Arc::clone(&capturer),
            (reading.clone(), pieces.clone()),
            work_in,
            slots_in,
        );
        threads.push(spawn("packer", move || packer.run(items))?);
        for _ in 0..workers {
            let worker =
                worker::Worker::new(Arc::clone(&capturer), compressors.clone(), pieces.clone());
            let work = work.clone();
            threads.push(spawn("compress", move || worker.run(work))?);
        }
        let assembler =
            assembler::Assembler::new(Arc::clone(&capturer), archive.codec, uploader.clone());
        let archiver = Self {
            reading,
            uploader,
            threads,
            assembler: spawn("assembler", move || assembler.run(slots))?,
        };
        let queues = ArchiveQueues {
            steps,
            items: items_in,
            steps_since_cut: 0,
            takes_directories: false,
        };
        Ok((archiver, queues))
    }

    /// Makes threads that wait for memory or a request give up.
    pub(crate) fn close(&self) {
        self.reading.close();
        self.uploader.close();
    }

    /// Waits for the threads, which end once nothing can come any more; what they have put into the
    /// store.
    ///
    /// # Errors
    /// An archive was not finished.
    pub(crate) fn join(self) -> Result<Vec<SharedObject>, Stopped> {
        for thread in self.threads {
            // A thread that panicked has said so, and its captures count as aborted.
            let _ = thread.join();
        }
        self.assembler.join().unwrap_or(Err(Stopped))
    }
}
