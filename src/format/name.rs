//! Names of entries: paths of a tree, or keys of a bucket.
//!
//! A manifest has names of one kind, which its header says, and with it their order. A key is no path:
//! `a//b`, `../up`, `a` and `a/b` are names of four different objects, and none of them is above another.
//! Nothing makes a path of a key but a restore into a directory, which encodes what no file can be called.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::path::EntryPath;

/// S3 allows no longer one (S3 user guide, "Naming Amazon S3 objects").
pub const KEY_MAX_BYTES: usize = 1024;

/// For names that are no paths.
static NO_PATH: EntryPath = EntryPath::ROOT;

/// The order of the entries of a manifest, and so of what kind their names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// By path, component by component.
    #[default]
    Path,
    /// By key, byte by byte.
    Key,
}

/// The key of an object in a bucket, without the prefix of its source: one byte at least, and whatever Unicode S3
/// takes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Box<str>);

/// Text that cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no key: it is empty, longer than {KEY_MAX_BYTES} bytes, or not UTF-8")]
pub struct NotAKey;

impl ObjectKey {
    /// Checks bytes that came from outside.
    ///
    /// # Errors
    /// No object can be called so.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, NotAKey> {
        match String::from_utf8(bytes.into()) {
            Ok(text) if (1..=KEY_MAX_BYTES).contains(&text.len()) => Ok(Self(text.into())),
            _ => Err(NotAKey),
        }
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// What an entry is called.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// A path relative to the root of a source.
    Path(EntryPath),
    /// A key in a bucket.
    Key(ObjectKey),
}

impl Name {
    /// The root of a tree.
    pub const ROOT: Self = Self::Path(EntryPath::ROOT);

    /// Its order.
    #[must_use]
    pub fn order(&self) -> Order {
        match self {
            Self::Path(_) => Order::Path,
            Self::Key(_) => Order::Key,
        }
    }

    /// Reads bytes that came from outside as a name of this order.
    #[must_use]
    pub fn parse(order: Order, bytes: Vec<u8>) -> Option<Self> {
        match order {
            Order::Path => EntryPath::parse(bytes).ok().map(Self::Path),
            Order::Key => ObjectKey::parse(bytes).ok().map(Self::Key),
        }
    }

    /// The path; the root for a key, which is none.
    #[must_use]
    pub fn as_path(&self) -> &EntryPath {
        match self {
            Self::Path(path) => path,
            Self::Key(_) => &NO_PATH,
        }
    }

    /// The key, if it is one.
    #[must_use]
    pub fn key(&self) -> Option<&ObjectKey> {
        match self {
            Self::Path(_) => None,
            Self::Key(key) => Some(key),
        }
    }

    /// The bytes; none for the root of a tree.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Path(path) => path.as_bytes(),
            Self::Key(key) => key.0.as_bytes(),
        }
    }

    /// The bytes as they are written, `.` for the root of a tree.
    #[must_use]
    pub(super) fn text_bytes(&self) -> &[u8] {
        match self {
            Self::Path(path) => path.text_bytes(),
            Self::Key(key) => key.0.as_bytes(),
        }
    }

    /// Whether this is the root of a tree. A bucket has none.
    #[must_use]
    pub fn is_root(&self) -> bool {
        matches!(self, Self::Path(path) if path.is_root())
    }

    /// Whether this lies below `directory`, at any depth. No key does.
    #[must_use]
    pub fn is_below(&self, directory: &Self) -> bool {
        match (self, directory) {
            (Self::Path(path), Self::Path(directory)) => path.is_below(directory),
            _ => false,
        }
    }
}

impl From<EntryPath> for Name {
    fn from(path: EntryPath) -> Self {
        Self::Path(path)
    }
}

impl From<ObjectKey> for Name {
    fn from(key: ObjectKey) -> Self {
        Self::Key(key)
    }
}

/// Names of two kinds are never in one manifest.
impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Path(own), Self::Path(other)) => own.cmp(other),
            (Self::Key(own), Self::Key(other)) => own.cmp(other),
            (Self::Path(_), Self::Key(_)) => Ordering::Less,
            (Self::Key(_), Self::Path(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// For people: bytes that are not UTF-8 show as `U+FFFD`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.fmt(f),
            Self::Key(key) => key.fmt(f),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_their_bytes_and_paths_are_not() {
        let key = |text: &str| Name::parse(Order::Key, text.into()).unwrap();
        let path = |text: &str| Name::parse(Order::Path, text.into()).unwrap();
        assert!(key("a-b") < key("a/b"));
        assert!(path("a-b") > path("a/b"));
        let keys = ["../up", "/a", "a", "a ", "a/", "a//b", "a/b", "é"].map(key);
        assert!(keys.is_sorted());
        assert!(!key("a/b").is_below(&key("a")));
        assert!(!key("a").is_root());
    }

    #[test]
    fn a_key_is_what_s3_takes() {
        for text in ["..", "/", "a//b", " ", "\u{1}", &"x".repeat(KEY_MAX_BYTES)] {
            assert_eq!(ObjectKey::parse(text).unwrap().as_str(), text);
        }
        for bytes in [
            Vec::new(),
            vec![0xff],
            "x".repeat(KEY_MAX_BYTES + 1).into_bytes(),
        ] {
            assert_eq!(ObjectKey::parse(bytes), Err(NotAKey));
        }
    }
}
