//! Paths as they stand in a manifest.
//!
//! An [`EntryPath`] is relative to the source's root, made of bytes, and safe by construction: it
//! has no empty, `.` or `..` component, no NUL, and is never absolute. Everything that is read from
//! a store passes through [`EntryPath::parse`], so a hostile manifest cannot name a place outside
//! the directory it is restored to. The root itself is the empty path, written `.`.
//!
//! Paths order **component by component**, which is the order of a depth-first walk: `a`, `a/b`,
//! `a-b`. Byte order would put `a-b` before `a/b`, and a walk could not be merged with a manifest.

use std::cmp::Ordering;
use std::fmt;

/// A path relative to a source's root; the empty path is the root.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct EntryPath(Vec<u8>);

/// Why bytes are not an entry's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Starts with `/`.
    #[error("is absolute")]
    Absolute,
    /// Has a `.` or `..` component.
    #[error("has a `.` or `..` component")]
    Dots,
    /// Has an empty component, as in `a//b` or `a/`.
    #[error("has an empty component")]
    EmptyComponent,
    /// A single name has a `/`.
    #[error("has a `/` in a name")]
    Slash,
    /// Contains a NUL byte.
    #[error("contains a NUL byte")]
    Nul,
}

impl EntryPath {
    /// The root of the source.
    pub const ROOT: Self = Self(Vec::new());

    /// Checks bytes that came from outside.
    ///
    /// # Errors
    /// Says what makes the bytes unfit: absolute, dots, empty components or NUL.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, PathError> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes == b"." {
            return Ok(Self::ROOT);
        }
        if bytes[0] == b'/' {
            return Err(PathError::Absolute);
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul);
        }
        for component in bytes.split(|b| *b == b'/') {
            match component {
                b"" => return Err(PathError::EmptyComponent),
                b"." | b".." => return Err(PathError::Dots),
                _ => {}
            }
        }
        Ok(Self(bytes))
    }

    /// This path with one more component, a name as a listing gives it. A name of more than 255 bytes makes
    /// a path, but no usual file system can have it, so nothing could restore it.
    ///
    /// # Errors
    /// Says what makes the bytes unfit as a name: they are empty, dots, or have a `/` or NUL in them.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        match name {
            b"" => return Err(PathError::EmptyComponent),
            b"." | b".." => return Err(PathError::Dots),
            name if name.contains(&b'/') => return Err(PathError::Slash),
            name if name.contains(&0) => return Err(PathError::Nul),
            _ => {}
        }
        let mut path = Vec::with_capacity(self.0.len() + 1 + name.len());
        if !self.0.is_empty() {
            path.extend_from_slice(&self.0);
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Ok(Self(path))
    }

    /// The bytes as they are written, `.` for the root.
    #[must_use]
    pub(super) fn text_bytes(&self) -> &[u8] {
        if self.is_root() { b"." } else { &self.0 }
    }

    /// The bytes, empty for the root.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the source's root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components in order; none for the root.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|c| !c.is_empty())
    }

    /// The last component; `None` for the root.
    #[must_use]
    pub fn name(&self) -> Option<&[u8]> {
        self.components().last()
    }

    /// The deepest path that this one and `other` both are or lie below.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let same = |(a, b): &(&[u8], &[u8])| a == b;
        let shared = self.components().zip(other.components()).take_while(same);
        let lengths = shared.map(|(component, _)| component.len() + 1);
        let length = lengths.sum::<usize>().saturating_sub(1);
        Self(self.0[..length].to_vec())
    }

    /// The directories above this path that lie below `directory`, the outermost first.
    pub fn directories_below(&self, directory: &Self) -> impl Iterator<Item = Self> {
        let from = match self.is_below(directory) {
            true => directory.0.len() + 1,
            false => self.0.len(),
        };
        let ends = self.0.iter().enumerate().skip(from);
        let ends = ends.filter(|(_, byte)| **byte == b'/');
        ends.map(|(end, _)| Self(self.0[..end].to_vec()))
    }

    /// Whether this path lies below `directory`, at any depth.
    #[must_use]
    pub fn is_below(&self, directory: &Self) -> bool {
        if directory.is_root() {
            return !self.is_root();
        }
        self.0.len() > directory.0.len()
            && self.0[directory.0.len()] == b'/'
            && self.0.starts_with(&directory.0)
    }
}

impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> Ordering {
        let shared = self.0.len().min(other.0.len());
        let (a, b) = (&self.0[..shared], &other.0[..shared]);
        // `/` sorts below every byte a name can hold, so that a directory's contents follow it.
        let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
        match a.iter().zip(b).find(|(x, y)| x != y) {
            Some((x, y)) => rank(*x).cmp(&rank(*y)),
            None => self.0.len().cmp(&other.0.len()),
        }
    }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// For people: bytes that are not UTF-8 show as `U+FFFD`.
impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text).unwrap()
    }

    #[test]
    fn order_is_that_of_a_depth_first_walk() {
        let mut paths = [
            "a-b", "a/b/c", "a", "b", "a/b", "a.txt", "a/b!", "", "a/\u{1}",
        ]
        .map(path);
        paths.sort();
        assert_eq!(
            paths.map(|p| p.to_string()),
            [
                ".", "a", "a/\u{1}", "a/b", "a/b/c", "a/b!", "a-b", "a.txt", "b"
            ]
        );
    }

    #[test]
    fn hostile_paths_are_refused() {
        for (bytes, error) in [
            ("/etc/passwd", PathError::Absolute),
            ("..", PathError::Dots),
            ("a/../../b", PathError::Dots),
            ("a/./b", PathError::Dots),
            ("a//b", PathError::EmptyComponent),
            ("a/", PathError::EmptyComponent),
            ("a\0b", PathError::Nul),
        ] {
            assert_eq!(EntryPath::parse(bytes), Err(error), "{bytes:?}");
        }
        assert_eq!(path("..a/b..").to_string(), "..a/b..");
    }

    #[test]
    fn directories_on_the_way_come_from_the_outermost_in() {
        let below = |long: &str, directory: &str| {
            let (long, directory) = (path(long), path(directory));
            let found = long.directories_below(&directory);
            found.map(|p| p.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(below("a/bc/d", ""), ["a", "a/bc"]);
        assert_eq!(below("a/bc/d/e", "a"), ["a/bc", "a/bc/d"]);
        assert!(below("a/bc/d", "a/bc").is_empty());
        assert!(below("a", "").is_empty());
        assert!(below("", "").is_empty());
        assert!(below("a/bc/d", "x").is_empty());
    }

    #[test]
    fn what_two_paths_share_ends_at_a_component() {
        for (a, b, expected) in [
            ("a/b", "a/bc", "a"),
            ("a/b/c", "a/b/d", "a/b"),
            ("a/b", "a/b", "a/b"),
            ("a/b", "a", "a"),
            ("a", "b", "."),
            ("", "a", "."),
        ] {
            assert_eq!(path(a).common(&path(b)).to_string(), expected);
            assert_eq!(path(b).common(&path(a)).to_string(), expected);
        }
    }

    #[test]
    fn below_means_a_component_deeper() {
        assert!(path("a/b").is_below(&path("a")));
        assert!(path("a/b").is_below(&EntryPath::ROOT));
        assert!(!path("ab").is_below(&path("a")));
        assert!(!path("a").is_below(&path("a")));
        assert!(!EntryPath::ROOT.is_below(&EntryPath::ROOT));
    }
}
