//! Extended attributes, where a source asks for them. ACLs are among them.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::{self, Errno};

use crate::source::Xattrs;

/// Limits of the kernel (`xattr(7)`): 64 KiB each for a value and for the list of names.
const MAX_BYTES: usize = 64 << 10;

/// What the attributes of one file may have together. Some file systems let them grow without end; one
/// line of a manifest has them all.
const MAX_TOTAL_BYTES: usize = 4 << 20;

/// Attributes of an open file or directory. None where the file system has none.
///
/// # Errors
/// What the system answers.
pub(crate) fn of_open(file: impl AsFd) -> io::Result<Xattrs> {
    let file = file.as_fd();
    collect(
        |buffer| flistxattr(file, buffer),
        |name, buffer| fgetxattr(file, name, buffer),
    )
}

/// Attributes of whatever is at `path`, a symbolic link itself if it is one.
///
/// # Errors
/// What the system answers.
pub(crate) fn of_path(path: &Path) -> io::Result<Xattrs> {
    collect(
        |buffer| llistxattr(path, buffer),
        |name, buffer| lgetxattr(path, name, buffer),
    )
}

fn collect(
    list: impl Fn(&mut [u8]) -> io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> io::Result<usize>,
) -> io::Result<Xattrs> {
    let mut names = vec![0; MAX_BYTES];
    let length = match list(&mut names) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let mut value = vec![0; MAX_BYTES];
    let (mut xattrs, mut total) = (Xattrs::new(), 0);
    for name in names[..length].split(|b| *b == 0).filter(|n| !n.is_empty()) {
        match get(name, &mut value) {
            Ok(length) => {
                total += name.len() + length;
                if total > MAX_TOTAL_BYTES {
                    return Err(Errno::TOOBIG);
                }
                xattrs.push((name.to_vec(), value[..length].to_vec()));
            }
            // Removed since, or of a namespace this process may list and not read.
            Err(Errno::NODATA | Errno::ACCESS | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    xattrs.sort();
    Ok(xattrs)
}
