//! From differences to steps of the manifest and orders for captures, as a policy decides.

mod unread;

use std::collections::{BTreeMap, HashMap, hash_map};
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::oneshot;

use super::capture;
use super::context::SourceContext;
use super::diff::{
    Compared, Damaged, MergeError, Moved, Pair, Recorded, UnknownAt, Verdict, Visitor,
};
use super::policy::{Change, Decision, Policy};
use super::steps::{Group, Order, Sink, Step, WhichName};
use crate::events::{Event, Level};
use crate::format::entry::{Content, Entry, Kind, LinkGroup, Unreadable};
use crate::format::name::Name;
use crate::format::totals::Totals;
use crate::snapshots::entries::StoredSegment;
use crate::source::Found;
use crate::store::server_side::copy_requests;

/// Unchanged entries reported together.
const RUN: u64 = 4096;

/// What was found, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Merged {
    /// Entries that exist, the root included.
    pub(crate) found: u64,
    /// Roots among them: the one of a tree, none of a bucket.
    pub(crate) roots: u64,
    /// New entries.
    pub(crate) new: u64,
    /// Entries that look different.
    pub(crate) changed: u64,
    /// Entries of the last snapshot that are gone.
    pub(crate) removed: u64,
    /// Entries that are as they were.
    pub(crate) unchanged: u64,
    /// Entries that could not be looked at.
    pub(crate) failed: u64,
    /// Entries that were gone when looked at.
    pub(crate) vanished: u64,
    /// Entries that stay as they are although their contents are damaged in the store.
    pub(crate) damaged: u64,
    /// Bytes of new files and of files of another size.
    pub(crate) bytes_to_send: u64,
    /// Files among those.
    pub(crate) files_to_send: u64,
    /// Requests that sending them takes.
    pub(crate) requests_to_send: u64,
    /// Files of the same size to be read, which may turn out to be the same.
    pub(crate) files_to_read: u64,
    /// Bytes of those.
    pub(crate) bytes_to_read: u64,
    /// What there is of each category, where entries have one.
    pub(crate) categories: BTreeMap<String, CategorySum>,
}

/// What there is of a category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CategorySum {
    /// Objects that exist.
    pub objects: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Those that are new.
    pub new: u64,
    /// Those that look different.
    pub changed: u64,
    /// Bytes of both, but of those whose copy stays.
    pub send_bytes: u64,
    /// Objects of the last snapshot that are gone.
    pub removed: u64,
}

impl Merged {
    /// Whether nothing was found but the root, which looks like a volume that is not mounted.
    #[must_use]
    pub(crate) fn is_nothing(&self) -> bool {
        self.found <= self.roots && self.failed == 0
    }

    /// Entries that were listed, the root included, whether they could be looked at or not.
    #[must_use]
    pub(crate) fn listed(&self) -> u64 {
        self.found + self.vanished
    }
}

/// Has a policy decide about each difference, and sees to it that it is done.
pub(crate) struct Decider<S> {
    context: Arc<SourceContext>,
    policy: Box<dyn Policy>,
    sink: S,
    merged: Merged,
    kept: Totals,
    /// Names still to come of files with several.
    links: HashMap<LinkGroup, u32>,
    /// What the captures at hand go into together.
    group: Option<Arc<Group>>,
}

impl<S: Sink> Visitor for Decider<S> {
    type Output = Merged;

    fn compare(&self, found: &Found, recorded: &Recorded, moved: &Moved) -> Verdict {
        self.policy.compare(found, recorded, moved)
    }

    fn begin_segment(&mut self, segment: Arc<StoredSegment>) -> Result<(), MergeError> {
        self.step(Step::Begin(segment))
    }

    fn end_segment(&mut self) -> Result<(), MergeError> {
        self.step(Step::End)
    }

    fn damaged(&mut self, damaged: Damaged) -> Result<(), MergeError> {
        if let Decision::Fail = self.policy.decide(&Change::Damaged) {
            return Err(MergeError::Damaged(damaged));
        }
        self.context.events.emit(&Event::SegmentDamaged {
            source: self.context.job.name.clone(),
            key: damaged.segment.key,
            error: damaged.error,
        });
        Ok(())
    }

    fn there(&mut self, pair: Pair) -> Result<(), MergeError> {
        self.merged.found += 1;
        self.merged.roots += u64::from(pair.found.name.is_root());
        if let Some(reason) = pair.found.not_entered {
            self.context.events.emit(&Event::DirectorySkipped {
                source: self.context.job.name.clone(),
                path: pair.found.name.to_string(),
                reason,
            });
        }
        self.enter_group(&pair.found.name)?;
        if let Some(error) = pair.unlisted.clone() {
            return self.record_unlisted(pair, error);
        }
        let decision = self.policy.decide(&Change::of(&pair));
        self.count_category(&pair, matches!(decision, Decision::Keep));
        if let Decision::Keep = decision {
            return self.keep(&pair.found);
        }
        match &pair.base {
            Some(_) => {
                self.step(Step::Dropped)?;
                self.merged.changed += 1;
            }
            None => self.merged.new += 1,
        }
        match decision {
            Decision::Take(entry) => self.step(Step::Ready(entry)),
            Decision::Record => self.record_alone(&pair.found),
            Decision::Keep
            | Decision::Hold
            | Decision::Drop
            | Decision::Capture
            | Decision::Fail => self.capture(pair),
        }
    }

    fn vanished(&mut self, path: &Name) -> Result<(), MergeError> {
        self.merged.vanished += 1;
        self.context.events.emit(&Event::FileVanished {
            source: self.context.job.name.clone(),
            path: path.to_string(),
        });
        Ok(())
    }

    fn unknown(&mut self, path: &Name, error: &str) -> Result<(), MergeError> {
        self.unreadable(path, error);
        Ok(())
    }

    fn unseen(&mut self, path: &Name, error: &str) -> Result<(), MergeError> {
        self.record_unseen(path, error)
    }

    fn missing(
        &mut self,
        recorded: Recorded,
        unknown: Option<&UnknownAt>,
    ) -> Result<(), MergeError> {
        let change = match unknown {
            None => Change::Gone(&recorded),
            Some(_) => Change::Unknown(&recorded),
        };
        let decision = self.policy.decide(&change);
        if matches!(decision, Decision::Keep | Decision::Hold) {
            self.merged.damaged += u64::from(recorded.is_damaged);
        }
        match (decision, unknown) {
            (Decision::Keep, _) => {
                self.merged.unchanged += 1;
                self.keep_unseen(recorded)
            }
            (Decision::Hold, Some(unknown)) => self.hold(recorded.entry, unknown),
            _ => {
                self.merged.removed += 1;
                if let Some(object) = &recorded.entry.object {
                    self.category(&object.category).removed += 1;
                }
                self.step(Step::Dropped)
            }
        }
    }

    fn finish(mut self) -> Result<Merged, MergeError> {
        self.flush_kept()?;
        if !self.merged.is_nothing() || self.policy.may_be_empty() {
            self.leave_group()?;
        }
        Ok(self.merged)
    }
}

impl<S: Sink> Decider<S> {
    /// Sends what is decided to `sink`.
    pub(crate) fn new(context: &Arc<SourceContext>, policy: Box<dyn Policy>, sink: S) -> Self {
        Self {
            context: Arc::clone(context),
            policy,
            sink,
            merged: Merged::default(),
            kept: Totals::default(),
            links: HashMap::new(),
            group: None,
        }
    }

    fn category(&mut self, name: &str) -> &mut CategorySum {
        let categories = &mut self.merged.categories;
        if !categories.contains_key(name) {
            categories.insert(name.to_owned(), CategorySum::default());
        }
        categories.get_mut(name).expect("it is there by now")
    }

    fn count_category(&mut self, pair: &Pair, is_kept: bool) {
        let Some(object) = &pair.found.object else {
            return;
        };
        let size = pair.found.stat.metadata.size;
        let is_new = pair.base.is_none();
        let is_sent = (pair.base.as_ref()).is_none_or(|base| base.verdict == Verdict::Capture);
        let sum = self.category(&object.category);
        sum.objects += 1;
        sum.bytes = sum.bytes.saturating_add(size);
        if !is_kept {
            sum.new += u64::from(is_new);
            sum.changed += u64::from(!is_new);
            sum.send_bytes += if is_sent { size } else { 0 };
        }
    }

    /// Goes over to the group that a path belongs to, unless it is the one at hand.
    fn enter_group(&mut self, path: &Name) -> Result<(), MergeError> {
        let next = self.policy.group(path);
        match (&self.group, &next) {
            (Some(at), Some(next)) if Arc::ptr_eq(at, next) => return Ok(()),
            (None, None) => return Ok(()),
            _ => {}
        }
        self.leave_group()?;
        if let Some(next) = next {
            self.sink.begin_group(&next)?;
            self.group = Some(next);
        }
        Ok(())
    }

    fn leave_group(&mut self) -> Result<(), MergeError> {
        match self.group.take() {
            Some(group) => Ok(self.sink.end_group(&group)?),
            None => Ok(()),
        }
    }

    /// Sees to it that an entry that is new or different gets captured.
    fn capture(&mut self, pair: Pair) -> Result<(), MergeError> {
        let apart = self.policy.apart(&pair);
        let Pair {
            found,
            base,
            continued,
            ..
        } = pair;
        let metadata = found.stat.metadata;
        match metadata.kind {
            Kind::Directory if self.context.source.records_xattrs() => {}
            Kind::File | Kind::Symlink | Kind::Object => {}
            Kind::Directory | Kind::Fifo | Kind::Socket | Kind::CharDevice | Kind::BlockDevice => {
                if metadata.kind.is_skipped() {
                    self.context.events.emit(&Event::FileSkipped {
                        source: self.context.job.name.clone(),
                        path: found.name.to_string(),
                        kind: metadata.kind,
                    });
                }
                return self.step(Step::Ready(Box::new(entry_of(&found))));
            }
        }
        // Of what is recorded, the later is the likelier to be what exists.
        let recorded = [continued, base];
        let known = recorded.iter().flatten().find_map(known);
        let mut compared = recorded.iter().flatten();
        let is_asked = compared.any(|compared| compared.verdict == Verdict::Reread);
        let fallback = recorded.into_iter().flatten().next();
        let fallback = fallback.map(|compared| Box::new(compared.recorded.entry));
        let name = match found.stat.link_group() {
            // The other names may lie in other archives.
            Some(group) if self.group.as_ref().is_none_or(|group| group.is_only) => {
                self.name(group, found.stat.nlink)
            }
            _ => WhichName::Only,
        };
        match (metadata.kind, &known) {
            _ if matches!(name, WhichName::Further { .. }) => {}
            (Kind::File | Kind::Object, None) => {
                self.merged.files_to_send += 1;
                self.merged.bytes_to_send += metadata.size;
                self.merged.requests_to_send += match metadata.kind {
                    Kind::Object => {
                        copy_requests(metadata.size, self.context.limits.copy_whole_bytes)
                    }
                    _ => capture::requests(metadata.size),
                };
            }
            (Kind::Object, Some(_)) => self.merged.requests_to_send += u64::from(is_asked),
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
            apart,
            reply,
        };
        Ok(self.sink.order(order)?)
    }

    /// Records a directory that goes into no archive.
    fn record_alone(&mut self, found: &Found) -> Result<(), MergeError> {
        let mut entry = entry_of(found);
        if self.context.source.records_xattrs() {
            match self.context.source.open(found) {
                Ok(opened) => entry.xattrs = opened.xattrs,
                Err(refused) => {
                    let error = refused.to_string();
                    self.unreadable(&found.name, &error);
                    let since = self.context.pass;
                    entry.unreadable = Some(Unreadable { error, since });
                }
            }
        }
        self.step(Step::Ready(Box::new(entry)))
    }

    fn unreadable(&mut self, path: &Name, error: &str) {
        self.merged.failed += 1;
        self.context.events.emit(&Event::FileUnreadable {
            source: self.context.job.name.clone(),
            path: path.to_string(),
            error: error.to_owned(),
        });
    }

    /// Which name of its file this is. Names outside the source, which will never come, are
    /// forgotten with the merge.
    fn name(&mut self, group: LinkGroup, names: u32) -> WhichName {
        match self.links.entry(group) {
            hash_map::Entry::Vacant(entry) => {
                entry.insert(names - 1);
                WhichName::First
            }
            hash_map::Entry::Occupied(mut entry) => {
                *entry.get_mut() -= 1;
                let is_last = *entry.get() == 0;
                if is_last {
                    entry.remove();
                }
                WhichName::Further { is_last }
            }
        }
    }

    fn keep(&mut self, found: &Found) -> Result<(), MergeError> {
        self.merged.unchanged += 1;
        self.kept += Totals::of_metadata(&found.stat.metadata);
        let events = &self.context.events;
        if found.stat.metadata.kind.has_contents() && events.wants(Level::Debug) {
            events.emit(&Event::FileUnchanged {
                source: self.context.job.name.clone(),
                path: found.name.to_string(),
            });
        }
        match self.kept.entries {
            RUN.. => self.flush_kept(),
            _ => Ok(()),
        }
    }

    fn step(&mut self, step: Step) -> Result<(), MergeError> {
        self.flush_kept()?;
        Ok(self.sink.step(step)?)
    }

    fn flush_kept(&mut self) -> Result<(), MergeError> {
        if self.kept.entries == 0 {
            return Ok(());
        }
        let kept = std::mem::take(&mut self.kept);
        self.context.events.passed_over(kept.entries);
        Ok(self.sink.step(Step::Kept(kept))?)
    }
}

fn entry_of(found: &Found) -> Entry {
    let mut entry = Entry::new(found.name.clone(), found.stat.metadata);
    entry.inode = found.stat.directory_inode();
    entry.object = found.object.clone();
    entry
}

/// Contents that were recorded and may still be the same.
fn known(compared: &Compared) -> Option<Content> {
    let reusable = matches!(compared.verdict, Verdict::Reread | Verdict::Rerecord);
    let content = compared.recorded.entry.content.as_ref();
    content.filter(|_| reusable).cloned()
}
