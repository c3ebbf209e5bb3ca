//! The names in a directory of the target, exactly as it lists them.
//!
//! Asking for one name at a time does not tell as much: a file system that ignores case answers for
//! `Readme` when it has `README`.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, RawDir, openat};
use rustix::io::{self, Errno};

/// Size of the buffer for `getdents`.
const BUFFER_BYTES: usize = 32 << 10;

/// Sorted names.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where each begins, and how long it is.
    places: Vec<(usize, usize)>,
}

impl Names {
    /// Lists an open directory.
    pub(super) fn of(directory: impl AsFd) -> io::Result<Self> {
        // With a position of its own: others may list the same directory.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(directory, c".", flags, Mode::empty())?;
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut entries = RawDir::new(fd, &mut buffer);
        let mut names = Self::default();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.places.push((names.bytes.len(), name.len()));
                names.bytes.extend_from_slice(name);
            }
        }
        let bytes = std::mem::take(&mut names.bytes);
        names
            .places
            .sort_unstable_by(|a, b| name_at(&bytes, *a).cmp(name_at(&bytes, *b)));
        names.bytes = bytes;
        Ok(names)
    }

    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.places
            .binary_search_by(|place| name_at(&self.bytes, *place).cmp(name))
            .is_ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|place| name_at(&self.bytes, *place))
    }
}

fn name_at(bytes: &[u8], (from, length): (usize, usize)) -> &[u8] {
    &bytes[from..from + length]
}

/// Whether a directory has something under exactly this name. Lists it: for names that are known to be
/// taken, by this or by one that the file system takes for the same.
pub(super) fn holds(directory: impl AsFd, name: &[u8]) -> Result<bool, Errno> {
    Ok(Names::of(directory)?.has(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_had_exactly() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["README", "b", "a", "ab"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let fd = std::fs::File::open(directory.path()).unwrap();
        // The position of the directory itself does not matter.
        for _ in 0..2 {
            let names = Names::of(&fd).unwrap();
            let listed: Vec<_> = names.iter().collect();
            assert_eq!(listed, [&b"README"[..], b"a", b"ab", b"b"]);
            assert!(names.has(b"README") && names.has(b"ab"));
            assert!(!names.has(b"readme") && !names.has(b"") && !names.has(b"abc"));
        }
        assert!(holds(&fd, b"a").unwrap());
        assert!(!holds(&fd, b"A").unwrap());
    }
}
