//! Objects that are written in parts.
//!
//! Where a file needs no name before it is whole, nothing is left of one that is given up or whose process
//! is killed. Elsewhere such files lie in [`UNFINISHED`], each in a directory with its key; so a later
//! pass finds whose they are.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{AtFlags, Dir, FileType, unlinkat};
use rustix::io::Errno;

use super::keys::UNFINISHED;
use super::making::{Draft, read_at, write_at};
use super::root::{Root, stat};
use super::trouble::Result;
use crate::store::{OpenUpload, Upload};

/// What is this old and belongs to no upload was left by a process that was killed.
const LEFT_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// The file with the key of an upload, and the one with what has come of it.
const KEY: &str = "key";
const DATA: &str = "data";

/// The longest key, by far.
const KEY_BYTES: usize = 4096;

/// An upload that has begun, and what it is called.
pub(super) fn begin(root: &Arc<Root>, key: &str) -> Result<(String, Draft)> {
    if let Some(draft) = Draft::unnamed(root)? {
        return Ok((format!("{:016x}", fastrand::u64(..)), draft));
    }
    let directory = root.temporary();
    root.make_directory(&directory)?;
    let file = root.make(&directory.join(KEY))?;
    write_at(&file, key.as_bytes(), 0)?;
    let id = directory.file_name().unwrap_or_default();
    let draft = Draft::at(root, directory.join(DATA))?;
    Ok((id.to_string_lossy().into_owned(), draft))
}

/// Removes what is left of an upload.
pub(super) fn end(root: &Root, id: &str) -> Result<()> {
    let directory = Path::new(UNFINISHED).join(id);
    for name in [DATA, KEY] {
        root.remove(&directory.join(name))?;
    }
    match unlinkat(root, &directory, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

/// Uploads of keys that begin with `prefix`. Removes files that whoever was killed has left long before
/// `now`; if one of them is alive all the same, it fails.
pub(super) fn open(root: &Root, prefix: &str, now: Option<Timestamp>) -> Result<Vec<OpenUpload>> {
    let opened = match root.enter(Path::new(UNFINISHED)) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        opened => opened?,
    };
    let is_old = |time: Option<Timestamp>| {
        let age = now.zip(time).map(|(now, time)| now.duration_since(time));
        age.is_some_and(|age| age > LEFT_AFTER)
    };
    let mut uploads = Vec::new();
    for entry in Dir::new(opened)? {
        let entry = entry?;
        let Ok(id) = entry.file_name().to_str() else {
            continue;
        };
        let path = Path::new(UNFINISHED).join(id);
        if matches!(id, "." | "..") {
            continue;
        }
        let Ok(found) = root.look(&path) else {
            continue;
        };
        let found = stat(&found)?;
        let time = Timestamp::from_second(found.stx_mtime.tv_sec).ok();
        if FileType::from_raw_mode(found.stx_mode.into()) != FileType::Directory {
            if is_old(time) {
                root.remove(&path)?;
            }
            continue;
        }
        let mut key = vec![0; KEY_BYTES];
        let length = match root.look(&path.join(KEY)) {
            Ok(file) => read_at(&file, &mut key, 0)?,
            // It is being made, or removed.
            Err(Errno::NOENT) => 0,
            Err(error) => return Err(error.into()),
        };
        key.truncate(length);
        if key.is_empty() && is_old(time) {
            end(root, id)?;
            continue;
        }
        if let Ok(key) = String::from_utf8(key)
            && key.starts_with(prefix)
        {
            uploads.push(OpenUpload {
                upload: Upload {
                    key,
                    id: id.to_owned(),
                },
                begun_at: time,
            });
        }
    }
    Ok(uploads)
}
