//! The survey: every session on disk beside what the last snapshot has of it.
//!
//! The walk and the snapshot are gone through side by side, as the merge does, and each session is
//! counted as it comes by: memory grows with the number of sessions and not with their files.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::{Choice, Session, SessionOptions, State};
use crate::format::entry::{Entry, Kind};
use crate::format::path::EntryPath;
use crate::format::snapshot::Snapshot;
use crate::pass::capture::file::read_up_to;
use crate::pass::compare::{Detect, Verdict};
use crate::pass::continued::{Continued, Trusted, Unfinished};
use crate::pass::error::SourceError;
use crate::pass::moved::Moved;
use crate::pass::previous::{Cursor, Damaged};
use crate::pass::{DirectorySource, Limits};
use crate::snapshots::entries::Segments;
use crate::source::open::Root;
use crate::source::session::{is_in_root, name_of};
use crate::source::walk::{Found, Item, Walk, WalkOptions};
use crate::stop::Stop;
use crate::store::{Store, StoreError};

/// Read at a time to see whether a file is the same.
const READ_BYTES: usize = 1 << 20;

/// What a survey needs.
pub struct SurveyOptions<'a> {
    /// What is looked at.
    pub source: &'a DirectorySource,
    /// Its root, open.
    pub root: &'a Arc<Root>,
    /// What is particular about it.
    pub sessions: &'a SessionOptions,
    /// Threads.
    pub limits: &'a Limits,
    /// The last snapshot.
    pub parent: Option<&'a Snapshot>,
    /// What killed passes have left.
    pub unfinished: &'a [Unfinished],
    /// Whether files that look touched are read, to see whether they are the same.
    pub reads: bool,
    /// When to stop.
    pub stop: &'a Arc<Stop>,
}

/// Everything there is.
#[derive(Debug)]
pub struct Survey {
    /// On disk or in the snapshot, in order of name.
    pub sessions: Vec<Session>,
    /// What lies in the root and is no directory.
    pub loose: u64,
    /// Entries of sessions on disk.
    pub found: u64,
    /// Segments of the last snapshot that cannot be used.
    pub damaged: Vec<Damaged>,
}

/// Looks at all sessions.
///
/// # Errors
/// The root cannot be looked at, the store fails, or the pass is being stopped.
pub async fn survey(
    store: &Arc<dyn Store>,
    options: SurveyOptions<'_>,
) -> Result<Survey, SourceError> {
    let source = options.source;
    let root = Arc::clone(options.root);
    let walk = WalkOptions {
        filter: source.filter.clone(),
        one_file_system: source.one_file_system,
        threads: options.limits.scan_threads,
    };
    let walk = Walk::start(Arc::clone(&root), walk).map_err(|error| source.not_walked(error))?;
    let segments = options.parent.map_or(&[][..], |p| &p.segments);
    let base = Segments::recorded(store, segments);
    let trusted = Trusted::of(options.parent, options.unfinished);
    let passes = options.unfinished.iter().cloned();
    let passes: Vec<_> = passes
        .map(|pass| Segments::unrecorded(store, pass.keys))
        .collect();
    let (sessions, choice) = (options.sessions.clone(), options.sessions.choice.clone());
    let (detect, reads, stop) = (source.detect, options.reads, Arc::clone(options.stop));
    let (allow_empty, xattrs) = (source.allow_empty, source.xattrs);
    let look = move || -> Result<Survey, Ended> {
        let surveyor = Surveyor {
            sessions,
            choice,
            detect,
            allow_empty,
            root,
            reads,
            stop,
            base: Cursor::new(base),
            continued: Continued::new(passes, trusted, xattrs),
            unknown: None,
            moved: Moved::default(),
            open: None,
            survey: Survey {
                sessions: Vec::new(),
                loose: 0,
                found: 0,
                damaged: Vec::new(),
            },
        };
        surveyor.run(walk)
    };
    match tokio::task::spawn_blocking(look).await {
        Ok(Ok(survey)) => Ok(survey),
        Ok(Err(Ended::Store(error))) => Err(error.into()),
        Ok(Err(Ended::Stopped)) => Err(SourceError::Interrupted),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Why a survey ended early.
enum Ended {
    Store(StoreError),
    Stopped,
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

struct Surveyor {
    sessions: SessionOptions,
    choice: Choice,
    detect: Detect,
    allow_empty: bool,
    root: Arc<Root>,
    reads: bool,
    stop: Arc<Stop>,
    base: Cursor,
    continued: Continued,
    /// Below this path nothing is known.
    unknown: Option<EntryPath>,
    moved: Moved,
    open: Option<Open>,
    survey: Survey,
}

/// The session that is being looked at.
#[derive(Default)]
struct Open {
    name: Vec<u8>,
    is_gone: bool,
    newest_ns: i64,
    files: u64,
    bytes: u64,
    found: u64,
    /// Entries of the last snapshot.
    recorded: u64,
    /// Entries that a killed pass has archived as they are.
    continued: u64,
    new: u64,
    changed: u64,
    removed: u64,
    touched: u64,
    touched_bytes: u64,
    unreadable: u64,
    /// Entries besides directories, on disk and in the last snapshot.
    contents: u64,
    recorded_contents: u64,
    key: Option<String>,
    /// Whether the last snapshot has some of it in one archive and some in another, as when a file
    /// could not be read while the others were archived.
    is_scattered: bool,
    archived_at: Option<Timestamp>,
    notes: Vec<EntryPath>,
}

impl Surveyor {
    fn run(mut self, walk: Walk) -> Result<Survey, Ended> {
        for item in walk {
            if self.stop.is_set() {
                return Err(Ended::Stopped);
            }
            match item {
                Item::Found(found) => self.found(&found)?,
                Item::Vanished(_) => {}
                Item::Unreadable(path, _) => {
                    self.survey.found += 1;
                    self.catch_up(&path)?;
                    if let Some(name) = name_of(&path) {
                        self.session(name, false).unreadable += 1;
                    }
                    self.unknown = Some(path);
                }
            }
        }
        while let Some(entry) = self.base.load()?.take() {
            self.missing(&entry);
        }
        self.close();
        self.survey.damaged = self.base.take_damaged();
        Ok(self.survey)
    }

    fn found(&mut self, found: &Found) -> Result<(), Ended> {
        let path = &found.path;
        let Some(name) = name_of(path) else {
            return Ok(());
        };
        let metadata = &found.stat.metadata;
        if is_in_root(path) && metadata.kind != Kind::Directory {
            self.survey.loose += 1;
            return Ok(());
        }
        self.survey.found += 1;
        self.catch_up(path)?;
        self.session(name, false);
        let mut base = None;
        if self.base.compare(path).is_eq() {
            let at = self.base.peek().map_or(0, |(_, at)| at);
            base = self.base.take().map(|entry| (entry, at));
        }
        let continued = self.continued.at(path)?;
        let recorded = base.iter().chain(&continued);
        self.moved.look(found, recorded.map(|(entry, _)| entry));
        let difference = match &base {
            Some((entry, at)) => self.difference(found, entry, *at),
            None => Difference::New,
        };
        let is_continued = continued.is_some_and(|(entry, at)| {
            let verdict = self.moved.compare(found, &entry, at, Detect::Metadata);
            verdict == Verdict::Unchanged
        });
        let is_note = metadata.kind == Kind::File && self.is_note(path);
        let open = self.open.get_or_insert_default();
        open.found += 1;
        open.contents += u64::from(metadata.kind != Kind::Directory);
        open.count(metadata.kind, metadata.size, metadata.mtime_ns);
        open.continued += u64::from(is_continued);
        if is_note {
            open.notes.push(path.clone());
        }
        if let Some((entry, _)) = &base {
            open.recorded(entry);
        }
        match difference {
            Difference::None => {}
            Difference::New => open.new += 1,
            Difference::Changed => open.changed += 1,
            Difference::Touched => {
                open.touched += 1;
                open.touched_bytes += metadata.size;
            }
            Difference::Unreadable => open.unreadable += 1,
            Difference::Stopped => return Err(Ended::Stopped),
        }
        Ok(())
    }

    fn difference(&self, found: &Found, entry: &Entry, at: i64) -> Difference {
        let kind = found.stat.metadata.kind;
        if kind != entry.metadata.kind {
            return Difference::Changed;
        }
        match self.moved.compare(found, entry, at, self.detect) {
            Verdict::Unchanged => return Difference::None,
            // The last pass could not read it. However it looks now, there is something new to
            // archive only if it can be read.
            Verdict::Capture if entry.unreadable.is_some() => return self.readable_again(found),
            Verdict::Capture => return Difference::Changed,
            Verdict::Rerecord | Verdict::Reread => {}
        }
        if !self.is_read(found) {
            return Difference::Touched;
        }
        let is_same = match kind {
            Kind::File => self.has_contents(found, entry),
            Kind::Symlink => {
                let target = self.root.read_link(&found.path);
                target.map(|target| Some(&target) == entry.target.as_ref())
            }
            _ => Ok(true),
        };
        match is_same {
            _ if self.stop.is_set() => Difference::Stopped,
            Ok(true) => Difference::Touched,
            Ok(false) => Difference::Changed,
            Err(_) => Difference::Unreadable,
        }
    }

    /// Whether to read what may be the same: not where it makes no difference.
    fn is_read(&self, found: &Found) -> bool {
        let has_changed = self.open.as_ref().is_some_and(Open::has_changed);
        let name = name_of(&found.path).unwrap_or_default();
        self.reads && !has_changed && self.choice.has_name(&String::from_utf8_lossy(name))
    }

    fn readable_again(&self, found: &Found) -> Difference {
        match self.is_read(found) {
            true => match self.sha256(found) {
                _ if self.stop.is_set() => Difference::Stopped,
                Ok(_) => Difference::Changed,
                Err(_) => Difference::Unreadable,
            },
            false => match self.root.open_file(&found.path) {
                Ok(_) => Difference::Changed,
                Err(_) => Difference::Unreadable,
            },
        }
    }

    /// Whether a file has the contents that were recorded.
    fn has_contents(&self, found: &Found, entry: &Entry) -> Result<bool, Errno> {
        let sha256 = self.sha256(found)?;
        Ok(entry.content.as_ref().is_some_and(|c| c.sha256 == sha256))
    }

    /// Reads a file, to its end unless the pass is being stopped.
    fn sha256(&self, found: &Found) -> Result<[u8; 32], Errno> {
        let file: OwnedFd = self.root.open_file(&found.path)?;
        let mut hasher = Sha256::new();
        let mut buffer = Vec::new();
        let mut offset = 0;
        while !self.stop.is_set() {
            buffer.clear();
            read_up_to(&file, &mut buffer, offset, READ_BYTES)?;
            if buffer.is_empty() {
                break;
            }
            hasher.update(&buffer);
            offset += buffer.len() as u64;
        }
        Ok(hasher.finalize().into())
    }

    fn is_note(&self, path: &EntryPath) -> bool {
        let mut components = path.components().skip(1);
        let (Some(name), None, Some(globs)) =
            (components.next(), components.next(), &self.sessions.notes)
        else {
            return false;
        };
        EntryPath::parse(name).is_ok_and(|name| globs.match_itself(&name, false))
    }

    fn catch_up(&mut self, path: &EntryPath) -> Result<(), Ended> {
        while self.base.load()?.compare(path).is_lt() {
            if let Some(entry) = self.base.take() {
                self.missing(&entry);
            }
        }
        Ok(())
    }

    /// An entry of the last snapshot that is not on disk.
    fn missing(&mut self, entry: &Entry) {
        let Some(name) = name_of(&entry.path) else {
            return;
        };
        if is_in_root(&entry.path) && entry.metadata.kind != Kind::Directory {
            return;
        }
        let is_unknown = |path: &EntryPath| entry.path == *path || entry.path.is_below(path);
        let is_unknown = self.unknown.as_ref().is_some_and(is_unknown);
        let metadata = &entry.metadata;
        let open = self.session(name, true);
        open.recorded(entry);
        if open.is_gone {
            open.count(metadata.kind, metadata.size, metadata.mtime_ns);
            open.unreadable += u64::from(entry.unreadable.is_some());
        } else if !is_unknown {
            open.removed += 1;
        }
    }

    /// The session of this name, which comes next if it is not the one at hand.
    fn session(&mut self, name: &[u8], is_gone: bool) -> &mut Open {
        if self.open.as_ref().is_none_or(|open| open.name != name) {
            self.close();
        }
        self.open.get_or_insert_with(|| Open {
            name: name.to_owned(),
            is_gone,
            newest_ns: i64::MIN,
            ..Open::default()
        })
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            let session = open.close(&self.sessions, self.allow_empty);
            self.survey.sessions.push(session);
        }
    }
}

/// What has become of an entry.
enum Difference {
    None,
    New,
    Changed,
    Touched,
    Unreadable,
    Stopped,
}

impl Open {
    fn count(&mut self, kind: Kind, size: u64, mtime_ns: i64) {
        if kind == Kind::File {
            self.files += 1;
            self.bytes += size;
            self.newest_ns = self.newest_ns.max(mtime_ns);
        }
    }

    fn recorded(&mut self, entry: &Entry) {
        self.recorded += 1;
        self.recorded_contents += u64::from(entry.metadata.kind != Kind::Directory);
        if let Some(content) = &entry.content {
            if let (Some(range), Some(key)) = (&content.archive, &self.key) {
                self.is_scattered |= *range.key != **key;
            }
            let at = Some(content.pass.started_at());
            if at >= self.archived_at {
                self.archived_at = at;
                self.key = content.archive.as_ref().map(|range| range.key.to_string());
            }
        }
    }

    fn has_changed(&self) -> bool {
        self.new + self.changed + self.removed > 0
    }

    /// As a directory is on which nothing is mounted any more.
    fn is_emptied(&self) -> bool {
        self.contents == 0 && self.unreadable == 0 && self.recorded_contents > 0
    }

    fn state(&self, allow_empty: bool) -> State {
        match self {
            _ if self.is_gone => State::Gone,
            _ if self.is_emptied() && !allow_empty => State::Emptied,
            _ if self.found > 0 && self.continued == self.found => match self.has_changed() {
                true => State::Uncommitted,
                false => State::Archived,
            },
            _ if self.recorded == 0 => State::New,
            _ if self.has_changed() => State::Changed,
            // All of it can be read now, and goes into one archive.
            _ if self.is_scattered && self.unreadable == 0 => State::Changed,
            _ if self.touched + self.unreadable > 0 => State::Touched,
            _ => State::Archived,
        }
    }

    fn close(self, options: &SessionOptions, allow_empty: bool) -> Session {
        let name = String::from_utf8_lossy(&self.name).into_owned();
        let newest_ns = match self.newest_ns {
            i64::MIN => 0,
            newest_ns => newest_ns,
        };
        Session {
            year: options.year(&name, newest_ns),
            state: self.state(allow_empty),
            name,
            bytes_of_name: self.name,
            files: self.files,
            bytes: self.bytes,
            entries: self.found,
            new: self.new,
            changed: self.changed,
            removed: self.removed,
            touched: self.touched,
            touched_bytes: self.touched_bytes,
            unreadable: self.unreadable,
            key: self.key,
            archived_at: self.archived_at,
            notes: self.notes,
        }
    }
}
