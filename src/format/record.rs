//! Small records in JSON: what all of them have, and how they are read and written.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::requires::{Requires, Unsupported};

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not the JSON of one.
    #[error("cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error("has format version {0}, this program reads version {FORMAT}")]
    Format(u32),
    /// Written by a newer program.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

/// Reads a record.
///
/// # Errors
/// It is damaged, or of a format this program does not know.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
        #[serde(default)]
        requires: Requires,
    }
    let head: Head = serde_json::from_slice(bytes)?;
    if head.format != FORMAT {
        return Err(RecordError::Format(head.format));
    }
    head.requires.check()?;
    Ok(serde_json::from_slice(bytes)?)
}

/// A record as it is stored, in one line.
pub(super) fn to_bytes(record: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(record).expect("records are plain data");
    bytes.push(b'\n');
    bytes
}
