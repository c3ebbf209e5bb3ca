//! Where a restore keeps what it has in the making and cannot make without a name, and how the next
//! one tells what a killed one has left from what somebody has restored.
//!
//! A staging directory is `.offsite-restore-<random>`, in the target or, where the target has file
//! systems below, in one of its directories. Beside it lies its mark, a pipe of the same name with
//! `.unfinished`. No restore makes pipes of what it restores, so nothing that was restored is ever
//! taken for a mark, whatever its name is; and without a mark a directory is somebody's data. The
//! mark is the first thing that is made and the last that goes: a restore that is killed at any time
//! leaves either a mark or nothing. The random part is in no name of the manifest or the target.
//!
//! In the directory lies `restore.json`, which says whose it is, and is locked for as long as that
//! restore runs.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, flock, mkdirat, mknodat, openat, unlinkat,
};
use rustix::io::{self, Errno};
use serde::{Deserialize, Serialize};

use super::target;

const PREFIX: &str = ".offsite-restore-";
const MARK: &str = ".unfinished";

/// The file that says whose a staging directory is.
pub(super) const RECORD: &[u8] = b"restore.json";

/// Of 128 random bits.
const RANDOM_DIGITS: usize = 32;

/// The name of a staging directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StagingName(String);

impl StagingName {
    pub(super) fn random() -> Self {
        Self(format!("{PREFIX}{:0RANDOM_DIGITS$x}", fastrand::u128(..)))
    }

    /// The one whose mark has this name.
    pub(super) fn of_mark(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?.strip_suffix(MARK)?;
        let digits = name.strip_prefix(PREFIX)?;
        let is_random = digits.len() == RANDOM_DIGITS
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_random.then(|| Self(name.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn mark(&self) -> String {
        format!("{}{MARK}", self.0)
    }

    /// Whether this is what the directory or its mark is called.
    pub(super) fn covers(&self, name: &[u8]) -> bool {
        let rest = name.strip_prefix(self.0.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest == MARK.as_bytes())
    }
}

/// Which restore a staging directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagingRecord {
    /// Name of the source that is restored.
    pub source: String,
    /// The snapshot.
    pub snapshot: String,
    /// Where the restore runs.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// Since when.
    pub started_at: Timestamp,
    /// The target was missing or empty, and its own mode, owner and times are still to be restored.
    pub target_is_new: bool,
}

impl std::fmt::Display for StagingRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            source,
            snapshot,
            host,
            pid,
            started_at,
            ..
        } = self;
        write!(
            f,
            "snapshot {snapshot} of {source}, process {pid} on {host}, since {started_at:.0}"
        )
    }
}

/// A staging directory of this restore.
#[derive(Debug)]
pub(super) struct Staging {
    name: StagingName,
    fd: OwnedFd,
    /// Open for as long as it is to be locked.
    _record: OwnedFd,
    next: AtomicU64,
}

impl Staging {
    /// Makes one in a directory.
    pub(super) fn make(
        above: &OwnedFd,
        name: &StagingName,
        record: &StagingRecord,
    ) -> io::Result<Self> {
        let owner = Mode::RUSR | Mode::WUSR;
        match mknodat(above, name.mark(), FileType::Fifo, owner, 0) {
            // This file system has no pipes. If this restore is killed, what it leaves stays.
            Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
        let made = Self::make_marked(above, name, record);
        if made.is_err() {
            let _ = remove(above, name);
        }
        made
    }

    fn make_marked(
        above: &OwnedFd,
        name: &StagingName,
        record: &StagingRecord,
    ) -> io::Result<Self> {
        mkdirat(above, name.as_str(), target::PRIVATE_DIRECTORY)?;
        let fd = target::enter(above, name.as_str().as_bytes())?;
        let file = target::make_file(&fd, RECORD)?;
        // Without locks there is nothing to keep two restores apart, and each is on its own.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let mut line = serde_json::to_vec(record).map_err(|_| Errno::INVAL)?;
        line.push(b'\n');
        target::write_all(&file, &line, 0)?;
        Ok(Self {
            name: name.clone(),
            fd,
            _record: file,
            next: AtomicU64::new(1),
        })
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// A name in it that nothing has.
    pub(super) fn next(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// Removes it from the directory it was made in.
    pub(super) fn remove(self, above: &OwnedFd) -> io::Result<()> {
        let Self { name, .. } = &self;
        let name = name.clone();
        // NFS keeps a file that is removed while it is open, and the directory with it.
        drop(self);
        remove(above, &name)
    }
}

/// Removes a staging directory with all that is in it, and its mark at last. What was restored is not
/// touched: staging directories have files and links in them, and no directories.
pub(super) fn remove(above: &OwnedFd, name: &StagingName) -> io::Result<()> {
    match target::enter(above, name.as_str().as_bytes()) {
        Ok(fd) => {
            for name in super::names::Names::of(&fd)?.iter() {
                target::remove(&fd, name)?;
            }
            drop(fd);
            unlinkat(above, name.as_str(), AtFlags::REMOVEDIR)?;
        }
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    target::remove(above, name.mark().as_bytes())
}

/// Opens the record of a staging directory, for reading and for its lock.
pub(super) fn open_record(staging: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(
        staging,
        std::str::from_utf8(RECORD).unwrap_or_default(),
        flags,
        Mode::empty(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_again_by_its_mark() {
        let name = StagingName::random();
        assert_ne!(name, StagingName::random());
        assert_eq!(
            StagingName::of_mark(name.mark().as_bytes()),
            Some(name.clone())
        );
        for other in [
            name.as_str(),
            ".unfinished",
            ".offsite-restore-.unfinished",
            ".offsite-restore-0123.unfinished",
            &format!("{PREFIX}{}{MARK}", "G".repeat(RANDOM_DIGITS)),
            &format!("x{}", name.mark()),
            &format!("{}x", name.mark()),
        ] {
            assert_eq!(StagingName::of_mark(other.as_bytes()), None, "{other}");
        }
        assert!(name.covers(name.as_str().as_bytes()));
        assert!(name.covers(name.mark().as_bytes()));
        for other in ["x", &name.as_str()[1..], &format!("{}x", name.as_str())] {
            assert!(!name.covers(other.as_bytes()), "{other}");
        }
    }
}
