//! Joins pieces in order, knows where each lies, and sends them in parts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use crc_fast::checksum_combine;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::packer::{InPiece, Piece, Slot};
use crate::events::Event;
use crate::format::archive::{ArchiveRange, ArchiveRef, Codec};
use crate::format::entry::{Content, Entry, LinkGroup};
use crate::format::keys;
use crate::memory::budget::Budget;
use crate::memory::buffers::{Buffer, Buffers};
use crate::pass::capture::{Capture, Capturer};
use crate::pass::place::{self, Place};
use crate::pass::steps::{Captured, Group, Name};
use crate::stop::Stopped;
use crate::store::{Condition, ETag, StoreError, StoreResult, Upload, UploadedPart};

/// Length of the first parts.
pub(super) const PART_BYTES: usize = 8 << 20;

/// Parts of each length: the parts after so many are twice as long. S3 takes 10,000 parts of up to
/// 5 GiB, so archives may have 8 TiB, and small ones take little memory.
const PARTS_OF_A_LENGTH: usize = 1000;

/// Length of part `number`, counted from 1.
fn part_bytes(number: usize) -> usize {
    PART_BYTES << ((number - 1) / PARTS_OF_A_LENGTH).min(9)
}

/// One, or begin, parts and complete.
pub(super) fn requests(size: u64) -> u64 {
    let (mut parts, mut left) = (0, size);
    while left > 0 {
        parts += 1;
        left = left.saturating_sub(part_bytes(parts) as u64);
    }
    match size < PART_BYTES as u64 {
        true => 1,
        false => 2 + parts as u64,
    }
}

pub(super) struct Assembler {
    capturer: Arc<Capturer>,
    codec: Codec,
    memory: Budget,
    parts: Buffers,
    archive: Option<Open>,
    written: Vec<ArchiveRef>,
}

/// An archive that is being written.
struct Open {
    key: String,
    target: Arc<Group>,
    started: Instant,
    /// Where those of the parts come from.
    buffers: Buffers,
    /// Bytes that no part holds yet.
    buffer: Buffer,
    /// Where the next piece will lie.
    position: u64,
    /// Of the parts that were sent.
    crc64nvme: u64,
    /// Of what no part holds yet.
    buffer_crc64nvme: crc_fast::Digest,
    upload: Option<Arc<Upload>>,
    parts: Vec<JoinHandle<Result<StoreResult<UploadedPart>, Stopped>>>,
    /// Contents of files with further names.
    links: HashMap<LinkGroup, Content>,
    /// Where the large file that is being written begins.
    mark: u64,
    members: u64,
    bytes: u64,
}

/// Why an archive was not finished.
enum Failure {
    Store(StoreError),
    /// The pass is being stopped.
    Stopped,
}

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Assembler {
    pub(super) fn new(capturer: Arc<Capturer>, codec: Codec, memory: Budget) -> Self {
        Self {
            capturer,
            codec,
            memory,
            parts: Buffers::of(PART_BYTES),
            archive: None,
            written: Vec::new(),
        }
    }

    /// Takes slots until there are no more; the archives that were finished. One that was not is
    /// given up.
    pub(super) fn run(
        mut self,
        mut slots: mpsc::Receiver<Slot>,
    ) -> Result<Vec<ArchiveRef>, Stopped> {
        let mut result = Ok(());
        while let (Ok(()), Some(slot)) = (&result, slots.blocking_recv()) {
            result = self.take(slot);
        }
        drop(slots);
        self.give_up();
        match result {
            Ok(()) => Ok(self.written),
            Err(Failure::Store(error)) => {
                self.capturer.options.first_error.report(error.into());
                Err(Stopped)
            }
            Err(Failure::Stopped) => Err(Stopped),
        }
    }

    fn take(&mut self, slot: Slot) -> Result<(), Failure> {
        match slot {
            Slot::Begin(target) => self.begin(target),
            Slot::Piece(piece) => {
                let piece = piece.blocking_recv().map_err(|_| Failure::Stopped)?;
                self.piece(piece)
            }
            Slot::Mark => {
                if let Some(archive) = &mut self.archive {
                    archive.mark = archive.position;
                }
                Ok(())
            }
            Slot::File(capture, entry, before) => {
                let Some(archive) = &mut self.archive else {
                    return Err(Failure::Stopped);
                };
                archive.members += 1;
                let range = (archive.mark, archive.position);
                archive.file(capture, *entry, range, before, self.codec);
                Ok(())
            }
            Slot::End(is_recorded) => self.end(is_recorded),
        }
    }

    fn begin(&mut self, target: Arc<Group>) -> Result<(), Failure> {
        if self.archive.is_some() {
            return Err(Failure::Stopped);
        }
        let options = &self.capturer.options;
        let ending = format!(".{}", self.codec.extension());
        let key = (target.key.as_str(), ending.as_str());
        let place = place::find(&*options.store, key, options.pass, |_| false);
        let Place::Free(key) = self.capturer.wait(place)?? else {
            return Err(Failure::Stopped);
        };
        self.archive = Some(Open {
            key,
            target,
            started: Instant::now(),
            buffers: self.parts.clone(),
            buffer: Buffer::default(),
            position: 0,
            crc64nvme: crc_fast::checksum(Crc64Nvme, b""),
            buffer_crc64nvme: crc_fast::Digest::new(Crc64Nvme),
            upload: None,
            parts: Vec::new(),
            links: HashMap::new(),
            mark: 0,
            members: 0,
            bytes: 0,
        });
        Ok(())
    }

    fn piece(&mut self, piece: Piece) -> Result<(), Failure> {
        if self.capturer.options.stop.is_set() {
            return Err(Failure::Stopped);
        }
        let Piece {
            bytes,
            files,
            members,
            memory,
        } = piece;
        let archive = self.archive.as_mut().ok_or(Failure::Stopped)?;
        let begin = archive.position;
        archive.position += bytes.len() as u64;
        archive.members += members;
        let range = (begin, archive.position);
        for settled in files {
            match settled {
                InPiece::File(capture, entry, before) => {
                    archive.file(capture, entry, range, before, self.codec);
                }
                InPiece::Link(capture, entry) => archive.link(*capture, entry),
            }
        }
        archive.fill(&self.capturer, &self.memory, &bytes)?;
        drop(memory);
        Ok(())
    }

    fn end(&mut self, is_recorded: Option<oneshot::Receiver<()>>) -> Result<(), Failure> {
        let Some(mut archive) = self.archive.take() else {
            return Ok(());
        };
        if archive.members == 0 && archive.upload.is_none() {
            // Everything that was read turned out to be as it was.
            return Ok(());
        }
        let finished = archive.finish(&self.capturer, &self.memory);
        let (etag, sha256) = match finished {
            Ok(sent) => sent,
            Err(failure) => {
                self.archive = Some(archive);
                return Err(failure);
            }
        };
        let options = &self.capturer.options;
        let reference = ArchiveRef {
            key: archive.key.into(),
            pass: options.pass,
            codec: self.codec,
            size: archive.position,
            etag: Some(etag.0),
            crc64nvme: format!("{:016x}", archive.crc64nvme),
            sha256,
            members: archive.members,
            bytes: archive.bytes,
        };
        options.events.emit(&Event::BackupArchiveUploaded {
            source: options.source.name.clone(),
            session: archive.target.name.clone(),
            key: reference.key.to_string(),
            size: reference.size,
            crc64nvme: reference.crc64nvme.clone(),
            members: reference.members,
            bytes: reference.bytes,
            duration_ms: u64::try_from(archive.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        if let Some(is_recorded) = is_recorded {
            is_recorded.blocking_recv().map_err(|_| Failure::Stopped)?;
        }
        // From now on a pass that follows a kill can trust what points into this archive.
        let number = u32::try_from(self.written.len()).unwrap_or(u32::MAX);
        let record = serde_json::to_vec_pretty(&reference).unwrap_or_default();
        let sha256 = Sha256::digest(&record).into();
        let key = keys::archive_record(&options.source.name, options.pass, number, &sha256);
        let put = options.store.put(&key, record.into(), &Condition::Absent);
        self.capturer.wait(put)??;
        self.written.push(reference);
        Ok(())
    }

    /// What was sent of an archive that will not be finished is of no use to anybody.
    fn give_up(&mut self) {
        let Some(archive) = self.archive.take() else {
            return;
        };
        for part in &archive.parts {
            part.abort();
        }
        if let Some(upload) = archive.upload {
            self.capturer.abort(&upload);
        }
    }
}

impl Open {
    /// Settles a capture whose contents lie in a range, `before` bytes after its decompressed
    /// beginning.
    fn file(
        &mut self,
        capture: Box<Capture>,
        mut entry: Entry,
        (begin, end): (u64, u64),
        before: u64,
        codec: Codec,
    ) {
        let size = entry.metadata.size;
        self.bytes += size;
        let range = match codec {
            Codec::None => (begin + before, size, 0),
            Codec::Gzip | Codec::Zstd => (begin, end - begin, before),
        };
        let (offset, length, skip) = range;
        if let Some(content) = &mut entry.content {
            content.archive = Some(Box::new(ArchiveRange {
                key: self.key.as_str().into(),
                codec,
                offset,
                length,
                skip,
            }));
        }
        if let (Name::First, Some(group), Some(content)) =
            (capture.order.name, entry.hardlink, &entry.content)
        {
            self.links.insert(group, content.clone());
        }
        capture.archived(entry, &self.key);
    }

    /// Settles a capture of another name of a file that came before.
    fn link(&mut self, capture: Capture, mut entry: Entry) {
        let group = capture.order.found.stat.link_group();
        let content = group.and_then(|group| match capture.order.name {
            Name::Further { is_last: true } => self.links.remove(&group),
            _ => self.links.get(&group).cloned(),
        });
        entry.content = content;
        capture.end(Ok(Captured::Linked(Box::new(entry))));
    }

    /// Adds bytes, and sends each part that is full. A part takes no more memory than its length.
    fn fill(
        &mut self,
        capturer: &Arc<Capturer>,
        memory: &Budget,
        mut bytes: &[u8],
    ) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let length = part_bytes(self.parts.len() + 1);
            if self.buffer.is_empty() {
                self.buffer = self.buffers.take();
            }
            if self.buffer.capacity() < length {
                let more = length - self.buffer.len();
                self.buffer.reserve_exact(more);
            }
            let room = bytes.len().min(length - self.buffer.len());
            self.buffer.extend_from_slice(&bytes[..room]);
            self.buffer_crc64nvme.update(&bytes[..room]);
            bytes = &bytes[room..];
            if self.buffer.len() == length {
                let part = std::mem::take(&mut self.buffer);
                self.send(capturer, memory, part)?;
            }
        }
        Ok(())
    }

    /// Adds the checksum of a part to that of the whole, and returns it.
    fn end_part(&mut self, length: usize) -> u64 {
        let begun = crc_fast::Digest::new(Crc64Nvme);
        let crc64nvme = std::mem::replace(&mut self.buffer_crc64nvme, begun).finalize();
        self.crc64nvme = checksum_combine(Crc64Nvme, self.crc64nvme, crc64nvme, length as u64);
        crc64nvme
    }

    /// Sets a part on its way, once there is room for it.
    fn send(
        &mut self,
        capturer: &Arc<Capturer>,
        memory: &Budget,
        part: Buffer,
    ) -> Result<(), Failure> {
        let options = &capturer.options;
        let upload = match &self.upload {
            Some(upload) => Arc::clone(upload),
            None => {
                let begin = options
                    .store
                    .begin_upload(&self.key, &self.target.placement);
                let upload = Arc::new(capturer.wait(begin)??);
                self.upload = Some(Arc::clone(&upload));
                upload
            }
        };
        let crc64nvme = self.end_part(part.len());
        let memory = memory
            .take_bytes(part.len())
            .map_err(|_| Failure::Stopped)?;
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let (runtime, capturer) = (capturer.runtime.clone(), Arc::clone(capturer));
        self.parts.push(runtime.spawn(async move {
            let options = &capturer.options;
            let sent =
                options
                    .store
                    .upload_part(&upload, number, Bytes::from_owner(part), crc64nvme);
            let sent = capturer.in_time(sent).await;
            drop(memory);
            if let Ok(Err(error)) = &sent {
                options.first_error.report(error.clone().into());
            }
            sent
        }));
        Ok(())
    }

    /// Makes the archive an object. Returns its version, and the digest that the store keeps of one
    /// that took a single request.
    fn finish(
        &mut self,
        capturer: &Arc<Capturer>,
        memory: &Budget,
    ) -> Result<(ETag, Option<String>), Failure> {
        let options = &capturer.options;
        let last = std::mem::take(&mut self.buffer);
        if self.upload.is_none() {
            self.end_part(last.len());
            let sha256: [u8; 32] = Sha256::digest(last.as_slice()).into();
            let placement = &self.target.placement;
            let put =
                options
                    .store
                    .put_content(&self.key, Bytes::from_owner(last), sha256, placement);
            let etag = capturer.wait(put)??;
            return Ok((etag, Some(hex::encode(sha256))));
        }
        if !last.is_empty() {
            self.send(capturer, memory, last)?;
        }
        let (crc64nvme, size) = (self.crc64nvme, self.position);
        let (parts, upload) = (&mut self.parts, self.upload.clone());
        capturer.wait(async {
            let mut sent = Vec::with_capacity(parts.len());
            for part in parts {
                sent.push(part.await.map_err(|_| Failure::Stopped)???);
            }
            let upload = upload.ok_or(Failure::Stopped)?;
            let completed = options
                .store
                .complete_upload(&upload, sent, size, crc64nvme);
            Ok((completed.await?, None))
        })?
    }
}

#[cfg(test)]
mod tests {
    use super::part_bytes;

    #[test]
    fn ten_thousand_parts_hold_the_largest_archive() {
        let sum: usize = (1..=10_000).map(part_bytes).sum();
        assert!(sum > 5 << 40, "{sum}");
        assert!(part_bytes(10_000) <= 5 << 30);
        assert_eq!(part_bytes(1000), 8 << 20);
        assert_eq!(part_bytes(1001), 16 << 20);
    }
}
