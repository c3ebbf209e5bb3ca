//! Capturing a large file in parts, which are sent in parallel while the thread reads on.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use crc_fast::checksum_combine;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::file::{self, Attempt, has_changed, read_into};
use super::{Capture, Refused};
use crate::source::stat::Stat;
use crate::stop::Stopped;
use crate::store::{StoreResult, Upload, UploadedPart};

/// Parts are at least this large: enough to make the request negligible, small enough for several
/// to be in flight within the memory budget.
const PART_BYTES: u64 = 8 << 20;

/// Parts grow up to this before there are more than [`PARTS`]: half the requests, which cost money
/// and time, and still several in flight.
const LARGE_PART_BYTES: u64 = 16 << 20;

/// Parts that a file should not exceed as long as they can be larger within reason.
const PARTS: u64 = 128;

/// S3 takes no more parts than this in one upload; larger files get larger parts.
const MOST_PARTS: u64 = 10_000;

/// Read at a time when a file is only hashed.
const HASH_BYTES: usize = 1 << 20;

/// Hashed at a time, twice: well within the cache of a processor's core.
const STRETCH_BYTES: usize = 64 << 10;

/// Hashes of the contents so far.
struct Hashes {
    sha256: Sha256,
    crc64nvme: u64,
    size: u64,
}

impl Hashes {
    /// Adds a part; its own CRC-64/NVME. Each stretch is read from memory once: the CRC, which is by
    /// far the faster one, finds it in the processor's cache.
    fn add(&mut self, part: &[u8]) -> u64 {
        let mut crc64nvme = crc_fast::Digest::new(Crc64Nvme);
        for stretch in part.chunks(STRETCH_BYTES) {
            self.sha256.update(stretch);
            crc64nvme.update(stretch);
        }
        let crc64nvme = crc64nvme.finalize();
        let length = part.len() as u64;
        self.crc64nvme = checksum_combine(Crc64Nvme, self.crc64nvme, crc64nvme, length);
        self.size += length;
        crc64nvme
    }
}

/// One attempt at capturing a file in parts.
pub(super) fn capture(
    capture: &Capture,
    file: &OwnedFd,
    before: &Stat,
    is_last: bool,
) -> Result<Attempt, Refused> {
    if let Some(known) = &capture.order.known {
        let (sha256, size) = hash(capture, file, before.metadata.size)?;
        if known.sha256 == sha256 && !has_changed(file, before)? {
            let mut entry = capture.entry(before, size);
            entry.content = Some(known.clone());
            return Ok(Attempt::Same(entry));
        }
    }
    let options = capture.options();
    let key = capture.key();
    let failed = |error| Refused::Store(key.clone(), error);
    let begin = options.store.begin_upload(&key, &options.source.placement);
    let upload = Arc::new(capture.capturer.wait(begin)?.map_err(failed)?);
    let sent = send_parts(capture, file, before, &upload);
    let (hashes, parts) = match sent {
        Ok(sent) => sent,
        Err(refused) => {
            // What was sent is of no use to anybody.
            capture.capturer.abort(&upload);
            return Err(refused);
        }
    };
    let changed = hashes.size != before.metadata.size || has_changed(file, before)?;
    if (changed && !is_last) || parts.is_empty() {
        capture.capturer.abort(&upload);
        return match is_last {
            false => Ok(Attempt::Changed),
            true => file::empty(capture, before),
        };
    }
    let crc64nvme = hashes.crc64nvme;
    let complete = options
        .store
        .complete_upload(&upload, parts, hashes.size, crc64nvme);
    let completed = capture.capturer.wait(complete);
    if !matches!(completed, Ok(Ok(_))) {
        capture.capturer.abort(&upload);
    }
    completed?.map_err(failed)?;
    let mut entry = capture.entry(before, hashes.size);
    entry.changed_while_reading = changed;
    let sha256 = hashes.sha256.finalize().into();
    entry.content = Some(capture.content(sha256, Some(crc64nvme)));
    Ok(Attempt::Stored(entry))
}

/// Reads, hashes and sends up to the size the file had before.
fn send_parts(
    capture: &Capture,
    file: &OwnedFd,
    before: &Stat,
    upload: &Arc<Upload>,
) -> Result<(Hashes, Vec<UploadedPart>), Refused> {
    let size = before.metadata.size;
    let part_bytes = usize::try_from(part_bytes(size)).unwrap_or(usize::MAX);
    let mut hashes = Hashes {
        sha256: Sha256::new(),
        crc64nvme: crc_fast::checksum(Crc64Nvme, b""),
        size: 0,
    };
    let mut sending = Sending::default();
    while hashes.size < size && !sending.has_failed() {
        let left = usize::try_from(size - hashes.size).unwrap_or(usize::MAX);
        let most = part_bytes.min(left);
        if !send_next(capture, file, &mut hashes, most, upload, &mut sending)? {
            // The file has become shorter.
            break;
        }
    }
    let parts = capture.capturer.runtime.block_on(async {
        let mut parts = Vec::with_capacity(sending.tasks.len());
        for task in &mut sending.tasks {
            let sent = task.await.map_err(|_| Refused::Stopped)??;
            parts.push(sent.map_err(|error| Refused::Store(upload.key.clone(), error))?);
        }
        Ok::<_, Refused>(parts)
    })?;
    Ok((hashes, parts))
}

/// Parts on their way. Those of an upload that is given up are not waited for.
#[derive(Default)]
struct Sending {
    tasks: Vec<JoinHandle<Result<StoreResult<UploadedPart>, Stopped>>>,
    failed: Arc<AtomicBool>,
}

impl Sending {
    /// Whether a part has failed, so that there is no point in sending more.
    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Reads and hashes the next part and sets it on its way; `false` at the end of the file.
fn send_next(
    capture: &Capture,
    file: &OwnedFd,
    hashes: &mut Hashes,
    most: usize,
    upload: &Arc<Upload>,
    sending: &mut Sending,
) -> Result<bool, Refused> {
    if capture.options().stop.is_set() {
        return Err(Refused::Stopped);
    }
    let capturer = &capture.capturer;
    let mut held = capturer.hold(most)?;
    let read = read_into(file, &mut held.bytes, hashes.size)?;
    held.bytes.truncate(read);
    if held.bytes.is_empty() {
        return Ok(false);
    }
    let crc64nvme = hashes.add(&held.bytes);
    let number = i32::try_from(sending.tasks.len() + 1).unwrap_or(i32::MAX);
    let request = capturer.requests.take_one()?;
    let (runtime, capturer) = (capturer.runtime.clone(), Arc::clone(capturer));
    let (failed, upload) = (Arc::clone(&sending.failed), Arc::clone(upload));
    sending.tasks.push(runtime.spawn(async move {
        let store = &capturer.options.store;
        let part = store.upload_part(&upload, number, Bytes::from_owner(held), crc64nvme);
        let result = capturer.in_time(part).await;
        if !matches!(result, Ok(Ok(_))) {
            failed.store(true, Ordering::Relaxed);
        }
        drop(request);
        result
    }));
    Ok(true)
}

/// Length of the parts of a file of `size` bytes.
pub(super) fn part_bytes(size: u64) -> u64 {
    // In whole MiB, and with room for no remainder to need one part more.
    let among = |parts| size.div_ceil(parts).next_multiple_of(1 << 20);
    let reasonable = among(PARTS).clamp(PART_BYTES, LARGE_PART_BYTES);
    among(MOST_PARTS).max(reasonable)
}

/// SHA-256 of the file, up to `size` bytes, and how many there were.
pub(in crate::pass) fn hash(
    capture: &Capture,
    file: &OwnedFd,
    size: u64,
) -> Result<([u8; 32], u64), Refused> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; HASH_BYTES];
    let mut at = 0;
    while at < size {
        if capture.options().stop.is_set() {
            return Err(Refused::Stopped);
        }
        let left = usize::try_from(size - at).unwrap_or(usize::MAX);
        let read = read_into(file, &mut piece[..left.min(HASH_BYTES)], at)?;
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        at += read as u64;
    }
    Ok((hasher.finalize().into(), at))
}
