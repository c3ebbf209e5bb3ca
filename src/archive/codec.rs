//! Compressing pieces of an archive, each on its own, and decompressing any run of them.

use std::io::{self, BufRead, Read, Write as _};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::manifest::archive::Codec;

/// Looked at before a large piece is compressed with gzip: this many bytes at its beginning, middle
/// and end.
const PROBE: usize = 16 << 10;

/// Compresses one piece after the other.
pub struct Compressor {
    codec: Codec,
    level: i32,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    /// What is compressed goes here, and then changes places with what it was made of.
    out: Vec<u8>,
}

impl Compressor {
    /// # Errors
    /// zstd does not know the level.
    pub fn new(codec: Codec, level: i32) -> io::Result<Self> {
        let zstd = match codec {
            Codec::Zstd => {
                let mut zstd = zstd::bulk::Compressor::new(level)?;
                zstd.include_checksum(true)?;
                Some(zstd)
            }
            Codec::Gzip | Codec::None => None,
        };
        Ok(Self {
            codec,
            level,
            zstd,
            out: Vec::new(),
        })
    }

    /// Turns `piece` into one gzip member or zstd frame; without compression it stays as it is.
    ///
    /// # Errors
    /// The compressor fails, which it does not for want of anything but memory.
    pub fn compress(&mut self, piece: &mut Vec<u8>) -> io::Result<()> {
        self.out.clear();
        match (self.codec, &mut self.zstd) {
            (Codec::Zstd, Some(zstd)) => {
                self.out
                    .reserve(zstd::zstd_safe::compress_bound(piece.len()));
                zstd.compress_to_buffer(piece, &mut self.out)?;
            }
            (Codec::Gzip, _) => gzip(piece, &mut self.out, self.level)?,
            _ => return Ok(()),
        }
        std::mem::swap(piece, &mut self.out);
        Ok(())
    }
}

fn gzip(piece: &[u8], out: &mut Vec<u8>, level: i32) -> io::Result<()> {
    let level = match looks_incompressible(piece)? {
        true => Compression::none(),
        false => Compression::new(level.unsigned_abs()),
    };
    // What cannot be compressed becomes a little longer.
    out.reserve(piece.len() + piece.len() / 1000 + 64);
    let mut encoder = GzEncoder::new(std::mem::take(out), level);
    encoder.write_all(piece)?;
    *out = encoder.finish()?;
    Ok(())
}

/// Whether compressing is a waste of time, as for pictures, films and other archives. gzip takes as
/// long for those as for text, and zstd sees by itself.
fn looks_incompressible(raw: &[u8]) -> io::Result<bool> {
    if raw.len() < 4 * PROBE {
        return Ok(false);
    }
    let middle = raw.len() / 2;
    let probes = [
        &raw[..PROBE],
        &raw[middle..middle + PROBE],
        &raw[raw.len() - PROBE..],
    ];
    let mut encoder = GzEncoder::new(Vec::with_capacity(3 * PROBE), Compression::fast());
    for probe in probes {
        encoder.write_all(probe)?;
    }
    Ok(encoder.finish()?.len() > 3 * PROBE * 97 / 100)
}

/// Decompresses a run of members or frames.
///
/// # Errors
/// zstd cannot get memory.
pub fn decoder<'a>(codec: Codec, compressed: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match codec {
        Codec::Gzip => Box::new(MultiGzDecoder::new(compressed)),
        Codec::Zstd => Box::new(zstd::Decoder::with_buffer(compressed)?),
        Codec::None => Box::new(compressed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_one_stream_and_each_is_one_alone() {
        let text = b"all work and no play ".repeat(10_000);
        let noise: Vec<u8> = (0..100_000).map(|_| fastrand::u8(..)).collect();
        for codec in [Codec::Gzip, Codec::Zstd, Codec::None] {
            let mut compressor = Compressor::new(codec, 3).unwrap();
            let [mut first, mut second] = [text.clone(), noise.clone()];
            compressor.compress(&mut first).unwrap();
            compressor.compress(&mut second).unwrap();
            assert!(second.len() < noise.len() + 200, "{}", second.len());
            let read = |bytes: &[u8]| {
                let mut out = Vec::new();
                decoder(codec, bytes)
                    .unwrap()
                    .read_to_end(&mut out)
                    .unwrap();
                out
            };
            assert_eq!(read(&first), text);
            assert_eq!(read(&second), noise);
            let both = [first, second].concat();
            assert_eq!(read(&both), [text.clone(), noise.clone()].concat());
        }
    }
}
