//! Reading contents back, wherever they are: in the manifest, in an object of their own, or in a part of an
//! object that others share. Nobody else makes requests of a [`Location`].
//!
//! What is read is handed on in pieces and compared on the way with what the manifest says of it. Large contents are fetched in several ranges at once, small ones several by one task.
//! Small files that share a group of an archive share its fetch.

mod ahead;
mod checking;
mod decompressors;
mod groups;
mod small;

use std::io::Read as _;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use self::ahead::Ahead;
pub use self::ahead::RANGE_BYTES;
pub use self::checking::{Check, Expected};
use self::decompressors::Decompressors;
use self::groups::Groups;
pub use self::small::Fetched;
use crate::format::codec::Codec;
use crate::format::entry::{Content, Entry};
use crate::format::location::{Location, Member};
use crate::format::objects::ObjectTable;
use crate::memory::budget::Budget;
use crate::stop::Stop;
use crate::store::{Store, StoreError};

/// From this length on it pays to hash contents on a thread of their own.
const LARGE_BYTES: u64 = 32 << 20;

/// Decompressed at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Why contents were not read, or did not get where they were to go.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// They are not what the manifest says, twice over.
    #[error("contents in the store do not have the SHA-256 of the manifest (object `{0}`)")]
    Altered(String),
    /// They do not have the checksum that the store has vouched for when it copied them, twice over.
    #[error(
        "contents in the store do not have the checksum that the store has vouched for (object `{0}`)"
    )]
    NotVouched(String),
    /// They do not have the SHA-256 that was recorded when the same copy was read before, twice over.
    #[error(
        "contents in the store do not have the SHA-256 that `verify --read` has recorded (object `{0}`)"
    )]
    NotAsRead(String),
    /// The snapshot does not say where the object is that holds them.
    #[error("{0}")]
    Unknown(String),
    /// The store does not give them out.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They cannot be written.
    #[error("cannot be written: {}", std::io::Error::from(*.0))]
    Write(#[from] Errno),
    /// The command is being stopped.
    #[error("interrupted")]
    Stopped,
}

impl ContentsError {
    /// Whether it will be the same for all other contents.
    fn is_fatal(&self) -> bool {
        match self {
            Self::Store(error) => error.kind.is_fatal(),
            Self::Stopped => true,
            Self::Altered(_)
            | Self::NotVouched(_)
            | Self::NotAsRead(_)
            | Self::Unknown(_)
            | Self::Write(_) => false,
        }
    }
}

/// Told of each range that is read out of an archive: key, offset, bytes.
pub type Observer = Box<dyn Fn(&str, u64, &[u8]) + Send + Sync>;

/// The shared objects of a snapshot; or why their table cannot be had, so that what lies in objects of its
/// own can be read all the same.
pub type Objects = Result<Arc<ObjectTable>, String>;

/// Reads the contents of one snapshot.
pub struct Contents {
    store: Arc<dyn Store>,
    objects: Objects,
    runtime: Handle,
    memory: Budget,
    decompressors: Decompressors,
    stop: Arc<Stop>,
    groups: Groups,
    observer: Option<Observer>,
}

impl Contents {
    /// Contents of a snapshot with these objects, with so many bytes of memory for what is under way.
    #[must_use]
    pub fn of(
        store: &Arc<dyn Store>,
        objects: Objects,
        memory_bytes: usize,
        stop: &Arc<Stop>,
    ) -> Self {
        let runtime = Handle::current();
        Self {
            store: Arc::clone(store),
            objects,
            memory: Budget::of_bytes(memory_bytes, runtime.clone()),
            decompressors: Decompressors::new(runtime.clone()),
            runtime,
            stop: Arc::clone(stop),
            groups: Groups::new(),
            observer: None,
        }
    }

    /// Tells `observer` of what is read out of archives.
    #[must_use]
    pub fn observed_by(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The key of the object that holds contents; empty where there is none.
    ///
    /// # Errors
    /// The snapshot does not say.
    pub fn key<'a>(&'a self, content: &'a Content) -> Result<&'a str, ContentsError> {
        match &content.location {
            Location::Inline => Ok(""),
            Location::Object(stored) => Ok(&stored.key),
            Location::Member(member) => self.key_of(member),
        }
    }

    fn key_of(&self, member: &Member) -> Result<&str, ContentsError> {
        let unknown = |error: String| ContentsError::Unknown(error);
        let objects = self
            .objects
            .as_ref()
            .map_err(|error| unknown(error.clone()))?;
        let object = objects.get(member.of).ok_or_else(|| {
            let of = member.of;
            unknown(format!(
                "the snapshot's table of objects has no object `{of}`"
            ))
        })?;
        Ok(&object.key)
    }

    /// Reads the contents of `entry` in order; `take` gets each piece with its offset, and offset 0
    /// again where what arrived was damaged and is fetched once more. Blocks.
    ///
    /// # Errors
    /// They cannot be had, are not what the manifest says, or `take` failed.
    pub fn read(
        &self,
        entry: &Entry,
        content: &Content,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), Errno>,
    ) -> Result<(), ContentsError> {
        for attempt in 0..2 {
            match self.read_once(entry, content, &mut take) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(ContentsError::Altered(_)) if attempt == 0 => {}
                Err(error) => return Err(error),
            }
            if let Some(member) = content.member() {
                self.groups.forget(member);
            }
        }
        Err(Expected::of(content).failed(self.key(content)?.to_owned()))
    }

    fn read_once(
        &self,
        entry: &Entry,
        content: &Content,
        take: &mut impl FnMut(u64, &[u8]) -> Result<(), Errno>,
    ) -> Result<bool, ContentsError> {
        let size = entry.metadata.size;
        let mut check = Check::of(Expected::of(content));
        if let Location::Object(stored) = &content.location
            && size >= LARGE_BYTES
        {
            return self.large(&stored.key, size, check, take);
        }
        let mut at = 0;
        let mut take = |bytes: &[u8]| -> Result<(), ContentsError> {
            check.add(bytes);
            take(at, bytes)?;
            at += bytes.len() as u64;
            Ok(())
        };
        match &content.location {
            Location::Inline => {}
            Location::Object(stored) => self.plain(&stored.key, 0, size, &mut take)?,
            Location::Member(member) => {
                let key = self.key_of(member)?;
                self.member((key, member), size, &mut take)?;
            }
        }
        Ok(check.is_met())
    }

    /// A large object as it is. One thread hashes what has come while this one takes it.
    fn large(
        &self,
        key: &str,
        size: u64,
        mut check: Check,
        take: &mut impl FnMut(u64, &[u8]) -> Result<(), Errno>,
    ) -> Result<bool, ContentsError> {
        std::thread::scope(|scope| {
            let (come, pieces) = mpsc::sync_channel::<(Bytes, Arc<OwnedSemaphorePermit>)>(1);
            let hashing = scope.spawn(move || {
                for (piece, _memory) in pieces {
                    check.add(&piece);
                }
                check.is_met()
            });
            let mut ahead = Ahead::of(self, key.to_owned(), 0..size);
            let mut at = 0;
            while let Some((piece, memory)) = ahead.fetch()? {
                let memory = Arc::new(memory);
                if come.send((piece.clone(), Arc::clone(&memory))).is_err() {
                    break;
                }
                take(at, &piece)?;
                at += piece.len() as u64;
            }
            drop(come);
            hashing.join().map_err(|_| ContentsError::Stopped)
        })
    }

    fn member(
        &self,
        (key, member): (&str, &Member),
        size: u64,
        take: &mut impl FnMut(&[u8]) -> Result<(), ContentsError>,
    ) -> Result<(), ContentsError> {
        if member.codec == Codec::None {
            return self.plain(key, member.offset, size, take);
        }
        if !groups::is_group(member, size) {
            return self.decompressed((key, member), size, take);
        }
        let mut decompressor = self.decompressors.take()?;
        let group = self.groups.get(self, (key, member), &mut decompressor)?;
        let bytes = usize::try_from(member.skip)
            .ok()
            .zip(usize::try_from(member.skip.saturating_add(size)).ok())
            .and_then(|(from, to)| group.get(from..to));
        take(bytes.ok_or_else(|| ContentsError::Altered(key.to_owned()))?)
    }

    /// Bytes of an object as they are.
    fn plain(
        &self,
        key: &str,
        offset: u64,
        size: u64,
        take: &mut impl FnMut(&[u8]) -> Result<(), ContentsError>,
    ) -> Result<(), ContentsError> {
        let mut ahead = Ahead::of(self, key.to_owned(), offset..offset.saturating_add(size));
        while let Some((bytes, _memory)) = ahead.fetch()? {
            take(&bytes)?;
        }
        Ok(())
    }

    /// A large file out of a compressed archive.
    fn decompressed(
        &self,
        (key, member): (&str, &Member),
        size: u64,
        take: &mut impl FnMut(&[u8]) -> Result<(), ContentsError>,
    ) -> Result<(), ContentsError> {
        let mut decompressor = self.decompressors.take()?;
        let mut ahead = Ahead::of_member(self, key, member);
        let result: std::io::Result<_> = (|| {
            let mut decoder = decompressor.read(member.codec, &mut ahead);
            std::io::copy(
                &mut decoder.by_ref().take(member.skip),
                &mut std::io::sink(),
            )?;
            let mut buffer = vec![0; PIECE_BYTES];
            let mut left = size;
            while left > 0 {
                let most = usize::try_from(left)
                    .unwrap_or(PIECE_BYTES)
                    .min(PIECE_BYTES);
                let length = decoder.read(&mut buffer[..most])?;
                if length == 0 {
                    return Ok(Err(ContentsError::Altered(key.to_owned())));
                }
                if let Err(error) = take(&buffer[..length]) {
                    return Ok(Err(error));
                }
                left -= length as u64;
            }
            // What is left of the last member has its checksum in it.
            std::io::copy(&mut decoder, &mut std::io::sink())?;
            Ok(Ok(()))
        })();
        match result {
            Ok(result) => result,
            Err(_) => Err(ahead.failure()),
        }
    }
}
