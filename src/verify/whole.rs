//! Reading an archive as a whole: what lies between and after its files, too.

use crc_fast::CrcAlgorithm::Crc64Nvme;
use tokio::runtime::Handle;

use super::fetched::Pieces;
use super::report::{FindingKind, Problem};
use crate::format::objects::SharedObject;
use crate::stop::Stop;
use crate::store::{Store, StoreError, StoreErrorKind};

/// Read at a time.
const RANGE_BYTES: u64 = 8 << 20;

/// What reading it as a whole has shown.
pub(super) enum Whole {
    /// It is as it was sent.
    Sound,
    Wrong(Problem),
    /// The store does not give it out for the time being.
    Archived,
    /// The command is being stopped.
    Stopped,
}

/// One look at all bytes of an archive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Crc(u64),
    /// The store sends fewer bytes than were asked for.
    Short,
}

pub(super) struct Reader<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) runtime: &'a Handle,
    pub(super) stop: &'a Stop,
}

impl Reader<'_> {
    /// Reads what is missing from `pieces`, and checks the archive as a whole.
    ///
    /// Where that is wrong, the same is fetched once more, then everything: a piece may be damaged
    /// without a file in it noticing. What two reads agree on is what the store has.
    pub(super) fn read(
        &self,
        archive: &SharedObject,
        pieces: &Pieces,
    ) -> Result<Whole, StoreError> {
        let nothing = Pieces::new();
        let mut seen = Vec::new();
        for known in [pieces, pieces, &nothing, &nothing] {
            let read = match self.checksum(archive, known) {
                Ok(Some(crc)) => Read::Crc(crc),
                Ok(None) => return Ok(Whole::Stopped),
                Err(error) => match error.kind {
                    StoreErrorKind::TooShort => Read::Short,
                    StoreErrorKind::Archived(_) => return Ok(Whole::Archived),
                    StoreErrorKind::NotFound => return Ok(Whole::Wrong(Problem::missing())),
                    _ => return Err(error),
                },
            };
            let is_known_wrong = known.is_empty() && seen.contains(&read);
            match read {
                Read::Crc(crc) if format!("{crc:016x}") == archive.crc64nvme => {
                    return Ok(Whole::Sound);
                }
                Read::Crc(crc) if is_known_wrong => return Ok(Whole::Wrong(altered(archive, crc))),
                Read::Short if is_known_wrong => return Ok(Whole::Wrong(Problem::cut_short())),
                _ => seen.push(read),
            }
        }
        Ok(Whole::Wrong(Problem::unsteady()))
    }

    /// CRC-64/NVME of a whole archive, pieces of which were read. `None` if the command is being
    /// stopped.
    fn checksum(&self, archive: &SharedObject, known: &Pieces) -> Result<Option<u64>, StoreError> {
        let (mut crc, mut at) = (0, 0);
        let mut add = |part: u64, length: u64| {
            crc = crc_fast::checksum_combine(Crc64Nvme, crc, part, length);
        };
        let ends = known.iter().map(|(offset, piece)| (*offset, Some(*piece)));
        for (offset, piece) in ends.chain([(archive.size, None)]) {
            while at < offset {
                if self.stop.is_set() {
                    return Ok(None);
                }
                let end = offset.min(at + RANGE_BYTES);
                let range = self.store.get_range(&archive.key, at..end);
                let bytes = self.runtime.block_on(range)?;
                add(crc_fast::checksum(Crc64Nvme, &bytes), end - at);
                at = end;
            }
            if let Some(piece) = piece
                && at == offset
            {
                add(piece.crc64nvme, piece.length);
                at += piece.length;
            }
        }
        Ok(Some(crc))
    }
}

fn altered(archive: &SharedObject, read: u64) -> Problem {
    let text = format!(
        "altered outside of its files: CRC-64/NVME mismatch: recorded {}, read {read:016x}",
        archive.crc64nvme
    );
    Problem::new(FindingKind::Altered, text)
}
