//! Captures: reading files that may change under the reader, hashing them once, sending them.
//!
//! Threads read and hash, because reading blocks; what they have read is sent by tasks, so that a
//! thread never waits for an answer of the store, except when it sends a large file in parts. A
//! file is `fstat`ed before and after it is read; one that changed meanwhile is read once more, and
//! kept as read then.

mod file;
mod parts;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::merge::{Captured, Order};
use super::{DirectorySource, Limits};
use crate::budget::{Budget, Closed};
use crate::events::{Event, Events};
use crate::manifest::entry::{Content, Entry, Kind, Unreadable};
use crate::manifest::keys;
use crate::manifest::pass_id::PassId;
use crate::source::open::Root;
use crate::source::stat::Stat;
use crate::source::xattr;
use crate::stop::Stop;
use crate::store::{Store, StoreError};

/// Orders that wait for a thread.
const QUEUE: usize = 1024;

/// Requests that sending a file of `size` bytes takes.
#[must_use]
pub fn requests(size: u64) -> u64 {
    match size {
        0..=file::WHOLE_BYTES => 1,
        // Begin, complete, and the parts.
        _ => 2 + size.div_ceil(parts::part_bytes(size)),
    }
}

/// What captures need to know.
pub struct CaptureOptions {
    /// What is backed up.
    pub source: DirectorySource,
    /// Its root, open.
    pub root: Root,
    /// The pass.
    pub pass: PassId,
    /// Where contents go.
    pub store: Arc<dyn Store>,
    /// Where events go.
    pub events: Events,
    /// How much at once.
    pub limits: Limits,
    /// When to stop.
    pub stop: Arc<Stop>,
}

/// The threads that capture.
pub struct Captures {
    capturer: Arc<Capturer>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Captures {
    /// Starts the threads. They end when the sender of orders is dropped.
    pub fn start(options: CaptureOptions) -> (Self, crossbeam_channel::Sender<Order>) {
        let (sender, orders) = crossbeam_channel::bounded(QUEUE);
        let runtime = Handle::current();
        let threads = options.limits.read_threads.max(1);
        let capturer = Arc::new(Capturer {
            memory: Budget::of_bytes(options.limits.memory_bytes, runtime.clone()),
            requests: Budget::of_requests(options.limits.concurrency, runtime.clone()),
            options,
            runtime,
        });
        let threads = (0..threads).map(|_| {
            let (capturer, orders) = (Arc::clone(&capturer), orders.clone());
            std::thread::spawn(move || {
                for order in orders {
                    capturer.take(order);
                }
            })
        });
        let captures = Self {
            threads: threads.collect(),
            capturer: Arc::clone(&capturer),
        };
        (captures, sender)
    }

    /// Makes threads that wait for memory or a free request give up.
    pub fn close(&self) {
        self.capturer.memory.close();
        self.capturer.requests.close();
    }

    /// Waits for the threads, which end once no order can come any more.
    pub fn join(self) {
        for thread in self.threads {
            // A thread that panicked has said so, and its captures count as aborted.
            let _ = thread.join();
        }
    }
}

struct Capturer {
    options: CaptureOptions,
    memory: Budget,
    requests: Budget,
    runtime: Handle,
}

/// A capture under way: what there is to say about the file, and to whom.
struct Capture {
    capturer: Arc<Capturer>,
    order: Order,
    started: Instant,
}

/// Why a file was not captured.
enum Refused {
    /// Something else is there, or nothing.
    Gone,
    /// The system refuses.
    Unreadable(io::Error),
    /// The store refuses.
    Store(String, StoreError),
    /// The pass is being stopped.
    Stopped,
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO => Self::Gone,
            other => Self::Unreadable(other.into()),
        }
    }
}

impl From<Closed> for Refused {
    fn from(_: Closed) -> Self {
        Self::Stopped
    }
}

impl Capturer {
    fn take(self: &Arc<Self>, order: Order) {
        let capture = Capture {
            capturer: Arc::clone(self),
            order,
            started: Instant::now(),
        };
        if self.options.stop.is_set() {
            return capture.end(Err(Refused::Stopped));
        }
        match capture.order.found.stat.metadata.kind {
            Kind::File => file::capture(capture),
            Kind::Symlink => {
                let result = capture.symlink();
                capture.end(result);
            }
            _ => {
                let result = capture.directory();
                capture.end(result);
            }
        }
    }
}

impl Capture {
    fn options(&self) -> &CaptureOptions {
        &self.capturer.options
    }

    fn symlink(&self) -> Result<Captured, Refused> {
        let found = &self.order.found;
        let mut entry = Entry::new(found.path.clone(), found.stat.metadata);
        let target = self.options().root.read_link(&found.path);
        entry.target = Some(match target {
            // Something else has taken its place.
            Err(Errno::INVAL) => return Err(Refused::Gone),
            other => other?,
        });
        if self.options().source.xattrs {
            let path = self.options().source.directory.join(bytes_as_path(&entry));
            entry.xattrs = xattr::of_path(&path)?;
        }
        Ok(Captured::Same(Box::new(entry)))
    }

    fn directory(&self) -> Result<Captured, Refused> {
        let found = &self.order.found;
        let mut entry = Entry::new(found.path.clone(), found.stat.metadata);
        let directory = self.options().root.open_directory(&found.path)?;
        entry.xattrs = xattr::of_open(&directory)?;
        Ok(Captured::Same(Box::new(entry)))
    }

    /// The entry of a file of which `size` bytes were read after `stat` was taken.
    fn entry(&self, stat: &Stat, size: u64) -> Entry {
        let found = &self.order.found;
        let mut metadata = stat.metadata;
        metadata.size = size;
        let mut entry = Entry::new(found.path.clone(), metadata);
        entry.hardlink = found.stat.link_group();
        entry.sparse = stat.sparse;
        entry
    }

    fn key(&self) -> String {
        let options = self.options();
        keys::content(&options.source.name, options.pass, &self.order.found.path)
    }

    /// Ends a capture whose contents have arrived in the store.
    fn uploaded(self, entry: Entry) {
        let key = self.key();
        if let Some(content) = &entry.content {
            self.options().events.emit(&Event::FileUploaded {
                source: self.options().source.name.clone(),
                path: entry.path.to_string(),
                key,
                size: entry.metadata.size,
                sha256: hex::encode(content.sha256),
                duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
        }
        self.end(Ok(Captured::Uploaded(Box::new(entry))));
    }

    fn end(self, result: Result<Captured, Refused>) {
        let captured = match result {
            Ok(captured) => captured,
            Err(refused) => self.refused(refused),
        };
        if let Captured::Uploaded(entry) | Captured::Same(entry) = &captured
            && entry.changed_while_reading
        {
            self.options().events.emit(&Event::FileChangedWhileReading {
                source: self.options().source.name.clone(),
                path: entry.path.to_string(),
            });
        }
        reply(self.order.reply, captured);
    }

    fn refused(&self, refused: Refused) -> Captured {
        let source = self.options().source.name.clone();
        let path = self.order.found.path.to_string();
        let (event, error) = match refused {
            Refused::Stopped => return Captured::Aborted,
            Refused::Gone => {
                let event = Event::FileVanished { source, path };
                self.options().events.emit(&event);
                return Captured::Vanished;
            }
            Refused::Unreadable(error) => {
                let error = error.to_string();
                let event = Event::FileUnreadable {
                    source,
                    path,
                    error: error.clone(),
                };
                (event, error)
            }
            Refused::Store(key, error) => {
                let text = error.to_string();
                let event = Event::FileUploadFailed {
                    source,
                    path,
                    key,
                    error: text.clone(),
                };
                if error.kind.is_fatal() {
                    self.options().events.emit(&event);
                    self.options().stop.fail(error);
                    return Captured::Aborted;
                }
                (event, text)
            }
        };
        self.options().events.emit(&event);
        Captured::Failed(Box::new(self.stand_in(error)))
    }

    /// What the snapshot keeps of something that could not be captured: what the last one had, or
    /// the mere fact that it is there.
    fn stand_in(&self, error: String) -> Entry {
        let found = &self.order.found;
        let kind = found.stat.metadata.kind;
        let fallback = self.order.fallback.as_deref();
        let mut entry = match fallback.filter(|old| old.metadata.kind == kind) {
            Some(old) => old.clone(),
            None => Entry::new(found.path.clone(), found.stat.metadata),
        };
        let since = entry.unreadable.map_or(self.options().pass, |u| u.since);
        entry.unreadable = Some(Unreadable { error, since });
        entry
    }

    /// The recorded contents, if these are the same.
    fn known(&self, sha256: [u8; 32]) -> Option<Content> {
        let known = self.order.known.as_ref();
        known.filter(|known| known.sha256 == sha256).cloned()
    }
}

fn bytes_as_path(entry: &Entry) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt as _;
    std::path::Path::new(std::ffi::OsStr::from_bytes(entry.path.as_bytes()))
}

/// A writer that is gone has no use for the result.
fn reply(to: oneshot::Sender<Captured>, captured: Captured) {
    let _ = to.send(captured);
}
