//! What the system says of a file, and what of it a backup keeps.

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, statx};
use rustix::io;

use crate::format::entry::{Kind, LinkGroup, Metadata};

/// One look at an inode, or at something that stands for one ([`Stat::made`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What goes into the manifest.
    pub metadata: Metadata,
    /// Device number.
    pub dev: u64,
    /// Inode number; 0 where nothing has one. Of directories it is recorded, and tells one from another.
    pub ino: u64,
    /// Names the inode has. With more than one, contents are read once and restored as hard links.
    pub nlink: u32,
    /// Whether fewer blocks are allocated than the size needs.
    pub sparse: bool,
}

impl Stat {
    /// What is known of something that is no inode. `metadata` is what a later pass compares: whatever changes
    /// with the contents has to change its size or one of its times.
    #[must_use]
    pub fn made(metadata: Metadata) -> Self {
        Self {
            metadata,
            dev: 0,
            ino: 0,
            nlink: 1,
            sparse: false,
        }
    }

    /// Looks at `name` in a directory, not following a symbolic link.
    ///
    /// # Errors
    /// What the system answers.
    pub fn at(directory: impl std::os::fd::AsFd, name: &[u8]) -> io::Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let found = statx(directory, name, flags, StatxFlags::BASIC_STATS)?;
        Ok(Self::from(&found))
    }

    /// Looks at an open file.
    ///
    /// # Errors
    /// What the system answers.
    pub fn of(file: impl std::os::fd::AsFd) -> io::Result<Self> {
        let found = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
        Ok(Self::from(&found))
    }

    /// The inode's number, where it tells something: a file that takes another one's place has
    /// other times.
    #[must_use]
    pub fn directory_inode(&self) -> Option<u64> {
        (self.metadata.kind == Kind::Directory).then_some(self.ino)
    }

    /// The group of names this one belongs to, if there are several.
    #[must_use]
    pub fn link_group(&self) -> Option<LinkGroup> {
        let several = self.nlink > 1 && self.metadata.kind == Kind::File;
        several.then_some(LinkGroup {
            dev: self.dev,
            ino: self.ino,
        })
    }
}

impl From<&Statx> for Stat {
    fn from(found: &Statx) -> Self {
        let kind = match FileType::from_raw_mode(found.stx_mode.into()) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::CharacterDevice | FileType::Unknown => Kind::CharDevice,
        };
        let is_file = kind == Kind::File;
        Self {
            metadata: Metadata {
                kind,
                size: if is_file { found.stx_size } else { 0 },
                mtime_ns: nanoseconds(found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec),
                ctime_ns: nanoseconds(found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec),
                mode: u32::from(found.stx_mode) & 0o7777,
                uid: found.stx_uid,
                gid: found.stx_gid,
            },
            dev: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
            ino: found.stx_ino,
            nlink: found.stx_nlink,
            // Blocks are counted in units of 512 bytes, whatever the file system's own are.
            sparse: is_file && found.stx_blocks.saturating_mul(512) < found.stx_size,
        }
    }
}

/// Times outside the years 1677 to 2262 are kept as the nearest one inside.
fn nanoseconds(seconds: i64, nanoseconds: u32) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds.into())
}
