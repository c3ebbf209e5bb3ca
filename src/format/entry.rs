//! One line of a manifest: a file, directory, symlink or special file, or an object of a bucket; its metadata,
//! and where its bytes are.
//!
//! The line format is the compatibility boundary; `docs/FORMAT.md` describes each field. Readers
//! ignore fields they do not know. Names are bytes: a name that is not UTF-8 shows lossily in
//! `path` and stands exactly, in Base64, in `path_b64`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::keys::{self, SourceName};
use super::location::{Checksum, ETag, Location, Member, Stored};
use super::name::{Name, NotAKey, ObjectKey};
use super::object::ObjectMetadata;
use super::pass_id::PassId;
use super::path::{EntryPath, PathError};

/// SHA-256 of no bytes.
const EMPTY_SHA256: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// What kind of thing an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe; recorded, never captured.
    Fifo,
    /// A socket; recorded, never captured.
    Socket,
    /// A character device; recorded, never captured.
    CharDevice,
    /// A block device; recorded, never captured.
    BlockDevice,
    /// An object of a bucket.
    Object,
}

impl Kind {
    /// Whether a pass records that it is there and leaves it at that.
    #[must_use]
    pub fn is_skipped(self) -> bool {
        match self {
            Self::File | Self::Directory | Self::Symlink | Self::Object => false,
            Self::Fifo | Self::Socket | Self::CharDevice | Self::BlockDevice => true,
        }
    }

    /// Whether it has contents.
    #[must_use]
    pub fn has_contents(self) -> bool {
        matches!(self, Self::File | Self::Object)
    }
}

/// What `lstat` says of a file, as far as a backup keeps it. An object has no more of it than its length and its
/// time; the rest is [`ObjectMetadata`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// File, directory, …
    pub kind: Kind,
    /// Bytes of contents; 0 for everything that has none.
    pub size: u64,
    /// Last modification, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Last change of the inode, nanoseconds since the epoch.
    pub ctime_ns: i64,
    /// Permission bits with setuid, setgid and sticky (`0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Metadata {
    /// Of something of which nobody knows more than that it exists.
    pub const NOTHING: Self = Self {
        kind: Kind::File,
        size: 0,
        mtime_ns: 0,
        ctime_ns: 0,
        mode: 0,
        uid: 0,
        gid: 0,
    };
}

/// Identifies an inode with several names within one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkGroup {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

/// What tells contents from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Digest {
    /// SHA-256 of the whole contents, as they are in the source: this program has read them.
    Sha256([u8; 32]),
    /// Nobody has read them. The store has made an object of them, and says of it what [`Stored`] has: its
    /// checksum, version and length.
    Vouched,
    /// The same, and they were read after the commit: this SHA-256 lies beside the segment. No manifest has it.
    ReadSince([u8; 32]),
}

impl Digest {
    /// The SHA-256, where the contents were read.
    #[must_use]
    pub fn sha256(self) -> Option<[u8; 32]> {
        match self {
            Self::Sha256(sha256) | Self::ReadSince(sha256) => Some(sha256),
            Self::Vouched => None,
        }
    }
}

/// The bytes of a file or object, and where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What tells them from others.
    pub digest: Digest,
    /// The pass that captured them.
    pub pass: PassId,
    /// The path they were captured under, where that is another one: that of a file's first name.
    pub captured_as: Option<Box<EntryPath>>,
    /// Where they lie.
    pub location: Location,
}

impl Content {
    /// Whether contents of this SHA-256 are known to be the same.
    #[must_use]
    pub fn is(&self, sha256: [u8; 32]) -> bool {
        self.digest == Digest::Sha256(sha256)
    }

    /// Bytes that are as good as random, and stay the same as long as the contents do: by which a share of all is
    /// picked.
    #[must_use]
    pub fn lot(&self) -> [u8; 32] {
        match (self.digest, &self.location) {
            (Digest::Sha256(sha256), _) => sha256,
            (Digest::Vouched | Digest::ReadSince(_), Location::Object(stored)) => {
                Sha256::digest(&*stored.key).into()
            }
            (Digest::Vouched | Digest::ReadSince(_), Location::Inline | Location::Member(_)) => {
                EMPTY_SHA256
            }
        }
    }

    /// The part of a shared object that holds them, if one does.
    #[must_use]
    pub fn member(&self) -> Option<&Member> {
        match &self.location {
            Location::Member(member) => Some(member),
            Location::Inline | Location::Object(_) => None,
        }
    }

    /// The same contents, for another name of the file that was captured as `path`.
    #[must_use]
    pub fn captured_as(mut self, path: &EntryPath) -> Self {
        if matches!(self.location, Location::Object(_)) && self.captured_as.is_none() {
            self.captured_as = Some(Box::new(path.clone()));
        }
        self
    }
}

/// Why an entry does not show what is on disk now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// What the system or the store answered.
    pub error: String,
    /// The first pass that could not read it.
    pub since: PassId,
}

/// One line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is in its source.
    pub name: Name,
    /// What `lstat` said.
    pub metadata: Metadata,
    /// Objects: what the bucket said.
    pub object: Option<Box<ObjectMetadata>>,
    /// Files: the contents. `None` only where they never could be read.
    pub content: Option<Content>,
    /// Symlinks: what they point to.
    pub target: Option<Vec<u8>>,
    /// Files with more than one name.
    pub hardlink: Option<LinkGroup>,
    /// Directories: the inode's number. Another one means that another directory has taken its place,
    /// with other files that may look the same.
    pub inode: Option<u64>,
    /// Extended attributes in order of name, where the source asks for them.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The file has holes.
    pub sparse: bool,
    /// The contents changed during both attempts at reading them.
    pub changed_while_reading: bool,
    /// It may have changed within the same tick of the clock after it was looked at, and no pass has
    /// looked since.
    pub racy: bool,
    /// The entry of an earlier pass stands in for one that cannot be read now.
    pub unreadable: Option<Unreadable>,
}

/// A line that is not an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not the JSON of an entry.
    #[error("not a manifest entry: {0}")]
    Json(#[from] serde_json::Error),
    /// A path that must not be restored.
    #[error("path `{path}` {error}")]
    Path {
        /// The path as it stands in the manifest.
        path: String,
        /// What is wrong with it.
        error: PathError,
    },
    /// A key that no object can have.
    #[error("key `{key}` {error}")]
    Key {
        /// The key as it stands in the manifest.
        key: String,
        /// What is wrong with it.
        error: NotAKey,
    },
    /// A field whose text is not in its encoding.
    #[error("field `{field}` of `{path}` is malformed")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// The entry's path or key.
        path: String,
    },
}

impl Entry {
    /// An entry of this metadata and nothing else yet.
    #[must_use]
    pub fn new(name: impl Into<Name>, metadata: Metadata) -> Self {
        Self {
            name: name.into(),
            metadata,
            object: None,
            content: None,
            target: None,
            hardlink: None,
            inode: None,
            xattrs: Vec::new(),
            sparse: false,
            changed_while_reading: false,
            racy: false,
            unreadable: None,
        }
    }

    /// Where it is relative to the root of a tree; the root itself for an object of a bucket.
    #[must_use]
    pub fn path(&self) -> &EntryPath {
        self.name.as_path()
    }

    /// The key that its contents have where no other one is said.
    fn own_key(&self, source: &SourceName, content: &Content) -> String {
        let captured_as = content.captured_as.as_deref();
        match (&self.name, captured_as) {
            (_, Some(path)) => keys::content(source, content.pass, path),
            (Name::Path(path), None) => keys::content(source, content.pass, path),
            (Name::Key(key), None) => {
                let category = self.object.as_ref().map_or("", |object| &object.category);
                keys::copy(source, content.pass, category, key)
            }
        }
    }

    /// Appends the entry's line, with its newline, for a manifest of `source`.
    pub fn write_line(&self, source: &SourceName, out: &mut Vec<u8>) {
        let m = &self.metadata;
        let (text, base64) = text_and_base64(self.name.text_bytes());
        let (path, name) = match &self.name {
            Name::Path(_) => (Some(Text(text)), None),
            Name::Key(_) => (None, Some(Text(text))),
        };
        let is_object = m.kind == Kind::Object;
        let target = self.target.as_deref().map(text_and_base64);
        let (target, target_b64) = match target {
            Some((text, exact)) => (Some(text), exact),
            None => (None, None),
        };
        let content = self.content.as_ref();
        let location = content.map(|content| &content.location);
        let stored = match location {
            Some(Location::Object(stored)) => Some(&**stored),
            _ => None,
        };
        let captured_as = content.and_then(|content| content.captured_as.as_deref());
        let own_key = content
            .filter(|_| stored.is_some())
            .map(|content| self.own_key(source, content));
        let captured_as = captured_as.map(|path| text_and_base64(path.as_bytes()));
        let (captured_as, captured_as_b64) = match captured_as {
            Some((text, exact)) => (Some(text), exact),
            None => (None, None),
        };
        let line = Line {
            path,
            path_b64: base64.map(Text::from),
            name,
            kind: m.kind,
            size: m.kind.has_contents().then_some(m.size),
            mtime_ns: (!is_object).then_some(m.mtime_ns),
            ctime_ns: (!is_object).then_some(m.ctime_ns),
            mode: (!is_object).then(|| format!("{:04o}", m.mode).into()),
            uid: (!is_object).then_some(m.uid),
            gid: (!is_object).then_some(m.gid),
            object: self.object.as_deref().map(Cow::Borrowed),
            target: target.map(Text),
            target_b64: target_b64.map(Text::from),
            sha256: content
                .and_then(|content| content.digest.sha256())
                .map(|sha256| hex::encode(sha256).into()),
            pass: content.map(|c| c.pass),
            captured_as: captured_as.map(Text),
            captured_as_b64: captured_as_b64.map(Text::from),
            inline: matches!(location, Some(Location::Inline)),
            key: stored
                .filter(|stored| Some(&*stored.key) != own_key.as_deref())
                .map(|stored| Text(Cow::Borrowed(&stored.key))),
            stored_size: stored.map(|s| s.size).filter(|size| *size != m.size),
            checksum: stored
                .map(|s| s.checksum)
                .filter(|checksum| content.is_none_or(|c| !checksum.is_that_of(c.digest))),
            etag: stored
                .and_then(|s| s.etag.as_ref())
                .map(|etag| Text(Cow::Borrowed(etag.bare()))),
            member: content.and_then(Content::member).map(Cow::Borrowed),
            hardlink: self.hardlink.map(|g| format!("{}:{}", g.dev, g.ino).into()),
            inode: self.inode,
            xattrs: (!self.xattrs.is_empty()).then(|| {
                self.xattrs
                    .iter()
                    .map(|(name, value)| {
                        let name = keys::percent_encode(name).into_owned();
                        (name, BASE64_STANDARD.encode(value))
                    })
                    .collect()
            }),
            sparse: self.sparse,
            changed_while_reading: self.changed_while_reading,
            racy: self.racy,
            unreadable: self.unreadable.clone(),
        };
        serde_json::to_writer(&mut *out, &line).expect("a line has no map keys that are not text");
        out.push(b'\n');
    }

    /// Reads one line of a manifest of `source`, with or without its newline.
    ///
    /// # Errors
    /// The line is not JSON, lacks a field, or names a path outside the source.
    pub fn parse_line(source: &SourceName, line: &[u8]) -> Result<Self, EntryError> {
        let line: Line<'_> = serde_json::from_slice(line)?;
        let bad = |field| EntryError::Field {
            field,
            path: line.called().to_owned(),
        };
        let name = line.parse_name()?;
        let target = match &line.target {
            Some(text) => {
                Some(exact(text, line.target_b64.as_deref()).ok_or_else(|| bad("target_b64"))?)
            }
            None => None,
        };
        let member = line.member.as_deref().cloned();
        let digest = match line.sha256.as_deref() {
            Some(digits) => {
                let mut sha256 = [0; 32];
                hex::decode_to_slice(digits, &mut sha256).map_err(|_| bad("sha256"))?;
                Some(Digest::Sha256(sha256))
            }
            None => line.checksum.map(|_| Digest::Vouched),
        };
        let content = match (digest, line.pass) {
            (Some(digest), Some(pass)) => {
                let captured_as = match &line.captured_as {
                    Some(text) => {
                        let bytes = exact(text, line.captured_as_b64.as_deref());
                        let path = bytes.and_then(|bytes| EntryPath::parse(bytes).ok());
                        Some(path.ok_or_else(|| bad("captured_as"))?)
                    }
                    None => None,
                };
                let location = match member {
                    Some(_) if digest == Digest::Vouched => return Err(bad("sha256")),
                    Some(member) => Location::Member(Box::new(member)),
                    None if line.inline => match line.size {
                        Some(0) if digest == Digest::Sha256(EMPTY_SHA256) => Location::Inline,
                        _ => return Err(bad("inline")),
                    },
                    None => Location::Object(Box::new(Stored {
                        // Where none is said it follows from the rest, which is not there yet.
                        key: line.key.as_deref().unwrap_or_default().into(),
                        size: line.stored_size.or(line.size).unwrap_or(0),
                        checksum: line
                            .checksum
                            .or_else(|| digest.sha256().map(Checksum::Sha256))
                            .unwrap_or(Checksum::None),
                        etag: line.etag.as_deref().map(|etag| ETag(etag.to_owned())),
                    })),
                };
                Some(Content {
                    digest,
                    pass,
                    captured_as: captured_as.map(Box::new),
                    location,
                })
            }
            (None, None) => None,
            (Some(_), None) => return Err(bad("pass")),
            (None, Some(_)) => return Err(bad("sha256")),
        };
        let hardlink = match line.hardlink.as_deref() {
            Some(text) => Some(parse_link_group(text).ok_or_else(|| bad("hardlink"))?),
            None => None,
        };
        let mut xattrs = Vec::new();
        for (name, value) in line.xattrs.iter().flatten() {
            let name = keys::percent_decode(name).ok_or_else(|| bad("xattrs"))?;
            let value = BASE64_STANDARD.decode(value).map_err(|_| bad("xattrs"))?;
            xattrs.push((name, value));
        }
        let object = line.object.as_deref().cloned().map(Box::new);
        let metadata = match (&object, line.kind) {
            (Some(object), Kind::Object) => object.common(line.size.unwrap_or(0)),
            (None, Kind::Object) => return Err(bad("object")),
            (_, kind) => Metadata {
                kind,
                size: line.size.unwrap_or(0),
                mtime_ns: line.mtime_ns.ok_or_else(|| bad("mtime_ns"))?,
                ctime_ns: line.ctime_ns.ok_or_else(|| bad("ctime_ns"))?,
                mode: (line.mode.as_deref())
                    .and_then(|mode| u32::from_str_radix(mode, 8).ok())
                    .ok_or_else(|| bad("mode"))?
                    & 0o7777,
                uid: line.uid.ok_or_else(|| bad("uid"))?,
                gid: line.gid.ok_or_else(|| bad("gid"))?,
            },
        };
        let mut entry = Self {
            name,
            metadata,
            object,
            content: None,
            target,
            hardlink,
            inode: line.inode,
            xattrs,
            sparse: line.sparse,
            changed_while_reading: line.changed_while_reading,
            racy: line.racy,
            unreadable: line.unreadable,
        };
        entry.content = content.map(|mut content| {
            if line.key.is_none() {
                let key = entry.own_key(source, &content);
                if let Location::Object(stored) = &mut content.location {
                    stored.key = key.into();
                }
            }
            content
        });
        Ok(entry)
    }
}

/// The fields as they are written, in their order.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    path: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    path_b64: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    name: Option<Text<'a>>,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtime_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ctime_ns: Option<i64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    mode: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<Cow<'a, ObjectMetadata>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    target: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    target_b64: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pass: Option<PassId>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    captured_as: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    captured_as_b64: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    inline: bool,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    key: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<Checksum>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    etag: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    member: Option<Cow<'a, Member>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    hardlink: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xattrs: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sparse: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    changed_while_reading: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    racy: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unreadable: Option<Unreadable>,
}

impl Line<'_> {
    /// What the entry is called, for messages.
    fn called(&self) -> &str {
        let text = self.path.as_deref().or(self.name.as_deref());
        text.unwrap_or_default()
    }

    /// Objects have keys, and everything else has paths.
    fn parse_name(&self) -> Result<Name, EntryError> {
        let missing = |field| EntryError::Field {
            field,
            path: self.called().to_owned(),
        };
        if self.kind == Kind::Object {
            let key = self.name.as_deref().ok_or_else(|| missing("name"))?;
            let parsed = ObjectKey::parse(key).map_err(|error| EntryError::Key {
                key: key.to_owned(),
                error,
            });
            return Ok(parsed?.into());
        }
        let text = self.path.as_deref().ok_or_else(|| missing("path"))?;
        let path = exact(text, self.path_b64.as_deref()).ok_or_else(|| missing("path_b64"))?;
        let path = EntryPath::parse(path).map_err(|error| EntryError::Path {
            path: text.to_owned(),
            error,
        });
        Ok(path?.into())
    }
}

/// Text that borrows from the line. Serde borrows a plain `Cow` field, but not one in an `Option`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

/// Bytes as text, and in Base64 where the text does not say them exactly.
pub(super) fn text_and_base64(bytes: &[u8]) -> (Cow<'_, str>, Option<String>) {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => (Cow::Borrowed(text), None),
        lossy => (lossy, Some(BASE64_STANDARD.encode(bytes))),
    }
}

/// The bytes that a text and, where it is lossy, its Base64 stand for; `None` if that is none.
pub(super) fn exact(text: &str, base64: Option<&str>) -> Option<Vec<u8>> {
    match base64 {
        None => Some(text.as_bytes().to_vec()),
        Some(encoded) => BASE64_STANDARD.decode(encoded).ok(),
    }
}

fn parse_link_group(text: &str) -> Option<LinkGroup> {
    let (dev, ino) = text.split_once(':')?;
    Some(LinkGroup {
        dev: dev.parse().ok()?,
        ino: ino.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nothing_lies_in_the_manifest() {
        let parse = |size: u64, sha256: [u8; 32]| {
            let line = format!(
                r#"{{"path":"a","type":"file","size":{size},"mtime_ns":0,"ctime_ns":0,"mode":"0644","uid":0,"gid":0,"sha256":"{}","pass":"20251227T020000Z-7f3a","inline":true}}"#,
                hex::encode(sha256)
            );
            let source = SourceName::parse("data").unwrap();
            Entry::parse_line(&source, line.as_bytes())
        };
        let entry = parse(0, EMPTY_SHA256).unwrap();
        assert_eq!(entry.content.unwrap().location, Location::Inline);
        for (size, sha256) in [(3, EMPTY_SHA256), (0, [7; 32])] {
            let error = parse(size, sha256).unwrap_err().to_string();
            assert!(error.contains("`inline`"), "{error}");
        }
    }

    #[test]
    fn a_share_that_rotates_has_what_was_read_since_when_it_had_it_before() {
        let content = |digest| Content {
            digest,
            pass: "20251227T020000Z-7f3a".parse().unwrap(),
            captured_as: None,
            location: Location::Object(Box::new(Stored {
                key: "copies/a".into(),
                size: 1,
                checksum: Checksum::None,
                etag: None,
            })),
        };
        let since = content(Digest::ReadSince([1; 32]));
        assert_eq!(since.lot(), content(Digest::Vouched).lot());
    }
}
