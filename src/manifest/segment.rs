//! Segments: sorted, immutable, compressed runs of entries.
//!
//! A segment is a zstd frame of NDJSON. Its first line is a [`Header`]; every other line is an
//! entry. Entries are strictly ascending by path, which the writer enforces and the reader checks,
//! so that whoever merges two manifests may rely on it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::FORMAT;
use super::entry::{Entry, EntryError};
use super::pass_id::PassId;
use super::path::EntryPath;
use super::totals::Totals;

/// zstd level of segments. Measured on lines like ours, level 1 is a tenth larger than level 3 and
/// takes half the time; most of a line is a digest that no level compresses.
const LEVEL: i32 = 1;

/// First line of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Format version; see [`FORMAT`].
    pub format: u32,
    /// Name of the source.
    pub source: String,
    /// The pass that wrote the segment and vouches for its entries.
    pub pass: PassId,
    /// When that pass began to look at the source, nanoseconds since the epoch by the clock of the
    /// machine it ran on. An entry not older than this may have changed again unseen.
    pub scan_started_ns: i64,
    /// Whether that pass recorded extended attributes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub xattrs: bool,
}

#[derive(Serialize, Deserialize)]
struct HeaderLine {
    segment: Header,
}

/// How a commit record refers to a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// Key under the prefix.
    pub key: String,
    /// SHA-256 of the object, in hex.
    pub sha256: String,
    /// Length of the object in bytes.
    pub size: u64,
    /// What it holds.
    pub totals: Totals,
    /// First path, for people.
    pub first: String,
    /// Last path, for people.
    pub last: String,
    /// Keys of the archives that its entries point into.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub archives: BTreeSet<Box<str>>,
}

/// A segment that is not one.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The compressed stream is damaged.
    #[error("cannot be decompressed: {0}")]
    Io(#[from] std::io::Error),
    /// The first line is no header.
    #[error("does not start with a segment header")]
    Header,
    /// Written by a newer program.
    #[error("has format version {0}, this program reads version {FORMAT}")]
    Format(u32),
    /// Line `line`, counted from 1, is not an entry.
    #[error("line {line}: {error}")]
    Entry {
        /// Number of the line.
        line: u64,
        /// What is wrong with it.
        error: EntryError,
    },
    /// Line `line`, counted from 1, does not sort after the one before it.
    #[error("line {0} is out of order")]
    Order(u64),
}

/// Builds one segment in memory, compressing as it grows.
pub struct SegmentWriter {
    encoder: zstd::Encoder<'static, Vec<u8>>,
    line: Vec<u8>,
    first: Option<EntryPath>,
    last: Option<EntryPath>,
    totals: Totals,
    archives: BTreeSet<Box<str>>,
}

/// A finished segment, not yet in the store.
#[derive(Debug, Clone)]
pub struct SegmentBody {
    /// The object.
    pub bytes: Bytes,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    totals: Totals,
    first: String,
    last: String,
    archives: BTreeSet<Box<str>>,
}

impl SegmentBody {
    /// The reference to this segment once it is stored under `key`.
    #[must_use]
    pub fn stored_as(&self, key: String) -> SegmentRef {
        SegmentRef {
            key,
            sha256: hex::encode(self.sha256),
            size: self.bytes.len() as u64,
            totals: self.totals,
            first: self.first.clone(),
            last: self.last.clone(),
            archives: self.archives.clone(),
        }
    }
}

impl SegmentWriter {
    /// An empty segment.
    #[must_use]
    pub fn new(header: &Header) -> Self {
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL).expect("the level is valid");
        encoder
            .include_checksum(true)
            .expect("a fresh encoder takes parameters");
        let mut line = serde_json::to_vec(&HeaderLine {
            segment: header.clone(),
        })
        .expect("a header is plain data");
        line.push(b'\n');
        encoder.write_all(&line).expect("writing to memory");
        Self {
            encoder,
            line,
            first: None,
            last: None,
            totals: Totals::default(),
            archives: BTreeSet::new(),
        }
    }

    /// Number of entries so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.totals.entries
    }

    /// Appends an entry.
    ///
    /// # Panics
    /// When the entry does not sort after the last one: a manifest out of order would make later
    /// passes lose files, so it must never be written.
    pub fn push(&mut self, entry: &Entry) {
        self.line.clear();
        entry.write_line(&mut self.line);
        let line = std::mem::take(&mut self.line);
        self.push_line(entry, &line);
        self.line = line;
    }

    /// Appends the line of `entry` as another segment holds it, fields unknown to this program
    /// included.
    ///
    /// # Panics
    /// As [`push`](Self::push).
    pub fn push_line(&mut self, entry: &Entry, line: &[u8]) {
        let path = &entry.path;
        if let Some(last) = &self.last {
            assert!(
                *path > *last,
                "manifest out of order: {path:?} after {last:?}"
            );
        }
        self.encoder.write_all(line).expect("writing to memory");
        self.totals += Totals::of(entry);
        let archive = entry.content.as_ref().and_then(|c| c.archive.as_ref());
        if let Some(range) = archive.filter(|range| !self.archives.contains(&range.key)) {
            self.archives.insert(range.key.clone());
        }
        if self.first.is_none() {
            self.first = Some(path.clone());
        }
        self.last = Some(path.clone());
    }

    /// Ends the segment.
    #[must_use]
    pub fn finish(self) -> SegmentBody {
        let bytes = self.encoder.finish().expect("writing to memory");
        let name = |path: Option<EntryPath>| path.map_or_else(String::new, |p| p.to_string());
        SegmentBody {
            sha256: Sha256::digest(&bytes).into(),
            bytes: bytes.into(),
            totals: self.totals,
            first: name(self.first),
            last: name(self.last),
            archives: self.archives,
        }
    }
}

/// Reads a segment line by line.
pub struct SegmentReader {
    lines: BufReader<zstd::Decoder<'static, std::io::Cursor<Bytes>>>,
    header: Header,
    line: Vec<u8>,
    number: u64,
    last: Option<EntryPath>,
}

impl SegmentReader {
    /// Opens a segment whose digest the caller has checked.
    ///
    /// # Errors
    /// The object is not a segment, or one of a format this program does not know.
    pub fn open(bytes: Bytes) -> Result<Self, SegmentError> {
        let decoder = zstd::Decoder::with_buffer(std::io::Cursor::new(bytes))?;
        let mut lines = BufReader::with_capacity(64 << 10, decoder);
        let mut line = Vec::new();
        lines.read_until(b'\n', &mut line)?;
        // The version decides before anything else is read: a later one may look different.
        #[derive(Deserialize)]
        struct Version {
            segment: FormatOnly,
        }
        #[derive(Deserialize)]
        struct FormatOnly {
            format: u32,
        }
        let version: Version = serde_json::from_slice(&line).map_err(|_| SegmentError::Header)?;
        if version.segment.format != FORMAT {
            return Err(SegmentError::Format(version.segment.format));
        }
        let header: HeaderLine = serde_json::from_slice(&line).map_err(|_| SegmentError::Header)?;
        Ok(Self {
            lines,
            header: header.segment,
            line,
            number: 1,
            last: None,
        })
    }

    /// Who wrote the segment, and when.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// The stream or the line is damaged, or out of order.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, SegmentError> {
        self.line.clear();
        if self.lines.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let entry = Entry::parse_line(&self.line).map_err(|error| SegmentError::Entry {
            line: self.number,
            error,
        })?;
        if self.last.as_ref().is_some_and(|last| entry.path <= *last) {
            return Err(SegmentError::Order(self.number));
        }
        self.last = Some(entry.path.clone());
        Ok(Some(entry))
    }

    /// The bytes of the line that [`next_entry`](Self::next_entry) read last, newline included.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        &self.line
    }
}

impl Iterator for SegmentReader {
    type Item = Result<Entry, SegmentError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}
