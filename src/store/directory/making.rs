//! Making an object: whole before it has its name, and never over another one.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, linkat};
use rustix::io::{Errno, pread, pwrite};

use super::durable::drop_from_memory;
use super::root::{Naming, Root, bytes, stat};
use super::trouble::Result;

/// Read at a time when files are compared.
const COMPARED_BYTES: usize = 1 << 20;

/// A file that is being made. It is gone with this value unless it got a name.
pub(super) struct Draft {
    root: Arc<Root>,
    pub(super) file: OwnedFd,
    /// The name that it has until it is whole, where it needs one.
    path: Option<PathBuf>,
}

impl Draft {
    /// A file without a name, where there are such.
    pub(super) fn unnamed(root: &Arc<Root>) -> Result<Option<Self>> {
        if root.naming()? != Naming::Unnamed {
            return Ok(None);
        }
        let file = root.make_unnamed()?;
        Ok(file.map(|file| Self {
            root: Arc::clone(root),
            file,
            path: None,
        }))
    }

    /// A file that has this name for now.
    pub(super) fn at(root: &Arc<Root>, path: PathBuf) -> Result<Self> {
        root.make_directory(path.parent().unwrap_or(Path::new("")))?;
        Ok(Self {
            root: Arc::clone(root),
            file: root.make(&path)?,
            path: Some(path),
        })
    }

    pub(super) fn with(root: &Arc<Root>, contents: &[u8]) -> Result<Self> {
        let draft = match Self::unnamed(root)? {
            Some(draft) => draft,
            None => Self::at(root, root.temporary())?,
        };
        write_at(&draft.file, contents, 0)?;
        Ok(draft)
    }

    /// Sees to it that the contents are on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        Ok(rustix::fs::fsync(&self.file)?)
    }

    /// Gives it its name, with the directories above it. Nothing may be under that name.
    pub(super) fn name(&mut self, to: &Path) -> Result<()> {
        let root = &*self.root;
        root.make_directory(to.parent().unwrap_or(Path::new("")))?;
        let Some(path) = &self.path else {
            return match root.unnamed.name(&self.file, root, bytes(to))? {
                true => Ok(()),
                false => Err(Errno::OPNOTSUPP.into()),
            };
        };
        if root.naming()? == Naming::Renamed {
            root.rename(path, to)?;
            self.path = None;
            return Ok(());
        }
        match linkat(root, path, root, to, AtFlags::empty()) {
            // On NFS an answer may be lost, and the repeated request be told that it is there.
            Err(Errno::EXIST) if self.is(to) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Whether it has this name.
    fn is(&self, path: &Path) -> bool {
        let there = self.root.look(path).and_then(|there| stat(&there));
        let here = stat(&self.file);
        let identity =
            |stat: rustix::fs::Statx| (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
        matches!((here, there), (Ok(here), Ok(there)) if identity(here) == identity(there))
    }

    /// Whether a file has the same contents; on the disk, as far as the system takes advice ([`drop_from_memory`]).
    pub(super) fn is_same_as(&self, other: &OwnedFd) -> Result<bool> {
        if stat(&self.file)?.stx_size != stat(other)?.stx_size {
            return Ok(false);
        }
        drop_from_memory(other);
        let (mut one, mut another) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
        let mut at = 0;
        loop {
            let length = read_at(&self.file, &mut one, at)?;
            if length != read_at(other, &mut another, at)? || one[..length] != another[..length] {
                return Ok(false);
            }
            if length == 0 {
                return Ok(true);
            }
            at += length as u64;
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What stays is removed by a later pass.
            let _ = self.root.remove(path);
        }
    }
}

/// Writes all of it.
pub(super) fn write_at(file: impl AsFd, mut bytes: &[u8], mut at: u64) -> Result<()> {
    while !bytes.is_empty() {
        match pwrite(&file, bytes, at) {
            Ok(0) => return Err(Errno::IO.into()),
            Ok(length) => {
                bytes = &bytes[length..];
                at += length as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_at(file: &OwnedFd, buffer: &mut [u8], at: u64) -> Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match pread(file, &mut buffer[length..], at + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(length)
}
