//! A range of an object, fetched in several smaller ones ahead of whoever reads it.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::{Contents, ContentsError};
use crate::format::location::Member;
use crate::memory::regions;
use crate::store::StoreResult;

/// Fetched at a time, and so the most that one request for contents asks for.
pub const RANGE_BYTES: u64 = 8 << 20;

/// A part of the range on its way.
type Fetch = (u64, JoinHandle<(StoreResult<Bytes>, OwnedSemaphorePermit)>);

pub(super) struct Ahead<'a> {
    contents: &'a Contents,
    key: String,
    /// What has not been asked for yet.
    left: Range<u64>,
    fetches: VecDeque<Fetch>,
    /// What is being read, for readers of a stream; its memory is in use until the next.
    current: Option<(Bytes, OwnedSemaphorePermit)>,
    failure: Option<ContentsError>,
}

impl<'a> Ahead<'a> {
    pub(super) fn of(contents: &'a Contents, key: String, range: Range<u64>) -> Self {
        Self {
            contents,
            key,
            left: range,
            fetches: VecDeque::new(),
            current: None,
            failure: None,
        }
    }

    pub(super) fn of_member(contents: &'a Contents, key: &str, member: &Member) -> Self {
        Self::of(contents, key.to_owned(), member.offset..member.end())
    }

    /// The next bytes, and the memory they take; `None` at the end.
    pub(super) fn fetch(&mut self) -> Result<Option<(Bytes, OwnedSemaphorePermit)>, ContentsError> {
        let contents = self.contents;
        // Ask for as much ahead as memory allows without waiting, and for one range in any case.
        while !self.left.is_empty() {
            let end = self.left.start.saturating_add(RANGE_BYTES);
            let range = self.left.start..self.left.end.min(end);
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let length = regions::taken(length);
            let memory = match self.fetches.is_empty() {
                true => contents.memory.take_bytes(length).ok(),
                false => contents.memory.try_take_bytes(length),
            };
            let Some(memory) = memory else { break };
            self.left.start = range.end;
            let (store, key) = (Arc::clone(&contents.store), self.key.clone());
            let offset = range.start;
            let fetch = async move { (store.get_range(&key, range).await, memory) };
            self.fetches
                .push_back((offset, contents.runtime.spawn(fetch)));
        }
        let Some((offset, first)) = self.fetches.pop_front() else {
            return Ok(None);
        };
        if contents.stop.is_set() {
            return Err(ContentsError::Stopped);
        }
        let fetched = contents.runtime.block_on(first);
        let (bytes, memory) = fetched.map_err(|_| ContentsError::Stopped)?;
        let bytes = bytes?;
        if let Some(observer) = &contents.observer {
            observer(&self.key, offset, &bytes);
        }
        Ok(Some((bytes, memory)))
    }

    /// What a failure to decompress means.
    pub(super) fn failure(self) -> ContentsError {
        let key = self.key;
        self.failure.unwrap_or(ContentsError::Altered(key))
    }
}

impl BufRead for Ahead<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let is_used_up = self
            .current
            .as_ref()
            .is_none_or(|(bytes, _)| bytes.is_empty());
        if is_used_up {
            self.current = None;
            match self.fetch() {
                Ok(current) => self.current = current,
                Err(error) => {
                    let told = io::Error::other(error.to_string());
                    self.failure = Some(error);
                    return Err(told);
                }
            }
        }
        Ok(self.current.as_ref().map_or(&[], |(bytes, _)| bytes))
    }

    fn consume(&mut self, amount: usize) {
        if let Some((bytes, _)) = &mut self.current {
            bytes.advance(amount);
        }
    }
}

impl Read for Ahead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}
