//! Compressing pieces of an archive, each on its own, and decompressing any run of them.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use crate::format::codec::Codec;

/// Looked at before a large piece is compressed with gzip: this many bytes at its beginning, middle
/// and end.
const PROBE: usize = 16 << 10;

/// The largest window of a frame that is decompressed, as a power of two: 8 MiB. Pieces have little more
/// than 1 MiB, and a window is no larger than its piece.
const WINDOW_LOG: u32 = 23;

/// Compresses one piece after the other.
pub struct Compressor {
    method: Method,
    /// What is compressed goes here, and then changes places with what it was made of.
    out: Vec<u8>,
}

enum Method {
    Gzip(Gzip),
    Zstd(zstd::bulk::Compressor<'static>),
    None,
}

impl Compressor {
    /// # Errors
    /// The codec does not know the level.
    pub fn new(codec: Codec, level: i32) -> io::Result<Self> {
        let method = match codec {
            Codec::Gzip => Method::Gzip(Gzip::new(level)?),
            Codec::Zstd => {
                let mut zstd = zstd::bulk::Compressor::new(level)?;
                zstd.include_checksum(true)?;
                Method::Zstd(zstd)
            }
            Codec::None => Method::None,
        };
        Ok(Self {
            method,
            out: Vec::new(),
        })
    }

    /// Turns `piece` into one gzip member or zstd frame; without compression it stays as it is.
    ///
    /// # Errors
    /// The compressor fails, which it does not for want of anything but memory.
    pub fn compress(&mut self, piece: &mut Vec<u8>) -> io::Result<()> {
        self.out.clear();
        match &mut self.method {
            Method::Gzip(gzip) => gzip.compress(piece, &mut self.out)?,
            Method::Zstd(zstd) => {
                let most = zstd::zstd_safe::compress_bound(piece.len());
                self.out.reserve(most);
                zstd.compress_to_buffer(piece, &mut self.out)?;
            }
            Method::None => return Ok(()),
        }
        std::mem::swap(piece, &mut self.out);
        Ok(())
    }
}

/// gzip by libdeflate, which takes half as long as zlib does for the same ratio.
struct Gzip {
    compressor: libdeflater::Compressor,
    /// For what cannot be compressed.
    store: libdeflater::Compressor,
    /// For a look at whether it can.
    probe: libdeflater::Compressor,
}

impl Gzip {
    fn new(level: i32) -> io::Result<Self> {
        let compressor = |level| {
            let level = libdeflater::CompressionLvl::new(level)
                .map_err(|_| io::Error::other("gzip knows levels 0 to 9"))?;
            Ok::<_, io::Error>(libdeflater::Compressor::new(level))
        };
        Ok(Self {
            compressor: compressor(level)?,
            store: compressor(0)?,
            probe: compressor(1)?,
        })
    }

    fn compress(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let compressor = match self.looks_incompressible(piece, out)? {
            true => &mut self.store,
            false => &mut self.compressor,
        };
        gzip(compressor, piece, out)
    }

    /// Whether compressing is a waste of time, as for pictures, films and other archives. gzip takes
    /// as long for those as for text, and zstd sees by itself.
    fn looks_incompressible(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
        if piece.len() < 4 * PROBE {
            return Ok(false);
        }
        let middle = piece.len() / 2;
        let probes = [
            &piece[..PROBE],
            &piece[middle..middle + PROBE],
            &piece[piece.len() - PROBE..],
        ];
        gzip(&mut self.probe, &probes.concat(), out)?;
        Ok(out.len() > 3 * PROBE * 97 / 100)
    }
}

fn gzip(
    compressor: &mut libdeflater::Compressor,
    piece: &[u8],
    out: &mut Vec<u8>,
) -> io::Result<()> {
    out.resize(compressor.gzip_compress_bound(piece.len()), 0);
    let length = compressor
        .gzip_compress(piece, out)
        .map_err(io::Error::other)?;
    out.truncate(length);
    Ok(())
}

/// Decompresses one run after the other.
#[derive(Default)]
pub struct Decompressor {
    /// Keeps the memory that it once needed.
    zstd: Option<zstd::zstd_safe::DCtx<'static>>,
}

impl Decompressor {
    /// Decompresses a run of members or frames.
    pub fn read<'a>(
        &'a mut self,
        codec: Codec,
        compressed: impl BufRead + 'a,
    ) -> Box<dyn Read + 'a> {
        match codec {
            Codec::Gzip => Box::new(MultiGzDecoder::new(compressed)),
            Codec::Zstd => {
                let context = self.zstd.get_or_insert_with(|| {
                    let mut context = zstd::zstd_safe::DCtx::default();
                    let window = zstd::zstd_safe::DParameter::WindowLogMax(WINDOW_LOG);
                    context
                        .set_parameter(window)
                        .expect("a window that is allowed");
                    context
                });
                Box::new(zstd::Decoder::with_context(compressed, context))
            }
            Codec::None => Box::new(compressed),
        }
    }
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
            let mut decompressor = Decompressor::default();
            let mut read = |bytes: &[u8]| {
                let mut out = Vec::new();
                let mut decoder = decompressor.read(codec, bytes);
                decoder.read_to_end(&mut out).unwrap();
                out
            };
            assert_eq!(read(&first), text);
            assert_eq!(read(&second), noise);
            let both = [first, second].concat();
            assert_eq!(read(&both), [text.clone(), noise.clone()].concat());
        }
    }
}
