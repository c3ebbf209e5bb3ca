//! Writing contents to a new file.

use std::os::fd::OwnedFd;

use rustix::fs::ftruncate;
use rustix::io::{self, Errno, pread};

use super::placed::Placed;
use super::target;
use super::worker::Worker;
use crate::contents::{Check, ContentsError, Expected};
use crate::format::entry::{Content, Entry};

/// A hole is looked for in units of this; what most file systems allocate.
const BLOCK: usize = 4096;

/// Read at a time when contents are copied.
const COPY_BYTES: usize = 1 << 20;

/// Writes the contents of an entry to a file, every byte of them checked.
pub(super) fn write(
    worker: &Worker,
    file: &OwnedFd,
    placed: &Placed,
    content: &Content,
) -> Result<(), ContentsError> {
    let entry = &placed.entry;
    if let Some(fetched) = &placed.fetched {
        write_at(file, entry, fetched, 0)?;
        return Ok(end(file, entry)?);
    }
    let mut is_begun = false;
    worker.contents.read(entry, content, |at, bytes| {
        if at == 0 && std::mem::replace(&mut is_begun, true) {
            // Nothing is left of an attempt before.
            ftruncate(file, 0)?;
        }
        write_at(file, entry, bytes, at)
    })?;
    Ok(end(file, entry)?)
}

/// Writes them from a file that had them when it was looked at. Whether it still does: whatever else it
/// has is gone from the new one.
pub(super) fn copy(
    from: &OwnedFd,
    file: &OwnedFd,
    entry: &Entry,
    content: &Content,
) -> io::Result<bool> {
    let mut check = Check::of(Expected::of(content));
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    loop {
        match pread(from, &mut buffer, at) {
            Ok(0) => break,
            Ok(length) => {
                let bytes = &buffer[..length];
                check.add(bytes);
                write_at(file, entry, bytes, at)?;
                at += length as u64;
            }
            Err(Errno::INTR) => {}
            // The store has them, too.
            Err(_) => break,
        }
    }
    end(file, entry)?;
    let is_same = at == entry.metadata.size && check.is_met();
    if !is_same {
        ftruncate(file, 0)?;
    }
    Ok(is_same)
}

fn write_at(file: &OwnedFd, entry: &Entry, bytes: &[u8], at: u64) -> io::Result<()> {
    match entry.sparse {
        true => write_sparse(file, bytes, at),
        false => target::write_all(file, bytes, at),
    }
}

/// There may be a hole at the end.
fn end(file: &OwnedFd, entry: &Entry) -> io::Result<()> {
    match entry.sparse {
        true => ftruncate(file, entry.metadata.size),
        false => Ok(()),
    }
}

/// Leaves out blocks of zeros. The file was empty, so what is left out is a hole.
fn write_sparse(file: &OwnedFd, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut offset = at;
    for block in bytes.chunks(BLOCK) {
        if block.iter().any(|byte| *byte != 0) {
            target::write_all(file, block, offset)?;
        }
        offset += block.len() as u64;
    }
    Ok(())
}
