//! The `aws-chunked` framing of request bodies, taken apart.
//!
//! A body is `<hex length>[;chunk-signature=...]\r\n<data>\r\n` repeated, ended by a chunk of
//! length 0 and trailing headers. Signatures of chunks are ignored: this decoder serves those who
//! do not verify any.

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// No line of the framing is longer; a signature has 64 hexadecimal digits, a checksum fewer.
const LONGEST_LINE: usize = 4_096;

/// Takes bytes of the framed body, gives bytes of the content.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    pending: BytesMut,
    state: State,
    trailers: HeaderMap,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    ChunkLine,
    Data(usize),
    DataEnd,
    Trailers,
    Done,
}

/// The framing is broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Decoder {
    /// Adds received bytes and calls `take` with each piece of content they complete.
    pub(crate) fn push(
        &mut self,
        received: &[u8],
        mut take: impl FnMut(Bytes),
    ) -> Result<(), Malformed> {
        self.pending.extend_from_slice(received);
        loop {
            match self.state {
                State::ChunkLine => {
                    let Some(line) = self.line()? else {
                        return Ok(());
                    };
                    let length = parse_chunk_line(&line).ok_or(Malformed)?;
                    self.state = if length == 0 {
                        State::Trailers
                    } else {
                        State::Data(length)
                    };
                }
                State::Data(left) => {
                    let data = self.pending.split_to(left.min(self.pending.len()));
                    if data.is_empty() {
                        return Ok(());
                    }
                    let left = left - data.len();
                    self.state = if left == 0 {
                        State::DataEnd
                    } else {
                        State::Data(left)
                    };
                    take(data.freeze());
                }
                State::DataEnd => {
                    let Some(line) = self.line()? else {
                        return Ok(());
                    };
                    if !line.is_empty() {
                        return Err(Malformed);
                    }
                    self.state = State::ChunkLine;
                }
                State::Trailers => {
                    let Some(line) = self.line()? else {
                        return Ok(());
                    };
                    if line.is_empty() {
                        self.state = State::Done;
                    } else {
                        self.add_trailer(&line)?;
                    }
                }
                State::Done => return Ok(()),
            }
        }
    }

    /// The trailing headers, once the body has ended. The last empty line may be missing.
    pub(crate) fn finish(mut self) -> Result<HeaderMap, Malformed> {
        match self.state {
            State::Done => Ok(self.trailers),
            State::Trailers => {
                if !self.pending.is_empty() {
                    let line = self.pending.split().freeze();
                    self.add_trailer(&line)?;
                }
                Ok(self.trailers)
            }
            _ => Err(Malformed),
        }
    }

    /// The next line without its end, if it has arrived whole.
    fn line(&mut self) -> Result<Option<Bytes>, Malformed> {
        let Some(end) = self
            .pending
            .iter()
            .take(LONGEST_LINE)
            .position(|byte| *byte == b'\n')
        else {
            return if self.pending.len() < LONGEST_LINE {
                Ok(None)
            } else {
                Err(Malformed)
            };
        };
        let line = self.pending.split_to(end).freeze();
        self.pending.advance(1);
        Ok(Some(
            line.strip_suffix(b"\r")
                .map_or_else(|| line.clone(), |text| line.slice_ref(text)),
        ))
    }

    fn add_trailer(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(Malformed)?;
        let name = HeaderName::from_bytes(line[..colon].trim_ascii()).map_err(|_| Malformed)?;
        let value =
            HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).map_err(|_| Malformed)?;
        self.trailers.insert(name, value);
        Ok(())
    }
}

fn parse_chunk_line(line: &[u8]) -> Option<usize> {
    let length = line.split(|byte| *byte == b';').next()?;
    usize::from_str_radix(std::str::from_utf8(length).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &[u8], step: usize) -> Result<(Vec<u8>, HeaderMap), Malformed> {
        let mut decoder = Decoder::default();
        let mut content = Vec::new();
        for piece in body.chunks(step) {
            decoder.push(piece, |data| content.extend_from_slice(&data))?;
        }
        Ok((content, decoder.finish()?))
    }

    #[test]
    fn content_and_trailers_come_out_however_the_body_is_cut() {
        let body = b"5;chunk-signature=ab\r\nhello\r\n6\r\n world\r\n\
            0;chunk-signature=cd\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        for step in 1..=body.len() {
            let (content, trailers) = decode(body, step).unwrap();
            assert_eq!(content, b"hello world", "step {step}");
            assert_eq!(trailers["x-amz-checksum-crc32"], "AAAAAA==", "step {step}");
        }
    }

    #[test]
    fn a_body_that_ends_early_is_malformed() {
        assert_eq!(decode(b"5\r\nhel", 10).unwrap_err(), Malformed);
        assert_eq!(decode(b"5\r\nhello\r\n", 10).unwrap_err(), Malformed);
    }

    #[test]
    fn a_chunk_longer_than_it_says_is_malformed() {
        assert_eq!(
            decode(b"2\r\nhello\r\n0\r\n\r\n", 100).unwrap_err(),
            Malformed
        );
    }
}
