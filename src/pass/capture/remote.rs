//! Capturing an object of a bucket: the store copies it, so that none of its bytes passes through here. Where the store
//! cannot, it is read like any other stream.
//!
//! What is captured is the version that was listed, and no other. Where another one is there by then, it is looked at
//! again and captured as it is, once.

use std::io::{self, ErrorKind};

use super::{Capture, Captured, Uncaptured, stream};
use crate::events::Event;
use crate::format::entry::{Content, Digest, Entry};
use crate::format::location::{Location, Stored};
use crate::format::object::{Likeness, ObjectMetadata};
use crate::memory::turns::Turn;
use crate::pass::capture::reading::Reading;
use crate::source::stat::Stat;
use crate::source::{self, Body, Remote, Seen};
use crate::store::patience::patiently;
use crate::store::server_side::{can_take, copy_whole};
use crate::store::{StoreErrorKind, WholeCopy};

/// Versions that are tried: the one that was listed, and the one that is there instead.
const VERSIONS: usize = 2;

/// What becomes of an object that something else was put over while it was captured, again and again.
const CHANGES: &str = "it was replaced again while it was copied";

/// Captures an object.
pub(super) fn capture(mut capture: Capture) {
    let opened = match capture.options().source.open(&capture.order.found) {
        Ok(opened) => opened,
        Err(refused) => return capture.end(Err(refused.into())),
    };
    let Body::Remote(remote) = opened.body else {
        return capture.end(Err(Uncaptured::Gone));
    };
    let known = capture.order.known.take();
    let before = capture.order.fallback.as_ref();
    let before = before.and_then(|entry| entry.object.as_deref()).cloned();
    let now = capture.order.found.object.as_deref();
    let likeness = now
        .zip(before.as_ref())
        .map(|(now, then)| now.likeness(then));
    match (known, before) {
        // This version is captured already, and only counts as something else now.
        (Some(known), Some(before)) if likeness == Some(Likeness::Same) => {
            same(capture, (&opened.stat, known), before);
        }
        _ if !can_take(&*remote.store, &*capture.options().store) => read(capture, *remote),
        (Some(known), Some(before)) => {
            in_turn(capture, |capture, turn| async move {
                match is_like(&capture, &known, &turn).await {
                    true => same(capture, (&opened.stat, known), before),
                    // It is made again, also where it does not tell.
                    false => copy(capture, *remote, turn).await,
                }
            });
        }
        _ => in_turn(capture, |capture, turn| copy(capture, *remote, turn)),
    }
}

/// Does something in a task, when it is its turn, without keeping the thread.
fn in_turn<F: Future<Output = ()> + Send + 'static>(
    capture: Capture,
    work: impl FnOnce(Capture, Turn) -> F,
) {
    let runtime = capture.capturer.runtime.clone();
    match capture.capturer.turns.take() {
        Ok(turn) => drop(runtime.spawn(work(capture, turn))),
        Err(closed) => capture.end(Err(closed.into())),
    }
}

/// Records an object whose copy stays what it is.
fn same(capture: Capture, (stat, known): (&Stat, Content), before: ObjectMetadata) {
    let mut entry = capture.entry(stat, stat.metadata.size);
    if let Some(object) = &mut entry.object {
        object.version = before.version;
        object.headers = before.headers;
    }
    entry.content = Some(known);
    capture.end(Ok(Captured::Same(Box::new(entry))));
}

/// Whether the copy that was recorded has what was not recorded of it. It is asked.
async fn is_like(capture: &Capture, known: &Content, turn: &Turn) -> bool {
    let object = capture.order.found.object.as_deref();
    let (Some(object), Location::Object(stored)) = (object, &known.location) else {
        return false;
    };
    let store = &*capture.options().store;
    let asked = patiently(turn, || source::is_like(object, store, &stored.key));
    matches!(capture.capturer.in_time(asked).await, Ok(Ok(true)))
}

/// Has the store copy an object.
async fn copy(mut capture: Capture, mut remote: Remote, turn: Turn) {
    let mut versions = 1;
    let result = loop {
        let copied = match copied(&capture, &remote, &turn).await {
            Err(Uncaptured::Store(_, error))
                if error.kind == StoreErrorKind::PreconditionFailed && versions < VERSIONS =>
            {
                versions += 1;
                match look(&mut capture, &mut remote).await {
                    Ok(_) => continue,
                    Err(refused) => Err(refused),
                }
            }
            copied => copied,
        };
        break copied;
    };
    drop(turn);
    match result {
        Ok(entry) => capture.copied(entry),
        Err(refused) => capture.end(Err(meaning(refused))),
    }
}

/// Looks at an object again, which is captured as it is now.
async fn look(capture: &mut Capture, remote: &mut Remote) -> Result<Seen, Uncaptured> {
    let Some(before) = capture.order.found.object.as_deref() else {
        return Err(Uncaptured::Gone);
    };
    let seen = capture.capturer.in_time(remote.look(before)).await?;
    let seen = seen.map_err(|error| Uncaptured::Store(remote.key.clone(), error))?;
    let found = &mut capture.order.found;
    found.stat = Stat::made(seen.metadata.common(seen.described.size));
    found.object = Some(Box::new(seen.metadata.clone()));
    *remote = remote.clone().seen(&seen);
    Ok(seen)
}

/// The entry of an object, once it is copied.
async fn copied(capture: &Capture, remote: &Remote, turn: &Turn) -> Result<Entry, Uncaptured> {
    let options = capture.options();
    let key = capture.key();
    let failed = |error| Uncaptured::Store(key.clone(), error);
    let from = remote.reference().ok_or(Uncaptured::Gone)?;
    let copy = WholeCopy {
        from,
        size: remote.size,
        key: key.clone(),
        condition: None,
        storage_class: (options.job.placement.storage_class.clone()).or(remote.class.clone()),
        tags: remote.tags,
    };
    let whole_bytes = options.limits.copy_whole_bytes;
    let (from, to) = ((&*remote.store, &*remote.key), &*options.store);
    let copied = patiently(turn, || copy_whole(from, to, &copy, whole_bytes));
    let copied = capture.capturer.in_time(copied).await?.map_err(failed)?;
    let mut entry = capture.entry(&capture.order.found.stat, remote.size);
    if let Some(object) = &mut entry.object {
        object.version = copied.version;
    }
    entry.content = Some(Content {
        digest: Digest::Vouched,
        pass: options.pass,
        captured_as: None,
        location: Location::Object(Box::new(Stored {
            key: key.into(),
            size: remote.size,
            checksum: copied.checksum,
            etag: Some(copied.etag),
        })),
    });
    Ok(entry)
}

/// Reads an object. What a store keeps of an object besides its bytes may not be there, so that the entry has it.
fn read(mut capture: Capture, mut remote: Remote) {
    let runtime = capture.capturer.runtime.clone();
    let mut versions = 1;
    let result = loop {
        let seen = match runtime.block_on(look(&mut capture, &mut remote)) {
            Ok(seen) => seen,
            Err(refused) => break Err(refused),
        };
        let stat = capture.order.found.stat;
        match stream::capture(&capture, &stat, remote.clone().stream(runtime.clone())) {
            Ok(Reading::Stored(mut entry) | Reading::Same(mut entry)) => {
                if let Some(object) = &mut entry.object {
                    object.headers = Some(seen.described.headers);
                }
                break Ok(entry);
            }
            Err(Uncaptured::Unreadable(error))
                if error.kind() == ErrorKind::StaleNetworkFileHandle && versions < VERSIONS =>
            {
                versions += 1;
            }
            Err(refused) => break Err(refused),
            Ok(Reading::Changed | Reading::Read(..)) => break Err(Uncaptured::Gone),
        }
    };
    match result {
        Ok(entry) => capture.uploaded(entry),
        Err(refused) => capture.end(Err(meaning(refused))),
    }
}

/// What it means for an object that it was not captured. Whatever is said of it alone does not end the source.
fn meaning(refused: Uncaptured) -> Uncaptured {
    let unreadable = |text: String| Uncaptured::Unreadable(io::Error::other(text));
    match refused {
        Uncaptured::Store(key, error) => match error.kind {
            StoreErrorKind::NotFound => Uncaptured::Gone,
            StoreErrorKind::PreconditionFailed => unreadable(CHANGES.to_owned()),
            StoreErrorKind::AccessDenied(_)
            | StoreErrorKind::Archived(_)
            | StoreErrorKind::Rejected(_) => unreadable(error.to_string()),
            _ => Uncaptured::Store(key, error),
        },
        Uncaptured::Unreadable(error) => match error.kind() {
            ErrorKind::NotFound => Uncaptured::Gone,
            ErrorKind::StaleNetworkFileHandle => unreadable(CHANGES.to_owned()),
            _ => Uncaptured::Unreadable(error),
        },
        other => other,
    }
}

impl Capture {
    /// Ends a capture whose object the store has copied.
    fn copied(self, entry: Entry) {
        if let Some(content) = &entry.content
            && let Location::Object(stored) = &content.location
        {
            self.options().events.emit(&Event::ObjectCopied {
                source: self.options().job.name.clone(),
                path: entry.name.to_string(),
                key: stored.key.to_string(),
                size: entry.metadata.size,
                duration_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            });
        }
        self.end(Ok(Captured::Uploaded(Box::new(entry))));
    }
}
