//! Every event the program can emit, one type.
//!
//! A pass tells what it does in events: one JSON object a line where a scheduler runs it, plain
//! text on a terminal. Names and fields are a public contract, kept in `docs/EVENTS.md`, which a
//! test compares with this file. Names are `noun_participle`; every number has its unit in its
//! name unless it is a count; a field that does not apply is absent.

mod drills;
mod files;
mod metrics;
mod progress;
mod sink;

use jiff::Timestamp;
use serde::Serialize;

use crate::format::changes::Changes;
use crate::format::drill::{Drill, DrillOutcome};
use crate::format::entry::Kind;
use crate::format::keys::SourceName;
use crate::format::origin::Origin;
use crate::format::pass_id::PassId;
use crate::format::totals::Totals;
use crate::source::NotEntered;

pub use files::Files;
pub use sink::{Events, Format, Output};

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Something was lost, or will be if nobody acts.
    Error,
    /// Something was not as it should be; the backup is what it says.
    Warn,
    /// What a pass did.
    Info,
    /// What a pass had no need to do.
    Debug,
    /// Everything.
    Trace,
}

impl std::str::FromStr for Level {
    type Err = String;

    /// Takes the names of tracing, of Python's logging and of syslog, in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "error" | "critical" | "fatal" => Self::Error,
            "warn" | "warning" => Self::Warn,
            "info" | "notice" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => return Err("one of error, warn, info, debug, trace".to_owned()),
        })
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

/// Something that happened during a pass.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The program begins a pass.
    BackupStarted {
        /// Where the backups go.
        store: String,
        /// Names of the sources.
        sources: Vec<SourceName>,
        /// Version of the program.
        version: &'static str,
    },
    /// This pass holds the lock.
    LockAcquired {
        /// How often the lock has been taken, this time included.
        generation: u64,
        /// How long it took.
        duration_ms: u64,
        /// Who let the lock expire without releasing it.
        #[serde(skip_serializing_if = "Option::is_none")]
        taken_from: Option<String>,
    },
    /// The store was nobody's and has an owner from now on; passes of others are refused.
    StoreOwnerRecorded {
        /// Where it is.
        store: String,
        /// Whose it is.
        store_owner: String,
        /// Whether earlier passes, which named no owner, have backed up into it.
        was_in_use: bool,
    },
    /// Another pass holds the lock.
    LockHeld {
        /// Who.
        holder: String,
        /// The pass that holds it.
        by: PassId,
        /// Since when, in the store's time.
        since: Timestamp,
        /// When it expires unless it is renewed.
        until: Timestamp,
        /// How long this pass will wait for it.
        waiting_seconds: u64,
    },
    /// The lock could not be renewed or was taken away; nothing is committed after this.
    LockLost {
        /// Why.
        error: String,
    },
    /// A source is next.
    SourceStarted {
        /// Name of the source.
        source: SourceName,
        /// What is backed up.
        place: String,
        /// The snapshot it is compared with.
        #[serde(skip_serializing_if = "Option::is_none")]
        parent: Option<PassId>,
        /// Passes that were cut off before they could commit, and which this one continues.
        continued_passes: u64,
        /// How many entries the source had last time.
        #[serde(skip)]
        expected_entries: u64,
    },
    /// A source is backed up from where it was before it was backed up from elsewhere: two directories
    /// or machines take turns under one name, and each pass undoes what the other one did.
    OriginReturned {
        /// Name of the source.
        source: SourceName,
        /// Where it is backed up from now.
        origin: Box<Origin>,
        /// Where it was backed up from meanwhile.
        other: Box<Origin>,
    },
    /// Contents of a file are in the store.
    FileUploaded {
        /// Name of the source.
        source: SourceName,
        /// The file, relative to the source.
        path: String,
        /// Where in the store, under the prefix.
        key: String,
        /// Bytes.
        size: u64,
        /// SHA-256 of the contents, in hex.
        sha256: String,
        /// From opening the file to the store's answer.
        duration_ms: u64,
    },
    /// The store has copied an object of a bucket.
    ObjectCopied {
        /// Name of the source.
        source: SourceName,
        /// The object's key in the source.
        path: String,
        /// Where in the store, under the prefix.
        key: String,
        /// Bytes.
        size: u64,
        /// From asking for the copy to the store's answer.
        duration_ms: u64,
    },
    /// Contents of a file are in the archive that is being written.
    FileArchived {
        /// Name of the source.
        source: SourceName,
        /// The file, relative to the source.
        path: String,
        /// The archive, under the prefix.
        key: String,
        /// Bytes.
        size: u64,
    },
    /// An archive is in the store, complete; it is part of a backup once the snapshot is committed.
    BackupArchiveUploaded {
        /// Name of the source.
        source: SourceName,
        /// The session in it, where the source has sessions.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// Where in the store, under the prefix.
        key: String,
        /// Length of the object in bytes.
        size: u64,
        /// CRC-64/NVME of the object, in hex; the store has checked it.
        crc64nvme: String,
        /// Files, directories and links in it.
        members: u64,
        /// Bytes of the files in it.
        bytes: u64,
        /// From its first member to the store's answer.
        duration_ms: u64,
    },
    /// A file is as it was.
    FileUnchanged {
        /// Name of the source.
        source: SourceName,
        /// The file, relative to the source.
        path: String,
    },
    /// A file changed during both attempts at reading it; what was read is kept.
    FileChangedWhileReading {
        /// Name of the source.
        source: SourceName,
        /// The file, relative to the source.
        path: String,
    },
    /// An entry was gone when its turn came.
    FileVanished {
        /// Name of the source.
        source: SourceName,
        /// The entry, relative to the source.
        path: String,
    },
    /// A socket, pipe or device was recorded and not captured.
    FileSkipped {
        /// Name of the source.
        source: SourceName,
        /// The entry, relative to the source.
        path: String,
        /// What it is.
        kind: Kind,
    },
    /// A directory was recorded and not entered; what lies in it is not backed up.
    DirectorySkipped {
        /// Name of the source.
        source: SourceName,
        /// The directory, relative to the source.
        path: String,
        /// Why.
        reason: NotEntered,
    },
    /// An entry could not be read; the snapshot keeps what the last one had.
    FileUnreadable {
        /// Name of the source.
        source: SourceName,
        /// The entry, relative to the source.
        path: String,
        /// What the system said.
        error: String,
    },
    /// A file could not be sent; the snapshot keeps what the last one had.
    FileUploadFailed {
        /// Name of the source.
        source: SourceName,
        /// The file, relative to the source.
        path: String,
        /// Where it would be, under the prefix.
        key: String,
        /// What the store said.
        error: String,
    },
    /// Entries so far are recorded; a pass that follows a kill continues from here.
    CheckpointWritten {
        /// Name of the source.
        source: SourceName,
        /// Where in the store, under the prefix.
        key: String,
        /// Entries in it.
        entries: u64,
    },
    /// A part of the last manifest cannot be used; what it names is captured again.
    SegmentDamaged {
        /// Name of the source.
        source: SourceName,
        /// Where in the store, under the prefix.
        key: String,
        /// What is wrong with it.
        error: String,
    },
    /// A source was not backed up.
    SourceFailed {
        /// Name of the source.
        source: SourceName,
        /// Why.
        error: String,
        /// What can be done about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A source was not backed up, because another one failed.
    SourceSkipped {
        /// Name of the source.
        source: SourceName,
        /// The one that failed.
        because: SourceName,
    },
    /// A snapshot exists.
    SnapshotCommitted {
        /// Name of the source.
        source: SourceName,
        /// Whether every entry shows the state of this pass.
        complete: bool,
        /// What the snapshot holds.
        #[serde(flatten)]
        totals: Totals,
        /// What the pass did for it.
        #[serde(flatten)]
        changes: Changes,
        /// Segments of its manifest that this pass wrote.
        segments_written: u64,
        /// Segments of its manifest that an earlier pass wrote.
        segments_reused: u64,
        /// From the start of the source to its commit.
        duration_ms: u64,
        /// Requests to the store, retries included.
        requests: u64,
    },
    /// The pass failed for a reason that may pass, and is tried again.
    PassRetried {
        /// Number of the attempt that follows: 2 the first time.
        attempt: u64,
        /// Time until then.
        waiting_ms: u64,
        /// What is tried again; what is committed is not.
        sources: Vec<SourceName>,
        /// Why the last attempt failed.
        error: String,
    },
    /// What the store has is being copied to another one.
    CopyStarted {
        /// The other store.
        store: String,
        /// Names of the sources.
        sources: Vec<SourceName>,
    },
    /// A snapshot is in the other store as well.
    SnapshotCopied {
        /// Name of the source.
        source: SourceName,
        /// Its id.
        snapshot: PassId,
        /// Objects with contents that were carried for it.
        objects: u64,
        /// Their bytes.
        bytes: u64,
        /// Those of them that the store has taken from the first one by itself.
        server_side_bytes: u64,
        /// Objects with contents that an earlier copy had carried.
        there: u64,
    },
    /// The other store has what this one has.
    CopyCompleted {
        /// The other store.
        store: String,
        /// Snapshots that were new there.
        snapshots: u64,
        /// Objects with contents that were carried.
        objects: u64,
        /// Their bytes.
        bytes: u64,
        /// Those of them that the store has taken from the first one by itself.
        server_side_bytes: u64,
        /// The whole copy.
        duration_ms: u64,
        /// Requests to the other store, retries included.
        requests: u64,
    },
    /// The other store lacks something.
    CopyFailed {
        /// The other store.
        store: String,
        /// Whether the pass is incomplete without it.
        required: bool,
        /// Snapshots that were copied nevertheless.
        snapshots: u64,
        /// Why.
        error: String,
        /// What can be done about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The whole copy.
        duration_ms: u64,
        /// Requests to the other store, retries included.
        requests: u64,
    },
    /// A snapshot has less than half of the one before it, which stays until somebody acknowledges that.
    AnomalousLoss {
        /// Name of the source.
        source: SourceName,
        /// The snapshot that shows it.
        snapshot: PassId,
        /// The one before.
        before: PassId,
        /// Entries in that one.
        entries_before: u64,
        /// Entries now.
        entries: u64,
        /// Bytes in that one.
        bytes_before: u64,
        /// Bytes now.
        bytes: u64,
        /// What can be done about it.
        hint: String,
    },
    /// A snapshot is condemned: it does not exist any more, and can be undeleted.
    SnapshotCondemned {
        /// Name of the source.
        source: SourceName,
        /// Its id.
        snapshot: PassId,
        /// When it was committed, in the store's time.
        committed_at: Timestamp,
        /// Why.
        because: String,
    },
    /// A prune is over.
    PruneCompleted {
        /// Its id; absent where there was nothing to condemn.
        #[serde(skip_serializing_if = "Option::is_none")]
        prune: Option<PassId>,
        /// Names of the sources that were looked at.
        sources: Vec<SourceName>,
        /// Snapshots that were condemned.
        condemned: u64,
        /// Snapshots that stay.
        remaining: u64,
        /// At most so many bytes come free when they are collected.
        bytes_freed_at_most: u64,
        /// The whole prune.
        duration_ms: u64,
    },
    /// Nothing was condemned, or not everything that was to be.
    PruneFailed {
        /// What `prune` exits with for it.
        exit_code: u8,
        /// Snapshots that were condemned nevertheless.
        condemned: u64,
        /// Why.
        error: String,
        /// What can be done about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The whole prune.
        duration_ms: u64,
    },
    /// A part of a snapshot was restored, read back and removed again.
    DrillCompleted {
        /// Name of the source.
        source: SourceName,
        /// The snapshot.
        snapshot: PassId,
        /// What came of it.
        #[serde(flatten)]
        drill: Box<Drill>,
        /// Whether it is recorded in the store.
        recorded: bool,
        /// What can be done about damage.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A drill did not come to its end, and says nothing of the backup.
    DrillFailed {
        /// Name of the source.
        source: SourceName,
        /// The snapshot.
        snapshot: PassId,
        /// What `drill` exits with for it.
        exit_code: u8,
        /// Why.
        error: String,
        /// What can be done about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The whole drill.
        duration_ms: u64,
        /// Requests to the store, retries included.
        requests: u64,
    },
    /// The pass is over, and what it says is committed.
    BackupCompleted {
        /// How it went: 0, or 3 where something could not be read, or a required copy was not made.
        exit_code: u8,
        /// Sources committed.
        sources: u64,
        /// What their snapshots hold.
        #[serde(flatten)]
        totals: Totals,
        /// What the pass did for them.
        #[serde(flatten)]
        changes: Changes,
        /// Stores that copies of the store were to go to, and that do not have everything.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        failed_copies: Vec<String>,
        /// The whole pass.
        duration_ms: u64,
        /// Requests to the store, retries included.
        requests: u64,
    },
    /// The pass is over, and at least one source was not backed up.
    BackupFailed {
        /// What the process exits with.
        exit_code: u8,
        /// Why.
        error: String,
        /// What can be done about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The whole pass.
        duration_ms: u64,
        /// Requests to the store, retries included.
        requests: u64,
    },
    /// Something the reader should know that concerns no single file.
    Notice {
        /// What.
        message: String,
    },
}

impl Event {
    /// How much it matters.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::BackupStarted { .. }
            | Self::LockAcquired { .. }
            | Self::SourceStarted { .. }
            | Self::CopyStarted { .. }
            | Self::SnapshotCopied { .. }
            | Self::CopyCompleted { .. }
            | Self::SnapshotCondemned { .. }
            | Self::PruneCompleted { .. }
            | Self::DirectorySkipped { .. }
            | Self::FileUploaded { .. }
            | Self::ObjectCopied { .. }
            | Self::BackupArchiveUploaded { .. } => Level::Info,
            Self::SnapshotCommitted { complete, .. } if *complete => Level::Info,
            Self::StoreOwnerRecorded { was_in_use, .. } if !*was_in_use => Level::Info,
            Self::BackupCompleted { exit_code: 0, .. } => Level::Info,
            Self::DrillCompleted { drill, .. } if drill.outcome == DrillOutcome::Damaged => {
                Level::Error
            }
            Self::DrillCompleted {
                drill, recorded, ..
            } if drill.outcome == DrillOutcome::Passed && *recorded => Level::Info,
            Self::SnapshotCommitted { .. }
            | Self::BackupCompleted { .. }
            | Self::StoreOwnerRecorded { .. }
            | Self::LockHeld { .. }
            | Self::PassRetried { .. }
            | Self::FileChangedWhileReading { .. }
            | Self::FileVanished { .. }
            | Self::OriginReturned { .. }
            | Self::AnomalousLoss { .. }
            | Self::DrillCompleted { .. }
            | Self::Notice { .. } => Level::Warn,
            Self::FileUnchanged { .. }
            | Self::FileArchived { .. }
            | Self::FileSkipped { .. }
            | Self::CheckpointWritten { .. } => Level::Debug,
            Self::LockLost { .. }
            | Self::FileUnreadable { .. }
            | Self::FileUploadFailed { .. }
            | Self::SegmentDamaged { .. }
            | Self::SourceFailed { .. }
            | Self::SourceSkipped { .. }
            | Self::CopyFailed { .. }
            | Self::PruneFailed { .. }
            | Self::DrillFailed { .. }
            | Self::BackupFailed { .. } => Level::Error,
        }
    }

    /// Whether it is the last one of its execution, which says how that ended.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(
            self,
            Self::BackupCompleted { .. } | Self::BackupFailed { .. }
        )
    }

    /// Whether it says what was done with one file, as there is to be done with each. What is wrong with
    /// one is something else.
    #[must_use]
    pub fn is_about_a_file(&self) -> bool {
        matches!(
            self,
            Self::FileUploaded { .. }
                | Self::ObjectCopied { .. }
                | Self::FileArchived { .. }
                | Self::FileUnchanged { .. }
                | Self::FileSkipped { .. }
        )
    }
}

#[cfg(test)]
mod tests;
