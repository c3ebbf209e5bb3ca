//! Checksums of an object while it is written.

use crc_fast::CrcAlgorithm::Crc64Nvme;
use crc_fast::checksum_combine;
use sha2::{Digest as _, Sha256};

/// Hashed at a time, twice: well within the cache of a processor's core.
const STRETCH_BYTES: usize = 64 << 10;

/// Of all bytes so far, and of those that no part holds yet.
pub(super) struct Hashes {
    sha256: Option<Sha256>,
    /// Of the parts that have ended.
    crc64nvme: u64,
    part: crc_fast::Digest,
}

impl Hashes {
    /// Of nothing yet; the SHA-256 only where it is asked for, as it takes fifty times as long.
    pub(super) fn new(with_sha256: bool) -> Self {
        Self {
            sha256: with_sha256.then(Sha256::new),
            crc64nvme: crc_fast::checksum(Crc64Nvme, b""),
            part: crc_fast::Digest::new(Crc64Nvme),
        }
    }

    /// Adds bytes. Each stretch is read from memory once: the CRC, which is by far the faster one, finds
    /// it in the processor's cache.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for stretch in bytes.chunks(STRETCH_BYTES) {
            if let Some(sha256) = &mut self.sha256 {
                sha256.update(stretch);
            }
            self.part.update(stretch);
        }
    }

    /// Ends a part of `length` bytes; its CRC-64/NVME.
    pub(super) fn end_part(&mut self, length: usize) -> u64 {
        let part = std::mem::replace(&mut self.part, crc_fast::Digest::new(Crc64Nvme)).finalize();
        self.crc64nvme = checksum_combine(Crc64Nvme, self.crc64nvme, part, length as u64);
        part
    }

    /// CRC-64/NVME of the parts that have ended.
    pub(super) fn crc64nvme(&self) -> u64 {
        self.crc64nvme
    }

    /// SHA-256 of everything, where it was asked for.
    pub(super) fn sha256(&self) -> Option<[u8; 32]> {
        let sha256 = self.sha256.clone()?;
        Some(sha256.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_to_the_whole() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut hashes = Hashes::new(true);
        for part in bytes.chunks(70_000) {
            for piece in part.chunks(999) {
                hashes.add(piece);
            }
            assert_eq!(
                hashes.end_part(part.len()),
                crc_fast::checksum(Crc64Nvme, part)
            );
        }
        assert_eq!(hashes.crc64nvme(), crc_fast::checksum(Crc64Nvme, &bytes));
        assert_eq!(hashes.sha256(), Some(Sha256::digest(&bytes).into()));
        assert_eq!(Hashes::new(false).sha256(), None);
    }
}
