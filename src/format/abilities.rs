//! What a store was found to be able to do when it was tried.
//!
//! Servers that speak S3 differ. What they can do is tried at the first pass, under its lock, and recorded
//! in the lock object, where later passes read it. That there is a record says that the store refuses a put
//! whose condition does not hold: without that it is not used at all.

use serde::{Deserialize, Deserializer, Serialize};

/// Abilities of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// Where they were tried, as [`Store::address`](crate::store::Store::address) has it. What answers
    /// elsewhere may be able to do less.
    pub address: String,
    /// Which checksum it keeps of an object that is sent in parts.
    pub checksum_of_parts: ChecksumOfParts,
    /// Whether it makes parts one object only if there is none under the key, when it is told so.
    pub parts_if_absent: bool,
}

/// A checksum of an object that is sent in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksumOfParts {
    /// CRC-64/NVME of the whole.
    #[default]
    #[serde(rename = "crc64nvme")]
    Crc64Nvme,
    /// SHA-256 of the SHA-256 of its parts.
    Sha256,
    /// It keeps none, or another one than that of the bytes that it has.
    None,
}

impl Abilities {
    /// Everything that is made use of where it is there.
    #[must_use]
    pub fn all(address: String) -> Self {
        Self {
            address,
            checksum_of_parts: ChecksumOfParts::default(),
            parts_if_absent: true,
        }
    }

    /// What is missing and what is done instead, for people; `None` where nothing is.
    #[must_use]
    pub fn lacking(&self) -> Option<String> {
        let checksum = match self.checksum_of_parts {
            ChecksumOfParts::Crc64Nvme => None,
            ChecksumOfParts::Sha256 => Some(
                "it keeps no CRC-64/NVME of an object that is sent in parts; SHA-256 of the parts is used in its place",
            ),
            ChecksumOfParts::None => Some(
                "it keeps no checksum of an object that is sent in parts; size and ETag are compared in its place",
            ),
        };
        let condition = match self.parts_if_absent {
            true => None,
            false => Some(
                "it makes parts an object under a key that is taken, whatever it is told; the key is looked up just before",
            ),
        };
        let lacking: Vec<_> = checksum.into_iter().chain(condition).collect();
        let lacking = (!lacking.is_empty()).then(|| lacking.join("; and "))?;
        let address = &self.address;
        Some(format!(
            "the store at {address} cannot do everything: {lacking}; see docs/STORES.md"
        ))
    }
}

/// Reads what was found; nothing where a newer program has found what this one does not know.
///
/// # Errors
/// It is not JSON.
pub(super) fn known<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Abilities>, D::Error> {
    let found = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(found).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let all = Abilities::all("here".to_owned());
        assert_eq!(all.lacking(), None);
        let few = Abilities {
            checksum_of_parts: ChecksumOfParts::None,
            parts_if_absent: false,
            ..all.clone()
        };
        let lacking = few.lacking().unwrap();
        assert!(lacking.contains("no checksum") && lacking.contains("; and it makes"));
        let text = serde_json::to_string(&all).unwrap();
        let expected =
            r#"{"address":"here","checksum_of_parts":"crc64nvme","parts_if_absent":true}"#;
        assert_eq!(text, expected);
    }
}
