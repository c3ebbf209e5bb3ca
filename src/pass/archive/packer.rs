//! Cuts what there is to archive into pieces.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::ToPack;
use crate::archive::tar::{self, Member};
use crate::format::entry::{Entry, Kind};
use crate::memory::budget::Budget;
use crate::memory::buffers::{Buffer, Buffers};
use crate::pass::capture::reading::{Reading, contents, has_changed, read_up_to};
use crate::pass::capture::{Capture, Capturer, Uncaptured, large, stream};
use crate::pass::steps::{Captured, Group, WhichName};
use crate::source::Body;
use crate::stop::Stopped;

/// A group is closed once its files have so many bytes. It is what is fetched to restore a small
/// file alone; a compressor that starts anew this often loses nothing that can be measured.
const GROUP_BYTES: u64 = 1 << 20;

/// Files of this size or more do not share a group.
pub(super) const ALONE_BYTES: usize = 1 << 19;

/// Length of the pieces of a large file.
const PIECE_BYTES: usize = 1 << 20;

/// What a buffer holds from the beginning: a piece, or a group with one more file in it.
pub(super) const BUFFER_BYTES: usize = 3 << 19;

/// What a member takes besides its contents, roughly: header, pax header, padding.
const MEMBER_BYTES: u64 = 2048;

/// One thing in a group.
pub(super) enum InGroup {
    Directory(Box<Entry>),
    Capture(Box<Capture>),
}

/// A piece before it is compressed.
pub(super) enum ToCompress {
    /// A group of small members, to be read.
    Group(Vec<InGroup>),
    /// Bytes of the tar stream.
    Bytes(Buffer),
}

/// What a worker gets.
pub(super) struct Job {
    pub(super) work: ToCompress,
    /// What it may use.
    pub(super) memory: OwnedSemaphorePermit,
    pub(super) reply: oneshot::Sender<Piece>,
}

/// A piece, compressed.
pub(super) struct Piece {
    pub(super) bytes: Buffer,
    /// Captures that are settled with it.
    pub(super) files: Vec<InPiece>,
    pub(super) members: u64,
    pub(super) memory: OwnedSemaphorePermit,
}

/// Contents in a piece.
#[derive(Clone, Copy)]
pub(super) struct ContentInPiece {
    pub(super) sha256: [u8; 32],
    /// Bytes of the piece, decompressed, that come before them.
    pub(super) before: u64,
}

/// A capture that is settled once it is known where its piece lies.
pub(super) enum InPiece {
    /// Its contents are in the piece.
    File(Box<Capture>, Entry, ContentInPiece),
    /// Another name of a file in this archive.
    Link(Box<Capture>, Entry),
}

/// What the assembler gets, in order.
pub(super) enum Slot {
    /// An archive begins.
    Begin(Arc<Group>),
    /// Its next piece.
    Piece(oneshot::Receiver<Piece>),
    /// A large file begins with the next piece.
    Mark,
    /// The large file whose beginning was marked ends here. Its contents begin in the first piece of it.
    File(Box<Capture>, Box<Entry>, ContentInPiece),
    /// The archive ends. Its record waits until its entries are recorded, where there is somebody
    /// to tell.
    End(Option<oneshot::Receiver<()>>),
}

/// Cuts items into pieces.
pub(super) struct Packer {
    capturer: Arc<Capturer>,
    memory: Budget,
    buffers: Buffers,
    /// What the archive is for.
    target: Option<Arc<Group>>,
    work: crossbeam_channel::Sender<Job>,
    slots: mpsc::Sender<Slot>,
    group: Vec<InGroup>,
    group_bytes: u64,
    is_open: bool,
}

impl Packer {
    pub(super) fn new(
        capturer: Arc<Capturer>,
        (memory, buffers): (Budget, Buffers),
        work: crossbeam_channel::Sender<Job>,
        slots: mpsc::Sender<Slot>,
    ) -> Self {
        Self {
            capturer,
            memory,
            buffers,
            target: None,
            work,
            slots,
            group: Vec::new(),
            group_bytes: 0,
            is_open: false,
        }
    }

    /// Takes items until there are no more. Without an end among them, neither has the archive one.
    pub(super) fn run(mut self, items: crossbeam_channel::Receiver<ToPack>) {
        for item in items {
            if self.take(item).is_err() {
                return;
            }
        }
    }

    fn take(&mut self, item: ToPack) -> Result<(), Stopped> {
        match item {
            ToPack::Directory(entry) => self.add(InGroup::Directory(entry), 0),
            ToPack::Order(order) => {
                let metadata = order.found.stat.metadata;
                let capture = Box::new(self.capturer.begin(*order));
                if self.capturer.options.stop.is_set() {
                    capture.end(Err(Uncaptured::Stopped));
                    return Err(Stopped);
                }
                let is_further = matches!(capture.order.name, WhichName::Further { .. });
                match metadata.kind {
                    Kind::File if metadata.size >= ALONE_BYTES as u64 && !is_further => {
                        self.close_group()?;
                        self.large(capture)
                    }
                    _ => self.add(
                        InGroup::Capture(capture),
                        metadata.size.min(ALONE_BYTES as u64),
                    ),
                }
            }
            ToPack::Cut => self.close_group(),
            ToPack::Begin(group) => {
                self.target = Some(group);
                Ok(())
            }
            ToPack::End(is_recorded) => self.end(is_recorded),
        }
    }

    fn add(&mut self, member: InGroup, size: u64) -> Result<(), Stopped> {
        self.group.push(member);
        self.group_bytes += size + MEMBER_BYTES;
        match self.group_bytes {
            GROUP_BYTES.. => self.close_group(),
            _ => Ok(()),
        }
    }

    fn close_group(&mut self) -> Result<(), Stopped> {
        if self.group.is_empty() {
            return Ok(());
        }
        let group = std::mem::take(&mut self.group);
        self.group_bytes = 0;
        self.piece(ToCompress::Group(group))
    }

    /// Begins the archive, unless that is done.
    fn open(&mut self) -> Result<(), Stopped> {
        if self.is_open {
            return Ok(());
        }
        let group = self.target.take().ok_or(Stopped)?;
        self.is_open = true;
        self.slot(Slot::Begin(group))
    }

    /// Hands out a piece. It takes one buffer, whether it fills it or not.
    fn piece(&mut self, work: ToCompress) -> Result<(), Stopped> {
        self.open()?;
        let memory = self.memory.take_bytes(BUFFER_BYTES).map_err(|_| Stopped)?;
        let (reply, piece) = oneshot::channel();
        self.slot(Slot::Piece(piece))?;
        let job = Job {
            work,
            memory,
            reply,
        };
        self.work.send(job).map_err(|_| Stopped)
    }

    fn slot(&self, slot: Slot) -> Result<(), Stopped> {
        self.slots.blocking_send(slot).map_err(|_| Stopped)
    }

    fn end(&mut self, is_recorded: Option<oneshot::Receiver<()>>) -> Result<(), Stopped> {
        self.close_group()?;
        if !self.is_open {
            return Ok(());
        }
        let mut end = self.buffers.take();
        tar::end(&mut end);
        self.piece(ToCompress::Bytes(end))?;
        self.is_open = false;
        self.slot(Slot::End(is_recorded))
    }

    /// Archives a file in pieces of its own.
    fn large(&mut self, capture: Box<Capture>) -> Result<(), Stopped> {
        let streamed = self.stream(&capture);
        if let Ok(Streamed::Written(entry, _)) = &streamed {
            capture.is_member(entry);
            if capture.order.apart.is_some() {
                capture.in_archive_alone("it is too large");
            }
        }
        match streamed {
            Ok(Streamed::Written(entry, contents)) => {
                self.slot(Slot::File(capture, entry, contents))
            }
            Ok(Streamed::Alone(entry)) => {
                capture.uploaded(*entry);
                Ok(())
            }
            Ok(Streamed::Same(entry)) => {
                capture.end(Ok(Captured::Same(entry)));
                Ok(())
            }
            Err(Failed::Uncaptured(refused)) => {
                capture.end(Err(refused));
                Ok(())
            }
            Err(Failed::Stopped) => {
                capture.end(Err(Uncaptured::Stopped));
                Err(Stopped)
            }
        }
    }

    fn stream(&mut self, capture: &Capture) -> Result<Streamed, Failed> {
        let source = &capture.options().source;
        let mut opened = source
            .open(&capture.order.found)
            .map_err(Uncaptured::from)?;
        if let Body::Stream(produce) = opened.body {
            let mut attempt = stream::capture(capture, &opened.stat, produce)?;
            attempt.set_xattrs(opened.xattrs);
            return match attempt {
                Reading::Same(entry) => Ok(Streamed::Same(Box::new(entry))),
                Reading::Stored(entry) => Ok(Streamed::Alone(Box::new(entry))),
                Reading::Read(..) | Reading::Changed => Err(Uncaptured::Gone.into()),
            };
        }
        for is_last in [false, true] {
            let file = contents(&opened)?;
            let before = opened.stat;
            let size = before.metadata.size;
            // Once a member is written that may be torn, a whole one has to take its place.
            if let Some(known) = capture.order.known.as_ref().filter(|_| !is_last) {
                let (sha256, read) = large::hash(capture, file, size)?;
                if known.is(sha256) && !has_changed(capture, &opened)? {
                    let mut entry = capture.entry(&before, read);
                    entry.content = Some(known.clone());
                    entry.xattrs = opened.xattrs;
                    return Ok(Streamed::Same(Box::new(entry)));
                }
            }
            let mut entry = capture.entry(&before, size);
            entry.xattrs.clone_from(&opened.xattrs);
            let (contents, read) = self.member(capture, file, &entry)?;
            let changed = read != size || has_changed(capture, &opened)?;
            if changed && !is_last {
                // The member that follows takes its place when the archive is extracted.
                if let Some(now) = source.recheck(&opened).map_err(Uncaptured::from)? {
                    opened.stat = now;
                }
                continue;
            }
            entry.metadata.size = read;
            entry.changed_while_reading = changed;
            return Ok(Streamed::Written(Box::new(entry), contents));
        }
        Err(Uncaptured::Gone.into())
    }

    /// Writes one member, of the size its entry has. Returns what was read, and how much that was.
    fn member(
        &mut self,
        capture: &Capture,
        file: &OwnedFd,
        entry: &Entry,
    ) -> Result<(ContentInPiece, u64), Failed> {
        let size = entry.metadata.size;
        let mut raw = self.buffers.take();
        tar::begin(&mut raw, entry, Member::File(size));
        let before = raw.len() as u64;
        self.open()?;
        self.slot(Slot::Mark)?;
        let mut hasher = Sha256::new();
        let mut read = 0;
        let mut failed = None;
        while read < size && failed.is_none() {
            if capture.options().stop.is_set() {
                return Err(Uncaptured::Stopped.into());
            }
            let left = usize::try_from(size - read).unwrap_or(usize::MAX);
            // The name of the longest path leaves most of a piece free.
            let wanted = left.min(PIECE_BYTES.saturating_sub(raw.len()).max(1));
            let had = raw.len();
            failed = read_up_to(file, &mut raw, read, wanted).err();
            hasher.update(&raw[had..]);
            read += (raw.len() - had) as u64;
            if raw.len() - had < wanted {
                // The file has become shorter.
                break;
            }
            if raw.len() >= PIECE_BYTES {
                let full = std::mem::replace(&mut raw, self.buffers.take());
                self.piece(ToCompress::Bytes(full))?;
            }
        }
        // Whatever happened, the header has promised so many bytes.
        let mut missing = size - read;
        while missing > 0 {
            let zeros = missing.min(PIECE_BYTES as u64);
            let length = raw.len() + usize::try_from(zeros).unwrap_or(0);
            raw.resize(length, 0);
            missing -= zeros;
            let full = std::mem::replace(&mut raw, self.buffers.take());
            self.piece(ToCompress::Bytes(full))?;
        }
        tar::pad(&mut raw, size);
        if let Some(error) = failed {
            self.note(entry, read, error, &mut raw);
        }
        self.piece(ToCompress::Bytes(raw))?;
        match failed {
            Some(error) => Err(Uncaptured::from(error).into()),
            None => {
                let sha256 = hasher.finalize().into();
                Ok((ContentInPiece { sha256, before }, read))
            }
        }
    }

    /// A file that could be read in part only is followed by one that says so, for whoever extracts
    /// the archive without its manifest.
    fn note(&self, entry: &Entry, read: u64, error: rustix::io::Errno, raw: &mut Vec<u8>) {
        let error = std::io::Error::from(error);
        let text = format!(
            "{}: only the first {read} of {} bytes could be read ({error}); the rest is zeros\n",
            entry.name, entry.metadata.size
        );
        let name = [entry.name.as_bytes(), b".offsite-incomplete"].concat();
        if let Ok(path) = crate::format::path::EntryPath::parse(name) {
            let note = Entry::new(path, entry.metadata);
            tar::begin(raw, &note, Member::File(text.len() as u64));
            raw.extend_from_slice(text.as_bytes());
            tar::pad(raw, text.len() as u64);
        }
    }
}

/// What a large file has come to.
enum Streamed {
    Same(Box<Entry>),
    /// It is an object of its own.
    Alone(Box<Entry>),
    Written(Box<Entry>, ContentInPiece),
}

enum Failed {
    Uncaptured(Uncaptured),
    Stopped,
}

impl From<Uncaptured> for Failed {
    fn from(refused: Uncaptured) -> Self {
        Self::Uncaptured(refused)
    }
}

impl From<Stopped> for Failed {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}
