//! What a pass did: counts that add up, over sources.

use serde::{Deserialize, Serialize};

/// What a pass did to one source, or to all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// Entries that were not there before.
    pub new: u64,
    /// Entries that differ from the last snapshot.
    pub changed: u64,
    /// Entries that are no longer there.
    pub removed: u64,
    /// Entries that are as they were.
    pub unchanged: u64,
    /// Files whose contents were sent.
    pub uploaded_files: u64,
    /// Bytes of those contents.
    pub uploaded_bytes: u64,
    /// Files that looked changed and were not; read, not sent.
    pub reread_files: u64,
    /// Entries that could not be read or sent; they show an earlier state or none.
    pub failed: u64,
    /// Files among those that the store did not take.
    pub unsent: u64,
    /// Files that changed during both attempts at reading them.
    pub changed_while_reading: u64,
    /// Entries that were gone when their turn came.
    pub vanished: u64,
}

impl std::ops::AddAssign for Changes {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.changed += other.changed;
        self.removed += other.removed;
        self.unchanged += other.unchanged;
        self.uploaded_files += other.uploaded_files;
        self.uploaded_bytes += other.uploaded_bytes;
        self.reread_files += other.reread_files;
        self.failed += other.failed;
        self.unsent += other.unsent;
        self.changed_while_reading += other.changed_while_reading;
        self.vanished += other.vanished;
    }
}
