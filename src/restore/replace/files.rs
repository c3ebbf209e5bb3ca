//! Small files that have to be there after a power failure.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, fsync, openat, renameat};
use rustix::io::{self, Errno};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::restore::target;

/// More than any record has.
const MOST_BYTES: u64 = 64 << 10;

/// A file that is not yet what it is to be.
const NEW: &str = ".new";

/// Writes a file whole, in place of an earlier one, and makes it last.
pub(super) fn put(directory: &OwnedFd, name: &str, record: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec_pretty(record).map_err(|_| Errno::INVAL)?;
    line.push(b'\n');
    put_with(directory, name, |file| file.write_all(&line))
}

/// The same for one that `write` writes.
pub(super) fn put_with(
    directory: &OwnedFd,
    name: &str,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> io::Result<()> {
    let new = format!("{name}{NEW}");
    target::remove(directory, new.as_bytes())?;
    let mut file = File::from(target::make_file(directory, new.as_bytes())?);
    let written = write(&mut file).and_then(|()| file.sync_all());
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    drop(file);
    renameat(directory, new.as_str(), directory, name)?;
    sync(directory)
}

/// Reads a record; `None` where there is none.
pub(super) fn get<T: DeserializeOwned>(
    directory: &OwnedFd,
    name: &[u8],
) -> std::io::Result<Option<T>> {
    let file = match target::open_file(directory, name) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    File::from(file).take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Opens a file for reading it line by line.
pub(super) fn lines(directory: &OwnedFd, name: &str) -> io::Result<BufReader<File>> {
    let file = target::open_file(directory, name.as_bytes())?;
    Ok(BufReader::new(file.into()))
}

/// Makes the names in a directory last.
pub(super) fn sync(directory: &OwnedFd) -> io::Result<()> {
    match fsync(directory) {
        // Some file systems do not sync directories.
        Err(Errno::INVAL | Errno::BADF) => Ok(()),
        other => other,
    }
}

/// Opens a directory for looking and syncing.
pub(super) fn open_directory(directory: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}
