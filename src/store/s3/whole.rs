//! What an object that is sent in parts has to come to, and whether the store says that it does.

use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadOutput;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use crate::format::abilities::ChecksumOfParts;
use crate::format::location::Checksum;
use crate::store::{ETag, ObjectInfo, UploadedPart};

/// An object, as it should be once its parts have become one.
pub(super) struct Whole {
    pub(super) checksum: Checksum,
    size: u64,
    parts: usize,
}

/// What the store says of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It is the object that was sent.
    Same,
    /// It is another one.
    Other,
    /// Its length is right, and there is no checksum to compare.
    Unchecked,
}

impl Whole {
    pub(super) fn of(
        kept: ChecksumOfParts,
        parts: &[UploadedPart],
        (size, crc64nvme): (u64, u64),
    ) -> Self {
        Self {
            checksum: match kept {
                ChecksumOfParts::Crc64Nvme => Checksum::Crc64Nvme(crc64nvme),
                ChecksumOfParts::Sha256 => Checksum::Sha256OfParts(sha256_of(parts)),
                ChecksumOfParts::None => Checksum::None,
            },
            size,
            parts: parts.len(),
        }
    }

    /// Whether the answer that completes the upload has the checksum.
    pub(super) fn is_reported(&self, answer: &CompleteMultipartUploadOutput) -> bool {
        match self.checksum {
            Checksum::Crc64Nvme(crc) => {
                answer.checksum_crc64_nvme.as_deref() == Some(&encode_crc(crc))
            }
            Checksum::Sha256OfParts(sha256) => {
                let reported = answer.checksum_sha256.as_deref().and_then(of_parts);
                reported == Some(sha256)
            }
            Checksum::Sha256(_) | Checksum::None => false,
        }
    }

    /// Compares with what the store knows of the object.
    pub(super) fn compare(&self, info: &ObjectInfo) -> Sight {
        let is_same = match self.checksum {
            _ if info.size != self.size => Some(false),
            Checksum::Crc64Nvme(crc) => info.crc64nvme.map(|kept| kept == crc),
            Checksum::Sha256OfParts(sha256) => info.sha256_of_parts.map(|kept| kept == sha256),
            Checksum::Sha256(_) | Checksum::None => None,
        };
        match is_same {
            Some(true) => Sight::Same,
            Some(false) => Sight::Other,
            None => Sight::Unchecked,
        }
    }

    /// Whether an entity tag is that of an object of so many parts, as S3 and most others make them.
    pub(super) fn has_parts(&self, etag: &ETag) -> bool {
        etag.bare().ends_with(&format!("-{}", self.parts))
    }
}

fn sha256_of(parts: &[UploadedPart]) -> [u8; 32] {
    let mut sha256 = Sha256::new();
    for part in parts {
        sha256.update(part.sha256.expect("such parts are sent with it"));
    }
    sha256.finalize().into()
}

/// The SHA-256 of parts, as S3 has it: in Base64, `-` and their number at the end. Some leave that out.
pub(super) fn of_parts(text: &str) -> Option<[u8; 32]> {
    let digest = text.split_once('-').map_or(text, |(digest, _)| digest);
    BASE64_STANDARD.decode(digest).ok()?.try_into().ok()
}

pub(super) fn encode_crc(crc: u64) -> String {
    BASE64_STANDARD.encode(crc.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(etag: &str) -> ObjectInfo {
        ObjectInfo {
            size: 3,
            etag: ETag(etag.to_owned()),
            sha256: None,
            crc64nvme: None,
            sha256_of_parts: None,
            has_foreign_checksum: false,
            is_archived: false,
        }
    }

    #[test]
    fn what_is_kept_decides() {
        let part = UploadedPart {
            number: 1,
            etag: ETag("e".to_owned()),
            crc64nvme: 7,
            sha256: Some([1; 32]),
        };
        let whole = |kept| Whole::of(kept, std::slice::from_ref(&part), (3, 7));
        let sha256_of_parts = Some(Sha256::digest([1; 32]).into());
        let crc = whole(ChecksumOfParts::Crc64Nvme);
        let sha256 = whole(ChecksumOfParts::Sha256);
        let nothing = whole(ChecksumOfParts::None);
        let with_crc = |crc64nvme| ObjectInfo {
            crc64nvme,
            ..info("\"x-1\"")
        };
        assert_eq!(crc.compare(&with_crc(Some(7))), Sight::Same);
        assert_eq!(crc.compare(&with_crc(Some(8))), Sight::Other);
        assert_eq!(crc.compare(&with_crc(None)), Sight::Unchecked);
        let composite = ObjectInfo {
            sha256_of_parts,
            ..info("x")
        };
        assert_eq!(sha256.compare(&composite), Sight::Same);
        assert_eq!(crc.compare(&composite), Sight::Unchecked);
        assert_eq!(nothing.compare(&with_crc(Some(8))), Sight::Unchecked);
        for (etag, has_one) in [
            ("\"x-1\"", true),
            ("x-1", true),
            ("x", false),
            ("x-11", false),
        ] {
            assert_eq!(nothing.has_parts(&ETag(etag.to_owned())), has_one, "{etag}");
        }
        let longer = ObjectInfo {
            size: 4,
            ..with_crc(Some(7))
        };
        assert_eq!(crc.compare(&longer), Sight::Other);
    }

    #[test]
    fn a_digest_of_digests_is_read_with_and_without_their_number() {
        let digest = BASE64_STANDARD.encode([9; 32]);
        assert_eq!(of_parts(&digest), Some([9; 32]));
        assert_eq!(of_parts(&format!("{digest}-12")), Some([9; 32]));
        assert_eq!(of_parts("AAAA-1"), None);
    }
}
