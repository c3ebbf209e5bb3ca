//! SHA-256 digests of contents that no pass has read, beside the segment that lists them: what `verify --read` has
//! hashed of objects that the store itself has copied.
//!
//! They are compressed lines: a header, a digest a line in the order of the segment, and a line that says how many they are,
//! with the SHA-256 of all lines before it. Nothing vouches for them but that line, for they grow after the commit. So
//! whatever is not whole to the last byte is not believed. A digest belongs to one version of one copy, by key, ETag
//! and length, and never to a name: it says nothing of what another pass has copied.
//!
//! A reader without them knows less, and nothing that is wrong: no record requires them.

use std::collections::HashMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::FORMAT;
use super::entry::{Content, Digest};
use super::keys::SourceName;
use super::lines::{FULL_BYTES, LINES_BYTES, Lines, LinesError, LinesWriter};
use super::location::{Checksum, ETag, Location, Stored};
use super::requires::{Requires, Unsupported};

/// Digests by the version of a copy that they were computed of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digests(HashMap<Identity, [u8; 32]>);

/// What tells a version of a copy from all others, hashed: a segment lists a hundred thousand, with long keys.
type Identity = [u8; 32];

/// Digests that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DigestsError {
    /// The lines cannot be read.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// Line `0`, counted from 1, is not what should be there.
    #[error("line {0} is not what should be there")]
    Line(u64),
    /// They are another segment's.
    #[error("speaks of another segment")]
    Segment,
    /// Some of it is missing, or is not what was written.
    #[error("has no end, or one that does not fit its lines")]
    End,
    /// Written by a newer program.
    #[error("has format version {0}, this program reads version {FORMAT}")]
    Format(u32),
    /// Written by a newer program.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

impl DigestsError {
    /// Whether a newer program can read them, so that they are not damaged.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        match self {
            Self::Format(_) | Self::Unsupported(_) => true,
            Self::Lines(_) | Self::Line(_) | Self::Segment | Self::End => false,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct HeaderLine {
    digests: Header,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    requires: Requires,
    source: SourceName,
    /// SHA-256 of the segment, in hex.
    segment: String,
}

/// A copy and its digest.
#[derive(Serialize, Deserialize)]
struct DigestLine {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    size: u64,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct EndLine {
    end: End,
}

#[derive(Serialize, Deserialize)]
struct End {
    digests: u64,
    /// Of all lines before this one, in hex.
    sha256: String,
}

/// How every last line begins, and no digest.
const END: &[u8] = b"{\"end\":";

/// The copy that holds contents, where nobody has a SHA-256 of them.
#[must_use]
pub fn unread(content: &Content) -> Option<&Stored> {
    match (content.digest, &content.location) {
        (Digest::Vouched, Location::Object(stored)) => match stored.checksum {
            Checksum::Sha256(_) => None,
            Checksum::Crc64Nvme(_) | Checksum::Sha256OfParts(_) | Checksum::None => Some(stored),
        },
        _ => None,
    }
}

impl Digests {
    /// What was recorded of a copy.
    #[must_use]
    pub fn get(&self, stored: &Stored) -> Option<[u8; 32]> {
        self.0.get(&identity(stored)).copied()
    }

    /// Adds what was read of a copy. What is there already stays.
    pub fn add(&mut self, stored: &Stored, sha256: [u8; 32]) {
        self.0.entry(identity(stored)).or_insert(sha256);
    }

    /// Adds those of others which it does not have, and says how many that were.
    pub fn add_all(&mut self, others: &Self) -> u64 {
        let before = self.0.len();
        for (identity, sha256) in &others.0 {
            self.0.entry(*identity).or_insert(*sha256);
        }
        (self.0.len() - before) as u64
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads those of the segment with this SHA-256, in hex.
    ///
    /// # Errors
    /// They are not whole, or another segment's, or of a format that this program does not know.
    pub fn parse(bytes: Bytes, segment: &str) -> Result<Self, DigestsError> {
        let mut lines = Lines::of(bytes, LINES_BYTES)?;
        lines.next()?;
        check_version(&lines.line)?;
        let header: HeaderLine =
            serde_json::from_slice(&lines.line).map_err(|_| DigestsError::Line(1))?;
        if header.digests.segment != segment {
            return Err(DigestsError::Segment);
        }
        let mut hasher = Sha256::new_with_prefix(&lines.line);
        let (mut digests, mut count) = (Self::default(), 0);
        loop {
            if !lines.next()? {
                return Err(DigestsError::End);
            }
            if lines.line.starts_with(END) {
                let end: Result<EndLine, _> = serde_json::from_slice(&lines.line);
                let sha256 = hex::encode(hasher.finalize());
                let fits =
                    end.is_ok_and(|line| line.end.digests == count && line.end.sha256 == sha256);
                return match fits && !lines.next()? {
                    true => Ok(digests),
                    false => Err(DigestsError::End),
                };
            }
            hasher.update(&lines.line);
            count += 1;
            let wrong = DigestsError::Line(lines.number);
            let Ok(line) = serde_json::from_slice::<DigestLine>(&lines.line) else {
                return Err(wrong);
            };
            let mut sha256 = [0; 32];
            if hex::decode_to_slice(&line.sha256, &mut sha256).is_err() {
                return Err(wrong);
            }
            let identity = identity_of(&line.key, line.etag.as_deref(), line.size);
            digests.0.insert(identity, sha256);
        }
    }
}

/// The version decides before anything else is read: a later one may look different.
fn check_version(line: &[u8]) -> Result<(), DigestsError> {
    #[derive(Deserialize)]
    struct Version {
        digests: FormatOnly,
    }
    #[derive(Deserialize)]
    struct FormatOnly {
        format: u32,
        #[serde(default)]
        requires: Requires,
    }
    let version: Version = serde_json::from_slice(line).map_err(|_| DigestsError::Line(1))?;
    if version.digests.format != FORMAT {
        return Err(DigestsError::Format(version.digests.format));
    }
    Ok(version.digests.requires.check()?)
}

fn identity(stored: &Stored) -> Identity {
    let etag = stored.etag.as_ref().map(ETag::bare);
    identity_of(&stored.key, etag, stored.size)
}

fn identity_of(key: &str, etag: Option<&str>, size: u64) -> Identity {
    // The length says where the key ends.
    let text = format!("{} {key} {} {size}", key.len(), etag.unwrap_or_default());
    Sha256::digest(text).into()
}

/// Writes the digests of one segment in memory.
pub struct DigestsWriter {
    lines: LinesWriter,
    hasher: Sha256,
    count: u64,
}

impl DigestsWriter {
    /// Of the segment of `source` with this SHA-256, in hex.
    #[must_use]
    pub fn new(source: &SourceName, segment: &str) -> Self {
        let mut writer = Self {
            lines: LinesWriter::new(),
            hasher: Sha256::new(),
            count: 0,
        };
        writer.push_json(&HeaderLine {
            digests: Header {
                format: FORMAT,
                requires: Requires::default(),
                source: source.clone(),
                segment: segment.to_owned(),
            },
        });
        writer
    }

    /// Appends what was read of a copy; not where nobody would read any more of it.
    pub fn push(&mut self, stored: &Stored, sha256: [u8; 32]) {
        if self.lines.bytes() >= FULL_BYTES {
            return;
        }
        self.push_json(&DigestLine {
            key: stored.key.to_string(),
            etag: (stored.etag.as_ref()).map(|etag| etag.bare().to_owned()),
            size: stored.size,
            sha256: hex::encode(sha256),
        });
        self.count += 1;
    }

    fn push_json(&mut self, value: &impl Serialize) {
        let mut line = serde_json::to_vec(value).expect("records are plain data");
        line.push(b'\n');
        self.hasher.update(&line);
        self.lines.push(&line);
    }

    /// The object.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        self.lines.push_json(&EndLine {
            end: End {
                digests: self.count,
                sha256: hex::encode(self.hasher.finalize()),
            },
        });
        self.lines.finish().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: &str = "5e";

    fn stored(key: &str, etag: &str) -> Stored {
        Stored {
            key: key.into(),
            size: 3,
            checksum: Checksum::None,
            etag: Some(ETag(format!("\"{etag}\""))),
        }
    }

    fn written() -> Bytes {
        let source = SourceName::parse("documents").unwrap();
        let mut writer = DigestsWriter::new(&source, SEGMENT);
        writer.push(&stored("copies/a", "1"), [1; 32]);
        writer.push(&stored("copies/b", "2"), [2; 32]);
        writer.finish()
    }

    #[test]
    fn a_digest_is_that_of_one_version_of_one_copy() {
        let digests = Digests::parse(written(), SEGMENT).unwrap();
        assert_eq!(digests.get(&stored("copies/a", "1")), Some([1; 32]));
        assert_eq!(digests.get(&stored("copies/b", "2")), Some([2; 32]));
        assert_eq!(digests.get(&stored("copies/a", "2")), None);
        assert_eq!(digests.get(&stored("copies/c", "1")), None);
        let longer = Stored {
            size: 4,
            ..stored("copies/a", "1")
        };
        assert_eq!(digests.get(&longer), None);
        let unnamed = Stored {
            etag: None,
            ..stored("copies/a", "1")
        };
        assert_eq!(digests.get(&unnamed), None);
    }

    #[test]
    fn what_is_there_already_stays() {
        let mut digests = Digests::parse(written(), SEGMENT).unwrap();
        let mut more = Digests::default();
        more.add(&stored("copies/a", "1"), [9; 32]);
        more.add(&stored("copies/c", "3"), [3; 32]);
        assert_eq!(digests.add_all(&more), 1);
        assert_eq!(digests.get(&stored("copies/a", "1")), Some([1; 32]));
        assert_eq!(digests.get(&stored("copies/c", "3")), Some([3; 32]));
    }

    #[test]
    fn nothing_is_believed_that_is_not_whole_and_of_this_segment() {
        let bytes = written();
        assert!(matches!(
            Digests::parse(bytes.clone(), "another"),
            Err(DigestsError::Segment)
        ));
        for length in 0..bytes.len() {
            let error = Digests::parse(bytes.slice(..length), SEGMENT).unwrap_err();
            assert!(!error.is_newer(), "{length}: {error}");
        }
        // Also where the frame itself is whole.
        let lines = zstd::decode_all(&bytes[..]).unwrap();
        let packed = |lines: &[u8]| Bytes::from(zstd::encode_all(lines, 1).unwrap());
        assert!(Digests::parse(packed(&lines), SEGMENT).is_ok());
        for at in 0..lines.len() {
            let mut damaged = lines.clone();
            damaged[at] ^= 1;
            let parsed = Digests::parse(packed(&damaged), SEGMENT);
            assert!(parsed.is_err(), "{at}: {parsed:?}");
        }
        let twice = [&lines[..], b"{}\n"].concat();
        assert!(Digests::parse(packed(&twice), SEGMENT).is_err());
    }

    #[test]
    fn what_a_newer_program_wrote_is_not_damaged() {
        for header in [
            r#"{"digests":{"format":2}}"#,
            r#"{"digests":{"format":1,"requires":["tomorrow"]}}"#,
        ] {
            let bytes = Bytes::from(zstd::encode_all(header.as_bytes(), 1).unwrap());
            let error = Digests::parse(bytes, SEGMENT).unwrap_err();
            assert!(error.is_newer(), "{error}");
        }
    }
}
