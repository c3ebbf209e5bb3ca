//! What restores that were killed have left in a directory.

use std::os::fd::AsFd;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{self, Errno};

use super::names::Names;
use super::staging::{self, StagingName, StagingRecord};
use super::target;
use crate::format::entry::Kind;

/// More than any record has.
const RECORD_BYTES: usize = 16 << 10;

/// Staging directories in a directory with these names, by their marks.
pub(super) fn find(directory: impl AsFd, names: &Names) -> io::Result<Vec<StagingName>> {
    let mut found = Vec::new();
    for name in names.iter() {
        if let Some(staging) = StagingName::of_mark(name)
            && let Some(stat) = target::look(&directory, name)?
            && stat.metadata.kind == Kind::Fifo
        {
            found.push(staging);
        }
    }
    Ok(found)
}

/// Whose it is; `None` where its restore was killed before it could write that, or only others may
/// read it.
pub(super) fn record(above: impl AsFd, name: &StagingName) -> Option<StagingRecord> {
    let directory = target::enter(above, name.as_str().as_bytes()).ok()?;
    let file = target::open_file(directory, staging::RECORD).ok()?;
    let mut bytes = vec![0; RECORD_BYTES];
    let length = io::read(&file, &mut bytes).ok()?;
    serde_json::from_slice(&bytes[..length]).ok()
}

/// Whether its restore still runs, as far as locks tell.
pub(super) fn is_in_use(above: impl AsFd, name: &StagingName) -> bool {
    let directory = target::enter(above, name.as_str().as_bytes());
    let locked = directory
        .and_then(staging::open_record)
        .and_then(|record| flock(record, FlockOperation::NonBlockingLockExclusive));
    locked == Err(Errno::WOULDBLOCK)
}
