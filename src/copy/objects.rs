//! Carrying one object: read from one store, checked against what was recorded, written to the other.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::by_store::{ByStore, Handover};
use super::need::Need;
use super::not_carried::NotCarried;
use crate::memory::budget::Budget;
use crate::store::{
    Condition, Length, NewObject, ObjectInfo, Placement, Store, StoreError, StoreErrorKind, Tags,
    Uploader, WHOLE_BYTES,
};

/// Read at a time of an object that goes in parts. Less than any part, so that the uploader puts parts together
/// in memory of its budget.
const PIECE_BYTES: u64 = 4 << 20;

/// Objects in parts that are carried at once; each takes a piece, and the part that is being put together.
pub(super) const LARGE_AT_ONCE: usize = 4;

/// How often an object is read that is not what was recorded: it may be damaged on the way.
const READS: usize = 2;

/// What became of an object.
pub(super) enum Brought {
    /// It was carried; so many bytes.
    Carried(u64),
    /// The store has taken it from the other one; so many bytes.
    ByStore(u64),
    /// It was there.
    There,
}

/// Carries objects, in so much memory and so many requests.
pub(super) struct Carrier {
    pub(super) from: Arc<dyn Store>,
    pub(super) to: Arc<dyn Store>,
    pub(super) memory: Budget,
    pub(super) requests: Budget,
    /// For objects that go in parts.
    pub(super) large: Semaphore,
    pub(super) by_store: Arc<ByStore>,
    /// When a put may take effect.
    pub(super) condition: Condition,
    /// How what is put is kept.
    pub(super) placement: Placement,
}

impl Carrier {
    pub(super) async fn carry(
        &self,
        need: &Need,
        may_be_there: bool,
    ) -> Result<Brought, NotCarried> {
        if may_be_there && self.is_there(need).await? {
            return Ok(Brought::There);
        }
        let by_store = self.by_store(need).await;
        let is_different = matches!(by_store, Ok(Handover::Different));
        let copied = Some(Brought::ByStore(need.size));
        let mut brought = by_store.map(|by_store| copied.filter(|_| by_store == Handover::Copied));
        let mut reads = 0;
        loop {
            match brought {
                Ok(Some(brought)) => {
                    if is_different {
                        // It is not damaged.
                        self.by_store.disbelieve();
                    }
                    return Ok(brought);
                }
                // Somebody has brought it just now, or an answer was lost.
                Err(NotCarried::Store(error))
                    if error.kind == StoreErrorKind::PreconditionFailed
                        && self.is_there(need).await? =>
                {
                    return Ok(Brought::There);
                }
                Err(error) => return Err(error),
                Ok(None) if reads == READS => {
                    return Err(NotCarried::Wrong(
                        "is not what was recorded: damaged in the store that is copied",
                    ));
                }
                Ok(None) => {}
            }
            reads += 1;
            brought = self.carry_once(need).await;
        }
    }

    /// Puts an object back that is damaged or missing, if the other store has what was recorded.
    pub(super) async fn put_back(&self, need: &Need) -> Result<bool, NotCarried> {
        for _ in 0..READS {
            if self.carry_once(need).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// As a pass sends it, and so with the same checksum, by which `verify` compares it.
    async fn carry_once(&self, need: &Need) -> Result<Option<Brought>, NotCarried> {
        let is_whole = need.size <= WHOLE_BYTES && need.crc64nvme.is_none();
        match is_whole {
            true => self.carry_whole(need).await,
            false => self.carry_in_parts(need).await,
        }
    }

    /// Leaves an object to the stores, if they can do it.
    async fn by_store(&self, need: &Need) -> Result<Handover, NotCarried> {
        if !self.by_store.may_copy(need) {
            return Ok(Handover::NotCopied);
        }
        let turn = self.large.acquire().await;
        let _turn = turn.map_err(|_| NotCarried::Stopped)?;
        let placement = self.placement_of(need).await?;
        let copied = (self.by_store).copy((&self.from, &self.to), need, &placement, &self.requests);
        copied.await
    }

    /// How an object is kept: the copy of one with all that it has besides its bytes, where both stores keep that.
    async fn placement_of(&self, need: &Need) -> Result<Placement, NotCarried> {
        let keeps = need.has_headers && self.to.copies().is_some();
        let Some(copies) = self.from.copies().filter(|_| keeps) else {
            return Ok(self.placement.clone());
        };
        let described = match copies.describe(&need.key, Tags::Keep).await {
            // Where tags were not copied, nobody need be allowed to see them.
            Err(StoreError {
                kind: StoreErrorKind::AccessDenied(_),
                ..
            }) => copies.describe(&need.key, Tags::Ignore).await,
            described => described,
        };
        let mut headers = described?.headers;
        let mut placement = self.placement.clone();
        placement.tags.append(&mut headers.tags);
        placement.headers = Some(Box::new(headers));
        Ok(placement)
    }

    /// Whether the object is there, to stay. Another one under its key is an error. It is read where its store knows
    /// no more of it than its length, as a directory does.
    async fn is_there(&self, need: &Need) -> Result<bool, NotCarried> {
        let info = match self.to.head(&need.key).await {
            Ok(info) => info,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.to.make_durable(&need.key).await?;
        let is_same = match need.compare(&info) {
            Some(is_same) => is_same,
            None => self.is_same_there(need).await?,
        };
        match is_same {
            true => Ok(true),
            false => Err(NotCarried::Wrong(
                "is another one in the store that it is copied to",
            )),
        }
    }

    /// Reads an object of the right length where it is to be copied to.
    pub(super) async fn is_same_there(&self, need: &Need) -> Result<bool, NotCarried> {
        let stopped = |_| NotCarried::Stopped;
        for _ in 0..READS {
            let mut digests = Digests::of(need);
            for range in pieces(need.size) {
                let length = usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX);
                let _memory = self.memory.bytes(length).await.map_err(stopped)?;
                let _request = self.requests.one().await.map_err(stopped)?;
                digests.add(&self.to.get_range(&need.key, range).await?);
            }
            if digests.finish(need).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads an object, and writes it if it is what was recorded; otherwise nothing has become of it.
    async fn carry_whole(&self, need: &Need) -> Result<Option<Brought>, NotCarried> {
        let length = usize::try_from(need.size).map_err(|_| NotCarried::Wrong("is too large"))?;
        let stopped = |_| NotCarried::Stopped;
        let _memory = self.memory.bytes(length).await.map_err(stopped)?;
        let _request = self.requests.one().await.map_err(stopped)?;
        let bytes = self.from.get_range(&need.key, 0..need.size).await?;
        let mut digests = Digests::of(need);
        digests.add(&bytes);
        let Some(sha256) = digests.finish(need) else {
            return Ok(None);
        };
        let (condition, placement) = (&self.condition, &self.placement_of(need).await?);
        let put = (self.to).put_content(&need.key, bytes, sha256, condition, placement);
        put.await?;
        Ok(Some(Brought::Carried(need.size)))
    }

    async fn carry_in_parts(&self, need: &Need) -> Result<Option<Brought>, NotCarried> {
        let turn = self.large.acquire().await;
        let _turn = turn.map_err(|_| NotCarried::Stopped)?;
        let to = Arc::clone(&self.to);
        let uploader = Uploader::within(to, self.memory.clone(), self.requests.clone());
        let mut writer = uploader.begin(NewObject {
            key: need.key.clone(),
            condition: self.condition.clone(),
            placement: self.placement_of(need).await?,
            length: Length::Known(need.size),
            with_sha256: false,
        });
        let mut digests = Digests::of(need);
        let read = async {
            for range in pieces(need.size) {
                let bytes = self.from.get_range(&need.key, range).await?;
                digests.add(&bytes);
                writer.write(bytes).await?;
            }
            Ok::<_, NotCarried>(())
        };
        let carried = match read.await {
            // Nothing exists before this.
            Ok(()) => match digests.finish(need) {
                Some(_) => (writer.finish().await)
                    .map(|_| Some(Brought::Carried(need.size)))
                    .map_err(NotCarried::from),
                None => Ok(None),
            },
            Err(error) => Err(error),
        };
        if !matches!(carried, Ok(Some(_))) {
            writer.abort().await;
        }
        carried
    }
}

impl Need {
    /// Whether an object is this one, by what its store knows; `None` where that is its length alone.
    fn compare(&self, info: &ObjectInfo) -> Option<bool> {
        fn agree<T: PartialEq>(kept: Option<T>, recorded: Option<T>) -> Option<bool> {
            Some(kept? == recorded?)
        }
        if info.size != self.size {
            return Some(false);
        }
        let by_sha256 = agree(info.sha256, self.sha256);
        let by_crc64nvme = agree(info.crc64nvme, self.crc64nvme);
        by_sha256
            .into_iter()
            .chain(by_crc64nvme)
            .reduce(|a, b| a && b)
    }
}

/// Where pieces of an object of this length begin and end.
fn pieces(size: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..size.div_ceil(PIECE_BYTES)).map(move |index| {
        let start = index * PIECE_BYTES;
        start..size.min(start + PIECE_BYTES)
    })
}

/// What is compared with what was recorded: the SHA-256, where there is one, or the CRC-64/NVME.
struct Digests {
    sha256: Sha256,
    crc64nvme: Option<crc_fast::Digest>,
    size: u64,
}

impl Digests {
    fn of(need: &Need) -> Self {
        let needs_crc = need.sha256.is_none();
        Self {
            sha256: Sha256::new(),
            crc64nvme: needs_crc.then(|| crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme)),
            size: 0,
        }
    }

    fn add(&mut self, bytes: &Bytes) {
        self.sha256.update(bytes);
        if let Some(crc) = &mut self.crc64nvme {
            crc.update(bytes);
        }
        self.size += bytes.len() as u64;
    }

    /// The SHA-256, if everything is as recorded.
    fn finish(self, need: &Need) -> Option<[u8; 32]> {
        let sha256: [u8; 32] = self.sha256.finalize().into();
        let is_same = match (need.sha256, need.crc64nvme) {
            (Some(recorded), _) => sha256 == recorded,
            (None, Some(recorded)) => self.crc64nvme.is_some_and(|crc| crc.finalize() == recorded),
            // Nothing can be compared, so nothing is believed.
            (None, None) => false,
        };
        (is_same && self.size == need.size).then_some(sha256)
    }
}
