//! The survey: every session on disk beside what the last snapshot has of it.
//!
//! The walk and the snapshot are gone through side by side, as the merge does, and each session is
//! counted as it comes by: memory grows with the number of sessions and not with their files.

use std::sync::Arc;

use jiff::Timestamp;

use super::notes::is_note;
use super::{Choice, Session, SessionOptions, SessionState};
use crate::format::entry::{Entry, Kind};
use crate::format::location::ObjectId;
use crate::format::name::Name;
use crate::format::pass_id::PassId;
use crate::pass::context::SourceContext;
use crate::pass::diff::{
    Compared, Damaged, Inputs, MergeError, Moved, Pair, Recorded, UnknownAt, Verdict, Visitor,
    joined,
};
use crate::pass::error::SourceError;
use crate::pass::hashing::sha256;
use crate::pass::job::Detect;
use crate::pass::past::Past;
use crate::source::session::{is_in_root, name_of};
use crate::source::{Found, Refused};
use crate::stop::Stopped;

/// Everything there is.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// On disk or in the snapshot, in order of name.
    pub(crate) sessions: Vec<Session>,
    /// What lies in the root and is no directory.
    pub(crate) loose: u64,
    /// Entries of sessions on disk.
    pub(crate) found: u64,
    /// Segments of the last snapshot that cannot be used.
    pub(crate) damaged: Vec<Damaged>,
}

/// Looks at all sessions. Files that look touched are read if `reads` says so, to see whether they are
/// the same.
///
/// # Errors
/// The root cannot be looked at, the store fails, or the pass is being stopped.
pub(crate) async fn survey(
    context: &Arc<SourceContext>,
    sessions: &SessionOptions,
    past: &Past,
    reads: bool,
) -> Result<Survey, SourceError> {
    let inputs = Inputs::open(context, None, past)?;
    let surveyor = Surveyor {
        context: Arc::clone(context),
        choice: sessions.choice.clone(),
        sessions: sessions.clone(),
        reads,
        open: None,
        survey: Survey::default(),
    };
    joined(inputs.merge(context, surveyor)).await
}

struct Surveyor {
    context: Arc<SourceContext>,
    sessions: SessionOptions,
    choice: Choice,
    reads: bool,
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
    /// Those of them that point into an archive, and those that are objects of their own.
    continued_members: u64,
    continued_apart: u64,
    new: u64,
    changed: u64,
    removed: u64,
    touched: u64,
    touched_bytes: u64,
    unreadable: u64,
    /// Entries besides directories, on disk and in the last snapshot.
    contents: u64,
    recorded_contents: u64,
    object: Option<ObjectId>,
    /// The last pass that has put some of it as objects of their own.
    apart: Option<PassId>,
    /// Whether the last snapshot has some of it in one archive and some in another, as when a file
    /// could not be read while the others were archived.
    is_scattered: bool,
    archived_at: Option<Timestamp>,
    notes: u64,
}

impl Visitor for Surveyor {
    type Output = Survey;

    fn compare(&self, found: &Found, recorded: &Recorded, moved: &Moved) -> Verdict {
        moved.compare(found, recorded, self.context.job.detect)
    }

    fn compare_continued(&self, found: &Found, recorded: &Recorded, moved: &Moved) -> Verdict {
        moved.compare(found, recorded, Detect::Metadata)
    }

    fn damaged(&mut self, damaged: Damaged) -> Result<(), MergeError> {
        self.survey.damaged.push(damaged);
        Ok(())
    }

    fn there(&mut self, pair: Pair) -> Result<(), MergeError> {
        let found = &pair.found;
        let path = found.name.as_path();
        let Some(name) = name_of(path) else {
            return Ok(());
        };
        let metadata = &found.stat.metadata;
        if is_in_root(path) && metadata.kind != Kind::Directory {
            self.survey.loose += 1;
            return match pair.base {
                Some(base) => self.missing(base.recorded, None),
                None => Ok(()),
            };
        }
        self.survey.found += 1;
        self.session(name, false);
        let difference = match &pair.base {
            Some(base) => self.difference(found, base)?,
            None => Difference::New,
        };
        let continued = pair.continued.as_ref();
        let is_continued = continued.is_some_and(|c| c.verdict == Verdict::Unchanged);
        let is_note = metadata.kind == Kind::File && is_note(self.sessions.notes.as_ref(), path);
        let open = self.open.get_or_insert_default();
        open.found += 1;
        open.contents += u64::from(metadata.kind != Kind::Directory);
        open.count(metadata.kind, metadata.size, metadata.mtime_ns);
        if let Some(continued) = continued.filter(|_| is_continued) {
            open.continued(&continued.recorded.entry);
        }
        open.notes += u64::from(is_note);
        if let Some(base) = &pair.base {
            open.recorded(&base.recorded.entry);
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
        }
        Ok(())
    }

    fn vanished(&mut self, _: &Name) -> Result<(), MergeError> {
        Ok(())
    }

    fn unknown(&mut self, path: &Name, _: &str) -> Result<(), MergeError> {
        self.survey.found += 1;
        if let Some(name) = name_of(path.as_path()) {
            self.session(name, false).unreadable += 1;
        }
        Ok(())
    }

    fn missing(
        &mut self,
        recorded: Recorded,
        unknown: Option<&UnknownAt>,
    ) -> Result<(), MergeError> {
        let entry = recorded.entry;
        let Some(name) = name_of(entry.path()) else {
            return Ok(());
        };
        if is_in_root(entry.path()) && entry.metadata.kind != Kind::Directory {
            return Ok(());
        }
        let metadata = &entry.metadata;
        let open = self.session(name, true);
        open.recorded(&entry);
        if open.is_gone {
            open.count(metadata.kind, metadata.size, metadata.mtime_ns);
            open.unreadable += u64::from(entry.unreadable.is_some());
        } else if unknown.is_none() {
            open.removed += 1;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Survey, MergeError> {
        self.close();
        Ok(self.survey)
    }
}

impl Surveyor {
    fn difference(&self, found: &Found, base: &Compared) -> Result<Difference, Stopped> {
        let kind = found.stat.metadata.kind;
        let entry = &base.recorded.entry;
        if kind != entry.metadata.kind {
            return Ok(Difference::Changed);
        }
        match base.verdict {
            Verdict::Unchanged => return Ok(Difference::None),
            // The last pass could not read it. However it looks now, there is something new to
            // archive only if it can be read.
            Verdict::Capture if entry.unreadable.is_some() => return self.readable_again(found),
            Verdict::Capture => return Ok(Difference::Changed),
            Verdict::Rerecord | Verdict::Reread => {}
        }
        if !self.is_read(found) {
            return Ok(Difference::Touched);
        }
        let is_same = match kind {
            Kind::File => self.has_contents(found, entry)?,
            Kind::Symlink => {
                let opened = self.context.source.open(found);
                opened.map(|opened| opened.target == entry.target)
            }
            _ => Ok(true),
        };
        Ok(match is_same {
            Ok(true) => Difference::Touched,
            Ok(false) => Difference::Changed,
            Err(_) => Difference::Unreadable,
        })
    }

    /// Whether to read what may be the same: not where it makes no difference.
    fn is_read(&self, found: &Found) -> bool {
        let has_changed = self.open.as_ref().is_some_and(Open::has_changed);
        let name = name_of(found.name.as_path()).unwrap_or_default();
        self.reads && !has_changed && self.choice.has_name(&String::from_utf8_lossy(name))
    }

    fn readable_again(&self, found: &Found) -> Result<Difference, Stopped> {
        let can_be_read = match self.is_read(found) {
            true => sha256(&self.context, found)?.map(|_| ()),
            false => self.context.source.open(found).map(|_| ()),
        };
        Ok(match can_be_read {
            Ok(()) => Difference::Changed,
            Err(_) => Difference::Unreadable,
        })
    }

    /// Whether a file has the contents that were recorded.
    fn has_contents(&self, found: &Found, entry: &Entry) -> Result<Result<bool, Refused>, Stopped> {
        let sha256 = sha256(&self.context, found)?;
        let is_same = |sha256| entry.content.as_ref().is_some_and(|c| c.is(sha256));
        Ok(sha256.map(is_same))
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
            let session = open.close(&self.sessions, self.context.job.allow_empty);
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
            match content.member() {
                Some(member) => {
                    let object = Some(member.of);
                    self.is_scattered |= self.object.is_some() && self.object != object;
                    self.object = self.object.max(object);
                }
                None => self.apart = self.apart.max(Some(content.pass)),
            }
            self.archived_at = self.archived_at.max(Some(content.pass.started_at()));
        }
    }

    fn continued(&mut self, entry: &Entry) {
        self.continued += 1;
        let content = entry.content.as_ref();
        let is_member = content.is_some_and(|content| content.member().is_some());
        self.continued_members += u64::from(is_member);
        self.continued_apart += u64::from(content.is_some() && !is_member);
    }

    /// Whether a killed pass has archived all of it. Objects of their own do not tell whether there is an
    /// archive that has them, too; what points into it does.
    fn is_continued(&self) -> bool {
        let has_archive = self.continued_members > 0 || self.continued_apart == 0;
        self.found > 0 && self.continued == self.found && has_archive
    }

    /// Whether no archive has all of it.
    fn is_scattered(&self) -> bool {
        let object = self.object.map(|object| object.pass);
        self.is_scattered || (object.is_some() && self.apart > object)
    }

    fn has_changed(&self) -> bool {
        self.new + self.changed + self.removed > 0
    }

    /// As a directory is on which nothing is mounted any more.
    fn is_emptied(&self) -> bool {
        self.contents == 0 && self.unreadable == 0 && self.recorded_contents > 0
    }

    fn state(&self, allow_empty: bool) -> SessionState {
        match self {
            _ if self.is_gone => SessionState::Gone,
            _ if self.is_emptied() && !allow_empty => SessionState::Emptied,
            _ if self.is_continued() => match self.has_changed() {
                true => SessionState::Uncommitted,
                false => SessionState::Archived,
            },
            _ if self.recorded == 0 => SessionState::New,
            _ if self.has_changed() => SessionState::Changed,
            // All of it can be read now, and goes into one archive.
            _ if self.is_scattered() && self.unreadable == 0 => SessionState::Changed,
            _ if self.touched + self.unreadable > 0 => SessionState::Touched,
            _ => SessionState::Archived,
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
            object: self.object,
            archived_at: self.archived_at,
            notes: self.notes,
        }
    }
}
