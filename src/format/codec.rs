//! How shared objects are compressed.

use serde::{Deserialize, Serialize};

/// How an archive is compressed. Every member of a gzip archive and every frame of a zstd archive
/// can be decompressed alone, and all of them together are the tar stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Members of RFC 1952.
    Gzip,
    /// Frames of RFC 8878.
    Zstd,
    /// The tar stream as it is.
    None,
}

impl Codec {
    /// What a file's name ends in, without the first dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "tar.gz",
            Self::Zstd => "tar.zst",
            Self::None => "tar",
        }
    }
}
