//! Captures: reading files that may change under the reader, hashing them once, sending them.
//!
//! Threads read and hash, because reading blocks; what they have read is sent by tasks, so that a
//! thread never waits for an answer of the store, except when it sends a large file in parts. A
//! file is `fstat`ed before and after it is read; one that changed meanwhile is read once more, and
//! kept as read then.

pub(super) mod apart;
mod file;
pub(super) mod large;
pub(super) mod links;
pub(super) mod reading;
mod remote;
pub(super) mod stream;
mod threads;
mod uncaptured;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use self::links::{First, Links};
pub(super) use self::threads::Captures;
pub(super) use self::uncaptured::Uncaptured;
use super::context::SourceContext;
use super::steps::{Captured, Order};
use crate::events::Event;
use crate::format::entry::{Content, Digest, Entry, Kind};
use crate::format::keys;
use crate::format::location::Location;
use crate::format::name::Name;
use crate::memory::budget::Budget;
use crate::memory::regions::{self, Region, Regions};
use crate::memory::turns::Turns;
use crate::source::stat::Stat;
use crate::stop::Stopped;
use crate::store::{Length, PartWriter, Uploader, WHOLE_BYTES, Written};

/// How long giving up an upload may take when there is no time left for anything else.
const ABORT_TIMEOUT: Duration = Duration::from_secs(3);

/// Requests that sending a file of `size` bytes takes.
#[must_use]
pub(crate) fn requests(size: u64) -> u64 {
    match size {
        0..=WHOLE_BYTES => 1,
        _ => Length::Known(size).requests(size),
    }
}

/// What captures share.
pub(super) struct Capturer {
    pub(super) options: Arc<SourceContext>,
    memory: Budget,
    regions: Regions,
    pub(super) links: Links,
    requests: Budget,
    /// Copies that the store makes.
    turns: Turns,
    uploader: Uploader,
    pub(super) runtime: Handle,
}

/// Memory for contents; it counts as in use until nobody has it any more.
#[derive(Debug)]
pub(super) struct InMemory {
    pub(super) bytes: Region,
    // Last: what is given back is free before somebody else may take it.
    _memory: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for InMemory {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A capture under way: what there is to say about the file, and to whom.
pub(super) struct Capture {
    pub(super) capturer: Arc<Capturer>,
    pub(super) order: Order,
    started: Instant,
}

impl Capturer {
    pub(super) fn new(
        options: Arc<SourceContext>,
        (memory, requests): (Budget, Budget),
        uploader: Uploader,
        runtime: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            turns: Turns::of(options.limits.concurrency, runtime.clone()),
            uploader,
            memory,
            requests,
            regions: Regions::default(),
            links: Links::default(),
            options,
            runtime,
        })
    }

    /// Waits for memory for so many bytes of contents. It may be in the hands of a connection that
    /// stands still, so that nobody can give it back before the end.
    pub(super) fn hold(&self, length: usize) -> Result<InMemory, Stopped> {
        let taken = regions::taken(length);
        let memory = match self.memory.try_take_bytes(taken) {
            Some(memory) => memory,
            None => self.wait(self.memory.bytes(taken))??,
        };
        Ok(InMemory {
            bytes: self.regions.take(length),
            _memory: memory,
        })
    }

    /// Waits for a request, unless there is no time left for it.
    pub(super) fn wait<T>(&self, request: impl Future<Output = T>) -> Result<T, Stopped> {
        self.runtime.block_on(self.in_time(request))
    }

    /// The same for a task, which lets go of what it holds and somebody else may be waiting for.
    pub(super) async fn in_time<T>(&self, request: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            answer = request => Ok(answer),
            () = self.options.stop.hurried() => Err(Stopped),
        }
    }

    /// Gives up an object that is being written.
    pub(super) fn abort(&self, writer: PartWriter) {
        let out_of_time = async {
            self.options.stop.hurried().await;
            tokio::time::sleep(ABORT_TIMEOUT).await;
        };
        self.runtime.block_on(async {
            tokio::select! {
                () = writer.abort() => {}
                () = out_of_time => {}
            }
        });
    }

    /// Begins a capture.
    pub(super) fn begin(self: &Arc<Self>, order: Order) -> Capture {
        Capture {
            capturer: Arc::clone(self),
            order,
            started: Instant::now(),
        }
    }

    fn take(self: &Arc<Self>, order: Order) {
        let capture = self.begin(order);
        if self.options.stop.is_set() {
            return capture.end(Err(Uncaptured::Stopped));
        }
        match capture.order.found.stat.metadata.kind {
            Kind::File => match capture.another_name() {
                Some((First::Stored(first) | First::Member(first), stat)) => {
                    let entry = capture.linked(&first, &stat);
                    capture.end(Ok(Captured::Linked(Box::new(entry))));
                }
                _ => file::capture(capture),
            },
            Kind::Object => remote::capture(capture),
            _ => {
                let result = capture.without_contents();
                capture.end(result);
            }
        }
    }
}

impl Capture {
    pub(super) fn options(&self) -> &SourceContext {
        &self.capturer.options
    }

    /// Captures a symbolic link or a directory.
    pub(super) fn without_contents(&self) -> Result<Captured, Uncaptured> {
        let found = &self.order.found;
        let opened = self.options().source.open(found)?;
        let mut entry = Entry::new(found.name.clone(), opened.stat.metadata);
        entry.inode = opened.stat.directory_inode();
        entry.target = opened.target;
        entry.xattrs = opened.xattrs;
        Ok(Captured::Same(Box::new(entry)))
    }

    /// The entry of a file of which `size` bytes were read after `stat` was taken.
    pub(super) fn entry(&self, stat: &Stat, size: u64) -> Entry {
        let found = &self.order.found;
        let mut metadata = stat.metadata;
        metadata.size = size;
        let mut entry = Entry::new(found.name.clone(), metadata);
        entry.object = found.object.clone();
        entry.hardlink = stat.link_group();
        entry.sparse = stat.sparse;
        entry
    }

    fn key(&self) -> String {
        let (options, found) = (self.options(), &self.order.found);
        let (source, pass) = (&options.job.name, options.pass);
        match (&found.name, &found.object) {
            (Name::Key(key), Some(object)) => keys::copy(source, pass, &object.category, key),
            (name, _) => keys::content(source, pass, name.as_path()),
        }
    }

    /// Contents that this pass captures.
    pub(super) fn content(&self, sha256: [u8; 32], location: Location) -> Content {
        Content {
            digest: Digest::Sha256(sha256),
            pass: self.options().pass,
            captured_as: None,
            location,
        }
    }

    /// Contents that were sent, and have this SHA-256.
    pub(super) fn sent(&self, written: Written, sha256: [u8; 32]) -> Content {
        self.content(sha256, Location::Object(Box::new(written.stored)))
    }

    /// Ends a capture whose contents have arrived in the store.
    pub(super) fn uploaded(self, entry: Entry) {
        if let Some(content) = &entry.content
            && let Location::Object(stored) = &content.location
        {
            self.options().events.emit(&Event::FileUploaded {
                source: self.options().job.name.clone(),
                path: entry.name.to_string(),
                key: stored.key.to_string(),
                size: entry.metadata.size,
                sha256: hex::encode(content.digest.sha256().unwrap_or_default()),
                duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
        }
        self.end(Ok(Captured::Uploaded(Box::new(entry))));
    }

    /// Tells why a file of an archive is not an object of its own as well. Nothing is lost: the archive has it.
    pub(super) fn in_archive_alone(&self, why: &str) {
        let (source, path) = (&self.options().job.name, &self.order.found.name);
        self.options().events.emit(&Event::Notice {
            message: format!(
                "{source}: `{path}` is in its archive alone, and no object of its own as well: {why}"
            ),
        });
    }

    /// Ends a capture whose contents are in an archive that is being written.
    pub(super) fn archived(self, entry: Entry, archive: &str) {
        self.options().events.emit(&Event::FileArchived {
            source: self.options().job.name.clone(),
            path: entry.name.to_string(),
            key: archive.to_owned(),
            size: entry.metadata.size,
        });
        // Its other names know: see `is_member`.
        self.finish(Captured::Uploaded(Box::new(entry)));
    }

    pub(super) fn end(self, result: Result<Captured, Uncaptured>) {
        let captured = match result {
            Ok(captured) => captured,
            Err(refused) => self.refused(refused),
        };
        self.settle(&captured);
        self.finish(captured);
    }

    fn finish(self, captured: Captured) {
        if let Captured::Uploaded(entry) | Captured::Inline(entry) | Captured::Same(entry) =
            &captured
            && entry.changed_while_reading
        {
            self.options().events.emit(&Event::FileChangedWhileReading {
                source: self.options().job.name.clone(),
                path: entry.name.to_string(),
            });
        }
        reply(self.order.reply, captured);
    }

    /// The recorded contents, if these are the same.
    pub(super) fn known(&self, sha256: [u8; 32]) -> Option<Content> {
        let known = self.order.known.as_ref();
        known.filter(|known| known.is(sha256)).cloned()
    }
}

/// A writer that is gone has no use for the result.
fn reply(to: oneshot::Sender<Captured>, captured: Captured) {
    let _ = to.send(captured);
}
