//! Joins pieces in order and knows where each lies.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::packer::{ContentInPiece, InPiece, Piece, Slot};
use crate::events::Event;
use crate::format::codec::Codec;
use crate::format::entry::{Content, Entry, LinkGroup};
use crate::format::keys;
use crate::format::location::{ETag, Location, Member, ObjectId};
use crate::format::objects::SharedObject;
use crate::pass::capture::{Capture, Capturer};
use crate::pass::place;
use crate::pass::steps::{Captured, Group, WhichName};
use crate::stop::Stopped;
use crate::store::{
    Condition, Length, NewObject, PART_BYTES, PartWriter, StoreError, Uploader, WriteError,
};

pub(super) struct Assembler {
    capturer: Arc<Capturer>,
    codec: Codec,
    uploader: Uploader,
    archive: Option<Open>,
    /// Archives that were begun.
    begun: u32,
    written: Vec<SharedObject>,
}

/// An archive that is being written.
struct Open {
    id: ObjectId,
    key: String,
    target: Arc<Group>,
    started: Instant,
    writer: PartWriter,
    /// Where the next piece will lie.
    position: u64,
    /// Contents of files with further names.
    links: HashMap<LinkGroup, Content>,
    /// Where the large file that is being written begins.
    mark: u64,
    members: u64,
    bytes: u64,
}

/// Why an archive was not finished.
enum Unfinished {
    Store(StoreError),
    /// The pass is being stopped.
    Stopped,
}

impl From<Stopped> for Unfinished {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<WriteError> for Unfinished {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => Self::Store(error),
            WriteError::Stopped(Stopped) => Self::Stopped,
        }
    }
}

impl From<StoreError> for Unfinished {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Assembler {
    pub(super) fn new(capturer: Arc<Capturer>, codec: Codec, uploader: Uploader) -> Self {
        Self {
            capturer,
            codec,
            uploader,
            archive: None,
            begun: 0,
            written: Vec::new(),
        }
    }

    /// Takes slots until there are no more; the archives that were finished. One that was not is
    /// given up.
    pub(super) fn run(
        mut self,
        mut slots: mpsc::Receiver<Slot>,
    ) -> Result<Vec<SharedObject>, Stopped> {
        let mut result = Ok(());
        while let (Ok(()), Some(slot)) = (&result, slots.blocking_recv()) {
            result = self.take(slot);
        }
        drop(slots);
        self.give_up();
        match result {
            Ok(()) => Ok(self.written),
            Err(Unfinished::Store(error)) => {
                self.capturer.options.first_error.report(error.into());
                Err(Stopped)
            }
            Err(Unfinished::Stopped) => Err(Stopped),
        }
    }

    fn take(&mut self, slot: Slot) -> Result<(), Unfinished> {
        match slot {
            Slot::Begin(target) => self.begin(target),
            Slot::Piece(piece) => {
                let piece = piece.blocking_recv().map_err(|_| Unfinished::Stopped)?;
                self.piece(piece)
            }
            Slot::Mark => {
                if let Some(archive) = &mut self.archive {
                    archive.mark = archive.position;
                }
                Ok(())
            }
            Slot::File(capture, entry, contents) => {
                let Some(archive) = &mut self.archive else {
                    return Err(Unfinished::Stopped);
                };
                archive.members += 1;
                let range = (archive.mark, archive.position);
                archive.file(capture, *entry, range, contents, self.codec);
                Ok(())
            }
            Slot::End(is_recorded) => self.end(is_recorded),
        }
    }

    fn begin(&mut self, target: Arc<Group>) -> Result<(), Unfinished> {
        if self.archive.is_some() {
            return Err(Unfinished::Stopped);
        }
        let options = &self.capturer.options;
        let ending = format!(".{}", self.codec.extension());
        let key = (target.key.as_str(), ending.as_str());
        let place = place::find(&*options.store, key, options.pass);
        let key = self.capturer.wait(place)??;
        let writer = self.uploader.begin(NewObject {
            key: key.clone(),
            condition: Condition::Absent,
            placement: target.placement.clone(),
            length: Length::Unknown,
            with_sha256: false,
        });
        let id = ObjectId {
            pass: options.pass,
            number: self.begun,
        };
        self.begun += 1;
        self.archive = Some(Open {
            id,
            key,
            target,
            started: Instant::now(),
            writer,
            position: 0,
            links: HashMap::new(),
            mark: 0,
            members: 0,
            bytes: 0,
        });
        Ok(())
    }

    fn piece(&mut self, piece: Piece) -> Result<(), Unfinished> {
        if self.capturer.options.stop.is_set() {
            return Err(Unfinished::Stopped);
        }
        let Piece {
            bytes,
            files,
            members,
            memory,
        } = piece;
        let archive = self.archive.as_mut().ok_or(Unfinished::Stopped)?;
        let begin = archive.position;
        archive.position += bytes.len() as u64;
        archive.members += members;
        let range = (begin, archive.position);
        for settled in files {
            match settled {
                InPiece::File(capture, entry, contents) => {
                    archive.file(capture, entry, range, contents, self.codec);
                }
                InPiece::Link(capture, entry) => archive.link(*capture, entry),
            }
        }
        let written = archive.writer.write(Bytes::from_owner(bytes));
        self.capturer.wait(written)??;
        drop(memory);
        Ok(())
    }

    fn end(&mut self, is_recorded: Option<oneshot::Receiver<()>>) -> Result<(), Unfinished> {
        let Some(mut archive) = self.archive.take() else {
            return Ok(());
        };
        if archive.members == 0 && archive.position < PART_BYTES as u64 {
            // Everything that was read turned out to be as it was.
            return Ok(());
        }
        let finished = self.capturer.wait(archive.writer.finish());
        let written = match finished.map_err(Unfinished::from).and_then(|it| Ok(it?)) {
            Ok(written) => written,
            Err(failure) => {
                self.archive = Some(archive);
                return Err(failure);
            }
        };
        let options = &self.capturer.options;
        let crc64nvme = format!("{:016x}", written.crc64nvme);
        let stored = written.stored;
        let object = SharedObject {
            object: archive.id,
            key: stored.key,
            size: stored.size,
            checksum: stored.checksum,
            crc64nvme,
            etag: stored.etag.map(|etag| ETag(etag.bare().to_owned())),
            codec: self.codec,
            members: archive.members,
            bytes: archive.bytes,
        };
        options.events.emit(&Event::BackupArchiveUploaded {
            source: options.job.name.clone(),
            session: archive.target.name.clone(),
            key: object.key.to_string(),
            size: object.size,
            crc64nvme: object.crc64nvme.clone(),
            members: object.members,
            bytes: object.bytes,
            duration_ms: u64::try_from(archive.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        if let Some(is_recorded) = is_recorded {
            is_recorded
                .blocking_recv()
                .map_err(|_| Unfinished::Stopped)?;
        }
        // From now on a pass that follows a kill can trust what points into this archive.
        let record = serde_json::to_vec(&object).unwrap_or_default();
        let sha256 = Sha256::digest(&record).into();
        let key = keys::object_record(&options.job.name, object.object, &sha256);
        let put = options.store.put(&key, record.into(), &Condition::Absent);
        self.capturer.wait(put)??;
        self.written.push(object);
        Ok(())
    }

    /// What was sent of an archive that will not be finished is of no use to anybody.
    fn give_up(&mut self) {
        if let Some(archive) = self.archive.take() {
            self.capturer.abort(archive.writer);
        }
    }
}

impl Open {
    /// Settles a capture whose contents lie in a range. An entry that has contents already points elsewhere.
    fn file(
        &mut self,
        capture: Box<Capture>,
        mut entry: Entry,
        (begin, end): (u64, u64),
        contents: ContentInPiece,
        codec: Codec,
    ) {
        let size = entry.metadata.size;
        self.bytes += size;
        let ContentInPiece { sha256, before } = contents;
        let (offset, length, skip) = match codec {
            Codec::None => (begin + before, size, 0),
            Codec::Gzip | Codec::Zstd => (begin, end - begin, before),
        };
        let member = Member {
            of: self.id,
            offset,
            length,
            codec,
            skip,
        };
        let content = match entry.content.take() {
            Some(apart) => apart,
            None => capture.content(sha256, Location::Member(Box::new(member))),
        };
        if let (WhichName::First, Some(group)) = (capture.order.name, entry.hardlink) {
            self.links.insert(group, content.clone());
        }
        entry.content = Some(content);
        capture.archived(entry, &self.key);
    }

    /// Settles a capture of another name of a file that came before.
    fn link(&mut self, capture: Capture, mut entry: Entry) {
        let group = capture.order.found.stat.link_group();
        let content = group.and_then(|group| match capture.order.name {
            WhichName::Further { is_last: true } => self.links.remove(&group),
            _ => self.links.get(&group).cloned(),
        });
        entry.content = content;
        capture.end(Ok(Captured::Linked(Box::new(entry))));
    }
}
