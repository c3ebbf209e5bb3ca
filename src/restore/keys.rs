//! What objects are called as files. A key is any text, and not each is a path: where it cannot be one, it is
//! percent-encoded, so that no two keys become one file and each can be told from its file's path.

use sha2::{Digest, Sha256};

use crate::format::name::ObjectKey;
use crate::format::path::EntryPath;

/// What a file system takes in a name.
const NAME_BYTES: usize = 255;

/// Before the digest of a name that is too long.
const LONG: &[u8] = b"%long-";

/// Gives the keys of a snapshot paths. It has to be shown all of them, in order.
#[derive(Debug, Default)]
pub(super) struct KeyPaths {
    /// Keys so far that the last one begins with, the last one itself among them.
    above: Vec<Vec<u8>>,
}

impl KeyPaths {
    /// The path of the next key.
    pub(super) fn path(&mut self, key: &ObjectKey) -> EntryPath {
        let key = key.as_str().as_bytes();
        while self
            .above
            .last()
            .is_some_and(|above| !key.starts_with(above))
        {
            self.above.pop();
        }
        let mut path = Vec::with_capacity(key.len());
        let mut end = 0;
        for component in key.split(|byte| *byte == b'/') {
            if end > 0 {
                path.push(b'/');
            }
            let start = path.len();
            write(component, &mut path);
            end += component.len();
            // An object may have the name of the directory.
            if end < key.len() && self.above.iter().any(|above| **above == key[..end]) {
                path.extend_from_slice(b"%2F");
            }
            if path.len() - start > NAME_BYTES {
                let digest = Sha256::digest(&path[start..]);
                path.truncate(start);
                path.extend_from_slice(LONG);
                path.extend_from_slice(hex::encode(digest).as_bytes());
            }
            end += 1;
        }
        self.above.push(key.to_owned());
        EntryPath::parse(path).expect("what no path may have is encoded")
    }
}

/// A part of a key between two slashes, as a name that a file system takes.
fn write(component: &[u8], name: &mut Vec<u8>) {
    match component {
        b"" => name.extend_from_slice(b"%2F"),
        b"." => name.extend_from_slice(b"%2E"),
        b".." => name.extend_from_slice(b"%2E%2E"),
        _ if component.starts_with(LONG) => {
            name.extend_from_slice(b"%25");
            name.extend_from_slice(&component[1..]);
        }
        _ => {
            for (at, byte) in component.iter().enumerate() {
                match byte {
                    0 => name.extend_from_slice(b"%00"),
                    b'%' if is_encoded(&component[at + 1..]) => name.extend_from_slice(b"%25"),
                    other => name.push(*other),
                }
            }
        }
    }
}

/// Whether a percent sign before this would mean something else.
fn is_encoded(after: &[u8]) -> bool {
    matches!(after, [one, other, ..] if one.is_ascii_hexdigit() && other.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn paths(keys: &[&str]) -> Vec<String> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        let mut paths = KeyPaths::default();
        let path = |key| paths.path(&ObjectKey::parse(key).unwrap()).to_string();
        keys.into_iter().map(path).collect()
    }

    #[test]
    fn keys_that_are_paths_stay_as_they_are() {
        let keys = ["a b", "a/b c/d.jpg", "a/100% sure", "a/%zz", "~", "\u{e9}"];
        let mut expected = keys.map(str::to_owned).to_vec();
        expected.sort_unstable();
        assert_eq!(paths(&keys), expected);
    }

    #[test]
    fn keys_that_are_no_paths_are_encoded() {
        let keys = [
            ("a//b", "a/%2F/b"),
            ("/absolute", "%2F/absolute"),
            ("../up", "%2E%2E/up"),
            ("./here", "%2E/here"),
            ("folder/", "folder/%2F"),
            ("a%2Fb", "a%252Fb"),
            ("%long-", "%25long-"),
        ];
        for (key, path) in keys {
            assert_eq!(paths(&[key]), [path], "{key}");
        }
    }

    #[test]
    fn an_object_beside_a_directory_of_its_name_has_the_name() {
        let keys = ["a", "a-b", "a/b", "a/b/c", "a/b/d", "a0/b", "b/c"];
        let expected = [
            "a",
            "a-b",
            "a%2F/b",
            "a%2F/b%2F/c",
            "a%2F/b%2F/d",
            "a0/b",
            "b/c",
        ];
        assert_eq!(paths(&keys), expected);
    }

    #[test]
    fn no_two_keys_become_one_path_and_no_name_is_too_long() {
        let parts = [
            "", ".", "..", "a", "%", "%2F", "a%2F", "%2E", "%252F", "%25",
        ];
        let long = "x".repeat(300);
        let mut keys: BTreeSet<String> = BTreeSet::from([long.clone(), format!("{long}x")]);
        for one in parts {
            keys.extend((!one.is_empty()).then(|| one.to_owned()));
            for other in parts {
                keys.insert(format!("{one}/{other}"));
                keys.extend(parts.iter().map(|third| format!("{one}/{other}/{third}")));
            }
        }
        let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
        let made = paths(&keys);
        let different: BTreeSet<_> = made.iter().collect();
        assert_eq!(different.len(), keys.len());
        // None is in the way of another one either.
        for path in &made {
            let directory = format!("{path}/");
            assert!(
                !made.iter().any(|other| other.starts_with(&directory)),
                "{path}"
            );
            assert!(
                path.split('/').all(|name| name.len() <= NAME_BYTES),
                "{path}"
            );
        }
    }
}
