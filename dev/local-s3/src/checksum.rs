//! S3's additional checksums: the algorithms, their values, and what a request claims about its
//! body.
//!
//! An object has exactly one checksum; AWS adds CRC64NVME where the client sent none (S3 user
//! guide, "Checking object integrity in Amazon S3"). The algorithms AWS added in 2026 are not known
//! here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

/// The algorithm of a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChecksumAlgorithm {
    /// CRC-32 as in zlib.
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME, the default.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl ChecksumAlgorithm {
    pub(crate) const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// The name as `x-amz-checksum-algorithm` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The request and response header that carries a value of this algorithm.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The name as AWS's error messages have it.
    pub(crate) fn lower_name(self) -> String {
        self.name().to_ascii_lowercase()
    }

    pub(crate) fn parse(name: &str) -> S3Result<Self> {
        let found = Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            s3_error!(
                InvalidRequest,
                "Checksum algorithm provided is unsupported. Please try again with any of the \
                 valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
            )
        })
    }

    /// The digest of `bytes`, as S3 encodes it: big-endian, not yet in base64.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Crc32 => Crc32::checksum(bytes).to_vec(),
            Self::Crc32c => Crc32c::checksum(bytes).to_vec(),
            Self::Crc64Nvme => Crc64Nvme::checksum(bytes).to_vec(),
            Self::Sha1 => Sha1::checksum(bytes).to_vec(),
            Self::Sha256 => Sha256::checksum(bytes).to_vec(),
        }
    }

    fn digest_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// Whether a checksum is that of the object's bytes or that of its parts' checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChecksumType {
    /// Of the whole content.
    FullObject,
    /// Of the concatenated digests of the parts, with `-N` behind it.
    Composite,
}

impl ChecksumType {
    /// The name as `x-amz-checksum-type` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    pub(crate) fn parse(name: &str) -> S3Result<Self> {
        match name {
            "FULL_OBJECT" => Ok(Self::FullObject),
            "COMPOSITE" => Ok(Self::Composite),
            _ => Err(s3_error!(
                InvalidRequest,
                "Value for x-amz-checksum-type header is invalid."
            )),
        }
    }
}

/// The checksum the server keeps for an object or a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// The algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// Of what it is the checksum.
    pub kind: ChecksumType,
    /// The digest in base64; composite ones end in `-N`.
    pub value: String,
}

impl Checksum {
    /// The checksum of the whole of `bytes`.
    #[must_use]
    pub fn of(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Self {
        Self {
            algorithm,
            kind: ChecksumType::FullObject,
            value: BASE64.encode(algorithm.digest(bytes)),
        }
    }

    /// The checksum of the digests of parts, in their order.
    pub(crate) fn composite<'a>(
        algorithm: ChecksumAlgorithm,
        parts: impl ExactSizeIterator<Item = &'a Self>,
    ) -> Self {
        let count = parts.len();
        let digests: Vec<u8> = parts.flat_map(Self::digest).collect();
        let value = format!("{}-{count}", BASE64.encode(algorithm.digest(&digests)));
        Self {
            algorithm,
            kind: ChecksumType::Composite,
            value,
        }
    }

    /// The value without the number of parts, which is how `GetObjectAttributes` has it.
    pub(crate) fn bare_value(&self) -> &str {
        self.value.split('-').next().unwrap_or_default()
    }

    fn digest(&self) -> Vec<u8> {
        BASE64.decode(self.bare_value()).unwrap_or_default()
    }
}

/// What a server knows of checksums of objects that are sent in parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumsOfParts {
    /// What AWS knows.
    #[default]
    All,
    /// It refuses CRC-64/NVME, as servers do that are older than that.
    Older,
    /// It looks at none, and tells none.
    Ignored,
}

/// A checksum a client states: what the server computes has to equal it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) algorithm: ChecksumAlgorithm,
    pub(crate) value: String,
}

impl Claim {
    /// The claim in headers or trailers, if there is one.
    pub(crate) fn in_headers(headers: &HeaderMap) -> S3Result<Option<Self>> {
        if let Some(name) = headers
            .keys()
            .find(|name| is_unknown_checksum(name.as_str()))
        {
            return Err(s3_error!(
                NotImplemented,
                "The checksum in {name} is not implemented."
            ));
        }
        let mut claims = ChecksumAlgorithm::ALL.into_iter().filter_map(|algorithm| {
            let value = headers.get(algorithm.header())?;
            Some((
                algorithm,
                String::from_utf8_lossy(value.as_bytes()).trim().to_owned(),
            ))
        });
        let Some((algorithm, value)) = claims.next() else {
            return Ok(None);
        };
        if claims.next().is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not \
                 allowed."
            ));
        }
        Ok(Some(Self { algorithm, value }))
    }

    /// Refuses values that cannot be a digest of the algorithm (a composite one may end in `-N`).
    pub(crate) fn check_form(&self) -> S3Result<()> {
        let bare = self.value.split('-').next().unwrap_or_default();
        if BASE64
            .decode(bare)
            .is_ok_and(|digest| digest.len() == self.algorithm.digest_len())
        {
            return Ok(());
        }
        Err(s3_error!(
            InvalidRequest,
            "Value for {} header is invalid.",
            self.algorithm.header()
        ))
    }

    /// Refuses a body whose checksum is another one.
    pub(crate) fn verify(&self, bytes: &[u8]) -> S3Result<Checksum> {
        self.check_form()?;
        let computed = Checksum::of(self.algorithm, bytes);
        if computed.value == self.value {
            Ok(computed)
        } else {
            Err(self.bad_digest())
        }
    }

    pub(crate) fn bad_digest(&self) -> s3s::S3Error {
        s3_error!(
            BadDigest,
            "The {} you specified did not match the calculated checksum.",
            self.algorithm.name()
        )
    }
}

/// Whether a header is about a checksum that cannot be verified here. Ignoring it would be to
/// believe it.
fn is_unknown_checksum(name: &str) -> bool {
    let Some(suffix) = name.strip_prefix("x-amz-checksum-") else {
        return false;
    };
    let is_known = |algorithm: ChecksumAlgorithm| algorithm.header() == name;
    !["algorithm", "mode", "type"].contains(&suffix)
        && !ChecksumAlgorithm::ALL.into_iter().any(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values of "123456789" from the catalogue of parametrised CRC algorithms and FIPS 180.
    #[test]
    fn digests_match_published_check_values() {
        let hex = |algorithm: ChecksumAlgorithm| hex::encode(algorithm.digest(b"123456789"));
        assert_eq!(hex(ChecksumAlgorithm::Crc32), "cbf43926");
        assert_eq!(hex(ChecksumAlgorithm::Crc32c), "e3069283");
        assert_eq!(hex(ChecksumAlgorithm::Crc64Nvme), "ae8b14860a799888");
        assert_eq!(
            hex(ChecksumAlgorithm::Sha1),
            "f7c3bc1d808e04732adf679965ccc34ca7ae3441"
        );
        assert_eq!(
            hex(ChecksumAlgorithm::Sha256),
            "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
        );
    }

    #[test]
    fn a_composite_checksum_is_that_of_the_digests() {
        let parts =
            [b"one".as_slice(), b"two"].map(|bytes| Checksum::of(ChecksumAlgorithm::Sha256, bytes));
        let digests = [b"one".as_slice(), b"two"]
            .map(|bytes| ChecksumAlgorithm::Sha256.digest(bytes))
            .concat();
        let composite = Checksum::composite(ChecksumAlgorithm::Sha256, parts.iter());
        assert_eq!(
            composite.value,
            format!(
                "{}-2",
                Checksum::of(ChecksumAlgorithm::Sha256, &digests).value
            )
        );
    }

    #[test]
    fn an_unknown_checksum_is_not_ignored() {
        let headers = |name: &'static str| {
            HeaderMap::from_iter([(name.parse().unwrap(), "AA==".parse().unwrap())])
        };
        assert!(Claim::in_headers(&headers("x-amz-checksum-xxhash3")).is_err());
        assert_eq!(
            Claim::in_headers(&headers("x-amz-checksum-type")).unwrap(),
            None
        );
    }

    #[test]
    fn a_claim_of_the_wrong_length_is_refused() {
        let claim = Claim {
            algorithm: ChecksumAlgorithm::Crc32,
            value: "AAAAAAAAAAA=".to_owned(),
        };
        assert!(claim.check_form().is_err());
    }
}
