//! Where files are written that are fetched.

use crate::piece::{Piece, Pieces};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A directory with all directories below it that are needed.
#[derive(Debug)]
pub(crate) struct Target(PathBuf);

impl Target {
    pub(crate) fn make(root: &Path, pieces: &Pieces) -> io::Result<Self> {
        let mut last = None;
        for piece in pieces.iter() {
            let above = piece.path.parent();
            if above != last {
                fs::create_dir_all(root.join(above.unwrap_or(Path::new(""))))?;
                last = above;
            }
        }
        Ok(Self(root.to_owned()))
    }

    /// The file that a piece is of, for writing.
    pub(crate) fn open(&self, piece: &Piece) -> io::Result<File> {
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        options.open(self.0.join(&piece.path))
    }
}
