//! Contents inside archives: where in which archive a file's bytes are, and what an archive object
//! is, so that it can be checked as a whole.

use serde::{Deserialize, Serialize};

use super::pass_id::PassId;

/// The largest record of an archive on its own. It takes some 400 bytes and the archive's key, of no more
/// than a kilobyte.
pub const RECORD_BYTES: u64 = 64 << 10;

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

/// A file's bytes inside an archive: decompress `length` bytes from `offset`, leave out `skip`
/// bytes of the result, and take as many as the file is long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArchiveRange {
    /// Key of the archive, under the prefix.
    pub key: Box<str>,
    /// How the range is compressed.
    pub codec: Codec,
    /// Where the range begins in the object.
    pub offset: u64,
    /// Length of the range in the object.
    pub length: u64,
    /// Decompressed bytes before the file's.
    pub skip: u64,
}

/// An archive object, as it was put into the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRef {
    /// Key under the prefix.
    pub key: Box<str>,
    /// The pass that wrote it.
    pub pass: PassId,
    /// How it is compressed.
    pub codec: Codec,
    /// Length of the object in bytes.
    pub size: u64,
    /// The store's name for this version of the object, as it was answered when it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// CRC-64/NVME of the object, 16 hex digits. The store checked it on arrival.
    pub crc64nvme: String,
    /// SHA-256 of the object, in hex, where it was put in one request and the store keeps this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Members: files, directories and links.
    pub members: u64,
    /// Bytes of the files in it.
    pub bytes: u64,
}
