//! What is to be sent or fetched: whole files, and parts of large ones.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files above this are moved in parts of this size, the size offsite uses.
const PART_BYTES: u64 = 8 << 20;

/// The pieces of all files below a directory, given out one by one.
#[derive(Debug)]
pub(crate) struct Pieces {
    root: PathBuf,
    pieces: Vec<Piece>,
    next: AtomicUsize,
}

/// A file, or a part of it.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Relative to the directory.
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    /// Its length, as it was when the directory was listed.
    pub(crate) bytes: u64,
    /// Whether it is all of its file.
    pub(crate) is_whole: bool,
}

impl Pieces {
    pub(crate) fn of(root: &Path) -> io::Result<Self> {
        let mut pieces = Vec::new();
        collect(root, Path::new(""), &mut pieces)?;
        Ok(Self {
            root: root.to_owned(),
            pieces,
            next: AtomicUsize::new(0),
        })
    }

    pub(crate) fn next(&self) -> Option<&Piece> {
        self.pieces.get(self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.bytes).sum()
    }

    /// Reads a piece into `buffer`, whatever was in it before.
    pub(crate) fn read(&self, piece: &Piece, buffer: &mut Vec<u8>) -> io::Result<()> {
        let length = usize::try_from(piece.bytes).map_err(io::Error::other)?;
        // Nothing is written where the buffer has that length already.
        buffer.resize(length, 0);
        File::open(self.root.join(&piece.path))?.read_exact_at(buffer, piece.offset)
    }
}

fn collect(root: &Path, below: &Path, pieces: &mut Vec<Piece>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(root, &path, pieces)?;
            continue;
        }
        let size = entry.metadata()?.len();
        let offsets = (0..size.div_ceil(PART_BYTES).max(1)).map(|part| part * PART_BYTES);
        pieces.extend(offsets.map(|offset| Piece {
            path: path.clone(),
            offset,
            bytes: PART_BYTES.min(size - offset),
            is_whole: size <= PART_BYTES,
        }));
    }
    Ok(())
}
