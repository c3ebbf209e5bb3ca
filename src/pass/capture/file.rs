//! Capturing a regular file as an object of its own.

use bytes::Bytes;

use super::reading::{Reading, open_and_attempt};
use super::{Capture, Captured, InMemory, Uncaptured, large, stream};
use crate::format::entry::Entry;
use crate::format::location::{Checksum, Location, Stored};
use crate::store::Condition;

/// Captures a file, in a second attempt if it changes during the first.
pub(super) fn capture(capture: Capture) {
    let attempt = open_and_attempt(&capture, large::capture, stream::capture);
    match attempt {
        Ok(Reading::Stored(entry)) => capture.uploaded(entry),
        Ok(Reading::Same(entry)) => capture.end(Ok(Captured::Same(Box::new(entry)))),
        Ok(Reading::Read(entry, sha256, held)) => send(capture, entry, sha256, held),
        Ok(Reading::Changed) => capture.end(Err(Uncaptured::Gone)),
        Err(refused) => capture.end(Err(refused)),
    }
}

/// Sends contents in one request, without keeping the thread.
fn send(capture: Capture, mut entry: Entry, sha256: [u8; 32], held: InMemory) {
    if held.bytes.is_empty() {
        // The manifest says it all.
        entry.content = Some(capture.content(sha256, Location::Inline));
        return capture.end(Ok(Captured::Inline(Box::new(entry))));
    }
    let request = match capture.capturer.requests.take_one() {
        Ok(request) => request,
        Err(closed) => return capture.end(Err(closed.into())),
    };
    let runtime = capture.capturer.runtime.clone();
    runtime.spawn(async move {
        let key = capture.key();
        let options = capture.options();
        let placement = &options.job.placement;
        let bytes = Bytes::from_owner(held);
        let absent = Condition::Absent;
        let put = (options.store).put_content(&key, bytes, sha256, &absent, placement);
        let result = tokio::select! {
            result = put => Some(result),
            () = options.stop.hurried() => None,
        };
        drop(request);
        match result {
            Some(Ok(etag)) => {
                let location = Location::Object(Box::new(Stored {
                    key: key.into(),
                    size: entry.metadata.size,
                    checksum: Checksum::Sha256(sha256),
                    etag: Some(etag),
                }));
                entry.content = Some(capture.content(sha256, location));
                capture.uploaded(entry);
            }
            Some(Err(error)) => capture.end(Err(Uncaptured::Store(key, error))),
            None => capture.end(Err(Uncaptured::Stopped)),
        }
    });
}
