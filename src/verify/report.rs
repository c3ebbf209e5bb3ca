//! What verify has looked at, what it has compared, and what it has found.

use serde::Serialize;

use crate::format::location::ETag;

/// The verdict on one snapshot.
#[derive(Debug, Default, Serialize)]
pub struct VerifyReport {
    /// Name of the source.
    pub source: String,
    /// The snapshot.
    pub snapshot: String,
    /// Objects looked at; an archive is one.
    pub objects: u64,
    /// What shows that objects are as recorded. Together, these are the objects without a finding.
    pub compared: Compared,
    /// Objects in an archive class or tier: compared with what the store tells, and never read.
    pub archived: u64,
    /// Objects, and files in archives, read back.
    pub read_objects: u64,
    /// Bytes of those.
    pub read_bytes: u64,
    /// Files whose contents were checked with an earlier snapshot, of those in segments that this one does not share
    /// with it.
    pub checked_before: u64,
    /// Entries that the pass could not read, by its commit record: the snapshot has them as an earlier one
    /// had them, or not at all. That is nothing the store has done.
    pub unreadable: u64,
    /// Digests of what no pass has read.
    pub digests: DigestReport,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// Why not everything was looked at, if it was not.
    pub ended_early: Option<String>,
}

/// What became of the digests of copies that no pass has read. Nothing here is wrong with the copies.
#[derive(Debug, Default, Serialize)]
pub struct DigestReport {
    /// Written down now, of objects that were read for the first time.
    pub recorded: u64,
    /// That could not be written down.
    pub not_recorded: u64,
    /// Why not, the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// Objects that were read and found to be what an earlier look has written down.
    pub confirmed: u64,
    /// What was written down and cannot be used: the objects were compared without it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl DigestReport {
    /// Adds what became of those beside another segment.
    pub(super) fn add(&mut self, other: Self) {
        self.recorded += other.recorded;
        self.not_recorded += other.not_recorded;
        self.confirmed += other.confirmed;
        self.why_not = self.why_not.take().or(other.why_not);
        self.problems.extend(other.problems);
    }
}

/// Numbers of objects by the strongest evidence for each.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Read back as a whole and hashed.
    pub contents: u64,
    /// The store's checksum is the one that was recorded.
    pub checksum: u64,
    /// The store tells no checksum; its ETag is the one that was recorded.
    pub etag: u64,
    /// The store tells no checksum, and no ETag was recorded: only the size is known to be right.
    pub size: u64,
}

/// What shows that an object is as it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    Contents,
    Checksum,
    ETag,
    Size,
}

impl Compared {
    pub(super) fn count(&mut self, evidence: Evidence) {
        *match evidence {
            Evidence::Contents => &mut self.contents,
            Evidence::Checksum => &mut self.checksum,
            Evidence::ETag => &mut self.etag,
            Evidence::Size => &mut self.size,
        } += 1;
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The file it concerns; the first of a segment's; of an archive, the directory that holds all
    /// files in it.
    pub path: String,
    /// The object.
    pub key: String,
    /// What kind of thing is wrong.
    pub kind: FindingKind,
    /// What is wrong.
    pub problem: String,
    /// Files in the archive, where the finding concerns it as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// The ETag of the object, where that alone is another one than was recorded.
    #[serde(skip)]
    pub etag: Option<ETag>,
}

/// What kind of thing is wrong, which decides on what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The object does not exist.
    Missing,
    /// The object is shorter than recorded.
    Truncated,
    /// The bytes are not those that were recorded.
    Altered,
    /// Something else has put the object there; its bytes may be the same.
    Replaced,
    /// Each read gives other bytes: they are damaged on the way.
    Unsteady,
    /// A segment of the manifest is missing or damaged.
    Segment,
    /// The commit record contradicts its segments.
    Record,
}

/// A finding that does not say yet what it concerns.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) kind: FindingKind,
    pub(super) text: String,
    pub(super) etag: Option<ETag>,
}

impl Problem {
    pub(super) fn new(kind: FindingKind, text: impl Into<String>) -> Self {
        let text = text.into();
        let etag = None;
        Self { kind, text, etag }
    }

    pub(super) fn missing() -> Self {
        Self::new(FindingKind::Missing, "missing")
    }

    /// Of what was read back again and again, and came different each time.
    pub(super) fn unsteady() -> Self {
        let text = "cannot be compared: what is read differs each time";
        Self::new(FindingKind::Unsteady, text)
    }

    /// Of what the store gives less of than it says it has.
    pub(super) fn cut_short() -> Self {
        let text = "truncated: the store sends fewer bytes than it says the object has";
        Self::new(FindingKind::Truncated, text)
    }

    /// What counts where this was shown by reading an object, after `seen` from outside.
    pub(super) fn after(self, seen: Result<Evidence, Self>) -> Self {
        match seen {
            // Reads that differ show nothing of the store.
            Err(seen) if self.kind == FindingKind::Unsteady => seen,
            _ => self,
        }
    }

    pub(super) fn at(self, path: impl Into<String>, key: impl Into<String>) -> Finding {
        Finding {
            path: path.into(),
            key: key.into(),
            kind: self.kind,
            problem: self.text,
            files: None,
            etag: self.etag,
        }
    }
}

/// Of a snapshot whose commit record cannot be read.
#[must_use]
pub fn unread(source: &str, snapshot: &str, key: &str, error: &str) -> VerifyReport {
    let problem = Problem::new(FindingKind::Record, format!("commit record {error}"));
    VerifyReport {
        source: source.to_owned(),
        snapshot: snapshot.to_owned(),
        findings: vec![problem.at(".", key)],
        ..VerifyReport::default()
    }
}
