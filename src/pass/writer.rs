//! The manifest writer: turns the merge's steps into segments.
//!
//! Segments are copy-on-write leaves. A segment of the last snapshot in whose range nothing has
//! changed is referred to again; the first difference in its range makes the writer copy its lines
//! up to there, as they are, and go on from them. New entries between two segments belong to the range
//! of the second, those after the last one to that. So that segments neither crumble nor swell, a
//! rewritten range that has become small takes in the next one, and one that has grown is cut in two.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::context::SourceContext;
use super::steps::{Captured, Step};
use crate::events::Event;
use crate::format::changes::Changes;
use crate::format::entry::Entry;
use crate::format::keys::{self, SegmentNumber};
use crate::format::lines::LINE_BYTES;
use crate::format::name::Name;
use crate::format::requires::Requires;
use crate::format::segment::{Header, SegmentError, SegmentReader, SegmentRef, SegmentWriter};
use crate::snapshots::entries::StoredSegment;
use crate::store::{Condition, StoreError};

/// A manifest, written.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    /// Its segments in order.
    pub(super) segments: Vec<SegmentRef>,
    /// How many of them this pass wrote.
    pub(super) written: u64,
    /// What became of the captures.
    pub(super) changes: Changes,
    /// Some captures were not made because the pass was stopped; this is no manifest.
    pub(super) aborted: bool,
}

/// Why a manifest could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The store did not take a segment.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A segment that was read before cannot be read again.
    #[error("segment of the last snapshot: {0}")]
    Segment(#[from] SegmentError),
    /// An entry with a path of megabytes, which nobody would read again.
    #[error("the entry of `{}…` would be longer than {LINE_BYTES} bytes", beginning(.0))]
    LongEntry(Name),
}

/// Enough of a name to find it by.
fn beginning(name: &Name) -> String {
    name.to_string().chars().take(200).collect()
}

/// Writes a manifest.
pub(super) struct Writer {
    context: Arc<SourceContext>,
    header: Header,
    manifest: Manifest,
    open: Option<SegmentWriter>,
    old: Option<Old>,
    checkpoint: Option<SegmentWriter>,
    checkpoint_part: u32,
    next_checkpoint: Instant,
    line: Vec<u8>,
}

/// The segment of the last snapshot in whose range the merge is.
struct Old {
    segment: Arc<StoredSegment>,
    /// Entries passed; all of them kept, until there is a reader.
    passed: u64,
    /// Reads the segment again from its start, once something in its range has changed.
    reader: Option<SegmentReader>,
}

impl Writer {
    /// A writer with nothing written.
    #[must_use]
    pub(super) fn new(context: &Arc<SourceContext>, scan_started_ns: i64) -> Self {
        let order = context.source.order();
        Self {
            header: Header {
                format: crate::format::FORMAT,
                requires: Requires::of(order),
                source: context.job.name.clone(),
                pass: context.pass,
                generation: context.generation,
                order,
                scan_started_ns,
                xattrs: context.source.records_xattrs(),
            },
            next_checkpoint: Instant::now() + context.limits.checkpoint_interval,
            context: Arc::clone(context),
            manifest: Manifest::default(),
            open: None,
            old: None,
            checkpoint: None,
            checkpoint_part: 0,
            line: Vec::new(),
        }
    }

    /// Takes steps until there are no more. Then `complete` says whether those were all, and the last
    /// segment is finished; where the pass is being stopped, what was captured is written as a
    /// checkpoint instead, for the next pass.
    ///
    /// # Errors
    /// The store fails.
    pub(super) async fn write(
        mut self,
        mut steps: mpsc::Receiver<Step>,
        complete: impl AsyncFnOnce() -> bool,
    ) -> Result<Manifest, WriterError> {
        while let Some(step) = steps.recv().await {
            self.take(step).await?;
        }
        if complete().await && !self.manifest.aborted {
            self.end_old().await?;
            self.flush().await?;
        } else {
            self.manifest.aborted = true;
            self.flush_checkpoint().await?;
        }
        Ok(self.manifest)
    }

    async fn take(&mut self, step: Step) -> Result<(), WriterError> {
        match step {
            Step::Begin(segment) => self.begin(segment).await,
            Step::End => self.end_old().await,
            Step::Kept(totals) => self.keep(totals.entries).await,
            Step::Dropped => self.drop_one().await,
            Step::Ready(entry) => self.push(&entry).await,
            Step::Pending(result) => self.pending(result).await,
            Step::Checkpoint(recorded) => {
                self.flush_checkpoint().await?;
                // Whoever waited may be gone.
                let _ = recorded.send(());
                Ok(())
            }
        }
    }

    async fn pending(
        &mut self,
        mut result: oneshot::Receiver<Captured>,
    ) -> Result<(), WriterError> {
        let captured = loop {
            // A large file may take hours; what came before it is safe meanwhile.
            tokio::select! {
                captured = &mut result => break captured.unwrap_or(Captured::Aborted),
                () = tokio::time::sleep_until(self.next_checkpoint), if self.checkpoint.is_some() => {
                    self.flush_checkpoint().await?;
                }
            }
        };
        let changes = &mut self.manifest.changes;
        let entry = match captured {
            Captured::Uploaded(entry) => {
                changes.uploaded_files += 1;
                changes.uploaded_bytes += entry.metadata.size;
                changes.changed_while_reading += u64::from(entry.changed_while_reading);
                entry
            }
            Captured::Inline(entry) => {
                changes.changed_while_reading += u64::from(entry.changed_while_reading);
                entry
            }
            Captured::Same(entry) => {
                changes.reread_files += u64::from(entry.content.is_some());
                entry
            }
            Captured::Linked(entry) => entry,
            Captured::Unreadable(entry) => {
                changes.failed += 1;
                entry
            }
            Captured::Unsent(entry) => {
                changes.failed += 1;
                changes.unsent += 1;
                entry
            }
            Captured::Vanished => {
                changes.vanished += 1;
                return Ok(());
            }
            Captured::Aborted => {
                self.manifest.aborted = true;
                return Ok(());
            }
        };
        self.push(&entry).await
    }

    async fn begin(&mut self, segment: Arc<StoredSegment>) -> Result<(), WriterError> {
        self.end_old().await?;
        self.old = Some(Old {
            segment,
            passed: 0,
            reader: None,
        });
        match self.open {
            // A small remainder takes this range in.
            Some(_) => self.rewrite().await,
            None => Ok(()),
        }
    }

    async fn keep(&mut self, entries: u64) -> Result<(), WriterError> {
        match &mut self.old {
            Some(old) if old.reader.is_none() => {
                old.passed += entries;
                Ok(())
            }
            Some(_) => self.copy(entries).await,
            None => Ok(()),
        }
    }

    async fn drop_one(&mut self) -> Result<(), WriterError> {
        self.rewrite().await?;
        if let Some(reader) = self.old.as_mut().and_then(|old| old.reader.as_mut()) {
            reader.next_entry()?;
        }
        Ok(())
    }

    /// Begins to write the current range anew, unless that is being done.
    async fn rewrite(&mut self) -> Result<(), WriterError> {
        let Some(old) = &mut self.old else {
            return Ok(());
        };
        if old.reader.is_some() {
            return Ok(());
        }
        let StoredSegment { reference, bytes } = &*old.segment;
        old.reader = Some(SegmentReader::open(bytes.clone(), reference.lines_bytes)?);
        let passed = old.passed;
        self.copy(passed).await
    }

    /// Copies the next lines of the old segment.
    async fn copy(&mut self, entries: u64) -> Result<(), WriterError> {
        for _ in 0..entries {
            let reader = self.old.as_mut().and_then(|old| old.reader.as_mut());
            let Some(reader) = reader else { break };
            let Some(entry) = reader.next_entry()? else {
                break;
            };
            open(&mut self.open, &self.header).push_line(&entry, reader.line());
            self.cut().await?;
        }
        Ok(())
    }

    /// Adds an entry that the last snapshot does not have like this.
    async fn push(&mut self, entry: &Entry) -> Result<(), WriterError> {
        self.rewrite().await?;
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        entry.write_line(&self.context.job.name, &mut line);
        if line.len() as u64 > LINE_BYTES {
            return Err(WriterError::LongEntry(entry.name.clone()));
        }
        open(&mut self.open, &self.header).push_line(entry, &line);
        open(&mut self.checkpoint, &self.header).push_line(entry, &line);
        self.line = line;
        self.cut().await?;
        let is_due = self.checkpoint.as_ref().is_some_and(|checkpoint| {
            checkpoint.entries() >= self.context.limits.checkpoint_entries
                || checkpoint.is_full()
                || Instant::now() >= self.next_checkpoint
        });
        if is_due {
            self.flush_checkpoint().await?;
        }
        Ok(())
    }

    /// Ends the open segment once it is long enough.
    async fn cut(&mut self) -> Result<(), WriterError> {
        let normal = self.context.limits.segment_entries;
        let limit = match &self.old {
            None => normal,
            Some(old) => match old.segment.reference.totals.entries {
                grown if grown > normal + normal / 4 => grown / 2 + 1,
                _ => normal + normal / 2,
            },
        };
        match &self.open {
            Some(open) if open.entries() >= limit || open.is_full() => self.flush().await,
            _ => Ok(()),
        }
    }

    /// Leaves the range of the old segment.
    async fn end_old(&mut self) -> Result<(), WriterError> {
        let Some(old) = &self.old else {
            return Ok(());
        };
        let whole = old.passed == old.segment.reference.totals.entries;
        if old.reader.is_none() && whole {
            self.manifest.segments.push(old.segment.reference.clone());
        } else {
            // Where the segment could only be read in part, that part is kept.
            self.rewrite().await?;
        }
        self.old = None;
        let small = self.context.limits.segment_entries / 4;
        match &self.open {
            Some(open) if open.entries() >= small => self.flush().await,
            _ => Ok(()),
        }
    }

    /// Of the next segment.
    fn number(&self) -> SegmentNumber {
        SegmentNumber {
            range: 0,
            number: u32::try_from(self.manifest.written).unwrap_or(u32::MAX),
        }
    }

    /// Stores the open segment.
    async fn flush(&mut self) -> Result<(), WriterError> {
        let Some(open) = self.open.take().filter(|open| open.entries() > 0) else {
            return Ok(());
        };
        let (source, pass) = (&self.context.job.name, &self.context.pass);
        let body = open.finish();
        let key = keys::segment(source, *pass, self.number(), &body.sha256);
        let put = self
            .context
            .store
            .put(&key, body.bytes.clone(), &Condition::Absent);
        put.await?;
        self.manifest.segments.push(body.stored_as(key));
        self.manifest.written += 1;
        self.checkpoint = None;
        self.checkpoint_part = 0;
        self.next_checkpoint = Instant::now() + self.context.limits.checkpoint_interval;
        Ok(())
    }

    /// Stores what was captured since the last checkpoint or segment.
    async fn flush_checkpoint(&mut self) -> Result<(), WriterError> {
        let Some(checkpoint) = self.checkpoint.take() else {
            return Ok(());
        };
        let (source, pass) = (&self.context.job.name, &self.context.pass);
        let entries = checkpoint.entries();
        let body = checkpoint.finish();
        let place = (self.number(), self.checkpoint_part);
        let key = keys::checkpoint(source, *pass, place, &body.sha256);
        let put = self
            .context
            .store
            .put(&key, body.bytes.clone(), &Condition::Absent);
        put.await?;
        self.checkpoint_part += 1;
        self.next_checkpoint = Instant::now() + self.context.limits.checkpoint_interval;
        self.context.events.emit(&Event::CheckpointWritten {
            source: source.clone(),
            key,
            entries,
        });
        Ok(())
    }
}

/// The segment in `slot`, begun if there is none.
fn open<'a>(slot: &'a mut Option<SegmentWriter>, header: &Header) -> &'a mut SegmentWriter {
    slot.get_or_insert_with(|| SegmentWriter::new(header))
}
