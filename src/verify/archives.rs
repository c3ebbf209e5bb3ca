//! Archives: each is looked at once for all files in it, and read back once, with what lies between
//! the files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crc_fast::CrcAlgorithm::Crc64Nvme;
use tokio::runtime::Handle;

use super::{FOREIGN, Finding, size_problem};
use crate::contents::Observer;
use crate::manifest::archive::{ArchiveRange, ArchiveRef};
use crate::manifest::pass_id::PassId;
use crate::manifest::snapshot::Snapshot;
use crate::store::{Store, StoreError, StoreErrorKind};

/// Read at a time.
const RANGE_BYTES: u64 = 8 << 20;

/// What is wrong with an archive all files of which are as they should be.
const ALTERED: &str = "altered, outside of what files need of it: its CRC-64 is another one";

/// How an archive looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Good,
    /// Good as far as its length says; the store keeps no checksum.
    ByLength,
    Missing,
    /// It has so many bytes, which is not how many it should have.
    Size(u64),
    /// The store's checksum is another one.
    Altered,
    /// The store's checksum is of another kind.
    Foreign,
    /// The commit record does not say what it should be.
    Unlisted,
}

/// Ranges that were read: by offset, length and CRC-64/NVME.
type Ranges = BTreeMap<u64, (u64, u64)>;

/// The archives of a snapshot.
pub(super) struct Archives {
    store: Arc<dyn Store>,
    runtime: Handle,
    listed: HashMap<Box<str>, ArchiveRef>,
    looks: Mutex<HashMap<Box<str>, Look>>,
    read: Arc<Mutex<HashMap<Box<str>, Ranges>>>,
}

impl Archives {
    pub(super) fn of(store: &Arc<dyn Store>, snapshot: &Snapshot, runtime: Handle) -> Self {
        let listed = snapshot.archives.iter();
        Self {
            store: Arc::clone(store),
            runtime,
            listed: listed.map(|a| (a.key.clone(), a.clone())).collect(),
            looks: Mutex::default(),
            read: Arc::default(),
        }
    }

    /// Archives looked at from outside or read.
    pub(super) fn looked_at(&self) -> u64 {
        let looks = self.looks.lock().expect("nothing panics holding this");
        let read = self.read.lock().expect("nothing panics holding this");
        let only_read = read.keys().filter(|key| !looks.contains_key(*key));
        (looks.len() + only_read.count()) as u64
    }

    /// Archives of which only the length could be compared.
    pub(super) fn by_length_only(&self) -> u64 {
        let looks = self.looks.lock().expect("nothing panics holding this");
        looks
            .values()
            .filter(|look| **look == Look::ByLength)
            .count() as u64
    }

    /// What is wrong with a range that `pass` has recorded, as far as the store knows.
    pub(super) fn problem(
        &self,
        range: &ArchiveRange,
        pass: PassId,
    ) -> Result<Option<String>, StoreError> {
        let known = {
            let looks = self.looks.lock().expect("nothing panics holding this");
            looks.get(&range.key).copied()
        };
        let look = match known {
            Some(look) => look,
            None => {
                let look = self.look(&range.key)?;
                let mut looks = self.looks.lock().expect("nothing panics holding this");
                looks.insert(range.key.clone(), look);
                look
            }
        };
        let listed = self.listed.get(&range.key);
        let size = listed.map_or(0, |archive| archive.size);
        let end = range.offset.saturating_add(range.length);
        Ok(match look {
            Look::Good | Look::ByLength if listed.is_some_and(|archive| archive.pass != pass) => {
                Some("recorded by another pass than the one that wrote its archive".to_owned())
            }
            Look::Good | Look::ByLength if end > size => {
                Some(format!("ends at byte {end} of its archive, which has {size}"))
            }
            Look::Good | Look::ByLength => None,
            Look::Missing => Some("its archive is missing".to_owned()),
            Look::Size(found) if end <= found && found < size => None,
            Look::Size(found) => Some(format!("its archive is {}", size_problem(size, found))),
            Look::Altered => Some(
                "its archive is altered: the store's checksum is another one; `--read` tells which files it costs"
                    .to_owned(),
            ),
            Look::Foreign => Some(format!("its archive was {FOREIGN}")),
            Look::Unlisted => Some("its archive is not in the commit record".to_owned()),
        })
    }

    fn look(&self, key: &str) -> Result<Look, StoreError> {
        let Some(archive) = self.listed.get(key) else {
            return Ok(Look::Unlisted);
        };
        let info = match self.runtime.block_on(self.store.head(key)) {
            Ok(info) => info,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(Look::Missing),
            Err(error) => return Err(error),
        };
        if info.size != archive.size {
            return Ok(Look::Size(info.size));
        }
        let crc64nvme = u64::from_str_radix(&archive.crc64nvme, 16).ok();
        let sha256 = info.sha256.map(hex::encode);
        let is_other = info.crc64nvme.is_some_and(|crc| Some(crc) != crc64nvme)
            || (sha256.is_some() && archive.sha256.is_some() && sha256 != archive.sha256);
        Ok(match (is_other, info.crc64nvme, info.sha256) {
            (true, ..) => Look::Altered,
            (false, None, None) if info.has_foreign_checksum => Look::Foreign,
            (false, None, None) => Look::ByLength,
            (false, ..) => Look::Good,
        })
    }

    /// Notes what is read out of archives.
    pub(super) fn observer(&self) -> Observer {
        let read = Arc::clone(&self.read);
        let listed: HashSet<_> = self.listed.keys().cloned().collect();
        Box::new(move |key, offset, bytes| {
            if !listed.contains(key) {
                return;
            }
            let crc = crc_fast::checksum(Crc64Nvme, bytes);
            let mut read = read.lock().expect("nothing panics holding this");
            let ranges = match read.get_mut(key) {
                Some(ranges) => ranges,
                None => read.entry(key.into()).or_default(),
            };
            ranges.insert(offset, (bytes.len() as u64, crc));
        })
    }

    /// Reads of each archive what its files had no need of, and checks the archive as a whole.
    pub(super) fn read_the_rest(&self) -> Result<Vec<Finding>, StoreError> {
        let mut read = std::mem::take(&mut *self.read.lock().expect("nothing panics holding this"));
        let mut findings = Vec::new();
        for (key, archive) in &self.listed {
            // An archive of nothing but directories and empty files is read as a whole here.
            let ranges = read.remove(key).unwrap_or_default();
            let problem = match self.look(key)? {
                Look::Missing => "missing".to_owned(),
                Look::Size(found) => size_problem(archive.size, found),
                _ => match self.whole(archive, &ranges) {
                    Ok(crc) if format!("{crc:016x}") == archive.crc64nvme => continue,
                    Ok(_) => ALTERED.to_owned(),
                    Err(error) => match error.kind {
                        StoreErrorKind::Archived(says) => format!("archived ({says}); not read"),
                        _ => return Err(error),
                    },
                },
            };
            findings.push(Finding {
                path: ".".to_owned(),
                key: key.to_string(),
                problem,
            });
        }
        Ok(findings)
    }

    /// CRC-64/NVME of a whole archive, ranges of which were read.
    fn whole(&self, archive: &ArchiveRef, ranges: &Ranges) -> Result<u64, StoreError> {
        let (mut crc, mut at) = (0, 0);
        let mut add = |part: u64, length: u64| {
            crc = crc_fast::checksum_combine(Crc64Nvme, crc, part, length);
        };
        let ends = ranges.iter().map(|(offset, range)| (*offset, Some(*range)));
        for (offset, range) in ends.chain([(archive.size, None)]) {
            while at < offset {
                let end = offset.min(at + RANGE_BYTES);
                let bytes = self
                    .runtime
                    .block_on(self.store.get_range(&archive.key, at..end))?;
                add(crc_fast::checksum(Crc64Nvme, &bytes), end - at);
                at = end;
            }
            if let Some((length, part)) = range
                && at == offset
            {
                add(part, length);
                at += length;
            }
        }
        Ok(crc)
    }
}
