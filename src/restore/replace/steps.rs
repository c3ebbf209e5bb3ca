//! The journal: every step that puts a new tree in place, written and synced before the first one is made.
//!
//! A line says which directory the next ones are about, and what metadata it has and is to have; or it is a name in
//! that directory, with what there is of it in the old tree and in the new one. Whether a step has been made is
//! told by looking: what is to be put in place is known by its inode number.

use std::fs::File;
use std::io::{BufRead as _, BufWriter, Write as _};
use std::os::fd::OwnedFd;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::io::{self, Errno};
use serde::{Deserialize, Serialize};

use super::files;
use crate::format::entry::{Entry, Kind, Metadata};
use crate::format::path::EntryPath;
use crate::source::directory::xattr;
use crate::source::stat::Stat;

const STEPS: &str = "steps.ndjson";

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The lines that follow are about this directory.
    Directory(Place),
    /// One name in it.
    Name(Step),
    /// A name in it that stays: a directory that other lines are about, or a mount point.
    Stays(Bytes),
}

/// A directory that stays, with other things in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Relative to the directory that holds the workspace.
    pub(super) path: Bytes,
    /// What it has.
    pub(super) old: Option<Attributes>,
    /// What it is to have, unless it keeps that.
    pub(super) new: Option<Attributes>,
}

/// One name, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) name: Bytes,
    /// What is there now, if anything.
    pub(super) old: Option<Mark>,
    /// What is to be there, if anything.
    pub(super) new: Option<Mark>,
}

/// By what something is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) inode: u64,
    /// Of a directory that its owner may not write to, and so may not move unless it is opened up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) closed_mode: Option<u32>,
}

impl Mark {
    /// Of something that is there. Root may move everything.
    pub(super) fn of(stat: &Stat) -> Self {
        let is_closed = stat.metadata.kind == Kind::Directory && stat.metadata.mode & 0o200 == 0;
        let is_in_the_way = is_closed && !rustix::process::geteuid().is_root();
        Self {
            inode: stat.ino,
            closed_mode: is_in_the_way.then_some(stat.metadata.mode),
        }
    }
}

/// A name or path, which need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Bytes {
    Text(String),
    Base64 { base64: String },
}

impl Bytes {
    pub(super) fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64 {
                base64: BASE64_STANDARD.encode(bytes),
            },
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Base64 { base64 } => BASE64_STANDARD.decode(base64).unwrap_or_default(),
        }
    }
}

/// The metadata of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime_ns: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    xattrs: Vec<(Bytes, Bytes)>,
}

impl Attributes {
    /// The time that a directory has in the end.
    pub(super) fn mtime_ns(&self) -> i64 {
        self.mtime_ns
    }

    /// Those of an open directory.
    pub(super) fn of(directory: &OwnedFd) -> io::Result<Self> {
        let mut entry = Entry::new(EntryPath::ROOT, Stat::of(directory)?.metadata);
        entry.xattrs = xattr::of_open(directory).unwrap_or_default();
        Ok(Self::wanted(&entry))
    }

    /// Those that an entry says.
    pub(super) fn wanted(entry: &Entry) -> Self {
        let xattrs = entry.xattrs.iter();
        let xattrs = xattrs.map(|(name, value)| (Bytes::of(name), Bytes::of(value)));
        Self {
            mode: entry.metadata.mode,
            uid: entry.metadata.uid,
            gid: entry.metadata.gid,
            mtime_ns: entry.metadata.mtime_ns,
            xattrs: xattrs.collect(),
        }
    }

    /// As an entry, to be given.
    pub(super) fn entry(&self) -> Entry {
        let metadata = Metadata {
            kind: Kind::Directory,
            size: 0,
            mtime_ns: self.mtime_ns,
            ctime_ns: 0,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
        };
        let xattrs = self.xattrs.iter();
        let xattrs = xattrs.map(|(name, value)| (name.to_vec(), value.to_vec()));
        Entry {
            xattrs: xattrs.collect(),
            ..Entry::new(EntryPath::ROOT, metadata)
        }
    }
}

/// Writes the journal and makes it last.
pub(super) fn write(
    workspace: &OwnedFd,
    lines: impl Iterator<Item = io::Result<Line>>,
) -> io::Result<()> {
    files::put_with(workspace, STEPS, |file: &mut File| {
        let mut out = BufWriter::new(file);
        for line in lines {
            serde_json::to_writer(&mut out, &line?)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    })
}

/// Reads it, line by line.
pub(super) fn read(workspace: &OwnedFd) -> io::Result<impl Iterator<Item = io::Result<Line>>> {
    let lines = files::lines(workspace, STEPS)?.lines();
    Ok(lines.map(|line| {
        let line = line.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        serde_json::from_str(&line).map_err(|_| Errno::BADMSG)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        let home = tempfile::tempdir().unwrap();
        let workspace = crate::restore::target::open(home.path()).unwrap();
        let place = |path: &[u8]| Place {
            path: Bytes::of(path),
            old: Some(Attributes::of(&workspace).unwrap()),
            new: None,
        };
        let step = |name: &[u8], old, new| Step {
            name: Bytes::of(name),
            old,
            new,
        };
        let mark = |inode, closed_mode| Some(Mark { inode, closed_mode });
        let lines = [
            Line::Directory(place(b"")),
            Line::Name(step(
                b"latin-\xe9",
                mark(1, None),
                mark(u64::MAX, Some(0o555)),
            )),
            Line::Name(step(b"new\nline", None, mark(2, None))),
            Line::Directory(place(b"a/b")),
        ];
        write(&workspace, lines.iter().cloned().map(Ok)).unwrap();
        let found: Vec<_> = read(&workspace).unwrap().map(Result::unwrap).collect();
        assert_eq!(found, lines);
        let Line::Name(step) = &found[1] else {
            panic!()
        };
        assert_eq!(step.name.to_vec(), b"latin-\xe9");
    }
}
