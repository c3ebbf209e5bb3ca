//! Segments: sorted, immutable, compressed runs of entries.
//!
//! A segment is compressed lines. Its first line is a [`Header`], its last an [`End`]; every other line is
//! an entry. Entries are strictly ascending by name, which the writer enforces and the reader checks,
//! so that whoever merges two manifests may rely on it. A segment without its last line is not whole.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::entry::{Entry, EntryError, exact, text_and_base64};
use super::keys::SourceName;
use super::lines::{FULL_BYTES, Lines, LinesError, LinesWriter};
use super::location::{Location, ObjectId};
use super::name::{Name, Order};
use super::pass_id::PassId;
use super::requires::{Requires, Unsupported};
use super::totals::Totals;

/// Keys from one cut to the next: eight full pages of a listing, so that listing from one to the next wastes no page.
/// A commit record of ten million keys has 1,250 cuts.
pub const CUT_ENTRIES: u32 = 8_000;

/// First line of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Format version; see [`FORMAT`].
    pub format: u32,
    /// What a reader has to know besides.
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    pub requires: Requires,
    /// Name of the source.
    pub source: SourceName,
    /// The pass that wrote the segment and vouches for its entries.
    pub pass: PassId,
    /// Generation of the lease under which it wrote it.
    pub generation: u64,
    /// The order of the entries.
    pub order: Order,
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

/// Last line of a segment: what its entries come to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct End {
    /// Number of entries.
    pub entries: u64,
    /// First path; lossy where it is not UTF-8.
    pub first: String,
    /// Then: its exact bytes, in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_b64: Option<String>,
    /// Last path, likewise.
    pub last: String,
    /// Its exact bytes, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_b64: Option<String>,
    /// Passes that captured what its entries hold.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub passes: BTreeSet<PassId>,
    /// Shared objects that its entries point into, and how many bytes of files they have there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<ObjectId, u64>,
    /// Entries whose contents were captured under another path, as further names of a file are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub foreign: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
struct EndLine {
    end: End,
}

/// How every last line begins, and no entry.
const END: &[u8] = b"{\"end\":";

impl End {
    /// Adds the next entry.
    pub fn add(&mut self, entry: &Entry) {
        if self.entries == 0 {
            (self.first, self.first_b64) = bound(&entry.name);
        }
        self.entries += 1;
        let Some(content) = &entry.content else {
            return;
        };
        match &content.location {
            Location::Inline => {}
            Location::Object(_) => {
                self.passes.insert(content.pass);
                self.foreign += u64::from(content.captured_as.is_some());
            }
            Location::Member(member) => {
                self.passes.insert(member.of.pass);
                let live = self.objects.entry(member.of).or_default();
                *live = live.saturating_add(entry.metadata.size);
            }
        }
    }

    /// Says which entry was the last one.
    pub fn close(&mut self, last: &Name) {
        (self.last, self.last_b64) = bound(last);
    }
}

/// How a commit record refers to a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// First path; lossy where it is not UTF-8.
    pub first: String,
    /// Then: its exact bytes, in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_b64: Option<String>,
    /// Last path, likewise.
    pub last: String,
    /// Its exact bytes, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_b64: Option<String>,
    /// The earliest pass that captured what its entries hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<PassId>,
    /// The latest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<PassId>,
    /// Shared objects that its entries point into, and how many bytes of files they have there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<ObjectId, u64>,
    /// Entries whose contents were captured under another path.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub foreign: u64,
    /// Of keys: every [`CUT_ENTRIES`]th of its names, for who lists the bucket in ranges. Nothing depends on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<String>,
}

impl SegmentRef {
    /// The first name and the last, in this order; `None` if the record does not say.
    #[must_use]
    pub fn bounds(&self, order: Order) -> Option<(Name, Name)> {
        let name = |text, base64| Name::parse(order, exact(text, base64)?);
        let first = name(&*self.first, self.first_b64.as_deref())?;
        Some((first, name(&*self.last, self.last_b64.as_deref())?))
    }

    /// Names that divide these segments into about equal parts of at least [`CUT_ENTRIES`] keys; none in trees. They are
    /// hints from a record, in order where the record is.
    #[must_use]
    pub fn cuts_of(segments: &[Self]) -> Vec<Name> {
        let (mut cuts, mut since) = (Vec::new(), 0);
        let apart = u64::from(CUT_ENTRIES);
        for segment in segments {
            let within = segment.cuts.iter();
            let within = within.map(|cut| Name::parse(Order::Key, cut.clone().into()));
            cuts.extend(within.flatten());
            let before = apart.saturating_mul(segment.cuts.len() as u64);
            let rest = segment.totals.entries.saturating_sub(before);
            since = if segment.cuts.is_empty() { since } else { 0 } + rest;
            // Segments that are small, as some configure them.
            if since >= apart
                && let Some((_, last)) = segment.bounds(Order::Key)
            {
                cuts.push(last);
                since = 0;
            }
        }
        cuts
    }

    /// Whether it may have entries with this name or below.
    #[must_use]
    pub fn may_have(&self, name: &Name) -> bool {
        self.bounds(name.order())
            .is_none_or(|(first, last)| last >= *name && (first <= *name || first.is_below(name)))
    }

    /// Whether it may have keys that start so.
    #[must_use]
    pub fn may_have_prefix(&self, prefix: &str) -> bool {
        self.bounds(Order::Key).is_none_or(|(first, last)| {
            let (prefix, first) = (prefix.as_bytes(), first.as_bytes());
            last.as_bytes() >= prefix && (first <= prefix || first.starts_with(prefix))
        })
    }

    /// What of this is not so, of a segment whose entries come to `totals` and `end`.
    #[must_use]
    pub fn differs(&self, totals: Totals, end: &End) -> Option<&'static str> {
        let bounds = (&self.first, &self.first_b64, &self.last, &self.last_b64);
        let bounds_there = (&end.first, &end.first_b64, &end.last, &end.last_b64);
        let passes = (end.passes.first().copied(), end.passes.last().copied());
        match () {
            () if self.totals != totals => Some("totals"),
            () if bounds != bounds_there => Some("first and last path"),
            () if self.objects != end.objects => Some("shared objects"),
            () if (self.oldest, self.newest) != passes => Some("passes"),
            () if self.foreign != end.foreign => Some("contents captured elsewhere"),
            () => None,
        }
    }
}

/// A segment that is not one.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// Its lines cannot be read.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// The first line is no header.
    #[error("does not start with a segment header")]
    Header,
    /// Written by a newer program.
    #[error("has format version {0}, this program reads version {FORMAT}")]
    Format(u32),
    /// Written by a newer program.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// It has no last line, or one that does not fit.
    #[error("has no end, or one that does not fit its entries")]
    End,
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
    lines: LinesWriter,
    source: SourceName,
    line: Vec<u8>,
    last: Option<Name>,
    totals: Totals,
    end: End,
    cuts: Vec<String>,
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
    end: End,
    cuts: Vec<String>,
}

impl SegmentBody {
    /// The reference to this segment once it is stored under `key`.
    #[must_use]
    pub fn stored_as(&self, key: String) -> SegmentRef {
        let end = self.end.clone();
        SegmentRef {
            key,
            sha256: hex::encode(self.sha256),
            size: self.bytes.len() as u64,
            lines_bytes: self.lines_bytes,
            totals: self.totals,
            first: end.first,
            first_b64: end.first_b64,
            last: end.last,
            last_b64: end.last_b64,
            oldest: end.passes.first().copied(),
            newest: end.passes.last().copied(),
            objects: end.objects,
            foreign: end.foreign,
            cuts: self.cuts.clone(),
        }
    }
}

impl SegmentWriter {
    /// An empty segment.
    #[must_use]
    pub fn new(header: &Header) -> Self {
        let mut lines = LinesWriter::new();
        lines.push_json(&HeaderLine {
            segment: header.clone(),
        });
        Self {
            lines,
            source: header.source.clone(),
            line: Vec::new(),
            last: None,
            totals: Totals::default(),
            end: End::default(),
            cuts: Vec::new(),
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
        self.lines.bytes() >= FULL_BYTES
    }

    /// Appends an entry.
    ///
    /// # Panics
    /// When the entry does not sort after the last one: a manifest out of order would make later
    /// passes lose files, so it must never be written.
    pub fn push(&mut self, entry: &Entry) {
        self.line.clear();
        entry.write_line(&self.source, &mut self.line);
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
        let name = &entry.name;
        if let Some(last) = &self.last {
            assert!(
                *name > *last,
                "manifest out of order: {name:?} after {last:?}"
            );
        }
        self.lines.push(line);
        self.totals += Totals::of(entry);
        self.end.add(entry);
        if let Some(key) = name.key()
            && self.totals.entries.is_multiple_of(CUT_ENTRIES.into())
        {
            self.cuts.push(key.as_str().to_owned());
        }
        self.last = Some(name.clone());
    }

    /// Ends the segment.
    #[must_use]
    pub fn finish(mut self) -> SegmentBody {
        if let Some(last) = &self.last {
            self.end.close(last);
        }
        let end = self.end;
        self.lines.push_json(&EndLine { end: end.clone() });
        let body = self.lines.finish();
        SegmentBody {
            bytes: body.bytes,
            sha256: body.sha256,
            lines_bytes: body.lines_bytes,
            totals: self.totals,
            end,
            cuts: self.cuts,
        }
    }
}

/// A name as text, and exactly where that is lossy.
fn bound(name: &Name) -> (String, Option<String>) {
    let (text, exact) = text_and_base64(name.text_bytes());
    (text.into_owned(), exact)
}

/// Reads a segment line by line.
pub struct SegmentReader {
    lines: Lines,
    header: Header,
    last: Option<Name>,
    entries: u64,
    is_at_end: bool,
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
            #[serde(default)]
            requires: Requires,
        }
        let version: Version = serde_json::from_slice(line).map_err(|_| SegmentError::Header)?;
        if version.segment.format != FORMAT {
            return Err(SegmentError::Format(version.segment.format));
        }
        version.segment.requires.check()?;
        let header: HeaderLine = serde_json::from_slice(line).map_err(|_| SegmentError::Header)?;
        Ok(Self {
            lines,
            header: header.segment,
            last: None,
            entries: 0,
            is_at_end: false,
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
    /// The stream or the line is damaged, or out of order, or the end is missing.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, SegmentError> {
        if self.is_at_end {
            return Ok(None);
        }
        if !self.lines.next()? {
            return Err(SegmentError::End);
        }
        if self.lines.line.starts_with(END) {
            let end: Result<EndLine, _> = serde_json::from_slice(&self.lines.line);
            let fits = end.is_ok_and(|line| line.end.entries == self.entries);
            if !fits || self.lines.next()? {
                return Err(SegmentError::End);
            }
            self.is_at_end = true;
            return Ok(None);
        }
        let line = self.lines.number;
        let entry = Entry::parse_line(&self.header.source, &self.lines.line)
            .map_err(|error| SegmentError::Entry { line, error })?;
        let is_of_order = entry.name.order() == self.header.order;
        if !is_of_order || self.last.as_ref().is_some_and(|last| entry.name <= *last) {
            return Err(SegmentError::Order(line));
        }
        self.last = Some(entry.name.clone());
        self.entries += 1;
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
