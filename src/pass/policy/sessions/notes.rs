//! Notes: files in a session that are wanted at once while its archive may lie in Glacier. Each is
//! in the archive too, and also an object of its own, in the default storage class.

use std::time::Instant;

use bytes::Bytes;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::{Session, SessionOptions};
use crate::archive::template::Values;
use crate::events::Event;
use crate::format::codec::Codec;
use crate::format::keys;
use crate::pass::capture::reading::{WHOLE_BYTES, read_up_to};
use crate::pass::context::SourceContext;
use crate::pass::error::SourceError;
use crate::pass::place::{self, Place};
use crate::source::{Body, Found, Refused};
use crate::store::{Condition, ObjectInfo, Placement};

/// The notes of some sessions.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(super) sessions: Vec<Session>,
}

impl Notes {
    /// Puts them where they are not yet.
    ///
    /// # Errors
    /// The store fails. Notes that cannot be read are passed over: the archive has said so.
    pub(crate) async fn put(&self, context: &SourceContext) -> Result<(), SourceError> {
        let Some(options) = &context.job.sessions else {
            return Ok(());
        };
        for session in &self.sessions {
            for note in &session.notes {
                if context.stop.is_set() {
                    return Err(SourceError::Interrupted);
                }
                match tokio::task::block_in_place(|| read(context, note)) {
                    Ok(Some(contents)) => {
                        put_one(context, options, session, note, contents).await?;
                    }
                    Ok(None) => context.events.emit(&Event::Notice {
                        message: format!(
                            "{} is larger than a note may be; it is in the archive",
                            note.path
                        ),
                    }),
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// A note's contents, unless it is too large to be one.
fn read(context: &SourceContext, note: &Found) -> Result<Option<Bytes>, Refused> {
    let Body::File(file) = context.source.open(note)?.body else {
        return Err(Refused::Gone);
    };
    let most = usize::try_from(WHOLE_BYTES).map_err(|_| Errno::FBIG)?;
    let mut contents = Vec::new();
    while contents.len() <= most {
        let (had, offset) = (contents.len(), contents.len() as u64);
        read_up_to(&file, &mut contents, offset, 64 << 10)?;
        if contents.len() == had {
            return Ok(Some(contents.into()));
        }
    }
    Ok(None)
}

async fn put_one(
    context: &SourceContext,
    options: &SessionOptions,
    session: &Session,
    note: &Found,
    contents: Bytes,
) -> Result<(), SourceError> {
    let started = Instant::now();
    let sha256: [u8; 32] = Sha256::digest(&contents).into();
    let values = Values {
        source: &context.job.name,
        pass: context.pass,
        session: &keys::percent_encode(&session.bytes_of_name),
        name: &keys::percent_encode(note.path.name().unwrap_or_default()),
        year: &session.year,
        is_full: true,
        codec: Codec::None,
    };
    let key = options.notes_key.key(&values);
    let wanted = (key.as_str(), ending(&key));
    let is_same = |there: &ObjectInfo| there.sha256 == Some(sha256);
    let place = place::find(&*context.store, wanted, context.pass, is_same);
    let Place::Free(key) = place.await? else {
        return Ok(());
    };
    let size = contents.len() as u64;
    let placement = Placement::default();
    let put = context
        .store
        .put_content(&key, contents, sha256, &Condition::Absent, &placement);
    put.await?;
    context.events.emit(&Event::FileUploaded {
        source: context.job.name.clone(),
        path: note.path.to_string(),
        key,
        size,
        sha256: hex::encode(sha256),
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    Ok(())
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
