//! The kinds of sources, as a configuration calls them.

/// What a source is of, which the key says under which its place is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory.
    Directory,
    /// A directory in which each directory is a session.
    Sessions,
    /// A bucket.
    Bucket,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Directory, Self::Sessions, Self::Bucket];

    /// Several of them.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Directory => "directories",
            Self::Sessions => "sessions",
            Self::Bucket => "buckets",
        }
    }

    /// The key of an item.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Sessions => "sessions",
            Self::Bucket => "bucket",
        }
    }

    /// How many days what is backed up from it is kept by `retention: default`.
    pub(super) fn default_days(self) -> Option<u64> {
        match self {
            // For how long files are wanted only those know whose they are.
            Self::Directory | Self::Sessions => None,
            // As the Nexus backup has it.
            Self::Bucket => Some(7),
        }
    }
}
