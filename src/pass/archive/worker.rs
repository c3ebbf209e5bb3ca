//! Makes pieces: reads small files into them, and compresses.

use std::io;
use std::num::NonZero;
use std::sync::Arc;

use super::packer::{ContentInPiece, InGroup, InPiece, Job, Piece, ToCompress};
use crate::archive::codec::Compressor;
use crate::archive::tar::{self, Member};
use crate::format::entry::Kind;
use crate::memory::buffers::{Buffer, Buffers};
use crate::pass::capture::links::First;
use crate::pass::capture::reading::{Reading, open_and_attempt};
use crate::pass::capture::{Capture, Capturer, Uncaptured, apart, stream};
use crate::pass::fatal::{FatalError, FirstError};
use crate::pass::job::ArchiveOptions;
use crate::pass::steps::Captured;
use crate::stop::Stopped;

pub(super) struct Worker {
    capturer: Arc<Capturer>,
    compressors: Compressors,
    buffers: Buffers,
}

/// As many compressors as there are cores: more would take memory and save no time. There are more
/// workers than that, because they read, and reading waits.
#[derive(Clone)]
pub(super) struct Compressors {
    free: crossbeam_channel::Receiver<Compress>,
    back: crossbeam_channel::Sender<Compress>,
}

/// Turns a piece into one gzip member or zstd frame.
type Compress = Box<dyn FnMut(&mut Vec<u8>) -> io::Result<()> + Send>;

impl Compressors {
    pub(super) fn new(options: &ArchiveOptions) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
        let (back, free) = crossbeam_channel::bounded(cores);
        for _ in 0..cores {
            let mut compressor = Compressor::new(options.codec, options.level)?;
            let compress: Compress = Box::new(move |piece| compressor.compress(piece));
            back.send(compress).map_err(|_| broken())?;
        }
        Ok(Self { free, back })
    }

    /// Compresses a piece. An archive that lacks one is none, so a compressor that fails ends the source.
    fn pack(&self, piece: &mut Vec<u8>, first_error: &FirstError) -> Result<(), Stopped> {
        if piece.is_empty() {
            return Ok(());
        }
        self.compress(piece).map_err(|error| {
            first_error.report(FatalError::Compression(error));
            Stopped
        })
    }

    fn compress(&self, piece: &mut Vec<u8>) -> io::Result<()> {
        let mut compress = self.free.recv().map_err(|_| broken())?;
        let compressed = compress(piece);
        self.back.send(compress).map_err(|_| broken())?;
        compressed
    }
}

fn broken() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// The tar stream of a group.
struct Raw {
    bytes: Buffer,
    files: Vec<InPiece>,
    members: u64,
}

impl Worker {
    pub(super) fn new(capturer: Arc<Capturer>, compressors: Compressors, buffers: Buffers) -> Self {
        Self {
            capturer,
            compressors,
            buffers,
        }
    }

    /// Takes jobs until there are no more. A piece that cannot be made is not replied to, and the
    /// archive ends there.
    pub(super) fn run(self, jobs: crossbeam_channel::Receiver<Job>) {
        for job in jobs {
            let mut raw = match job.work {
                ToCompress::Bytes(bytes) => Raw {
                    bytes,
                    files: Vec::new(),
                    members: 0,
                },
                ToCompress::Group(group) => self.read(group),
            };
            let first_error = &self.capturer.options.first_error;
            if self.compressors.pack(&mut raw.bytes, first_error).is_err() {
                continue;
            }
            let piece = Piece {
                bytes: raw.bytes,
                files: raw.files,
                members: raw.members,
                memory: job.memory,
            };
            // An assembler that is gone has no use for it.
            let _ = job.reply.send(piece);
        }
    }

    fn read(&self, group: Vec<InGroup>) -> Raw {
        let mut raw = Raw {
            bytes: self.buffers.take(),
            files: Vec::new(),
            members: 0,
        };
        for member in group {
            match member {
                InGroup::Directory(entry) => {
                    tar::begin(&mut raw.bytes, &entry, Member::Directory);
                    raw.members += 1;
                }
                InGroup::Capture(capture) => self.capture(capture, &mut raw),
            }
        }
        raw
    }

    fn capture(&self, capture: Box<Capture>, raw: &mut Raw) {
        if self.capturer.options.stop.is_set() {
            return capture.end(Err(Uncaptured::Stopped));
        }
        match capture.order.found.stat.metadata.kind {
            Kind::File => match capture.another_name() {
                Some((First::Member(first), stat)) => {
                    let entry = capture.linked(&first, &stat);
                    let link = Member::HardLink(first.name.as_bytes());
                    tar::begin(&mut raw.bytes, &entry, link);
                    raw.members += 1;
                    raw.files.push(InPiece::Link(capture, entry));
                }
                Some((First::Stored(first), stat)) => {
                    let entry = capture.linked(&first, &stat);
                    capture.end(Ok(Captured::Linked(Box::new(entry))));
                }
                Some((First::Nothing, _)) | None => file(capture, raw),
            },
            _ => other(capture, raw),
        }
    }
}

fn file(capture: Box<Capture>, raw: &mut Raw) {
    let grown = |_: &Capture, _: &_, _: &_, _| {
        let error =
            "it has grown, or its first name could not be archived; the next pass tries again";
        Err(Uncaptured::Unreadable(io::Error::other(error)))
    };
    match open_and_attempt(&capture, grown, stream::capture) {
        Ok(Reading::Read(mut entry, sha256, held)) => {
            let contents = &held.bytes;
            let size = contents.len() as u64;
            tar::begin(&mut raw.bytes, &entry, Member::File(size));
            let before = raw.bytes.len() as u64;
            raw.bytes.extend_from_slice(contents);
            tar::pad(&mut raw.bytes, size);
            raw.members += 1;
            if let Some(apart) = &capture.order.apart {
                match apart::put(&capture, apart, held, sha256) {
                    Ok(content) => entry.content = Some(content),
                    Err(Uncaptured::Store(key, error)) if !error.kind.is_fatal() => {
                        capture.in_archive_alone(&format!("`{key}` was not taken: {error}"));
                    }
                    Err(refused) => return capture.end(Err(refused)),
                }
            }
            capture.is_member(&entry);
            raw.files.push(InPiece::File(
                capture,
                entry,
                ContentInPiece { sha256, before },
            ));
        }
        Ok(Reading::Same(entry)) => capture.end(Ok(Captured::Same(Box::new(entry)))),
        Ok(Reading::Stored(entry)) => capture.uploaded(entry),
        Ok(Reading::Changed) => capture.end(Err(Uncaptured::Gone)),
        Err(refused) => capture.end(Err(refused)),
    }
}

fn other(capture: Box<Capture>, raw: &mut Raw) {
    let result = capture.without_contents();
    if let Ok(Captured::Same(entry)) = &result {
        let member = match &entry.target {
            Some(target) => Member::Symlink(target),
            None => Member::Directory,
        };
        tar::begin(&mut raw.bytes, entry, member);
        raw.members += 1;
    }
    capture.end(result);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::exit::ExitCode;
    use crate::pass::error::SourceError;
    use crate::stop::Stop;

    #[test]
    fn a_compressor_that_fails_is_an_error_and_no_interruption() {
        let (back, free) = crossbeam_channel::bounded(1);
        let broken: Compress = Box::new(|_| Err(io::Error::other("out of memory")));
        back.send(broken).unwrap();
        let compressors = Compressors { free, back };
        let stop = Arc::new(Stop::default());
        let first_error = FirstError::stopping(&stop);
        let packed = compressors.pack(&mut b"piece".to_vec(), &first_error);
        assert_eq!(packed, Err(Stopped));
        assert!(stop.is_set());
        let error = SourceError::from(first_error.take().unwrap());
        assert_eq!(error.exit_code(), ExitCode::Failed);
        assert_eq!(error.to_string(), "cannot compress: out of memory");
        assert!(!error.is_worth_another_pass());
    }
}
