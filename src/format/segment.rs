//! Segments: sorted, immutable, compressed runs of entries.
//!
//! A segment is a zstd frame of NDJSON. Its first line is a [`Header`]; every other line is an
//! entry. Entries are strictly ascending by path, which the writer enforces and the reader checks,
//! so that whoever merges two manifests may rely on it.
//!
//! A reader takes in no more than the writer can have written: a hundred kilobytes may decompress to
//! gigabytes, in one line or in many.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read as _, Write};

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

/// The longest line. A path takes a few kilobytes, some six times as much in JSON and in Base64 besides;
/// extended attributes take up to 4 MiB, and a third more in Base64.
pub const LINE_BYTES: u64 = 16 << 20;

/// A segment is full when its lines have so many bytes, however few entries that are. 131,072 entries, as
/// many as it has by default, usually take 40 MB.
pub const FULL_BYTES: u64 = 128 << 20;

/// The most that the lines of a segment have: it is full, and then comes the longest line.
pub const LINES_BYTES: u64 = FULL_BYTES + LINE_BYTES;

/// The largest segment: what cannot be compressed grows by less than a hundredth.
pub const SEGMENT_BYTES: u64 = LINES_BYTES + LINES_BYTES / 100;

/// The largest window of a frame, as a power of two: 8 MiB, sixteen times that of segments, and as much
/// as readers of zstd must support (RFC 8878, section 3.1.1.1.2).
const WINDOW_LOG: u32 = 23;

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
    /// Length of its lines in bytes, decompressed.
    pub lines_bytes: u64,
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
    /// It has more than was recorded, or than any segment has.
    #[error("decompresses to more than the {0} bytes it should have")]
    TooLong(u64),
    /// Line `line`, counted from 1, has more bytes than any that was ever written.
    #[error("line {0} is longer than {LINE_BYTES} bytes")]
    LongLine(u64),
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
    lines_bytes: u64,
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
    lines_bytes: u64,
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
            lines_bytes: self.lines_bytes,
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
            lines_bytes: line.len() as u64,
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

    /// Whether it has as many bytes as a segment should.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.lines_bytes >= FULL_BYTES
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
        self.lines_bytes += line.len() as u64;
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
            lines_bytes: self.lines_bytes,
            totals: self.totals,
            first: name(self.first),
            last: name(self.last),
            archives: self.archives,
        }
    }
}

/// Reads a segment line by line.
pub struct SegmentReader {
    lines: Lines,
    header: Header,
    last: Option<EntryPath>,
}

/// The lines of a segment, and how many more bytes there may be.
struct Lines {
    decoder: BufReader<zstd::Decoder<'static, std::io::Cursor<Bytes>>>,
    /// The last one that was read.
    line: Vec<u8>,
    number: u64,
    at_most: u64,
    left: u64,
}

impl Lines {
    fn of(bytes: Bytes, at_most: u64) -> Result<Self, SegmentError> {
        let mut decoder = zstd::Decoder::with_buffer(std::io::Cursor::new(bytes))?;
        decoder.window_log_max(WINDOW_LOG)?;
        let at_most = at_most.min(LINES_BYTES);
        Ok(Self {
            decoder: BufReader::with_capacity(64 << 10, decoder),
            line: Vec::new(),
            number: 0,
            at_most,
            left: at_most,
        })
    }

    /// Reads the next line; whether there was one.
    fn next(&mut self) -> Result<bool, SegmentError> {
        self.line.clear();
        let most = self.left.min(LINE_BYTES);
        let mut rest = (&mut self.decoder).take(most + 1);
        let read = rest.read_until(b'\n', &mut self.line)? as u64;
        self.number += u64::from(read > 0);
        if read > LINE_BYTES {
            return Err(SegmentError::LongLine(self.number));
        }
        let left = self.left.checked_sub(read);
        self.left = left.ok_or(SegmentError::TooLong(self.at_most))?;
        Ok(read > 0)
    }
}

impl SegmentReader {
    /// Opens a segment whose digest the caller has checked, and whose lines have no more than
    /// `lines_bytes`.
    ///
    /// # Errors
    /// The object is not a segment, or one of a format this program does not know.
    pub fn open(bytes: Bytes, lines_bytes: u64) -> Result<Self, SegmentError> {
        let mut lines = Lines::of(bytes, lines_bytes)?;
        lines.next()?;
        let line = &lines.line;
        // The version decides before anything else is read: a later one may look different.
        #[derive(Deserialize)]
        struct Version {
            segment: FormatOnly,
        }
        #[derive(Deserialize)]
        struct FormatOnly {
            format: u32,
        }
        let version: Version = serde_json::from_slice(line).map_err(|_| SegmentError::Header)?;
        if version.segment.format != FORMAT {
            return Err(SegmentError::Format(version.segment.format));
        }
        let header: HeaderLine = serde_json::from_slice(line).map_err(|_| SegmentError::Header)?;
        Ok(Self {
            lines,
            header: header.segment,
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
        if !self.lines.next()? {
            return Ok(None);
        }
        let line = self.lines.number;
        let entry = Entry::parse_line(&self.lines.line)
            .map_err(|error| SegmentError::Entry { line, error })?;
        if self.last.as_ref().is_some_and(|last| entry.path <= *last) {
            return Err(SegmentError::Order(line));
        }
        self.last = Some(entry.path.clone());
        Ok(Some(entry))
    }

    /// The bytes of the line that [`next_entry`](Self::next_entry) read last, newline included.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        &self.lines.line
    }
}

impl Iterator for SegmentReader {
    type Item = Result<Entry, SegmentError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_bounded_in_bytes_and_in_lines() {
        let line = |length: u64| {
            let mut line = vec![b'a'; usize::try_from(length).unwrap() - 1];
            line.push(b'\n');
            line
        };
        let read = |text: &[u8], at_most| {
            let frame = zstd::encode_all(text, LEVEL).unwrap();
            let mut lines = Lines::of(frame.into(), at_most).unwrap();
            while lines.next()? {}
            Ok(lines.number)
        };
        let longest = line(LINE_BYTES);
        assert!(matches!(read(&longest, u64::MAX), Ok(1)));
        let longer = line(LINE_BYTES + 1);
        assert!(matches!(
            read(&longer, u64::MAX),
            Err(SegmentError::LongLine(1))
        ));
        let three = [line(5), line(5), line(5)].concat();
        assert!(matches!(read(&three, 15), Ok(3)));
        assert!(matches!(read(&three, 14), Err(SegmentError::TooLong(14))));
        assert!(matches!(read(&three, 10), Err(SegmentError::TooLong(10))));
    }
}
