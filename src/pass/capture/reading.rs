//! Reading a file that may change under the reader.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{self, Errno, pread};
use sha2::{Digest, Sha256};

use super::{Capture, InMemory, Uncaptured};
use crate::format::entry::{Entry, Kind};
use crate::source::stat::Stat;
use crate::source::{Body, Opened, Produce, Xattrs};
use crate::store::WHOLE_BYTES;

/// What one attempt at capturing a file has come to.
pub(in crate::pass) enum Reading {
    /// The file changed meanwhile; nothing is kept of this attempt.
    Changed,
    /// The contents are those recorded before.
    Same(Entry),
    /// The contents are in the store.
    Stored(Entry),
    /// The contents, of this SHA-256, are in memory, ready to be sent in one request.
    Read(Entry, [u8; 32], InMemory),
}

impl Reading {
    pub(in crate::pass) fn set_xattrs(&mut self, xattrs: Xattrs) {
        match self {
            Self::Changed => {}
            Self::Same(entry) | Self::Stored(entry) | Self::Read(entry, ..) => {
                entry.xattrs = xattrs;
            }
        }
    }
}

/// Opens a file and reads it; one that is too large to be read whole is left to `large`, and what comes as
/// a stream to `stream`.
pub(in crate::pass) fn open_and_attempt(
    capture: &Capture,
    large: impl Fn(&Capture, &Opened, &OwnedFd, bool) -> Result<Reading, Uncaptured>,
    stream: impl FnOnce(&Capture, &Stat, Box<dyn Produce>) -> Result<Reading, Uncaptured>,
) -> Result<Reading, Uncaptured> {
    let source = &capture.options().source;
    let mut opened = source.open(&capture.order.found)?;
    if let Body::Stream(produce) = opened.body {
        let mut attempt = stream(capture, &opened.stat, produce)?;
        attempt.set_xattrs(opened.xattrs);
        return Ok(attempt);
    }
    for is_last in [false, true] {
        let file = contents(&opened)?;
        let mut attempt = match opened.stat.metadata.size {
            0..=WHOLE_BYTES => whole(capture, &opened, file, is_last)?,
            _ => large(capture, &opened, file, is_last)?,
        };
        if !matches!(attempt, Reading::Changed) {
            attempt.set_xattrs(opened.xattrs);
            return Ok(attempt);
        }
        if let Some(now) = source.recheck(&opened)? {
            opened.stat = now;
        }
    }
    Ok(Reading::Changed)
}

/// The contents of what was opened as a file.
pub(in crate::pass) fn contents(opened: &Opened) -> Result<&OwnedFd, Uncaptured> {
    match &opened.body {
        Body::File(file) if opened.stat.metadata.kind == Kind::File => Ok(file),
        Body::File(_) | Body::Stream(_) | Body::Remote(_) | Body::None => Err(Uncaptured::Gone),
    }
}

/// Reads and hashes a file as a whole.
fn whole(
    capture: &Capture,
    opened: &Opened,
    file: &OwnedFd,
    is_last: bool,
) -> Result<Reading, Uncaptured> {
    let before = &opened.stat;
    // Far below 2^32: the caller has looked.
    let size = usize::try_from(before.metadata.size).map_err(|_| Errno::FBIG)?;
    let mut held = capture.capturer.hold(size)?;
    let read = read_into(file, &mut held.bytes, 0)?;
    held.bytes.truncate(read);
    let changed = held.bytes.len() != size || has_changed(capture, opened)?;
    if changed && !is_last {
        return Ok(Reading::Changed);
    }
    finish(capture, before, held, changed)
}

/// A file that turned out empty when it was read for the last time.
pub(super) fn empty(capture: &Capture, before: &Stat) -> Result<Reading, Uncaptured> {
    finish(capture, before, capture.capturer.hold(0)?, true)
}

fn finish(
    capture: &Capture,
    before: &Stat,
    held: InMemory,
    changed: bool,
) -> Result<Reading, Uncaptured> {
    let sha256: [u8; 32] = Sha256::digest(&*held.bytes).into();
    let mut entry = capture.entry(before, held.bytes.len() as u64);
    entry.changed_while_reading = changed;
    if let Some(known) = capture.known(sha256) {
        entry.content = Some(known);
        return Ok(Reading::Same(entry));
    }
    Ok(Reading::Read(entry, sha256, held))
}

/// Whether a file is another than it was.
pub(in crate::pass) fn has_changed(capture: &Capture, opened: &Opened) -> Result<bool, Uncaptured> {
    Ok(capture.options().source.recheck(opened)?.is_some())
}

/// Fills `into` with what the file has from `offset` on; how many bytes that were.
pub(super) fn read_into(file: &OwnedFd, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < into.len() {
        match pread(file, &mut into[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Appends to `buffer` what the file has from `offset` on, up to `most` bytes or its end.
pub(in crate::pass) fn read_up_to(
    file: impl AsFd,
    buffer: &mut Vec<u8>,
    offset: u64,
    most: usize,
) -> io::Result<()> {
    let had = buffer.len();
    buffer.reserve_exact(most);
    while buffer.len() - had < most {
        let at = offset + (buffer.len() - had) as u64;
        let left = most - (buffer.len() - had);
        let read = match pread(&file, &mut buffer.spare_capacity_mut()[..left], at) {
            Ok((read, _)) => read.len(),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        };
        if read == 0 {
            break;
        }
        #[expect(unsafe_code, reason = "the kernel has written so many bytes there")]
        unsafe {
            buffer.set_len(buffer.len() + read);
        }
    }
    Ok(())
}
