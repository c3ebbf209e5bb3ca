//! Files of an archive that are objects of their own as well, in the default storage class and without tags:
//! the archive may lie where nobody can read it at once.

use std::time::Instant;

use bytes::Bytes;

use super::{Capture, InMemory, Uncaptured};
use crate::events::Event;
use crate::format::entry::Content;
use crate::format::location::{Checksum, ETag, Location, Stored};
use crate::pass::context::SourceContext;
use crate::pass::place;
use crate::pass::steps::Apart;
use crate::store::{Condition, Placement, StoreError, StoreErrorKind};

/// Puts the contents of a file, unless they are those that are known, and says where they lie. Blocks.
///
/// # Errors
/// The store does not take them, or the pass is being stopped.
pub(in crate::pass) fn put(
    capture: &Capture,
    apart: &Apart,
    held: InMemory,
    sha256: [u8; 32],
) -> Result<Content, Uncaptured> {
    if let Some(known) = apart.known.as_ref().filter(|known| known.is(sha256)) {
        return Ok(known.clone());
    }
    let started = Instant::now();
    let (capturer, context) = (&capture.capturer, capture.options());
    let request = capturer.requests.take_one()?;
    let size = held.bytes.len() as u64;
    let contents = Bytes::from_owner(held);
    let put = capturer.wait(put_where_free(context, &apart.key, &contents, sha256))?;
    let (key, etag) = put.map_err(|(key, error)| Uncaptured::Store(key, error))?;
    drop(request);
    context.events.emit(&Event::FileUploaded {
        source: context.job.name.clone(),
        path: capture.order.found.name.to_string(),
        key: key.clone(),
        size,
        sha256: hex::encode(sha256),
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    let stored = Stored {
        key: key.into(),
        size,
        checksum: Checksum::Sha256(sha256),
        etag: Some(etag),
    };
    Ok(capture.content(sha256, Location::Object(Box::new(stored))))
}

/// Puts contents under `key`, or under one of those that are taken instead of it; under which.
async fn put_where_free(
    context: &SourceContext,
    key: &str,
    contents: &Bytes,
    sha256: [u8; 32],
) -> Result<(String, ETag), (String, StoreError)> {
    let wanted = (key, ending(key));
    let placement = Placement::default();
    let mut lost = None;
    loop {
        let free = place::find(&*context.store, wanted, context.pass).await;
        let free = free.map_err(|error| (key.to_owned(), error))?;
        let put = context.store.put_content(
            &free,
            contents.clone(),
            sha256,
            &Condition::Absent,
            &placement,
        );
        match put.await {
            Ok(etag) => return Ok((free, etag)),
            // Another file of this pass wants the same key, and was faster. The next look says so.
            Err(error)
                if error.kind == StoreErrorKind::PreconditionFailed
                    && lost.as_ref() != Some(&free) =>
            {
                lost = Some(free);
            }
            Err(error) => return Err((free, error)),
        }
    }
}

/// What the name at the end of a key ends in, from its last dot on.
fn ending(key: &str) -> &str {
    let name = key.rfind('/').map_or(0, |at| at + 1);
    match key[name..].rfind('.') {
        Some(dot) if dot > 0 => &key[name + dot..],
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::ending;

    #[test]
    fn names_end_from_their_last_dot_on() {
        for (key, expected) in [
            ("sessions/2020/M31_notes.md", ".md"),
            ("a/x.tar.gz", ".gz"),
            ("a.b/notes", ""),
            (".md", ""),
            ("a/.md", ""),
        ] {
            assert_eq!(ending(key), expected, "{key}");
        }
    }
}
