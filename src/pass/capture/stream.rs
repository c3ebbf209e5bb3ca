//! Capturing what comes as a stream, whose length is known when it ends.
//!
//! It becomes an object of its own, also where files go into archives: the header of a tar member has its
//! length. It is kept only if whoever makes it says that it was all.

use std::io::ErrorKind;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::reading::Reading;
use super::{Capture, Uncaptured};
use crate::source::Produce;
use crate::source::stat::Stat;
use crate::store::{Condition, Length, NewObject, PartWriter};

/// Read at a time. It is copied into the part that is being filled.
const READ_BYTES: usize = 1 << 20;

/// Captures a stream. Contents that turn out to be those recorded before become no object; of those that are
/// shorter than a part nothing is sent.
pub(in crate::pass) fn capture(
    capture: &Capture,
    stat: &Stat,
    mut stream: Box<dyn Produce>,
) -> Result<Reading, Uncaptured> {
    let capturer = &capture.capturer;
    let key = capture.key();
    let mut writer = capturer.uploader.begin(NewObject {
        key: key.clone(),
        condition: Condition::Absent,
        placement: capture.options().job.placement.clone(),
        length: Length::Unknown,
        with_sha256: false,
    });
    let sent = match send(capture, &mut *stream, &mut writer) {
        Ok(sha256) => stream.finish().map(|()| sha256).map_err(Uncaptured::from),
        Err(refused) => {
            stream.abort();
            Err(refused)
        }
    };
    let sha256 = match sent {
        Ok(sha256) => sha256,
        Err(refused) => {
            capturer.abort(writer);
            return Err(refused);
        }
    };
    let mut entry = capture.entry(stat, writer.written());
    if let Some(known) = capture.known(sha256) {
        capturer.abort(writer);
        entry.content = Some(known);
        return Ok(Reading::Same(entry));
    }
    let finished = capturer.wait(writer.finish()).map_err(Uncaptured::from);
    let finished = finished.and_then(|it| it.map_err(|error| Uncaptured::unwritten(&key, error)));
    match finished {
        Ok(written) => {
            entry.content = Some(capture.sent(written, sha256));
            Ok(Reading::Stored(entry))
        }
        Err(refused) => {
            capturer.abort(writer);
            Err(refused)
        }
    }
}

/// Reads to the end and sends; the SHA-256 of it all.
fn send(
    capture: &Capture,
    stream: &mut dyn Produce,
    writer: &mut PartWriter,
) -> Result<[u8; 32], Uncaptured> {
    let capturer = &capture.capturer;
    let mut hasher = Sha256::new();
    loop {
        if capture.options().stop.is_set() {
            return Err(Uncaptured::Stopped);
        }
        let mut held = capturer.hold(READ_BYTES)?;
        let read = match stream.read(&mut held.bytes) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Uncaptured::Unreadable(error)),
        };
        held.bytes.truncate(read);
        hasher.update(&*held.bytes);
        let written = capturer.wait(writer.write(Bytes::from_owner(held)))?;
        written.map_err(|error| Uncaptured::unwritten(&capture.key(), error))?;
    }
}
