//! Writing contents to a new file.

use std::os::fd::OwnedFd;

use rustix::fs::ftruncate;
use rustix::io::{Errno, pwrite};

use super::apply::Worker;
use crate::contents::ContentsError;
use crate::manifest::entry::{Content, Entry};

/// A hole is looked for in units of this; what most file systems allocate.
const BLOCK: usize = 4096;

/// Writes the contents of `entry` to a file, every byte of them checked.
pub(super) fn write(
    worker: &Worker,
    file: &OwnedFd,
    entry: &Entry,
    content: &Content,
) -> Result<(), ContentsError> {
    worker.contents.read(entry, content, |at, bytes| {
        if at == 0 {
            // Nothing is left of an attempt before.
            ftruncate(file, 0)?;
        }
        match entry.sparse {
            true => write_sparse(file, bytes, at),
            false => write_all(file, bytes, at),
        }
    })?;
    // There may be a hole at the end.
    Ok(ftruncate(file, entry.metadata.size)?)
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
