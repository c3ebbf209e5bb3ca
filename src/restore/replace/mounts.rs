//! Which mount points there are at and below a directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the kernel says is mounted where, as this process sees it.
const MOUNTS: &str = "/proc/self/mountinfo";

/// The mount points at `path` and below it, in order. `path` must be absolute and free of symbolic links. Nothing
/// where the system does not tell.
pub(super) fn at_or_below(path: &Path) -> Vec<PathBuf> {
    let text = std::fs::read(MOUNTS).unwrap_or_default();
    let mut found: Vec<_> = (text.split(|byte| *byte == b'\n'))
        .filter_map(mount_point)
        .filter(|mount| mount.starts_with(path))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The fifth field of a line (`proc_pid_mountinfo(5)`).
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    Some(PathBuf::from(OsStr::from_bytes(&unescaped(field))))
}

/// Blanks, tabs, line ends and backslashes stand there as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_read_with_its_blanks() {
        let line = br"36 35 98:0 /mnt1 /mnt\040two/a\134b rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(mount_point(line), Some(PathBuf::from(r"/mnt two/a\b")));
        assert_eq!(mount_point(b"36 35"), None);
    }

    #[test]
    fn what_is_mounted_at_the_root_is_found() {
        let all = at_or_below(Path::new("/"));
        assert!(all.contains(&PathBuf::from("/proc")), "{all:?}");
        assert!(at_or_below(Path::new("/proc")).contains(&PathBuf::from("/proc")));
        assert!(at_or_below(Path::new("/pro")).is_empty());
    }
}
