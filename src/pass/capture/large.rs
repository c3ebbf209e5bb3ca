//! Capturing a large file: parts of it are sent in parallel while the thread reads on.

use std::os::fd::OwnedFd;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::reading::{self, Reading, has_changed, read_into};
use super::{Capture, Uncaptured};
use crate::source::Opened;
use crate::store::{Condition, Length, NewObject, PartWriter};

/// Read at a time when a file is only hashed.
const HASH_BYTES: usize = 1 << 20;

/// One attempt at capturing a file in parts.
pub(super) fn capture(
    capture: &Capture,
    opened: &Opened,
    file: &OwnedFd,
    is_last: bool,
) -> Result<Reading, Uncaptured> {
    let before = &opened.stat;
    let size = before.metadata.size;
    if let Some(known) = &capture.order.known {
        let (sha256, read) = hash(capture, file, size)?;
        if known.is(sha256) && !has_changed(capture, opened)? {
            let mut entry = capture.entry(before, read);
            entry.content = Some(known.clone());
            return Ok(Reading::Same(entry));
        }
    }
    let capturer = &capture.capturer;
    let mut writer = capturer.uploader.begin(NewObject {
        key: capture.key(),
        condition: Condition::Absent,
        placement: capture.options().job.placement.clone(),
        length: Length::Known(size),
        with_sha256: true,
    });
    let attempt = send(capture, opened, file, is_last, &mut writer);
    if !matches!(attempt, Ok(Reading::Stored(_))) {
        // What was sent is of no use to anybody.
        capturer.abort(writer);
    }
    match attempt {
        Ok(Reading::Changed) if is_last => reading::empty(capture, before),
        other => other,
    }
}

/// Reads, hashes and sends up to the size the file had before. A file that has changed is kept as it was
/// read if this `is_last`, unless there is nothing left of it.
fn send(
    capture: &Capture,
    opened: &Opened,
    file: &OwnedFd,
    is_last: bool,
    writer: &mut PartWriter,
) -> Result<Reading, Uncaptured> {
    let (capturer, key) = (&capture.capturer, capture.key());
    let before = &opened.stat;
    let size = before.metadata.size;
    while writer.written() < size {
        if capture.options().stop.is_set() {
            return Err(Uncaptured::Stopped);
        }
        let left = usize::try_from(size - writer.written()).unwrap_or(usize::MAX);
        let mut held = capturer.hold(left.min(writer.room()))?;
        let read = read_into(file, &mut held.bytes, writer.written())?;
        held.bytes.truncate(read);
        let is_short = read < writer.room() && read < left;
        let written = capturer.wait(writer.write(Bytes::from_owner(held)))?;
        written.map_err(|error| Uncaptured::unwritten(&key, error))?;
        if is_short {
            // The file has become shorter.
            break;
        }
    }
    let changed = writer.written() != size || has_changed(capture, opened)?;
    if (changed && !is_last) || writer.written() == 0 {
        return Ok(Reading::Changed);
    }
    let written = capturer.wait(writer.finish())?;
    let written = written.map_err(|error| Uncaptured::unwritten(&key, error))?;
    let mut entry = capture.entry(before, written.stored.size);
    entry.changed_while_reading = changed;
    let sha256 = written.sha256.expect("it was asked for");
    entry.content = Some(capture.sent(written, sha256));
    Ok(Reading::Stored(entry))
}

/// SHA-256 of the file, up to `size` bytes, and how many there were.
pub(in crate::pass) fn hash(
    capture: &Capture,
    file: &OwnedFd,
    size: u64,
) -> Result<([u8; 32], u64), Uncaptured> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; HASH_BYTES];
    let mut at = 0;
    while at < size {
        if capture.options().stop.is_set() {
            return Err(Uncaptured::Stopped);
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
