//! Compressed lines: a zstd frame (with checksum) of NDJSON, written in memory and read line by line.
//!
//! A reader takes in no more than the writer can have written: a hundred kilobytes may decompress to
//! gigabytes, in one line or in many.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};

use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// zstd level. Measured on lines of segments, level 1 is a tenth larger than level 3 and takes half the
/// time; most of a line is a digest that no level compresses.
const LEVEL: i32 = 1;

/// The longest line. A path takes a few kilobytes, some six times as much in JSON and in Base64 besides;
/// extended attributes take up to 4 MiB, and a third more in Base64.
pub const LINE_BYTES: u64 = 16 << 20;

/// An object is full when its lines have so many bytes, however few they are. 131,072 entries, as many as a
/// segment has by default, usually take 40 MB.
pub const FULL_BYTES: u64 = 128 << 20;

/// The most that the lines of an object have: it is full, and then come the longest line and one that
/// sums up.
pub const LINES_BYTES: u64 = FULL_BYTES + 2 * LINE_BYTES;

/// The largest object: what cannot be compressed grows by less than a hundredth.
pub const OBJECT_BYTES: u64 = LINES_BYTES + LINES_BYTES / 100;

/// The largest window of a frame, as a power of two: 8 MiB, sixteen times that of what is written here, and
/// as much as readers of zstd must support (RFC 8878, section 3.1.1.1.2).
const WINDOW_LOG: u32 = 23;

/// Lines that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// The compressed stream is damaged.
    #[error("cannot be decompressed: {0}")]
    Io(#[from] std::io::Error),
    /// There is more than was recorded, or than there ever is.
    #[error("decompresses to more than the {0} bytes it should have")]
    TooLong(u64),
    /// Line `line`, counted from 1, has more bytes than any that was ever written.
    #[error("line {0} is longer than {LINE_BYTES} bytes")]
    LongLine(u64),
}

/// Lines, compressed as they come.
pub(super) struct LinesWriter {
    encoder: zstd::Encoder<'static, Vec<u8>>,
    bytes: u64,
}

/// An object of lines, not yet in the store.
#[derive(Debug, Clone)]
pub(super) struct LinesBody {
    pub(super) bytes: Bytes,
    pub(super) sha256: [u8; 32],
    /// Length of the lines, decompressed.
    pub(super) lines_bytes: u64,
}

impl LinesWriter {
    pub(super) fn new() -> Self {
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL).expect("the level is valid");
        encoder
            .include_checksum(true)
            .expect("a fresh encoder takes parameters");
        Self { encoder, bytes: 0 }
    }

    /// Bytes of the lines so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a line, newline included.
    pub(super) fn push(&mut self, line: &[u8]) {
        self.encoder.write_all(line).expect("writing to memory");
        self.bytes += line.len() as u64;
    }

    /// Appends a line of JSON.
    pub(super) fn push_json(&mut self, value: &impl Serialize) {
        let mut line = serde_json::to_vec(value).expect("records are plain data");
        line.push(b'\n');
        self.push(&line);
    }

    pub(super) fn finish(self) -> LinesBody {
        let bytes = self.encoder.finish().expect("writing to memory");
        LinesBody {
            sha256: Sha256::digest(&bytes).into(),
            bytes: bytes.into(),
            lines_bytes: self.bytes,
        }
    }
}

/// Lines, and how many more bytes there may be.
pub(super) struct Lines {
    decoder: BufReader<zstd::Decoder<'static, std::io::Cursor<Bytes>>>,
    /// The last one that was read, newline included.
    pub(super) line: Vec<u8>,
    /// Its number, from 1.
    pub(super) number: u64,
    at_most: u64,
    left: u64,
}

impl Lines {
    pub(super) fn of(bytes: Bytes, at_most: u64) -> Result<Self, LinesError> {
        let mut decoder = zstd::Decoder::with_buffer(std::io::Cursor::new(bytes))?;
        decoder.window_log_max(WINDOW_LOG)?;
        let at_most = at_most.min(LINES_BYTES);
        Ok(Self {
            decoder: BufReader::with_capacity(64 << 10, decoder),
            line: Vec::new(),
            number: 0,
            at_most,
            left: at_most,
        })
    }

    /// Reads the next line; whether there was one.
    pub(super) fn next(&mut self) -> Result<bool, LinesError> {
        self.line.clear();
        let most = self.left.min(LINE_BYTES);
        let mut rest = (&mut self.decoder).take(most + 1);
        let read = rest.read_until(b'\n', &mut self.line)? as u64;
        self.number += u64::from(read > 0);
        if read > LINE_BYTES {
            return Err(LinesError::LongLine(self.number));
        }
        let left = self.left.checked_sub(read);
        self.left = left.ok_or(LinesError::TooLong(self.at_most))?;
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_bounded_in_bytes_and_in_lines() {
        let line = |length: u64| {
            let mut line = vec![b'a'; usize::try_from(length).unwrap() - 1];
            line.push(b'\n');
            line
        };
        let read = |text: &[u8], at_most| {
            let frame = zstd::encode_all(text, LEVEL).unwrap();
            let mut lines = Lines::of(frame.into(), at_most).unwrap();
            while lines.next()? {}
            Ok(lines.number)
        };
        let longest = line(LINE_BYTES);
        assert!(matches!(read(&longest, u64::MAX), Ok(1)));
        let longer = line(LINE_BYTES + 1);
        assert!(matches!(
            read(&longer, u64::MAX),
            Err(LinesError::LongLine(1))
        ));
        let three = [line(5), line(5), line(5)].concat();
        assert!(matches!(read(&three, 15), Ok(3)));
        assert!(matches!(read(&three, 14), Err(LinesError::TooLong(14))));
        assert!(matches!(read(&three, 10), Err(LinesError::TooLong(10))));
    }
}
