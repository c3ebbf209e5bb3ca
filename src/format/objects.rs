//! Objects that many entries share, archives as yet: the table of those that a snapshot's entries point
//! into, and the record of each that a pass has finished.
//!
//! A table is compressed lines: a header, an object a line in order of id, and a line that says how many
//! they are. It is as good as a part of the commit record that names it, and is written anew only when
//! other objects are needed.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::codec::Codec;
use super::keys::SourceName;
use super::lines::{FULL_BYTES, Lines, LinesError, LinesWriter};
use super::location::{Checksum, ETag, ObjectId};
use super::pass_id::PassId;
use super::requires::{Requires, Unsupported};

/// The largest record of an object on its own. It takes some 400 bytes and the object's key, of no more
/// than a kilobyte.
pub const RECORD_BYTES: u64 = 64 << 10;

/// A shared object, as it was when it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedObject {
    /// Its name.
    pub object: ObjectId,
    /// Key under the prefix.
    pub key: Box<str>,
    /// Length of the object in bytes.
    pub size: u64,
    /// The checksum that the store checked on arrival and keeps.
    pub checksum: Checksum,
    /// CRC-64/NVME of the object, 16 hex digits, whichever the store keeps: it can be put together from those
    /// of pieces.
    pub crc64nvme: String,
    /// The store's name for this version of the object, as it was answered when it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<ETag>,
    /// How it is compressed.
    pub codec: Codec,
    /// Members: files, directories and links.
    pub members: u64,
    /// Bytes of the files in it.
    pub bytes: u64,
}

/// How a commit record refers to its table of objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRef {
    /// Key under the prefix.
    pub key: String,
    /// SHA-256 of the object, in hex.
    pub sha256: String,
    /// Length of the object in bytes.
    pub size: u64,
    /// Length of its lines in bytes, decompressed.
    pub lines_bytes: u64,
    /// Objects in it.
    pub objects: u64,
}

/// Shared objects by id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectTable(BTreeMap<ObjectId, SharedObject>);

/// A table that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Its lines cannot be read.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// Line `0`, counted from 1, is not what should be there.
    #[error("line {0} is not what should be there")]
    Line(u64),
    /// Written by a newer program.
    #[error("has format version {0}, this program reads version {FORMAT}")]
    Format(u32),
    /// Written by a newer program.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

/// A table, not yet in the store.
pub struct TableBody {
    /// The object.
    pub bytes: Bytes,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    lines_bytes: u64,
    objects: u64,
}

impl TableBody {
    /// The reference to this table once it is stored under `key`.
    #[must_use]
    pub fn stored_as(&self, key: String) -> TableRef {
        TableRef {
            key,
            sha256: hex::encode(self.sha256),
            size: self.bytes.len() as u64,
            lines_bytes: self.lines_bytes,
            objects: self.objects,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct HeaderLine {
    objects: Header,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    #[serde(default, skip_serializing_if = "Requires::is_empty")]
    requires: Requires,
    source: SourceName,
    pass: PassId,
}

#[derive(Serialize, Deserialize)]
struct EndLine {
    end: End,
}

#[derive(Serialize, Deserialize)]
struct End {
    objects: u64,
}

impl ObjectTable {
    /// The object of this id.
    #[must_use]
    pub fn get(&self, id: ObjectId) -> Option<&SharedObject> {
        self.0.get(&id)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All objects, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &SharedObject> {
        self.0.values()
    }

    /// The table as `pass` writes it for `source`; `None` if that would be more than anybody reads.
    #[must_use]
    pub fn to_body(&self, source: &SourceName, pass: PassId) -> Option<TableBody> {
        let mut lines = LinesWriter::new();
        lines.push_json(&HeaderLine {
            objects: Header {
                format: FORMAT,
                requires: Requires::default(),
                source: source.clone(),
                pass,
            },
        });
        for object in self.0.values() {
            lines.push_json(object);
        }
        let objects = self.0.len() as u64;
        lines.push_json(&EndLine {
            end: End { objects },
        });
        let is_readable = lines.bytes() <= FULL_BYTES;
        let body = lines.finish();
        is_readable.then_some(TableBody {
            bytes: body.bytes,
            sha256: body.sha256,
            lines_bytes: body.lines_bytes,
            objects,
        })
    }

    /// Reads a table whose digest the caller has checked, and whose lines have no more than
    /// `lines_bytes`.
    ///
    /// # Errors
    /// It is no table, or not whole, or of a format this program does not know.
    pub fn parse(bytes: Bytes, lines_bytes: u64) -> Result<Self, TableError> {
        let mut lines = Lines::of(bytes, lines_bytes)?;
        lines.next()?;
        // The version decides before anything else is read: a later one may look different.
        #[derive(Deserialize)]
        struct Version {
            objects: FormatOnly,
        }
        #[derive(Deserialize)]
        struct FormatOnly {
            format: u32,
            #[serde(default)]
            requires: Requires,
        }
        let version: Version =
            serde_json::from_slice(&lines.line).map_err(|_| TableError::Line(1))?;
        if version.objects.format != FORMAT {
            return Err(TableError::Format(version.objects.format));
        }
        version.objects.requires.check()?;
        let mut table = Self::default();
        loop {
            if !lines.next()? {
                return Err(TableError::Line(lines.number + 1));
            }
            let wrong = TableError::Line(lines.number);
            if let Ok(EndLine { end }) = serde_json::from_slice(&lines.line) {
                let is_whole = end.objects == table.0.len() as u64 && !lines.next()?;
                return is_whole.then_some(table).ok_or(wrong);
            }
            let Ok(object) = serde_json::from_slice::<SharedObject>(&lines.line) else {
                return Err(wrong);
            };
            table.0.insert(object.object, object);
        }
    }
}

impl FromIterator<SharedObject> for ObjectTable {
    fn from_iter<I: IntoIterator<Item = SharedObject>>(objects: I) -> Self {
        let objects = objects.into_iter();
        Self(objects.map(|object| (object.object, object)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ObjectTable {
        (0..3)
            .map(|number| SharedObject {
                object: ObjectId {
                    pass: "20251227T020000Z-7f3a".parse().unwrap(),
                    number,
                },
                key: format!("archives/{number}.tar.zst").into(),
                size: 10,
                checksum: Checksum::Crc64Nvme(u64::from(number)),
                crc64nvme: format!("{number:016x}"),
                etag: Some(ETag("\"e\"".to_owned())),
                codec: Codec::Zstd,
                members: 1,
                bytes: 20,
            })
            .collect()
    }

    #[test]
    fn a_table_is_read_as_it_was_written_and_only_whole() {
        let source = SourceName::parse("data").unwrap();
        let pass = "20251227T020000Z-7f3a".parse().unwrap();
        let body = table().to_body(&source, pass).unwrap();
        let read = ObjectTable::parse(body.bytes.clone(), body.lines_bytes);
        assert_eq!(read.unwrap(), table());
        let text = zstd::decode_all(&*body.bytes).unwrap();
        let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let parse = |lines: &[&[u8]]| {
            let bytes = zstd::encode_all(&*lines.concat(), 1).unwrap();
            ObjectTable::parse(bytes.into(), u64::MAX)
        };
        assert!(parse(&lines).is_ok());
        assert!(matches!(parse(&lines[..4]), Err(TableError::Line(5))));
        let without_one = [&lines[..1], &lines[2..]].concat();
        assert!(matches!(parse(&without_one), Err(TableError::Line(4))));
        let newer = br#"{"objects":{"format":1,"requires":["age"],"source":"data","pass":"x"}}"#;
        assert!(matches!(parse(&[newer]), Err(TableError::Unsupported(_))));
    }
}
