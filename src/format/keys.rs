//! Where things lie in the store: every key the program reads or writes is made here.
//!
//! Keys are relative to the configured prefix. A content key is the path as it is, wherever S3, XML
//! and people can carry it; what they cannot carry is percent-encoded, `%` itself included, so that
//! the encoding can be undone and two paths never share a key. What is written before there is a commit
//! record that vouches for it has its digest in its name.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};

use super::location::ObjectId;
use super::name::{ObjectKey, Order};
use super::pass_id::PassId;
use super::path::EntryPath;

/// The lease.
pub const LOCK: &str = "lock";
/// What the first pass sends in parts to find out what the store can do.
pub const PROBE: &str = "probe";
/// The last pass, for people and probes.
pub const STATUS: &str = "status.json";
/// Results of all passes.
pub const PASSES: &str = "passes/";
/// Commit records of all sources.
pub const SNAPSHOTS: &str = "snapshots/";
/// What prunes decided.
pub const PRUNES: &str = "prunes/";
/// What was said of snapshots after they were committed.
pub const MARKS: &str = "marks/";
/// Where segments are, finished and unfinished.
pub const MANIFESTS: &str = "manifests/";

/// The longest content key under the prefix, in bytes. S3 allows 1,024 for a whole key; the rest is
/// for the prefix, which may have [`PREFIX_MAX_BYTES`].
pub const CONTENT_KEY_MAX_BYTES: usize = 900;
/// The longest prefix.
pub const PREFIX_MAX_BYTES: usize = 1024 - CONTENT_KEY_MAX_BYTES;

/// The stable name of a source, fit for a key, a shell and a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct SourceName(String);

/// The text is not a source's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a source name: use 1 to 64 letters, digits, `.`, `_` or `-`, not starting with `.` or `-`"
)]
pub struct InvalidSourceName(pub String);

impl SourceName {
    /// Checks a name that was given.
    ///
    /// # Errors
    /// The text has characters that a name must not have, or is too long.
    pub fn parse(text: &str) -> Result<Self, InvalidSourceName> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let starts_well = !text.starts_with(['.', '-']);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) || !starts_well {
            return Err(InvalidSourceName(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name a directory gets that was listed without one: its components joined by `-`, so
    /// that it does not depend on which other directories are listed.
    #[must_use]
    pub fn of_directory(directory: &str) -> Self {
        let mut name = String::new();
        for component in directory.split('/').filter(|c| !c.is_empty() && *c != ".") {
            if !name.is_empty() {
                name.push('-');
            }
            for c in component.chars() {
                let fits = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
                name.push(if fits { c } else { '_' });
            }
        }
        let name = name.trim_start_matches(['.', '-']);
        if name.is_empty() {
            return Self("root".to_owned());
        }
        // The end tells directories apart better than the beginning.
        let cut = name.len().saturating_sub(64);
        Self(name[cut..].trim_start_matches(['.', '-']).to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> serde::Deserialize<'de> for SourceName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Result of one pass.
#[must_use]
pub fn pass(pass: PassId) -> String {
    format!("{PASSES}{pass}.json")
}

/// All commit records of one source.
#[must_use]
pub fn snapshots(source: &SourceName) -> String {
    format!("{SNAPSHOTS}{source}/")
}

/// Commit record of one snapshot.
#[must_use]
pub fn snapshot(source: &SourceName, pass: PassId) -> String {
    format!("{SNAPSHOTS}{source}/{pass}.json")
}

/// What one prune decided.
#[must_use]
pub fn prune(id: PassId) -> String {
    format!("{PRUNES}{id}.json")
}

/// All marks of one source.
#[must_use]
pub fn marks(source: &SourceName) -> String {
    format!("{MARKS}{source}/")
}

/// All marks of one snapshot.
#[must_use]
pub fn marks_of(source: &SourceName, pass: PassId) -> String {
    format!("{MARKS}{source}/{pass}/")
}

/// One mark of a snapshot, from 1. Later ones sort after it.
#[must_use]
pub fn mark(source: &SourceName, pass: PassId, number: u32) -> String {
    format!("{MARKS}{source}/{pass}/{number:05}.json")
}

/// All segments of one source.
#[must_use]
pub fn segments(source: &SourceName) -> String {
    format!("{MANIFESTS}{source}/")
}

/// Where a segment stands in the manifest that a pass writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentNumber {
    /// The range of the source, from 0. There is one, unless several machines share the work.
    pub range: u16,
    /// Its number in the range, from 0.
    pub number: u32,
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}-{:05}", self.range, self.number)
    }
}

/// A segment that a commit record can refer to.
#[must_use]
pub fn segment(source: &SourceName, pass: PassId, at: SegmentNumber, sha256: &[u8; 32]) -> String {
    let sha256 = hex::encode(sha256);
    format!("{MANIFESTS}{source}/{pass}/{at}.{sha256}.ndjson.zst")
}

/// The digests of what a segment lists, beside it; `None` where the key is not that of a segment.
#[must_use]
pub fn digests(segment: &str) -> Option<String> {
    let stem = segment.strip_suffix(".ndjson.zst")?;
    Some(format!("{stem}.sha256.zst"))
}

/// A part of a segment, written while the segment is still growing, so that a pass that dies loses
/// little. Sorts before the segment, which replaces all its checkpoints.
#[must_use]
pub fn checkpoint(
    source: &SourceName,
    pass: PassId,
    (at, part): (SegmentNumber, u32),
    sha256: &[u8; 32],
) -> String {
    let sha256 = hex::encode(sha256);
    format!("{MANIFESTS}{source}/{pass}/{at}-{part:04}.{sha256}.ndjson.zst")
}

/// Says that a shared object is complete, for a pass that follows a kill.
#[must_use]
pub fn object_record(source: &SourceName, id: ObjectId, sha256: &[u8; 32]) -> String {
    let (pass, number, sha256) = (id.pass, id.number, hex::encode(sha256));
    format!("{MANIFESTS}{source}/{pass}/object-{number}.{sha256}.json")
}

/// Whether a key under [`segments`] is that of an [`object_record`].
#[must_use]
pub fn is_object_record(key: &str) -> bool {
    let file = key.rsplit_once('/').map_or(key, |(_, file)| file);
    file.starts_with("object-") && file.ends_with(".json")
}

/// The table of the shared objects that a snapshot needs.
#[must_use]
pub fn object_table(source: &SourceName, pass: PassId, sha256: &[u8; 32]) -> String {
    let sha256 = hex::encode(sha256);
    format!("{MANIFESTS}{source}/{pass}/objects.{sha256}.ndjson.zst")
}

/// The SHA-256, in hex, that the key of whatever lies under [`segments`] has in it.
#[must_use]
pub fn digest(key: &str) -> Option<&str> {
    let (_, file) = key.rsplit_once('/')?;
    let (_, rest) = file.split_once('.')?;
    let (digest, _) = rest.split_once('.')?;
    (hex::decode(digest).is_ok_and(|bytes| bytes.len() == 32)).then_some(digest)
}

/// All contents of one source whose entries are in this order: its files, or the copies of its objects.
#[must_use]
pub fn all_contents(source: &SourceName, order: Order) -> String {
    match order {
        Order::Path => format!("files/{source}/"),
        Order::Key => format!("copies/{source}/"),
    }
}

/// All files of one source that one pass captured.
#[must_use]
pub fn contents(source: &SourceName, pass: PassId) -> String {
    format!("files/{source}/{pass}/")
}

/// The pass that captured the contents under a key; `None` where it is no key of contents.
#[must_use]
pub fn pass_of_contents(source: &SourceName, key: &str) -> Option<PassId> {
    let folders = [Order::Path, Order::Key].map(|order| all_contents(source, order));
    let rest = (folders.iter()).find_map(|folder| key.strip_prefix(&**folder))?;
    rest.split_once('/')?.0.parse().ok()
}

/// The copy of an object that a pass has made: under its key, as it is. What S3 takes as a key it takes here as
/// well; one that would be too long is replaced by its SHA-256, under what is no category.
#[must_use]
pub fn copy(source: &SourceName, pass: PassId, category: &str, object: &ObjectKey) -> String {
    let folder = format!("copies/{source}/{pass}/");
    let key = format!("{folder}{category}/{object}");
    match key.len() {
        ..=CONTENT_KEY_MAX_BYTES => key,
        _ => format!(
            "{folder}%long/{}",
            hex::encode(Sha256::digest(object.as_str()))
        ),
    }
}

/// The pass that wrote a segment or a table of objects; `None` where the key is of neither.
#[must_use]
pub fn pass_of_manifest(source: &SourceName, key: &str) -> Option<PassId> {
    let rest = key.strip_prefix(&segments(source))?;
    rest.split_once('/')?.0.parse().ok()
}

/// The contents of a file captured by a pass.
#[must_use]
pub fn content(source: &SourceName, pass: PassId, path: &EntryPath) -> String {
    let mut key = contents(source, pass);
    let encoded = percent_encode(path.as_bytes());
    if key.len() + encoded.len() <= CONTENT_KEY_MAX_BYTES {
        key.push_str(&encoded);
    } else {
        // No encoded path starts with `%l`: a `%` is always followed by two hex digits.
        key.push_str("%long/");
        key.push_str(&hex::encode(Sha256::digest(path.as_bytes())));
    }
    key
}

/// Which pass and segment a key under [`segments`] belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentKey {
    /// The pass that wrote it.
    pub pass: PassId,
    /// Where the segment stands in what that pass wrote.
    pub at: SegmentNumber,
    /// For a checkpoint, which one of the segment.
    pub checkpoint: Option<u32>,
}

impl SegmentKey {
    /// Takes a listed key apart; `None` for a key that is not of this form.
    #[must_use]
    pub fn parse(source: &SourceName, key: &str) -> Option<Self> {
        let rest = key.strip_prefix(&segments(source))?;
        let (pass, file) = rest.split_once('/')?;
        let (stem, _) = file.strip_suffix(".ndjson.zst")?.split_once('.')?;
        digest(key)?;
        let (range, rest) = stem.split_once('-')?;
        let (number, checkpoint) = match rest.split_once('-') {
            Some((number, part)) => (number, Some(part.parse().ok()?)),
            None => (rest, None),
        };
        Some(Self {
            pass: pass.parse().ok()?,
            at: SegmentNumber {
                range: range.parse().ok()?,
                number: number.parse().ok()?,
            },
            checkpoint,
        })
    }
}

/// Text that can stand in a key: bytes that are not UTF-8, control characters, code points XML
/// cannot carry, and `%` are percent-encoded; everything else is itself.
#[must_use]
pub fn percent_encode(bytes: &[u8]) -> Cow<'_, str> {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '%' | '\u{fffe}' | '\u{ffff}');
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(is_plain)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    let escape = |out: &mut String, bytes: &[u8]| {
        for byte in bytes {
            out.push_str(&format!("%{byte:02X}"));
        }
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_plain(c) {
                out.push(c);
            } else {
                escape(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        escape(&mut out, chunk.invalid());
    }
    Cow::Owned(out)
}

/// Undoes [`percent_encode`]; `None` where a `%` is not followed by two hex digits.
#[must_use]
pub fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let mut decoded = [0];
            hex::decode_to_slice(digits, &mut decoded).ok()?;
            out.push(decoded[0]);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> SourceName {
        SourceName::parse("data").unwrap()
    }

    fn pass_id() -> PassId {
        "20251227T020000Z-7f3a".parse().unwrap()
    }

    fn content_key(path: &[u8]) -> String {
        content(&source(), pass_id(), &EntryPath::parse(path).unwrap())
    }

    #[test]
    fn a_key_is_the_path_wherever_that_can_be_carried() {
        let base = "files/data/20251227T020000Z-7f3a/";
        for (path, key) in [
            (&b"a/b c.txt"[..], "a/b c.txt"),
            ("Grüße/日本.txt".as_bytes(), "Grüße/日本.txt"),
            (b"100%", "100%25"),
            (b"line\nbreak", "line%0Abreak"),
            (b"latin-\xe9", "latin-%E9"),
            (b"del\x7f", "del%7F"),
            ("c1\u{85}".as_bytes(), "c1%C2%85"),
            ("nonchar\u{ffff}".as_bytes(), "nonchar%EF%BF%BF"),
        ] {
            assert_eq!(content_key(path), format!("{base}{key}"));
            assert_eq!(percent_decode(key).unwrap(), path);
        }
    }

    #[test]
    fn a_path_too_long_for_a_key_is_stored_under_its_hash() {
        let long = [b"d/".repeat(440), b"f".to_vec()].concat();
        let key = content_key(&long);
        assert!(key.len() <= CONTENT_KEY_MAX_BYTES, "{}", key.len());
        assert!(key.starts_with("files/data/20251227T020000Z-7f3a/%long/"));
        let other = [b"d/".repeat(440), b"g".to_vec()].concat();
        assert_ne!(key, content_key(&other));
    }

    #[test]
    fn segment_keys_are_recognised() {
        let sha256 = [0xab; 32];
        let at = SegmentNumber {
            range: 0,
            number: 7,
        };
        let key = segment(&source(), pass_id(), at, &sha256);
        assert_eq!(digest(&key), Some("ab".repeat(32).as_str()));
        let parsed = SegmentKey::parse(&source(), &key).unwrap();
        assert_eq!((parsed.at, parsed.checkpoint), (at, None));
        let part = checkpoint(&source(), pass_id(), (at, 2), &sha256);
        assert_eq!(digest(&part), digest(&key));
        assert!(part < key, "checkpoints are listed before their segment");
        let parsed = SegmentKey::parse(&source(), &part).unwrap();
        assert_eq!((parsed.at, parsed.checkpoint), (at, Some(2)));
        assert_eq!(SegmentKey::parse(&source(), "manifests/data/x/1"), None);
        let without = format!("manifests/data/{}/000-00007.ndjson.zst", pass_id());
        assert_eq!(SegmentKey::parse(&source(), &without), None);
        let beside = digests(&key).unwrap();
        assert_eq!(SegmentKey::parse(&source(), &beside), None);
        assert_eq!(digest(&beside), digest(&key));
        let id = ObjectId {
            pass: pass_id(),
            number: 7,
        };
        let record = object_record(&source(), id, &sha256);
        let table = object_table(&source(), pass_id(), &sha256);
        assert!(is_object_record(&record) && !is_object_record(&table));
        for other in [record, table] {
            assert_eq!(digest(&other), digest(&key));
            assert_eq!(SegmentKey::parse(&source(), &other), None);
        }
    }

    #[test]
    fn directories_name_their_sources() {
        for (directory, name) in [
            ("/data", "data"),
            ("/app/data/", "app-data"),
            ("/srv/My Files", "srv-My_Files"),
            ("./x", "x"),
            ("/", "root"),
            ("/.hidden", "hidden"),
        ] {
            assert_eq!(SourceName::of_directory(directory).as_str(), name);
            assert!(SourceName::parse(name).is_ok());
        }
        let long = format!("/{}", "abcdefgh/".repeat(20));
        let name = SourceName::of_directory(&long);
        assert_eq!(SourceName::parse(name.as_str()).as_ref(), Ok(&name));
    }
}
