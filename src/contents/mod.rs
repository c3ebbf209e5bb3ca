//! Reading contents back, wherever in the store they are: in an object of their own, or in a range
//! of an archive.
//!
//! What is read is handed on in pieces and hashed on the way; whoever reads compares the digest with
//! the manifest's. Large contents are fetched in several ranges at once. Small files that share a
//! group of an archive share its fetch.

mod ahead;
mod decompressors;
mod groups;

use std::io::Read as _;
use std::sync::Arc;

use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use self::ahead::Ahead;
use self::decompressors::Decompressors;
use self::groups::Groups;
use crate::format::archive::{ArchiveRange, Codec};
use crate::format::entry::{Content, Entry};
use crate::format::keys::{self, SourceName};
use crate::memory::budget::Budget;
use crate::stop::Stop;
use crate::store::{Store, StoreError};

/// Decompressed at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Why contents were not read, or did not get where they were to go.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// They are not what the manifest says, twice over.
    #[error("contents in the store do not have the SHA-256 of the manifest (object `{0}`)")]
    Altered(String),
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

/// Told of each range that is read out of an archive: key, offset, bytes.
pub type Observer = Box<dyn Fn(&str, u64, &[u8]) + Send + Sync>;

/// Reads the contents of one source.
pub struct Contents {
    store: Arc<dyn Store>,
    source: SourceName,
    runtime: Handle,
    memory: Budget,
    decompressors: Decompressors,
    stop: Arc<Stop>,
    groups: Groups,
    observer: Option<Observer>,
}

impl Contents {
    /// Contents of `source`, with so many bytes of memory for what is under way.
    #[must_use]
    pub fn of(
        store: &Arc<dyn Store>,
        source: SourceName,
        memory_bytes: usize,
        stop: &Arc<Stop>,
    ) -> Self {
        let runtime = Handle::current();
        Self {
            store: Arc::clone(store),
            source,
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

    /// The object that holds the contents of an entry.
    #[must_use]
    pub fn key(&self, entry: &Entry, content: &Content) -> String {
        match (&content.archive, &content.key) {
            (Some(range), _) => range.key.to_string(),
            (None, Some(key)) => key.to_string(),
            (None, None) => keys::content(&self.source, content.pass, &entry.path),
        }
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
                Ok(sha256) if sha256 == content.sha256 => return Ok(()),
                Ok(_) => {}
                Err(ContentsError::Altered(_)) if attempt == 0 => {}
                Err(error) => return Err(error),
            }
            if let Some(range) = &content.archive {
                self.groups.forget(range);
            }
        }
        Err(ContentsError::Altered(self.key(entry, content)))
    }

    fn read_once(
        &self,
        entry: &Entry,
        content: &Content,
        take: &mut impl FnMut(u64, &[u8]) -> Result<(), Errno>,
    ) -> Result<[u8; 32], ContentsError> {
        let size = entry.metadata.size;
        let mut hasher = Sha256::new();
        let mut at = 0;
        let mut take = |bytes: &[u8]| -> Result<(), ContentsError> {
            hasher.update(bytes);
            take(at, bytes)?;
            at += bytes.len() as u64;
            Ok(())
        };
        match content.archive.as_deref() {
            None => {
                let key = self.key(entry, content);
                self.plain(key, 0, size, &mut take)?;
            }
            Some(range) if range.codec == Codec::None => {
                self.plain(range.key.to_string(), range.offset, size, &mut take)?;
            }
            Some(range) if groups::is_group(range, size) => {
                let mut decompressor = self.decompressors.take()?;
                let group = self.groups.get(self, range, &mut decompressor)?;
                let bytes = usize::try_from(range.skip)
                    .ok()
                    .zip(usize::try_from(range.skip.saturating_add(size)).ok())
                    .and_then(|(from, to)| group.get(from..to));
                take(bytes.ok_or_else(|| ContentsError::Altered(range.key.to_string()))?)?;
            }
            Some(range) => self.decompressed(range, size, &mut take)?,
        }
        Ok(hasher.finalize().into())
    }

    /// Bytes of an object as they are.
    fn plain(
        &self,
        key: String,
        offset: u64,
        size: u64,
        take: &mut impl FnMut(&[u8]) -> Result<(), ContentsError>,
    ) -> Result<(), ContentsError> {
        let mut ahead = Ahead::of(self, key, offset..offset.saturating_add(size));
        while let Some((bytes, _memory)) = ahead.fetch()? {
            take(&bytes)?;
        }
        Ok(())
    }

    /// A large file out of a compressed archive.
    fn decompressed(
        &self,
        range: &ArchiveRange,
        size: u64,
        take: &mut impl FnMut(&[u8]) -> Result<(), ContentsError>,
    ) -> Result<(), ContentsError> {
        let mut decompressor = self.decompressors.take()?;
        let mut ahead = Ahead::of_range(self, range);
        let result: std::io::Result<_> = (|| {
            let mut decoder = decompressor.read(range.codec, &mut ahead);
            std::io::copy(&mut decoder.by_ref().take(range.skip), &mut std::io::sink())?;
            let mut buffer = vec![0; PIECE_BYTES];
            let mut left = size;
            while left > 0 {
                let most = usize::try_from(left)
                    .unwrap_or(PIECE_BYTES)
                    .min(PIECE_BYTES);
                let length = decoder.read(&mut buffer[..most])?;
                if length == 0 {
                    return Ok(Err(ContentsError::Altered(range.key.to_string())));
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
            Err(_) => Err(ahead.failure(range)),
        }
    }
}
