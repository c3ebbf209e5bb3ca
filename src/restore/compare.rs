//! What to do about one entry, given what is under its name.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::action::Action;
use super::target;
use crate::contents::{Check, Expected};
use crate::format::entry::{Entry, Kind};
use crate::source::stat::Stat;

/// Read at a time when a file that is there is compared.
const HASH_BYTES: usize = 1 << 20;

/// Compares an entry with what is there, if anything is. Contents are what counts: metadata can be given.
pub(super) fn compare(
    directory: &OwnedFd,
    name: &[u8],
    entry: &Entry,
) -> Result<(Action, Option<Stat>), Errno> {
    let Some(stat) = target::look(directory, name)? else {
        return Ok((Action::Create, None));
    };
    let action = if stat.metadata.kind != entry.metadata.kind {
        // Whole directories are never removed to make room.
        match stat.metadata.kind {
            Kind::Directory => Action::Conflict,
            _ => Action::Replace,
        }
    } else {
        let is_same = match entry.metadata.kind {
            Kind::Directory => true,
            Kind::Symlink => Some(target::read_link(directory, name)?) == entry.target,
            _ => {
                stat.metadata.size == entry.metadata.size && is_file(directory, name, &stat, entry)?
            }
        };
        match is_same {
            true => Action::Keep,
            false => Action::Replace,
        }
    };
    Ok((action, Some(stat)))
}

/// Whether a file of the right size has the right contents.
fn is_file(directory: &OwnedFd, name: &[u8], stat: &Stat, entry: &Entry) -> Result<bool, Errno> {
    let Some(content) = &entry.content else {
        return Ok(false);
    };
    let file = match target::open_file(directory, name) {
        Ok(file) => file,
        // A restore may have made it so that even its owner may not read it. The time is given to
        // whole files only.
        Err(Errno::ACCESS) => {
            let (there, wanted) = (&stat.metadata, &entry.metadata);
            return Ok((there.mtime_ns, there.mode) == (wanted.mtime_ns, wanted.mode));
        }
        Err(error) => return Err(error),
    };
    let expected = Expected::of(content);
    if expected == Expected::Nothing {
        // All that is known of it. Whoever doubts it restores elsewhere.
        return Ok(stat.metadata.mtime_ns == entry.metadata.mtime_ns);
    }
    let mut check = Check::of(expected);
    let mut buffer = vec![0; HASH_BYTES];
    loop {
        match rustix::io::read(&file, &mut buffer) {
            Ok(0) => break,
            Ok(length) => check.add(&buffer[..length]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(check.is_met())
}
