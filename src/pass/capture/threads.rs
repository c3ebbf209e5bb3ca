//! The threads that capture.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::Capturer;
use crate::memory::budget::Budget;
use crate::pass::context::SourceContext;
use crate::pass::fatal::{FatalError, spawn};
use crate::pass::steps::Order;
use crate::store::Uploader;

/// Orders that wait for a thread.
const QUEUE: usize = 1024;

/// The threads that capture.
pub(crate) struct Captures {
    capturer: Arc<Capturer>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Captures {
    /// Starts the threads. They end when the sender of orders is dropped.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn start(
        options: Arc<SourceContext>,
    ) -> Result<(Self, crossbeam_channel::Sender<Order>), FatalError> {
        let (sender, orders) = crossbeam_channel::bounded(QUEUE);
        let runtime = Handle::current();
        let threads = options.limits.read_threads.max(1);
        let memory = options.limits.memory_bytes;
        let memory = Budget::of_bytes(memory, runtime.clone());
        let requests = Budget::of_requests(options.limits.concurrency, runtime.clone());
        let store = Arc::clone(&options.store);
        let uploader = Uploader::within(store, memory.clone(), requests.clone());
        let capturer = Capturer::new(options, (memory, requests), uploader, runtime);
        let threads = (0..threads).map(|_| {
            let (capturer, orders) = (Arc::clone(&capturer), orders.clone());
            spawn("capture", move || {
                for order in orders {
                    capturer.take(order);
                }
            })
        });
        let captures = Self {
            threads: threads.collect::<Result<_, _>>()?,
            capturer: Arc::clone(&capturer),
        };
        Ok((captures, sender))
    }

    /// Makes threads that wait for memory or a free request give up.
    pub(crate) fn close(&self) {
        self.capturer.uploader.close();
        self.capturer.turns.close();
    }

    /// Waits for the threads, which end once no order can come any more.
    pub(crate) fn join(self) {
        for thread in self.threads {
            // A thread that panicked has said so, and its captures count as aborted.
            let _ = thread.join();
        }
    }
}
