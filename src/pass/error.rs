//! Why a source was not backed up, and what can be done about it.

use std::collections::BTreeSet;

use super::diff::{Damaged, MergeError};
use super::fatal::FatalError;
use super::writer::WriterError;
use crate::exit::ExitCode;
use crate::format::keys::SourceName;
use crate::format::location::ObjectId;
use crate::format::pass_id::PassId;
use crate::format::snapshot::RECORD_BYTES;
use crate::lease::{CommitError, Lost};
use crate::snapshots::chain::ChainError;
use crate::snapshots::objects::ObjectsError;
use crate::source::unusable::MORE_THREADS;
use crate::source::{IfEmpty, Unusable};
use crate::stop::Stopped;
use crate::store::StoreError;

/// Why a source was not backed up.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source cannot be used, or another one has taken its place.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// There is nothing to back up, and nobody has said that this may be.
    #[error("{}", nothing.text(place, *entries, *if_empty))]
    Empty {
        /// Where the source is.
        place: String,
        /// What its kind makes of that.
        if_empty: IfEmpty,
        /// In what way.
        nothing: Nothing,
        /// Entries of the last snapshot, the root among them; 0 without one.
        entries: u64,
    },
    /// A commit record cannot be read.
    #[error(transparent)]
    Latest(#[from] ChainError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] WriterError),
    /// The commit record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The commit record would be one that nobody reads.
    #[error("the commit record would have more than {RECORD_BYTES} bytes")]
    LargeRecord,
    /// The snapshot to be would not sort after the last one.
    #[error("the last snapshot, {0}, is later than this pass")]
    FromTheFuture(PassId),
    /// The last snapshot's table of objects cannot be had.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The manifest points into an object that nobody knows to be complete.
    #[error("the object `{0}` was not completed")]
    NoObject(ObjectId),
    /// The table of objects would be one that nobody reads.
    #[error("the snapshot would need {0} archives, which are more than its table can hold")]
    ManyObjects(usize),
    /// Sessions that are in the last snapshot and, it may be, nowhere else, cannot be read from it.
    #[error(
        "segment `{key}` of the last snapshot cannot be used ({error}), and without it what it lists would be lost: `{first}` to `{last}`"
    )]
    Damaged {
        /// The segment.
        key: String,
        /// What is wrong with it.
        error: String,
        /// The first path in it.
        first: String,
        /// The last.
        last: String,
    },
    /// A mark of damage that the lock names cannot be read.
    #[error("{0}")]
    Mark(String),
    /// The archive cannot be compressed as asked.
    #[error("cannot compress: {0}")]
    Compression(std::io::Error),
    /// The system does not give another thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// No session is called so.
    #[error("`{place}` has no session `{wanted}`")]
    NoSession {
        /// Where the source is.
        place: String,
        /// What was asked for.
        wanted: String,
        /// Sessions that are called like that.
        like: Vec<String>,
    },
    /// No session is of this year.
    #[error("`{place}` has no session of {wanted}")]
    NoYear {
        /// Where the source is.
        place: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        years: BTreeSet<String>,
    },
    /// Another one, without which it was not to be backed up, was not.
    #[error("skipped, because `{0}` failed")]
    Skipped(SourceName),
    /// The pass is being stopped.
    #[error("interrupted")]
    Interrupted,
}

/// Why there is nothing to back up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {
    /// The root is empty.
    Empty,
    /// Includes and excludes leave out everything that is in it.
    LeftOut,
    /// The root of a source of sessions has no directory in it that counts.
    NoSessions,
}

impl Nothing {
    fn text(self, place: &str, entries: u64, if_empty: IfEmpty) -> String {
        let what = match self {
            Self::Empty => "is empty",
            Self::LeftOut => "has nothing to back up: everything in it is left out",
            Self::NoSessions => "has no sessions to back up",
        };
        let mut text = format!("`{place}` {what}");
        if entries > 1 {
            text += &format!(", and the last snapshot has {entries} entries");
        }
        if self == Self::Empty {
            text += &format!(": this looks like {}", if_empty.looks_like);
        }
        text
    }

    fn hint(self, IfEmpty { remedy, check, .. }: IfEmpty) -> String {
        let allow = "set `allow_empty: true` for the source";
        match self {
            Self::Empty => format!("{remedy}; if it is meant to be empty, {allow}"),
            Self::LeftOut => format!(
                "check `include`, `exclude` and {check}; if there may be nothing to back up, {allow}"
            ),
            Self::NoSessions => format!(
                "each directory directly in it is a session: {remedy}, or give a directory of files as `directory`; if there may be no sessions, {allow}"
            ),
        }
    }
}

impl From<Damaged> for SourceError {
    fn from(Damaged { segment, error }: Damaged) -> Self {
        Self::Damaged {
            key: segment.key,
            error,
            first: segment.first,
            last: segment.last,
        }
    }
}

impl From<FatalError> for SourceError {
    fn from(error: FatalError) -> Self {
        match error {
            FatalError::Store(error) => Self::Store(error),
            FatalError::Compression(error) => Self::Compression(error),
            FatalError::Thread(error) => Self::Thread(error),
        }
    }
}

impl From<MergeError> for SourceError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Stopped(stopped) => stopped.into(),
            MergeError::Store(error) => error.into(),
            MergeError::Source(unusable) => unusable.into(),
            MergeError::Damaged(damaged) => damaged.into(),
        }
    }
}

impl From<Stopped> for SourceError {
    fn from(_: Stopped) -> Self {
        Self::Interrupted
    }
}

impl SourceError {
    /// The exit code of a pass that fails for this.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unusable(unusable) => unusable.exit_code,
            Self::Empty { .. }
            | Self::FromTheFuture(_)
            | Self::NoObject(_)
            | Self::ManyObjects(_)
            | Self::LargeRecord
            | Self::Compression(_)
            | Self::Thread(_)
            | Self::Skipped(_)
            | Self::Manifest(WriterError::LongEntry(_)) => ExitCode::Failed,
            Self::NoSession { .. } | Self::NoYear { .. } => ExitCode::NotFound,
            Self::Interrupted => ExitCode::Terminated,
            Self::Damaged { .. }
            | Self::Mark(_)
            | Self::Latest(ChainError::Record { .. })
            | Self::Objects(ObjectsError::Damaged { .. } | ObjectsError::Newer { .. }) => {
                ExitCode::Integrity
            }
            Self::Manifest(WriterError::Segment(_)) => ExitCode::Integrity,
            Self::Latest(ChainError::Store(error))
            | Self::Objects(ObjectsError::Store(error))
            | Self::Store(error)
            | Self::Manifest(WriterError::Store(error)) => error.kind.exit_code(),
            Self::Commit(error) => error.exit_code(),
        }
    }

    /// Whether the store or the credentials are to blame, so that another pass may well succeed some
    /// minutes later.
    #[must_use]
    pub fn is_worth_another_pass(&self) -> bool {
        match self {
            Self::Latest(ChainError::Store(error))
            | Self::Objects(ObjectsError::Store(error))
            | Self::Store(error)
            | Self::Manifest(WriterError::Store(error))
            | Self::Commit(CommitError::Store(error)) => error.kind.is_worth_another_pass(),
            Self::Commit(CommitError::TimedOut | CommitError::Lost(Lost::NotRenewed(_))) => true,
            Self::Unusable(unusable) => unusable.is_worth_another_pass,
            Self::Commit(CommitError::Lost(Lost::Taken))
            | Self::Empty { .. }
            | Self::Latest(ChainError::Record { .. })
            | Self::Objects(ObjectsError::Damaged { .. } | ObjectsError::Newer { .. })
            | Self::Manifest(WriterError::Segment(_) | WriterError::LongEntry(_))
            | Self::LargeRecord
            | Self::FromTheFuture(_)
            | Self::NoObject(_)
            | Self::ManyObjects(_)
            | Self::Damaged { .. }
            | Self::Mark(_)
            | Self::Compression(_)
            | Self::Thread(_)
            | Self::NoSession { .. }
            | Self::NoYear { .. }
            | Self::Skipped(_)
            | Self::Interrupted => false,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unusable(unusable) => Some(unusable.hint.clone()),
            Self::Empty {
                nothing, if_empty, ..
            } => Some(nothing.hint(*if_empty)),
            Self::NoSession { like, .. } if !like.is_empty() => {
                Some(format!("did you mean `{}`?", like.join("`, `")))
            }
            Self::NoYear { years, .. } => {
                let years: Vec<_> = years.iter().map(String::as_str).collect();
                Some(format!("there are sessions of {}", years.join(", ")))
            }
            Self::Damaged { .. } => Some(
                "put the object back, from a copy of the store or an earlier version in the bucket; or archive everything anew that is still there, with `offsite run --force`: sessions that are gone are then in earlier snapshots only"
                    .to_owned(),
            ),
            Self::Mark(_) => Some(
                "it says what is damaged in the store; move it away, and `offsite verify --repair` writes it again"
                    .to_owned(),
            ),
            Self::NoSession { .. } => Some("`offsite sessions` lists them all".to_owned()),
            Self::Latest(error) => error.hint().map(str::to_owned),
            Self::Objects(error) => error.hint().map(str::to_owned),
            Self::Store(error)
            | Self::Manifest(WriterError::Store(error)) => error.kind.hint().map(str::to_owned),
            Self::Commit(CommitError::Store(error)) => error.kind.hint().map(str::to_owned),
            Self::Thread(_) => Some(MORE_THREADS.to_owned()),
            Self::LargeRecord => {
                Some("raise `backup.manifest.segment_entries`, or split the source".to_owned())
            }
            Self::Manifest(WriterError::LongEntry(_)) => {
                Some("exclude the directory that it is in".to_owned())
            }
            Self::Manifest(WriterError::Segment(_))
            | Self::Commit(CommitError::Lost(_) | CommitError::TimedOut)
            | Self::FromTheFuture(_)
            | Self::NoObject(_)
            | Self::ManyObjects(_)
            | Self::Compression(_)
            | Self::Skipped(_)
            | Self::Interrupted => None,
        }
    }
}
