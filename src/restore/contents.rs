//! Fetching contents, checking them, and writing them to a new file.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::ftruncate;
use rustix::io::{Errno, pwrite};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::apply::Worker;
use crate::manifest::entry::{Content, Entry};
use crate::manifest::keys;
use crate::store::{StoreError, StoreResult};

/// Fetched at a time; larger files in several such ranges at once.
const RANGE_BYTES: u64 = 8 << 20;

/// A hole is looked for in units of this; what most file systems allocate.
const BLOCK: usize = 4096;

/// Why contents were not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContentsError {
    /// They are not what the manifest says, twice over.
    #[error("contents in the store do not have the SHA-256 of the manifest (object `{0}`)")]
    Altered(String),
    /// The store does not give them out.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They cannot be written.
    #[error("cannot be written: {}", std::io::Error::from(*.0))]
    Write(#[from] Errno),
    /// The restore is being stopped.
    #[error("interrupted")]
    Stopped,
}

/// Writes the contents of `entry` to an empty file. What arrives damaged is fetched once more.
pub(super) fn write(
    worker: &Worker,
    file: &OwnedFd,
    entry: &Entry,
    content: &Content,
) -> Result<(), ContentsError> {
    let key = match &content.key {
        Some(key) => key.to_string(),
        None => keys::content(&worker.source, content.pass, &entry.path),
    };
    for _ in 0..2 {
        if fetch(worker, file, entry, &key)? == content.sha256 {
            return Ok(());
        }
    }
    Err(ContentsError::Altered(key))
}

/// A range on its way.
type Fetch = JoinHandle<(StoreResult<Bytes>, OwnedSemaphorePermit)>;

fn fetch(
    worker: &Worker,
    file: &OwnedFd,
    entry: &Entry,
    key: &str,
) -> Result<[u8; 32], ContentsError> {
    let size = entry.metadata.size;
    // Nothing is left of an attempt before.
    ftruncate(file, 0)?;
    let mut hasher = Sha256::new();
    let mut ahead: VecDeque<Fetch> = VecDeque::new();
    let (mut asked, mut written) = (0, 0);
    while written < size {
        // Ask for as much ahead as memory allows without waiting, and for one range in any case.
        while asked < size {
            let end = size.min(asked + RANGE_BYTES);
            let length = usize::try_from(end - asked).unwrap_or(usize::MAX);
            let memory = match ahead.is_empty() {
                true => Some(
                    worker
                        .memory
                        .take_bytes(length)
                        .map_err(|_| ContentsError::Stopped)?,
                ),
                false => worker.memory.try_take_bytes(length),
            };
            let Some(memory) = memory else { break };
            let (store, key, range) = (Arc::clone(&worker.store), key.to_owned(), asked..end);
            ahead.push_back(
                worker
                    .runtime
                    .spawn(async move { (store.get_range(&key, range).await, memory) }),
            );
            asked = end;
        }
        let Some(first) = ahead.pop_front() else {
            break;
        };
        if worker.options.stop.is_set() {
            return Err(ContentsError::Stopped);
        }
        let fetched = worker.runtime.block_on(first);
        let (bytes, _memory) = fetched.map_err(|_| ContentsError::Stopped)?;
        let bytes = bytes?;
        hasher.update(&bytes);
        match entry.sparse {
            true => write_sparse(file, &bytes, written)?,
            false => write_all(file, &bytes, written)?,
        }
        written += bytes.len() as u64;
    }
    // There may be a hole at the end.
    ftruncate(file, size)?;
    Ok(hasher.finalize().into())
}

fn write_all(file: &OwnedFd, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match pwrite(file, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(length) => {
                bytes = &bytes[length..];
                at += length as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Leaves out blocks of zeros. The file was empty, so what is left out is a hole.
fn write_sparse(file: &OwnedFd, bytes: &[u8], at: u64) -> Result<(), Errno> {
    let mut offset = at;
    for block in bytes.chunks(BLOCK) {
        if block.iter().any(|byte| *byte != 0) {
            write_all(file, block, offset)?;
        }
        offset += block.len() as u64;
    }
    Ok(())
}
