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
            Self::Crc64Nvme(_) | Self::Nothing => ContentsError::NotVouched(key),
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
            sha256: matches!(expected, Expected::Sha256(_)).then(Sha256::new),
            crc64nvme: matches!(expected, Expected::Crc64Nvme(_))
                .then(|| crc_fast::Digest::new(Crc64Nvme)),
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
        match self.expected {
            Expected::Sha256(sha256) => {
                (self.sha256).is_some_and(|hasher| hasher.finalize()[..] == sha256)
            }
            Expected::Crc64Nvme(crc) => {
                (self.crc64nvme).is_some_and(|hasher| hasher.finalize() == crc)
            }
            Expected::Nothing => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_compared_by_what_is_known_of_them() {
        let sha256 = Sha256::digest(b"contents").into();
        let crc = crc_fast::checksum(Crc64Nvme, b"contents");
        for expected in [Expected::Sha256(sha256), Expected::Crc64Nvme(crc)] {
            assert!(expected.is_met_by(b"contents"), "{expected:?}");
            assert!(!expected.is_met_by(b"content"), "{expected:?}");
            assert!(!expected.is_met_by(b""), "{expected:?}");
        }
        assert!(Expected::Nothing.is_met_by(b"anything"));
    }
}
