//! What was asked of the server, in order of arrival.
//!
//! A request is in the log from the moment its headers have arrived; the counts grow while bytes
//! flow. In memory the log grows until it is cleared, so the binary keeps none and can write one
//! JSON line per finished request instead.

use crate::hook::{RequestInfo, detached};
use serde::Serialize;
use std::fs::File;
use std::io::Write as _;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A request and what became of it. Its [`RequestInfo`] can be read through it.
#[derive(Clone, Debug, Serialize)]
pub struct LoggedRequest {
    /// What was asked.
    #[serde(flatten)]
    pub request: RequestInfo,
    /// Bytes of the body as they came over the wire, with any framing of `aws-chunked`.
    pub received: u64,
    /// Bytes of the body of the answer that were handed to the connection.
    pub sent: u64,
    /// The status of the answer; `None` if none was sent.
    pub status: Option<u16>,
}

impl Deref for LoggedRequest {
    type Target = RequestInfo;

    fn deref(&self) -> &RequestInfo {
        &self.request
    }
}

/// Where requests are noted.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    keeps: bool,
    lines: Option<Mutex<File>>,
    entries: Mutex<Vec<Arc<Entry>>>,
    next_index: AtomicUsize,
}

/// One request while it runs and after.
#[derive(Debug)]
pub(crate) struct Entry {
    request: RequestInfo,
    received: AtomicU64,
    sent: AtomicU64,
    status: OnceLock<u16>,
}

impl RequestLog {
    pub(crate) fn new(keeps: bool, lines: Option<File>) -> Self {
        Self {
            keeps,
            lines: lines.map(Mutex::new),
            ..Self::default()
        }
    }

    /// Numbers a request and notes it.
    pub(crate) fn open(self: &Arc<Self>, mut request: RequestInfo) -> Exchange {
        if self.keeps {
            request.headers = detached(&request.headers);
        }
        // The number is drawn under the lock, so that the order of the list is that of the numbers.
        let mut entries = self.entries();
        request.index = self.next_index.fetch_add(1, Ordering::SeqCst);
        let (received, sent) = (AtomicU64::new(0), AtomicU64::new(0));
        let entry = Arc::new(Entry {
            request,
            received,
            sent,
            status: OnceLock::new(),
        });
        if self.keeps {
            entries.push(Arc::clone(&entry));
        }
        drop(entries);
        Exchange {
            entry,
            log: Arc::clone(self),
        }
    }

    pub(crate) fn requests(&self) -> Vec<LoggedRequest> {
        self.entries()
            .iter()
            .map(|entry| entry.snapshot())
            .collect()
    }

    /// Forgets every request; the next one has index 0.
    pub(crate) fn clear(&self) {
        let mut entries = self.entries();
        entries.clear();
        self.next_index.store(0, Ordering::SeqCst);
    }

    pub(crate) fn count(&self) -> usize {
        self.next_index.load(Ordering::SeqCst)
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_line(&self, entry: &Entry) {
        let Some(lines) = &self.lines else { return };
        let Ok(mut line) = serde_json::to_vec(&entry.snapshot()) else {
            return;
        };
        line.push(b'\n');
        // A log that cannot be written must not fail the request it describes.
        let _ = lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&line);
    }
}

impl Entry {
    pub(crate) fn add_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_status(&self, status: u16) {
        let _ = self.status.set(status);
    }

    fn snapshot(&self) -> LoggedRequest {
        LoggedRequest {
            request: self.request.clone(),
            received: self.received(),
            sent: self.sent.load(Ordering::Relaxed),
            status: self.status.get().copied(),
        }
    }
}

/// A request in progress. When it is dropped the request is over and its line is written.
#[derive(Debug)]
pub(crate) struct Exchange {
    entry: Arc<Entry>,
    log: Arc<RequestLog>,
}

impl Exchange {
    pub(crate) fn info(&self) -> &RequestInfo {
        &self.entry.request
    }

    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.log.write_line(&self.entry);
    }
}
