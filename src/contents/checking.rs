//! Whether contents that were read are those that were recorded: by their SHA-256, or, where nobody has ever read
//! them, by what the store has vouched for.

use crc_fast::CrcAlgorithm::Crc64Nvme;
use sha2::{Digest as _, Sha256};

use super::ContentsError;
use crate::format::entry::{Content, Digest};
use crate::format::location::{Checksum, Location};

/// What contents have to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// This SHA-256.
    Sha256([u8; 32]),
    /// This CRC-64/NVME: the store has computed it of a copy that it has made.
    Crc64Nvme(u64),
    /// This SHA-256 of what was read of such a copy later, and what the store has vouched for all the same.
    AsRead {
        /// What was read.
        sha256: [u8; 32],
        /// What the store had computed before, where it had.
        crc64nvme: Option<u64>,
    },
    /// Nothing is known but their length, and whose version they are.
    Nothing,
}

/// Takes contents in, and says whether they are as expected.
pub struct Check {
    expected: Expected,
    sha256: Option<Sha256>,
    crc64nvme: Option<crc_fast::Digest>,
}

impl Expected {
    /// What contents of an entry have to come to.
    #[must_use]
    pub fn of(content: &Content) -> Self {
        let checksum = match &content.location {
            Location::Object(stored) => stored.checksum,
            Location::Inline | Location::Member(_) => Checksum::None,
        };
        match (content.digest, checksum) {
            (Digest::ReadSince(sha256), checksum) => Self::AsRead {
                sha256,
                crc64nvme: match checksum {
                    Checksum::Crc64Nvme(crc64nvme) => Some(crc64nvme),
                    Checksum::Sha256(_) | Checksum::Sha256OfParts(_) | Checksum::None => None,
                },
            },
            (Digest::Sha256(sha256), _) | (Digest::Vouched, Checksum::Sha256(sha256)) => {
                Self::Sha256(sha256)
            }
            (Digest::Vouched, Checksum::Crc64Nvme(crc)) => Self::Crc64Nvme(crc),
            (Digest::Vouched, Checksum::Sha256OfParts(_) | Checksum::None) => Self::Nothing,
        }
    }

    /// That contents of this object were something else.
    #[must_use]
    pub(super) fn failed(self, key: String) -> ContentsError {
        match self {
            Self::Sha256(_) => ContentsError::Altered(key),
            Self::AsRead {
                crc64nvme: None, ..
            } => ContentsError::NotAsRead(key),
            // Whatever damages bytes changes both.
            Self::AsRead { .. } | Self::Crc64Nvme(_) | Self::Nothing => {
                ContentsError::NotVouched(key)
            }
        }
    }

    /// SHA-256, where that is known.
    #[must_use]
    pub fn sha256(self) -> Option<[u8; 32]> {
        match self {
            Self::Sha256(sha256) | Self::AsRead { sha256, .. } => Some(sha256),
            Self::Crc64Nvme(_) | Self::Nothing => None,
        }
    }

    /// CRC-64/NVME, where that is known.
    #[must_use]
    pub fn crc64nvme(self) -> Option<u64> {
        match self {
            Self::Crc64Nvme(crc64nvme) => Some(crc64nvme),
            Self::AsRead { crc64nvme, .. } => crc64nvme,
            Self::Sha256(_) | Self::Nothing => None,
        }
    }

    /// Whether these are all of the contents.
    #[must_use]
    pub fn is_met_by(self, bytes: &[u8]) -> bool {
        let mut check = Check::of(self);
        check.add(bytes);
        check.is_met()
    }
}

impl Check {
    /// Of nothing yet.
    #[must_use]
    pub fn of(expected: Expected) -> Self {
        Self {
            expected,
            sha256: expected.sha256().map(|_| Sha256::new()),
            crc64nvme: (expected.crc64nvme()).map(|_| crc_fast::Digest::new(Crc64Nvme)),
        }
    }

    /// Takes the next bytes in.
    pub fn add(&mut self, bytes: &[u8]) {
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(crc) = &mut self.crc64nvme {
            crc.update(bytes);
        }
    }

    /// Whether that was what was expected.
    #[must_use]
    pub fn is_met(self) -> bool {
        let sha256 = self.sha256.map(|hasher| hasher.finalize().into());
        let crc64nvme = self.crc64nvme.map(|hasher| hasher.finalize());
        (sha256, crc64nvme) == (self.expected.sha256(), self.expected.crc64nvme())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_compared_by_what_is_known_of_them() {
        let sha256 = Sha256::digest(b"contents").into();
        let crc = crc_fast::checksum(Crc64Nvme, b"contents");
        let read = |sha256, crc64nvme| Expected::AsRead { sha256, crc64nvme };
        for expected in [
            Expected::Sha256(sha256),
            Expected::Crc64Nvme(crc),
            read(sha256, Some(crc)),
            read(sha256, None),
        ] {
            assert!(expected.is_met_by(b"contents"), "{expected:?}");
            assert!(!expected.is_met_by(b"content"), "{expected:?}");
            assert!(!expected.is_met_by(b""), "{expected:?}");
        }
        assert!(!read(sha256, Some(crc ^ 1)).is_met_by(b"contents"));
        assert!(!read([0; 32], Some(crc)).is_met_by(b"contents"));
        assert!(Expected::Nothing.is_met_by(b"anything"));
    }
}
