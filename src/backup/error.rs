//! Why a source was not backed up, and what can be done about it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rustix::io::Errno;

use super::latest::LatestError;
use super::previous::Damaged;
use super::writer::WriterError;
use crate::exit::ExitCode;
use crate::lease::CommitError;
use crate::manifest::pass_id::PassId;
use crate::store::StoreError;

/// Why a source was not backed up.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The root is not there, or cannot be entered.
    #[error("cannot open `{}`: {}", directory.display(), std::io::Error::from(*error))]
    Root {
        /// The root.
        directory: PathBuf,
        /// What the system says.
        error: Errno,
    },
    /// The root is empty and was not before.
    #[error(
        "`{}` is empty, and the last snapshot has {entries} entries: this looks like a volume that is not mounted",
        directory.display()
    )]
    Empty {
        /// The root.
        directory: PathBuf,
        /// Entries of the last snapshot.
        entries: u64,
    },
    /// A commit record cannot be read.
    #[error(transparent)]
    Latest(#[from] LatestError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] WriterError),
    /// The commit record cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The snapshot to be would not sort after the last one.
    #[error("the last snapshot, {0}, is later than this pass")]
    FromTheFuture(PassId),
    /// The manifest points into an archive that nobody knows to be complete.
    #[error("archive `{0}` was not completed")]
    NoArchive(String),
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
    /// The archive cannot be compressed as asked.
    #[error("cannot compress: {0}")]
    Compression(std::io::Error),
    /// No session is called so.
    #[error("`{}` has no session `{wanted}`", directory.display())]
    NoSession {
        /// The root.
        directory: PathBuf,
        /// What was asked for.
        wanted: String,
        /// Sessions that are called like that.
        like: Vec<String>,
    },
    /// No session is of this year.
    #[error("`{}` has no session of {wanted}", directory.display())]
    NoYear {
        /// The root.
        directory: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What there is.
        years: BTreeSet<String>,
    },
    /// The pass is being stopped.
    #[error("interrupted")]
    Interrupted,
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

impl SourceError {
    /// The exit code of a pass that fails for this.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Root { .. }
            | Self::Empty { .. }
            | Self::FromTheFuture(_)
            | Self::NoArchive(_)
            | Self::Compression(_) => ExitCode::Failed,
            Self::NoSession { .. } | Self::NoYear { .. } => ExitCode::NotFound,
            Self::Interrupted => ExitCode::Terminated,
            Self::Damaged { .. } | Self::Latest(LatestError::Record { .. }) => ExitCode::Integrity,
            Self::Manifest(WriterError::Segment(_)) => ExitCode::Integrity,
            Self::Latest(LatestError::Store(error))
            | Self::Store(error)
            | Self::Manifest(WriterError::Store(error)) => error.kind.exit_code(),
            Self::Commit(error) => error.exit_code(),
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Root { .. } => Some(
                "mount the volume, or take the directory out of `sources` or `include_dirs`"
                    .to_owned(),
            ),
            Self::Empty { .. } => Some(
                "mount the volume; if it is meant to be empty, set `allow_empty: true` for the source"
                    .to_owned(),
            ),
            Self::NoSession { like, .. } if !like.is_empty() => {
                Some(format!("did you mean `{}`?", like.join("`, `")))
            }
            Self::NoYear { years, .. } => {
                let years: Vec<_> = years.iter().map(String::as_str).collect();
                Some(format!("there are sessions of {}", years.join(", ")))
            }
            Self::Damaged { .. } => Some(
                "put the object back, as from an earlier version of it in the bucket; or archive everything anew that is on the disk, with `offsite run --force`: sessions that are gone are then in earlier snapshots only"
                    .to_owned(),
            ),
            Self::NoSession { .. } => Some("`offsite sessions` lists them all".to_owned()),
            Self::Latest(error) => error.hint().map(str::to_owned),
            Self::Store(error)
            | Self::Manifest(WriterError::Store(error)) => error.kind.hint().map(str::to_owned),
            Self::Manifest(WriterError::Segment(_))
            | Self::Commit(_)
            | Self::FromTheFuture(_)
            | Self::NoArchive(_)
            | Self::Compression(_)
            | Self::Interrupted => None,
        }
    }
}
