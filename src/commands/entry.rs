//! How commands show entries, and which one is meant by a path that was typed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use indicatif::HumanBytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::print;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::entry::{Entry, Kind};
use crate::format::keys::SourceName;
use crate::format::name::{Name, ObjectKey, Order};
use crate::format::path::EntryPath;
use crate::format::snapshot::Snapshot;
use crate::snapshots::differences::DifferenceKind;
use crate::snapshots::entries::EntriesError;
use crate::source::directory::clean::clean;
use crate::text::json;

/// The name in a snapshot that was typed: a path relative to its source, or absolute; of a bucket, a key as it is.
/// `None` where an absolute path is not in the place that was backed up.
pub(super) fn name_in(snapshot: &Snapshot, typed: &OsStr) -> Result<Option<Name>, Failure> {
    match snapshot.order {
        Order::Path => Ok(path_in(snapshot, typed)?.map(Name::Path)),
        Order::Key => Ok(ObjectKey::parse(typed.as_bytes()).ok().map(Name::Key)),
    }
}

fn path_in(snapshot: &Snapshot, typed: &OsStr) -> Result<Option<EntryPath>, Failure> {
    if typed.as_bytes().starts_with(b"/") {
        let path = clean(typed);
        let Ok(below) = path.strip_prefix(clean(&snapshot.place)) else {
            return Ok(None);
        };
        return Ok(EntryPath::parse(below.as_os_str().as_bytes()).ok());
    }
    let components = typed.as_bytes().split(|byte| *byte == b'/');
    let components: Vec<_> = components
        .filter(|component| !matches!(*component, b"" | b"."))
        .collect();
    let path = EntryPath::parse(components.join(&b'/'));
    path.map(Some).map_err(|error| {
        let message = format!("the path `{}` {error}", typed.display());
        Failure::new(ExitCode::Usage, message)
            .hint("give a path relative to the source, for example `docs/report.odt`")
    })
}

/// The fields of an entry as they stand in the manifest.
pub(super) type Fields = BTreeMap<String, Box<RawValue>>;

/// The fields of an entry, for JSON.
pub(super) fn fields(source: &SourceName, entry: &Entry) -> Fields {
    let mut line = Vec::new();
    entry.write_line(source, &mut line);
    serde_json::from_slice(&line).unwrap_or_default()
}

/// One array of objects, printed as they come. Without [`end`](Self::end) it is no JSON, so that what broke off
/// cannot be taken for all.
#[derive(Default)]
pub(super) struct JsonArray {
    has_begun: bool,
}

impl JsonArray {
    pub(super) fn push(&mut self, value: &impl Serialize) {
        let before = if self.has_begun { ",\n" } else { "[\n" };
        print(&format!("{before}{}", json(value)));
        self.has_begun = true;
    }

    pub(super) fn end(self) {
        print(if self.has_begun { "\n]\n" } else { "[]\n" });
    }
}

/// The letter that `ls -l` has for a type.
pub(super) fn letter(kind: Kind) -> char {
    match kind {
        Kind::File => '-',
        Kind::Directory => 'd',
        Kind::Symlink => 'l',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
        Kind::CharDevice => 'c',
        Kind::BlockDevice => 'b',
        Kind::Object => 'o',
    }
}

/// The size of a file; nothing else has one.
pub(super) fn size(entry: &Entry) -> String {
    match entry.metadata.kind {
        Kind::File | Kind::Object => HumanBytes(entry.metadata.size).to_string(),
        _ => String::new(),
    }
}

/// When it was modified, in UTC.
pub(super) fn modified(entry: &Entry) -> String {
    let time = jiff::Timestamp::from_nanosecond(entry.metadata.mtime_ns.into());
    let time = time.unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The path, of a directory with a slash.
pub(super) fn path(entry: &Entry) -> String {
    match entry.metadata.kind {
        Kind::Directory => format!("{}/", entry.name),
        _ => entry.name.to_string(),
    }
}

/// Where a link leads, and that an entry could not be read, if that is so.
pub(super) fn remarks(entry: &Entry) -> String {
    let target = entry.target.as_deref().map(String::from_utf8_lossy);
    let target = target.map_or(String::new(), |target| format!(" -> {target}"));
    let unreadable = entry.unreadable.as_ref();
    let state = unreadable.map_or(String::new(), |unreadable| {
        format!(
            "  [unreadable since {}: {}]",
            unreadable.since, unreadable.error
        )
    });
    format!("{target}{state}")
}

/// Why the entries of a snapshot, or what differs, cannot be shown to the end.
pub(super) fn broken_off(error: EntriesError) -> Failure {
    match error {
        EntriesError::Store(error) => error.into(),
        damaged @ EntriesError::Damaged { .. } => {
            let hint = "`offsite verify` names everything that is damaged";
            Failure::new(ExitCode::Integrity, damaged.to_string()).hint(hint)
        }
    }
}

/// Runs what blocks.
pub(super) async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// How a difference is marked in text.
pub(super) fn mark(kind: DifferenceKind) -> char {
    match kind {
        DifferenceKind::Added => '+',
        DifferenceKind::Removed => '-',
        DifferenceKind::Type => 'T',
        DifferenceKind::Contents => 'M',
        DifferenceKind::Metadata => 'U',
        DifferenceKind::Touched => '?',
    }
}
