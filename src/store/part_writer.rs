//! Sending an object in parts: the one uploader for files, archives and streams whose length nobody knows.
//!
//! What is written is cut into parts by the schedule of [`Length`]. They travel in parallel while the next
//! one is filled, as far as the budgets of memory and requests go; whoever writes waits for those. An
//! object that ends before its first part is full is put in one request. Nothing is visible before
//! [`PartWriter::finish`] has succeeded, and nothing is sent twice.
//!
//! A writer that is dropped lets go of what is on its way at once, but only [`PartWriter::abort`] frees
//! what the store has taken.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::hashes::Hashes;
use super::part_sizes::{Length, PART_BYTES};
use super::{
    Completed, Condition, Part, Placement, Store, StoreError, StoreResult, Upload, UploadedPart,
};
use crate::format::location::{Checksum, Stored};
use crate::memory::budget::Budget;
use crate::memory::buffers::{Buffer, Buffers};
use crate::stop::Stopped;

/// What the writers of one purpose share.
#[derive(Clone)]
pub struct Uploader {
    store: Arc<dyn Store>,
    memory: Budget,
    requests: Budget,
    buffers: Buffers,
}

/// What is to be written.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// Where it goes.
    pub key: String,
    /// When it may go there.
    pub condition: Condition,
    /// How it is kept.
    pub placement: Placement,
    /// How long it is.
    pub length: Length,
    /// Whether somebody wants the SHA-256 of the whole, which the store does not.
    pub with_sha256: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The object.
    pub stored: Stored,
    /// CRC-64/NVME of the whole.
    pub crc64nvme: u64,
    /// SHA-256 of the whole, where it was asked for or is what the store keeps.
    pub sha256: Option<[u8; 32]>,
}

/// Why something could not be written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The store has refused it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody gets any memory or request any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Uploader {
    /// Writers that together hold at most so many bytes of parts in flight, in at most so many requests.
    /// The part that each of them is filling comes on top. To be called within a runtime.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, memory_bytes: usize, requests: usize) -> Self {
        let runtime = Handle::current();
        let memory = Budget::of_bytes(memory_bytes, runtime.clone());
        Self::within(store, memory, Budget::of_requests(requests, runtime))
    }

    /// The same with budgets that others use as well.
    pub(crate) fn within(store: Arc<dyn Store>, memory: Budget, requests: Budget) -> Self {
        let buffers = Buffers::of(PART_BYTES);
        Self {
            store,
            memory,
            requests,
            buffers,
        }
    }

    /// Begins an object; sends nothing yet.
    #[must_use]
    pub fn begin(&self, object: NewObject) -> PartWriter {
        PartWriter {
            uploader: self.clone(),
            hashes: Hashes::new(object.with_sha256),
            object,
            pending: Pending::Empty,
            sent: 0,
            begun: 0,
            upload: None,
            sending: JoinSet::new(),
            taken: Vec::new(),
        }
    }

    /// Makes writers that wait for memory or a request give up.
    pub fn close(&self) {
        self.memory.close();
        self.requests.close();
    }
}

/// An object that is being written.
pub struct PartWriter {
    uploader: Uploader,
    object: NewObject,
    hashes: Hashes,
    pending: Pending,
    /// Bytes in parts that were set on their way, and how many parts those are.
    sent: u64,
    begun: i32,
    upload: Option<Arc<Upload>>,
    sending: JoinSet<StoreResult<UploadedPart>>,
    taken: Vec<UploadedPart>,
}

/// What no part holds yet.
#[derive(Default)]
enum Pending {
    #[default]
    Empty,
    /// As it was given, in memory that its owner accounts for.
    Given(Bytes),
    /// From several pieces.
    Gathered(Buffer),
}

impl Pending {
    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Given(bytes) => bytes.len(),
            Self::Gathered(buffer) => buffer.len(),
        }
    }

    /// Adds a piece of a part that will have `length` bytes. A part takes no more memory than that.
    fn gather(&mut self, piece: &[u8], length: usize, buffers: &Buffers) {
        let mut buffer = match std::mem::take(self) {
            Self::Gathered(buffer) => buffer,
            Self::Empty => buffers.take(),
            Self::Given(bytes) => {
                let mut buffer = buffers.take();
                buffer.extend_from_slice(&bytes);
                buffer
            }
        };
        if buffer.capacity() < length {
            let more = length - buffer.len();
            buffer.reserve_exact(more);
        }
        buffer.extend_from_slice(piece);
        *self = Self::Gathered(buffer);
    }
}

/// Bytes on their way, with what they may use.
struct Travelling {
    bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
    _request: OwnedSemaphorePermit,
}

impl PartWriter {
    /// Bytes written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.sent + self.pending.len() as u64
    }

    /// Bytes that the next part has room for yet. Who writes just as many at once has them sent as they
    /// are, without a copy, and without taking further memory from the budget.
    #[must_use]
    pub fn room(&self) -> usize {
        self.part_bytes() - self.pending.len()
    }

    fn part_bytes(&self) -> usize {
        self.object.length.part_bytes(self.sent)
    }

    /// Adds bytes, and sends each part that is full. Fails when a part has failed.
    ///
    /// # Errors
    /// The store fails, or the budgets are closed. The object is to be aborted then.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), WriteError> {
        while let Some(part) = self.sending.try_join_next() {
            self.taken.push(part.map_err(|_| Stopped)??);
        }
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(self.room()));
            self.hashes.add(&piece);
            let end = self.written() + piece.len() as u64;
            let is_last = self.object.length == Length::Known(end);
            let is_empty = matches!(self.pending, Pending::Empty);
            match is_empty && (is_last || piece.len() == self.room()) {
                true => self.pending = Pending::Given(piece),
                false => {
                    let length = self.part_bytes();
                    self.pending.gather(&piece, length, &self.uploader.buffers);
                }
            }
            if self.room() == 0 {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Takes what is pending, once there is room for it among what travels.
    async fn travelling(&mut self) -> Result<Travelling, WriteError> {
        let (bytes, memory) = match std::mem::take(&mut self.pending) {
            Pending::Empty => (Bytes::new(), None),
            Pending::Given(bytes) => (bytes, None),
            Pending::Gathered(buffer) => {
                let memory = self.uploader.memory.bytes(buffer.len()).await?;
                (Bytes::from_owner(buffer), Some(memory))
            }
        };
        Ok(Travelling {
            bytes,
            _memory: memory,
            _request: self.uploader.requests.one().await?,
        })
    }

    /// Sets a part on its way.
    async fn send(&mut self) -> Result<(), WriteError> {
        let store = Arc::clone(&self.uploader.store);
        let upload = match &self.upload {
            Some(upload) => Arc::clone(upload),
            None => {
                let NewObject { key, placement, .. } = &self.object;
                let upload = Arc::new(store.begin_upload(key, placement).await?);
                self.upload = Some(Arc::clone(&upload));
                upload
            }
        };
        let length = self.pending.len();
        let crc64nvme = self.hashes.end_part(length);
        let travelling = self.travelling().await?;
        self.begun += 1;
        let part = Part {
            number: self.begun,
            offset: self.sent,
        };
        self.sent += length as u64;
        self.sending.spawn(async move {
            let bytes = travelling.bytes.clone();
            let sent = store.upload_part(&upload, part, bytes, crc64nvme).await;
            drop(travelling);
            sent
        });
        Ok(())
    }

    /// Sends the rest and makes the object exist.
    ///
    /// # Errors
    /// The store fails, the condition does not hold, or the budgets are closed. The object is to be
    /// aborted then, and where this is not waited for.
    pub async fn finish(&mut self) -> Result<Written, WriteError> {
        match self.upload.clone() {
            None => self.put().await,
            Some(upload) => self.complete(&upload).await,
        }
    }

    /// Puts in one request what has not filled a part.
    async fn put(&mut self) -> Result<Written, WriteError> {
        let size = self.written();
        let travelling = self.travelling().await?;
        let sha256 = self.hashes.sha256();
        let sha256 = sha256.unwrap_or_else(|| Sha256::digest(&travelling.bytes).into());
        let NewObject {
            key,
            condition,
            placement,
            ..
        } = &self.object;
        let store = &self.uploader.store;
        let bytes = travelling.bytes.clone();
        let put = store.put_content(key, bytes, sha256, condition, placement);
        let etag = put.await?;
        let length = travelling.bytes.len();
        self.hashes.end_part(length);
        Ok(Written {
            stored: Stored {
                key: key.as_str().into(),
                size,
                checksum: Checksum::Sha256(sha256),
                etag: Some(etag),
            },
            crc64nvme: self.hashes.crc64nvme(),
            sha256: Some(sha256),
        })
    }

    async fn complete(&mut self, upload: &Upload) -> Result<Written, WriteError> {
        if self.pending.len() > 0 {
            self.send().await?;
        }
        while let Some(part) = self.sending.join_next().await {
            self.taken.push(part.map_err(|_| Stopped)??);
        }
        let mut parts = std::mem::take(&mut self.taken);
        parts.sort_unstable_by_key(|part| part.number);
        let (size, crc64nvme) = (self.sent, self.hashes.crc64nvme());
        let NewObject { key, condition, .. } = &self.object;
        let store = &self.uploader.store;
        let complete = store.complete_upload(upload, parts, size, crc64nvme, condition);
        let Completed { etag, checksum } = complete.await?;
        Ok(Written {
            stored: Stored {
                key: key.as_str().into(),
                size,
                checksum,
                etag: Some(etag),
            },
            crc64nvme,
            sha256: self.hashes.sha256(),
        })
    }

    /// Gives up what was sent, which is of no use to anybody. If that fails, the next pass does it.
    pub async fn abort(mut self) {
        self.sending.shutdown().await;
        if let Some(upload) = &self.upload {
            let _ = self.uploader.store.abort_upload(upload).await;
        }
    }
}
