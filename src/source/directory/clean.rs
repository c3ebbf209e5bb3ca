//! The clean path of a directory, which names its source and stands in records.

use std::path::{Component, Path, PathBuf};

/// Absolute, and without `.`, `..` and `//`, by its text alone: `data`, `../a/data` and `/srv/a/data`
/// are one. Symbolic links stay, so `current -> releases/7` is `current` whatever it points at. It may
/// be another directory than the one that the system finds, where `..` follows a link; so what is
/// opened is the path as it was written. An empty path stays empty.
#[must_use]
pub(crate) fn clean(written: impl AsRef<Path>) -> PathBuf {
    let absolute = std::path::absolute(written).unwrap_or_default();
    let mut clean = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            // Above the root is the root.
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_has_one_clean_path() {
        let here = std::env::current_dir().unwrap();
        let name = here.file_name().unwrap().to_str().unwrap();
        for written in [
            "data".to_owned(),
            "./data/".to_owned(),
            format!("../{name}/data"),
            format!("{}//x/.././data", here.display()),
        ] {
            assert_eq!(clean(&written), here.join("data"), "{written}");
        }
        assert_eq!(clean("/.."), Path::new("/"));
        assert_eq!(clean("/a/../../b/"), Path::new("/b"));
        assert_eq!(clean(""), Path::new(""));
    }
}
