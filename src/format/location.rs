//! Where the bytes of an entry lie.
//!
//! This is decided once, when they are captured, and stated in full. Only `contents/` makes requests of
//! it. Size and digest of the bytes in the source are the entry's; those of the object that holds them
//! are here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::codec::Codec;
use super::entry::Digest;
use super::pass_id::PassId;

/// Where bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// There are none: an empty file needs no object.
    Inline,
    /// In an object of their own.
    Object(Box<Stored>),
    /// In a part of an object that others share, which the snapshot's table of objects names.
    Member(Box<Member>),
}

/// An object, as it was when it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its key, under the prefix.
    pub key: Box<str>,
    /// Its length in bytes.
    pub size: u64,
    /// What its bytes come to. The store checked it on arrival.
    pub checksum: Checksum,
    /// The store's name for this version of it.
    pub etag: Option<ETag>,
}

/// A part of a shared object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The object.
    pub of: ObjectId,
    /// Where the part begins in it, in bytes.
    pub offset: u64,
    /// Length of the part in bytes, as it lies there.
    pub length: u64,
    /// How the part is compressed.
    pub codec: Codec,
    /// Bytes of the decompressed part that come before those of the entry.
    pub skip: u64,
}

impl Member {
    /// The byte after its last; beyond any object where the record is damaged.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// Names a shared object within a source: the pass that wrote it, and its number in that pass, from 0.
/// Text: `20251227T020000Z-7f3a/0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The pass that wrote it.
    pub pass: PassId,
    /// Its number in that pass.
    pub number: u32,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pass, self.number)
    }
}

/// Text that is not what it should be; it says what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct Malformed {
    text: String,
    what: &'static str,
}

impl Malformed {
    fn new(text: &str, what: &'static str) -> Self {
        let text = text.to_owned();
        Self { text, what }
    }
}

impl FromStr for ObjectId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parse = || {
            let (pass, number) = text.split_once('/')?;
            let id = Self {
                pass: pass.parse().ok()?,
                number: number.parse().ok()?,
            };
            // One object has one name.
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or_else(|| Malformed::new(text, "a pass and the number of an object"))
    }
}

/// What the store checked of an object on arrival and keeps. Text: `sha256:` and 64 hex digits, `crc64nvme:`
/// and 16, `sha256parts:` and 64, `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// What S3 keeps of an object that was put in one request.
    Sha256([u8; 32]),
    /// What it keeps of one that was sent in parts: CRC-64/NVME.
    Crc64Nvme(u64),
    /// What other stores keep of that: SHA-256 of the SHA-256 of its parts, in their order.
    Sha256OfParts([u8; 32]),
    /// Nothing. Whatever the store says its checksum is, this program has not sent it.
    None,
}

impl Checksum {
    /// Whether it is the digest of contents that were read.
    #[must_use]
    pub fn is_that_of(&self, digest: Digest) -> bool {
        matches!((self, digest), (Self::Sha256(own), Digest::Sha256(sha256)) if *own == sha256)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(sha256) => write!(f, "sha256:{}", hex::encode(sha256)),
            Self::Crc64Nvme(crc) => write!(f, "crc64nvme:{crc:016x}"),
            Self::Sha256OfParts(sha256) => write!(f, "sha256parts:{}", hex::encode(sha256)),
            Self::None => f.write_str("none"),
        }
    }
}

impl FromStr for Checksum {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let sha256 = |digits| {
            let mut sha256 = [0; 32];
            hex::decode_to_slice(digits, &mut sha256).ok()?;
            Some(sha256)
        };
        let parse = || match text.split_once(':') {
            Some(("sha256", digits)) => sha256(digits).map(Self::Sha256),
            Some(("sha256parts", digits)) => sha256(digits).map(Self::Sha256OfParts),
            Some(("crc64nvme", digits)) => {
                let mut crc = [0; 8];
                hex::decode_to_slice(digits, &mut crc).ok()?;
                Some(Self::Crc64Nvme(u64::from_be_bytes(crc)))
            }
            None if text == "none" => Some(Self::None),
            _ => None,
        };
        parse().ok_or_else(|| Malformed::new(text, "a checksum"))
    }
}

/// Identifies one version of an object's bytes; opaque. As the store answered it, which is in quotes;
/// manifests have it without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ETag(pub String);

impl ETag {
    /// Without the quotes, which a proxy or a gateway may add or take away.
    #[must_use]
    pub fn bare(&self) -> &str {
        self.0.trim_matches('"')
    }
}

macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(ObjectId, Checksum);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_it_is_written() {
        for text in [
            "20251227T020000Z-7f3a/0",
            "20251227T020000Z-7f3a/4294967295",
        ] {
            assert_eq!(text.parse::<ObjectId>().unwrap().to_string(), text);
        }
        for text in ["20251227T020000Z-7f3a", "20251227T020000Z-7f3a/01", "x/0"] {
            assert!(text.parse::<ObjectId>().is_err(), "{text}");
        }
        for checksum in [
            Checksum::Sha256([0xab; 32]),
            Checksum::Crc64Nvme(9),
            Checksum::Sha256OfParts([0xcd; 32]),
            Checksum::None,
        ] {
            assert_eq!(checksum.to_string().parse(), Ok(checksum));
        }
        for text in [
            "crc64nvme:9",
            "sha256:ab",
            "sha256parts:",
            "md5:00",
            "none:",
            "0000000000000009",
        ] {
            assert!(text.parse::<Checksum>().is_err(), "{text}");
        }
    }
}
