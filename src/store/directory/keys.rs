//! Where in the directory an object lies.
//!
//! A key is a path wherever that can be, so that people find with `ls` what is in the store. A key that no
//! path can be, or that is in the way of another one, is stored under its SHA-256 in [`HASHED`], beside a
//! file that has its name. Names that begin with `%` at the top, and those that end in [`VERSIONS`], are
//! the store's own.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::format::pass_id::PassId;

/// Directory of objects whose keys are no paths.
pub(super) const HASHED: &str = "%key";

/// Directory of what is not finished.
pub(super) const UNFINISHED: &str = "%tmp";

/// How the name of a directory with the versions of an object ends.
pub(super) const VERSIONS: &str = ".%v";

/// How the file ends that has the key of an object in [`HASHED`].
pub(super) const NAME: &str = ".key";

/// The longest name of a file, less what offsite appends.
const NAME_MAX_BYTES: usize = 255 - VERSIONS.len();

/// The key as a path below the store, if it can be one. `folds_case` says that the file system takes `A` for
/// `a`; then only keys without capitals are paths, and passes' ids, which all have the same ones.
pub(super) fn path_of(key: &str, folds_case: bool) -> Option<PathBuf> {
    let is_own = key.starts_with('%');
    let is_name = |name: &str| {
        !matches!(name, "" | "." | "..")
            && name.len() <= NAME_MAX_BYTES
            && !name.ends_with(VERSIONS)
            && !name.contains('\0')
            && (!folds_case || is_plain(name))
    };
    (!is_own && key.split('/').all(is_name)).then(|| PathBuf::from(key))
}

/// Whether no other name is taken for this one.
fn is_plain(name: &str) -> bool {
    let is_pass = || {
        let (pass, rest) = name.split_at_checked(PassId::LENGTH).unwrap_or_default();
        pass.parse::<PassId>().is_ok() && is_lower(rest)
    };
    is_lower(name) || is_pass()
}

fn is_lower(name: &str) -> bool {
    name.bytes()
        .all(|b| b.is_ascii() && !b.is_ascii_uppercase())
}

/// Where an object lies whose key is no path.
pub(super) fn hashed(key: &str) -> PathBuf {
    let digest = hex::encode(Sha256::digest(key));
    [HASHED, &digest].iter().collect()
}

/// Where its key is written.
pub(super) fn name_of_hashed(key: &str) -> PathBuf {
    let mut path = hashed(key).into_os_string();
    path.push(NAME);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_path_where_that_can_be() {
        let long = "x".repeat(252);
        let longer = format!("{long}x");
        for (key, is_path) in [
            ("lock", true),
            ("files/media/20251227T020000Z-7f3a/A b/\u{e4}%41", true),
            ("a/%key/b", true),
            (&long, true),
            (&longer, false),
            ("", false),
            ("a//b", false),
            ("a/", false),
            ("/a", false),
            ("a/../b", false),
            ("./a", false),
            ("%key/a", false),
            ("a.%v/b", false),
        ] {
            assert_eq!(path_of(key, false).is_some(), is_path, "{key}");
        }
        for (key, is_path) in [
            ("files/media/20251227T020000Z-7f3a/a", true),
            ("snapshots/media/20251227T020000Z-7f3a.json", true),
            ("snapshots/media/20251227T020000Z-7f3a.JSON", false),
            ("files/media/20251227T020000Z-7f3a/A", false),
            ("files/media/20251227T020000Z-7f3a/\u{e4}", false),
        ] {
            assert_eq!(path_of(key, true).is_some(), is_path, "{key}");
        }
    }
}
