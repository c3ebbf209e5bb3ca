//! Going through one snapshot: its table of objects, its segments, and the objects that hold contents.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::already::{Already, LastVerified};
use super::archives::Archives;
use super::asking::{Asker, Told};
use super::batch::{Batch, WantedFile};
use super::contents::Checker;
use super::depth::Depth;
use super::recording;
use super::report::{DigestReport, FindingKind, Problem, VerifyReport};
use super::tally::Tally;
use crate::format::digests::unread;
use crate::format::entry::{Content, Digest, Entry};
use crate::format::keys::{self, SourceName};
use crate::format::location::{Location, Member};
use crate::format::objects::ObjectTable;
use crate::format::segment::SegmentRef;
use crate::format::snapshot::Snapshot;
use crate::snapshots::entries::{DigestsProblem, Entries, EntriesError};
use crate::snapshots::objects::{self, ObjectsError};
use crate::stop::Stop;
use crate::store::{Store, StoreError};

/// How to verify.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// How closely to look.
    pub depth: Depth,
    /// Requests at once.
    pub concurrency: usize,
}

/// Verifies one snapshot, but for what is `already` verified of its source, which this one is added to. Blocks;
/// `progress` is told of each object, and of each file in an archive.
///
/// # Errors
/// The store fails, in a way that says nothing about the objects.
pub fn verify(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    options: VerifyOptions,
    already: &mut Already,
    stop: &Arc<Stop>,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> Result<VerifyReport, StoreError> {
    let depth = options.depth;
    let mut report = VerifyReport {
        source: snapshot.source.to_string(),
        snapshot: snapshot.pass.to_string(),
        unreadable: snapshot.totals.unreadable,
        ..VerifyReport::default()
    };
    let objects = table(store, snapshot, &mut report)?;
    let before = already.before(snapshot);
    let slots = Arc::new(Semaphore::new(options.concurrency.max(1)));
    // What is to be read has to be known to be readable, which no listing tells.
    let asker = |for_checksums| {
        Arc::new(Asker {
            store: Arc::clone(store),
            slots: Arc::clone(&slots),
            stop: Arc::clone(stop),
            for_checksums,
        })
    };
    let copied_through = snapshot.copied.as_ref().map(|copied| copied.through);
    // Without the table there is nothing to be said of what it names.
    let knows_objects = objects.is_some();
    let objects = objects.unwrap_or_default();
    let archives = Archives::look(
        &asker(depth.checksums || depth.read.is_some()),
        &objects,
        copied_through,
        before,
    )?;
    let checker = Checker::of(store, objects, copied_through, report, stop, progress);
    let mut looker = Looker {
        runtime: Handle::current(),
        depth,
        before,
        slots: Arc::clone(&slots),
        asker: asker(depth.checksums),
        checker: Arc::new(checker),
        archives: knows_objects.then_some(archives),
        batch: Batch::default(),
        shared: HashSet::new(),
        tasks: Vec::new(),
        reads_first: false,
        current: None,
    };
    let tally = looker.go_through(store, snapshot, stop)?;
    let mut report = looker.finish()?;
    if !stop.is_set() {
        report.findings.extend(tally.findings());
    }
    report.findings.sort_by(|a, b| a.path.cmp(&b.path));
    report.ended_early = stop.is_set().then(|| "interrupted".to_owned());
    already.note(snapshot, &report);
    Ok(report)
}

/// The table of objects; `None` where it cannot be used, which is a finding.
fn table(
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
    report: &mut VerifyReport,
) -> Result<Option<Arc<ObjectTable>>, StoreError> {
    let (key, text) = match Handle::current().block_on(objects::load(&**store, snapshot)) {
        Ok(objects) => return Ok(Some(Arc::new(objects))),
        Err(ObjectsError::Store(error)) => return Err(error),
        Err(ObjectsError::Newer { key, error }) => (key, format!("table of objects {error}")),
        Err(ObjectsError::Damaged { key, error, .. }) => {
            (key, format!("table of objects: {error}"))
        }
    };
    let problem = Problem::new(FindingKind::Record, text);
    report.findings.push(problem.at(".", key));
    Ok(None)
}

/// Looks at what entries hold.
struct Looker<'a> {
    runtime: Handle,
    depth: Depth,
    before: Option<&'a LastVerified>,
    slots: Arc<Semaphore>,
    asker: Arc<Asker>,
    checker: Arc<Checker>,
    /// `None` where the snapshot does not say which there are.
    archives: Option<Archives>,
    batch: Batch,
    /// Objects of files with several names that were looked at, and what was recorded of them.
    shared: HashSet<(String, Digest, u64)>,
    /// Contents that are being read.
    tasks: Vec<JoinHandle<()>>,
    /// Whether some of them, since digests were written last, are read for the first time.
    reads_first: bool,
    /// The segment whose entries are looked at.
    current: Option<usize>,
}

impl<'a> Looker<'a> {
    /// Looks at all entries, and counts them.
    fn go_through<'s>(
        &mut self,
        store: &Arc<dyn Store>,
        snapshot: &'s Snapshot,
        stop: &Stop,
    ) -> Result<Tally<'s>, StoreError> {
        let is_known =
            |segment: &&SegmentRef| self.before.is_some_and(|before| before.has(segment));
        let segments = snapshot.segments.iter();
        let segments: Vec<_> = segments.filter(|segment| !is_known(segment)).collect();
        let read: Vec<_> = segments.iter().map(|segment| (*segment).clone()).collect();
        let mut tally = Tally::of(snapshot, segments);
        let looked_at = self.each((store, snapshot), &read, &mut tally, stop);
        if let Some(last) = self.current
            && let Some(segment) = read.get(last)
        {
            // Whatever else has happened.
            self.record(store, (&snapshot.source, segment));
        }
        looked_at.map(|()| tally)
    }

    fn each(
        &mut self,
        (store, snapshot): (&Arc<dyn Store>, &Snapshot),
        segments: &[SegmentRef],
        tally: &mut Tally<'_>,
        stop: &Stop,
    ) -> Result<(), StoreError> {
        let mut entries = Entries::in_segments(store, segments);
        if self.depth.read.is_some() {
            entries = entries.with_digests();
        }
        while let Some(entry) = entries.next_placed() {
            if stop.is_set() || self.checker.failure().is_some() {
                break;
            }
            self.tell(entries.take_problems());
            let (place, entry) = match entry {
                Ok(placed) => placed,
                Err(EntriesError::Store(error)) => return Err(error),
                Err(EntriesError::Damaged { segment, error }) => {
                    tally.leave_out(&segment.key);
                    let problem = Problem::new(FindingKind::Segment, format!("segment: {error}"));
                    self.checker
                        .find(problem.at(&*segment.first, &*segment.key));
                    continue;
                }
            };
            if let Some(before) = self.current.replace(place.segment)
                && before != place.segment
                && let Some(segment) = segments.get(before)
            {
                self.record(store, (&snapshot.source, segment));
            }
            tally.count(place, &entry);
            self.look_at(entry)?;
        }
        Ok(())
    }

    /// Tells of digests that cannot be had.
    fn tell(&self, problems: Vec<DigestsProblem>) {
        let problems = problems.into_iter();
        let problems = problems.filter_map(|DigestsProblem { segment, problem }| {
            Some(format!("`{}`: {problem}", keys::digests(&segment)?))
        });
        self.checker
            .count(|report| report.digests.problems.extend(problems));
    }

    /// Writes down what was read of a segment for the first time, once all of it was.
    fn record(&mut self, store: &Arc<dyn Store>, segment: (&SourceName, &SegmentRef)) {
        if !std::mem::take(&mut self.reads_first) {
            return;
        }
        for task in std::mem::take(&mut self.tasks) {
            // A task that panicked has said so.
            let _ = self.runtime.block_on(task);
        }
        let read = self.checker.take_digests();
        if read.is_empty() {
            return;
        }
        let mut report = DigestReport::default();
        let recording = recording::record(&**store, segment, &read, &mut report);
        self.runtime.block_on(recording);
        self.checker.count(|all| all.digests.add(report));
    }

    fn look_at(&mut self, entry: Entry) -> Result<(), StoreError> {
        let Some(content) = &entry.content else {
            return Ok(());
        };
        let key = self.checker.key(content);
        if self
            .before
            .is_some_and(|before| before.covers(content.pass, &key))
        {
            self.checker.count(|report| report.checked_before += 1);
            self.checker.advance();
            return Ok(());
        }
        let reads = self.depth.reads(content);
        if let Some(member) = content.member() {
            if self.is_to_be_read(&entry, member, &key, reads) {
                self.read(entry, key);
            }
            return Ok(());
        }
        if is_shared(&entry, content) {
            // Names of one file share an object; what each has recorded of it is compared.
            let recorded = (key.clone(), content.digest, entry.metadata.size);
            if !self.shared.insert(recorded) {
                return Ok(());
            }
        }
        if let Location::Inline = content.location {
            self.checker.advance();
            return Ok(());
        }
        let Some(wanted) = self.checker.wanted(&entry) else {
            return Ok(());
        };
        if reads {
            self.reads_first |= unread(content).is_some();
            self.read(entry, key);
            return Ok(());
        }
        self.batch.push(wanted);
        match self.batch.is_full() {
            true => self.ask(),
            false => Ok(()),
        }
    }

    /// Whether a file in an archive is to be read, and can be.
    fn is_to_be_read(&mut self, entry: &Entry, member: &Member, key: &str, reads: bool) -> bool {
        let Some(archives) = &mut self.archives else {
            return false;
        };
        archives.note(member, entry.path());
        let problem = archives.problem(member);
        let is_cold = archives.is_archived(member.of) || self.checker.is_refused(key);
        if problem.is_none() && !is_cold && reads {
            return true;
        }
        if let Some(problem) = problem {
            self.checker.find(problem.at(entry.name.to_string(), key));
        }
        self.checker.advance();
        false
    }

    fn read(&mut self, entry: Entry, key: String) {
        let slot = Arc::clone(&self.slots).acquire_owned();
        let slot = self.runtime.block_on(slot);
        let checker = Arc::clone(&self.checker);
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(self.runtime.spawn(async move {
            checker.check(entry, key).await;
            drop(slot);
        }));
    }

    /// Asks the store about the objects that were collected.
    fn ask(&mut self) -> Result<(), StoreError> {
        let checker = Arc::clone(&self.checker);
        let told: Told<WantedFile> = Arc::new(move |wanted, look| checker.told(&wanted, look));
        self.runtime
            .block_on(self.asker.ask(self.batch.take(), told))
    }

    fn finish(mut self) -> Result<VerifyReport, StoreError> {
        self.ask()?;
        for task in std::mem::take(&mut self.tasks) {
            // A task that panicked has said so.
            let _ = self.runtime.block_on(task);
        }
        if let Some(error) = self.checker.failure() {
            return Err(error);
        }
        let (mut report, refused) = self.checker.take();
        let fetched = self.depth.reads_all().then_some(&*self.checker.fetched);
        if let Some(archives) = self.archives {
            archives.settle(&mut report, &refused, fetched)?;
        }
        Ok(report)
    }
}

fn is_shared(entry: &Entry, content: &Content) -> bool {
    content.captured_as.is_some() || entry.hardlink.is_some()
}
