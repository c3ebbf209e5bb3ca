//! The merge: the walk and the last snapshot, side by side, and a decision about each entry.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map;

use rustix::io::Errno;
use tokio::sync::oneshot;

use super::DirectorySource;
use super::capture;
use super::compare::{Detect, Verdict, compare, is_racy};
use super::continued::Continued;
use super::decisions::{Name, Order, Sink, Step};
use super::moved::Moved;
use super::previous::{Cursor, Damaged};
use super::sessions::{Mode, Modes};
use crate::events::{Event, Events, Level};
use crate::format::entry::{Content, Entry, Kind, LinkGroup, Unreadable};
use crate::format::pass_id::PassId;
use crate::format::path::EntryPath;
use crate::format::totals::Totals;
use crate::source::open::Root;
use crate::source::session::{is_in_root, name_of};
use crate::source::walk::{Found, Item};
use crate::source::xattr;
use crate::stop::Stop;
use crate::store::StoreError;

/// Unchanged entries reported together.
const RUN: u64 = 4096;

/// What the merge has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Merged {
    /// Entries of the walk, the root included.
    pub found: u64,
    /// New entries.
    pub new: u64,
    /// Entries that look different.
    pub changed: u64,
    /// Entries of the last snapshot that are gone.
    pub removed: u64,
    /// Entries that are as they were.
    pub unchanged: u64,
    /// Entries that could not be looked at.
    pub failed: u64,
    /// Entries that were gone when looked at.
    pub vanished: u64,
    /// Bytes of new files and of files of another size.
    pub bytes_to_send: u64,
    /// Files among those.
    pub files_to_send: u64,
    /// Requests that sending them takes.
    pub requests_to_send: u64,
    /// Files of the same size to be read, which may turn out to be the same.
    pub files_to_read: u64,
    /// Bytes of those.
    pub bytes_to_read: u64,
}

impl Merged {
    /// Whether nothing was found but the root and nobody has said that this may be, which looks like
    /// a volume that is not mounted.
    #[must_use]
    pub fn is_missing(&self, source: &DirectorySource) -> bool {
        self.found <= 1 && self.failed == 0 && !source.allow_empty
    }

    /// Entries that were listed, the root included, whether they could be looked at or not.
    #[must_use]
    pub fn listed(&self) -> u64 {
        self.found + self.vanished
    }
}

/// Why the merge ended before its inputs did.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The pass is being stopped.
    #[error("the pass is being stopped")]
    Stopped,
    /// The last snapshot cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A segment of the last snapshot is damaged that nothing on the disk can replace.
    #[error("{}", .0.error)]
    Damaged(Damaged),
}

/// A merge under way.
pub struct Merge<'a, S> {
    /// What is backed up.
    pub source: &'a DirectorySource,
    /// Its root, open.
    pub root: &'a Root,
    /// The pass.
    pub pass: PassId,
    /// The last snapshot.
    pub base: Cursor,
    /// What killed passes have left.
    pub continued: Continued,
    /// Whether every entry is recorded anew although it has not changed.
    pub rerecord: bool,
    /// What to do with sessions, where the source has them.
    pub sessions: Option<Modes>,
    /// Where decisions go.
    pub sink: S,
    /// Where events go.
    pub events: &'a Events,
    /// Set when the pass is being stopped.
    pub stop: &'a Stop,
    /// Counts so far.
    pub merged: Merged,
    kept: Totals,
    /// Below this path nothing is known; what the last snapshot has there is carried forward.
    unknown: Option<(EntryPath, String)>,
    moved: Moved,
    /// Names still to come of files with several.
    links: HashMap<LinkGroup, u32>,
    /// The session that is at hand.
    session: Option<(Vec<u8>, Mode)>,
}

impl<'a, S: Sink> Merge<'a, S> {
    /// Puts a merge together.
    pub fn new(
        (source, root): (&'a DirectorySource, &'a Root),
        pass: PassId,
        inputs: (Cursor, Continued),
        sink: S,
        events: &'a Events,
        stop: &'a Stop,
    ) -> Self {
        let (base, continued) = inputs;
        Self {
            source,
            root,
            pass,
            base,
            continued,
            rerecord: false,
            sessions: None,
            sink,
            events,
            stop,
            merged: Merged::default(),
            kept: Totals::default(),
            unknown: None,
            moved: Moved::default(),
            links: HashMap::new(),
            session: None,
        }
    }

    /// Goes through everything.
    ///
    /// # Errors
    /// The pass was stopped, or the last snapshot cannot be read.
    pub fn run(mut self, walk: impl Iterator<Item = Item>) -> Result<Merged, MergeError> {
        self.load()?;
        self.begin_segments()?;
        let mut walk = walk.peekable();
        while let Some(item) = walk.next() {
            if self.stop.is_set() {
                return Err(MergeError::Stopped);
            }
            match item {
                // A directory that is gone before it is listed.
                Item::Found(found) if matches!(walk.peek(), Some(Item::Vanished(path)) if *path == found.path) =>
                    {}
                Item::Found(found) => {
                    let unlisted = match walk.peek() {
                        Some(Item::Unreadable(path, error))
                            if *path == found.path || path.is_below(&found.path) =>
                        {
                            Some(*error)
                        }
                        _ => None,
                    };
                    self.found(found, unlisted)?;
                }
                Item::Vanished(path) => {
                    self.merged.vanished += 1;
                    self.events.emit(&Event::FileVanished {
                        source: self.source.name.clone(),
                        path: path.to_string(),
                    });
                }
                Item::Unreadable(path, error) => {
                    self.catch_up(&path)?;
                    let error = std::io::Error::from(error).to_string();
                    self.merged.failed += 1;
                    self.events.emit(&Event::FileUnreadable {
                        source: self.source.name.clone(),
                        path: path.to_string(),
                        error: error.clone(),
                    });
                    self.unknown = Some((path, error));
                }
            }
        }
        self.load()?;
        while self.base.peek().is_some() {
            self.leave_behind()?;
            self.load()?;
        }
        self.leave_session()?;
        self.report_damage()?;
        self.flush_kept()?;
        if !self.merged.is_missing(self.source) && !self.sink.end() {
            return Err(MergeError::Stopped);
        }
        Ok(self.merged)
    }

    /// `unlisted` says why nothing is known of what is in a directory.
    fn found(&mut self, found: Found, unlisted: Option<Errno>) -> Result<(), MergeError> {
        self.merged.found += 1;
        if let Some(reason) = found.not_entered {
            self.events.emit(&Event::DirectorySkipped {
                source: self.source.name.clone(),
                path: found.path.to_string(),
                reason,
            });
        }
        self.catch_up(&found.path)?;
        self.enter_session(&found.path)?;
        let mut base = None;
        if self.base.compare(&found.path) == Ordering::Equal {
            self.begin_segments()?;
            let at = self.base.peek().map_or(0, |(_, at)| at);
            base = self.base.take().map(|entry| (entry, at));
        }
        if let Some(error) = unlisted {
            return self.record_unlisted(&found, base.map(|(entry, _)| entry), error);
        }
        let continued = self.continued.at(&found.path)?;
        let recorded = base.iter().chain(&continued);
        self.moved.look(&found, recorded.map(|(entry, _)| entry));
        let verdict = base.as_ref().map(|recorded| self.look(&found, recorded));
        let continued_verdict = continued
            .as_ref()
            .map(|recorded| self.look(&found, recorded));
        let is_continued = continued_verdict == Some(Verdict::Unchanged);
        if verdict == Some(Verdict::Unchanged) && !(is_continued && self.is_in(Mode::Continued)) {
            return self.keep(&found);
        }
        if base.is_some() {
            self.step(Step::Dropped)?;
            self.merged.changed += 1;
        } else {
            self.merged.new += 1;
        }
        if let (true, Some((entry, _))) = (is_continued, &continued) {
            return self.step(Step::Ready(Box::new(entry.clone())));
        }
        if let Some(entry) = self.same_as_read(&found, base.as_ref(), verdict) {
            return self.step(Step::Ready(Box::new(entry)));
        }
        // Of what is recorded, the later is the likelier to be what is on disk.
        let recorded = [(continued, continued_verdict), (base, verdict)];
        let known = recorded.iter().find_map(|(recorded, verdict)| {
            let reusable = matches!(verdict, Some(Verdict::Reread | Verdict::Rerecord));
            recorded.as_ref().filter(|_| reusable)?.0.content.clone()
        });
        let fallback = recorded.into_iter().find_map(|(recorded, _)| recorded);
        let fallback = fallback.map(|(entry, _)| Box::new(entry));
        self.record(found, known, fallback)
    }

    fn look(&self, found: &Found, (entry, scan_started_ns): &(Entry, i64)) -> Verdict {
        if self.source.afresh || self.is_in(Mode::Whole) {
            return Verdict::Capture;
        }
        if self.session.is_some() {
            // The survey has looked more closely, where that was asked for.
            return compare(&found.stat, entry, *scan_started_ns, Detect::Metadata);
        }
        let detect = self.source.detect;
        match (self.moved).compare(found, entry, *scan_started_ns, detect) {
            Verdict::Unchanged if self.rerecord => Verdict::Rerecord,
            verdict => verdict,
        }
    }

    /// The entry of a file that the survey has read and found to be as it was recorded, if it has
    /// not changed since.
    fn same_as_read(
        &self,
        found: &Found,
        base: Option<&(Entry, i64)>,
        verdict: Option<Verdict>,
    ) -> Option<Entry> {
        let (entry, _) = base.filter(|_| self.is_in(Mode::SameAsRead) && !self.source.xattrs)?;
        let metadata = found.stat.metadata;
        let surveyed_at_ns = self.sessions.as_ref()?.surveyed_at_ns;
        let was_read = matches!(verdict, Some(Verdict::Reread | Verdict::Rerecord))
            && metadata.kind == entry.metadata.kind
            && !is_racy(metadata.mtime_ns.max(metadata.ctime_ns), surveyed_at_ns);
        was_read.then(|| Entry {
            metadata,
            hardlink: found.stat.link_group(),
            inode: found.stat.directory_inode(),
            sparse: found.stat.sparse,
            changed_while_reading: false,
            racy: false,
            unreadable: None,
            ..entry.clone()
        })
    }

    fn is_in(&self, mode: Mode) -> bool {
        self.session.as_ref().is_some_and(|(_, at)| *at == mode)
    }

    /// Goes over to the session that a path lies in, unless it is the one at hand.
    fn enter_session(&mut self, path: &EntryPath) -> Result<(), MergeError> {
        let (Some(modes), Some(name)) = (&mut self.sessions, name_of(path)) else {
            return Ok(());
        };
        if self.session.as_ref().is_some_and(|(at, _)| at == name) {
            return Ok(());
        }
        let next = modes.by_name.get(name).cloned();
        self.leave_session()?;
        let Some((mode, target)) = next else {
            return Ok(());
        };
        self.session = Some((name.to_owned(), mode));
        match self.sink.begin_archive(target, mode == Mode::Whole) {
            true => Ok(()),
            false => Err(MergeError::Stopped),
        }
    }

    fn leave_session(&mut self) -> Result<(), MergeError> {
        match self.session.take() {
            Some(_) if !self.sink.end_archive() => Err(MergeError::Stopped),
            _ => Ok(()),
        }
    }

    /// Whether an entry of the last snapshot that is not on the disk stays in the manifest as it
    /// is: one of a session that this pass leaves alone, or that is gone altogether.
    fn is_held(&mut self, path: &EntryPath) -> bool {
        let (Some(modes), Some(name)) = (&mut self.sessions, name_of(path)) else {
            return false;
        };
        if is_in_root(path) {
            modes.by_name.remove(name);
        }
        !modes.by_name.contains_key(name)
    }

    /// Sees to it that an entry that is new or different gets recorded.
    fn record(
        &mut self,
        found: Found,
        known: Option<Content>,
        fallback: Option<Box<Entry>>,
    ) -> Result<(), MergeError> {
        let metadata = found.stat.metadata;
        match metadata.kind {
            // It belongs into no archive.
            Kind::Directory if self.sessions.is_some() && found.path.is_root() => {
                return self.record_root(&found);
            }
            Kind::Directory if self.source.xattrs => {}
            Kind::File | Kind::Symlink => {}
            Kind::Directory | Kind::Fifo | Kind::Socket | Kind::CharDevice | Kind::BlockDevice => {
                if metadata.kind.is_skipped() {
                    self.events.emit(&Event::FileSkipped {
                        source: self.source.name.clone(),
                        path: found.path.to_string(),
                        kind: metadata.kind,
                    });
                }
                let inode = found.stat.directory_inode();
                let entry = Entry::new(found.path, metadata);
                return self.step(Step::Ready(Box::new(Entry { inode, ..entry })));
            }
        }
        let name = match found.stat.link_group() {
            // The other names may lie in other sessions, and thereby in other archives.
            Some(group) if self.sessions.is_none() => self.name(group, found.stat.nlink),
            _ => Name::Only,
        };
        match (metadata.kind, &known) {
            _ if matches!(name, Name::Further { .. }) => {}
            (Kind::File, None) => {
                self.merged.files_to_send += 1;
                self.merged.bytes_to_send += metadata.size;
                self.merged.requests_to_send += capture::requests(metadata.size);
            }
            (Kind::File, Some(_)) => {
                self.merged.files_to_read += 1;
                self.merged.bytes_to_read += metadata.size;
            }
            _ => {}
        }
        let (reply, result) = oneshot::channel();
        self.step(Step::Pending(result))?;
        let order = Order {
            found,
            name,
            known,
            fallback,
            reply,
        };
        match self.sink.order(order) {
            true => Ok(()),
            false => Err(MergeError::Stopped),
        }
    }

    /// Records a directory that cannot be listed. It is marked, because something may be in it that no
    /// entry shows.
    fn record_unlisted(
        &mut self,
        found: &Found,
        base: Option<Entry>,
        error: Errno,
    ) -> Result<(), MergeError> {
        let metadata = found.stat.metadata;
        let known = base.as_ref().and_then(|entry| entry.unreadable.as_ref());
        if let (Some(entry), Some(_)) = (&base, known)
            && entry.metadata == metadata
        {
            self.merged.unchanged += 1;
            self.kept += Totals::of(entry);
            return Ok(());
        }
        let since = known.map_or(self.pass, |known| known.since);
        match base {
            Some(_) => {
                self.step(Step::Dropped)?;
                self.merged.changed += 1;
            }
            None => self.merged.new += 1,
        }
        let entry = base.unwrap_or_else(|| Entry::new(found.path.clone(), metadata));
        let error = std::io::Error::from(error).to_string();
        self.step(Step::Ready(Box::new(Entry {
            metadata,
            inode: found.stat.directory_inode(),
            unreadable: Some(Unreadable { error, since }),
            ..entry
        })))
    }

    /// Records the directory that the sessions are in.
    fn record_root(&mut self, found: &Found) -> Result<(), MergeError> {
        let mut entry = Entry::new(found.path.clone(), found.stat.metadata);
        entry.inode = found.stat.directory_inode();
        if self.source.xattrs {
            let open = self.root.open_directory(&found.path);
            match open.and_then(xattr::of_open) {
                Ok(xattrs) => entry.xattrs = xattrs,
                Err(error) => {
                    let error = std::io::Error::from(error).to_string();
                    self.merged.failed += 1;
                    self.events.emit(&Event::FileUnreadable {
                        source: self.source.name.clone(),
                        path: found.path.to_string(),
                        error: error.clone(),
                    });
                    let since = self.pass;
                    entry.unreadable = Some(Unreadable { error, since });
                }
            }
        }
        self.step(Step::Ready(Box::new(entry)))
    }

    /// Which name of its file this is. Names outside the source, which will never come, are
    /// forgotten with the merge.
    fn name(&mut self, group: LinkGroup, names: u32) -> Name {
        match self.links.entry(group) {
            hash_map::Entry::Vacant(entry) => {
                entry.insert(names - 1);
                Name::First
            }
            hash_map::Entry::Occupied(mut entry) => {
                *entry.get_mut() -= 1;
                let is_last = *entry.get() == 0;
                if is_last {
                    entry.remove();
                }
                Name::Further { is_last }
            }
        }
    }

    fn keep(&mut self, found: &Found) -> Result<(), MergeError> {
        self.merged.unchanged += 1;
        self.kept += Totals::of_metadata(&found.stat.metadata);
        if found.stat.metadata.kind == Kind::File && self.events.wants(Level::Debug) {
            self.events.emit(&Event::FileUnchanged {
                source: self.source.name.clone(),
                path: found.path.to_string(),
            });
        }
        match self.kept.entries {
            RUN.. => self.flush_kept(),
            _ => Ok(()),
        }
    }

    /// Leaves behind what the last snapshot has before `path`.
    fn catch_up(&mut self, path: &EntryPath) -> Result<(), MergeError> {
        self.load()?;
        while self.base.compare(path) == Ordering::Less {
            self.leave_behind()?;
            self.load()?;
        }
        Ok(())
    }

    /// Sees to it that the last snapshot's next entry is at hand. The writer lets go of the segment
    /// before, so that there are never two of them in memory.
    fn load(&mut self) -> Result<(), MergeError> {
        if self.base.is_between() {
            self.step(Step::End)?;
            self.base.load()?;
        }
        Ok(())
    }

    /// Drops the next entry of the last snapshot, which the walk has not found, or carries it
    /// forward where the walk could not see.
    fn leave_behind(&mut self) -> Result<(), MergeError> {
        self.begin_segments()?;
        let scan_started_ns = self.base.peek().map_or(0, |(_, at)| at);
        let Some(mut entry) = self.base.take() else {
            return Ok(());
        };
        if self.is_held(&entry.path) {
            self.merged.unchanged += 1;
            return self.hold(entry, scan_started_ns);
        }
        let unknown = self
            .unknown
            .as_ref()
            .filter(|(path, _)| entry.path == *path || entry.path.is_below(path));
        match unknown {
            None => {
                self.merged.removed += 1;
                self.step(Step::Dropped)
            }
            Some(_) if entry.unreadable.is_some() => {
                self.merged.failed += 1;
                self.kept += Totals::of(&entry);
                Ok(())
            }
            Some((_, error)) => {
                self.merged.failed += 1;
                entry.unreadable = Some(Unreadable {
                    error: error.clone(),
                    since: self.pass,
                });
                self.step(Step::Dropped)?;
                self.step(Step::Ready(Box::new(entry)))
            }
        }
    }

    /// Keeps an entry that this pass has not looked at. Its segment may be written anew, as if this
    /// pass had; so what could have changed unseen since the pass that did is marked.
    fn hold(&mut self, mut entry: Entry, scan_started_ns: i64) -> Result<(), MergeError> {
        let changed_ns = entry.metadata.mtime_ns.max(entry.metadata.ctime_ns);
        let is_directory = entry.metadata.kind == Kind::Directory;
        if is_directory || entry.racy || !is_racy(changed_ns, scan_started_ns) {
            self.kept += Totals::of(&entry);
            return Ok(());
        }
        entry.racy = true;
        self.step(Step::Dropped)?;
        self.step(Step::Ready(Box::new(entry)))
    }

    /// Tells the writer of segments that the last snapshot's next entry has brought.
    fn begin_segments(&mut self) -> Result<(), MergeError> {
        self.report_damage()?;
        for segment in self.base.take_begun() {
            self.step(Step::Begin(segment))?;
        }
        Ok(())
    }

    /// What a damaged segment lists is captured again, if the walk comes by it.
    fn report_damage(&mut self) -> Result<(), MergeError> {
        let needs_all = self.sessions.as_ref().is_some_and(|modes| !modes.anew);
        for damaged in self.base.take_damaged() {
            if needs_all {
                return Err(MergeError::Damaged(damaged));
            }
            self.events.emit(&Event::SegmentDamaged {
                source: self.source.name.clone(),
                key: damaged.segment.key,
                error: damaged.error,
            });
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), MergeError> {
        self.flush_kept()?;
        match self.sink.step(step) {
            true => Ok(()),
            false => Err(MergeError::Stopped),
        }
    }

    fn flush_kept(&mut self) -> Result<(), MergeError> {
        if self.kept.entries == 0 {
            return Ok(());
        }
        let kept = std::mem::take(&mut self.kept);
        self.events.passed_over(kept.entries);
        match self.sink.step(Step::Kept(kept)) {
            true => Ok(()),
            false => Err(MergeError::Stopped),
        }
    }
}
