//! What a prune makes of a commit record, and how that is undone.
//!
//! The whole record stays, with what this program does not know of it, so that nothing has to be guessed when it
//! becomes live again. It does so with a field that it did not have, so that its entity tag is a new one: a
//! request that is still on its way finds another version than it expects.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pass_id::PassId;
use super::record;
use super::snapshot::Snapshot;

/// The state of a condemned snapshot.
pub(super) const CONDEMNED: &str = "condemned";
const STATE: &str = "state";
const UNDELETED: &str = "undeleted";

/// By what and when a snapshot was condemned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    /// The prune; `prunes/<prune>.json` says why.
    pub prune: PassId,
    /// When, in the store's time.
    pub at: Timestamp,
}

/// A condemned snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Condemned {
    /// The snapshot as it was.
    pub snapshot: Snapshot,
    /// Its sentence.
    pub sentence: Sentence,
}

impl Condemned {
    pub(super) fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Head {
            condemned: Sentence,
        }
        let Head { condemned } = serde_json::from_slice(line)?;
        Ok(Self {
            snapshot: serde_json::from_slice(line)?,
            sentence: condemned,
        })
    }
}

/// The record of a snapshot that is condemned now.
///
/// # Errors
/// The record is not JSON.
pub fn condemn(stored: &[u8], sentence: Sentence) -> Result<Vec<u8>, serde_json::Error> {
    let mut fields = fields(stored)?;
    fields.insert(STATE.to_owned(), Value::from(CONDEMNED));
    fields.insert(CONDEMNED.to_owned(), to_value(sentence));
    Ok(record::to_bytes(&fields))
}

/// The record of a condemned snapshot that is live again.
///
/// # Errors
/// The record is not JSON.
pub fn undelete(stored: &[u8], undeleted_at: Timestamp) -> Result<Vec<u8>, serde_json::Error> {
    let mut fields = fields(stored)?;
    fields.remove(STATE);
    let sentence = fields.remove(CONDEMNED).unwrap_or_default();
    let mut undeleted = Map::new();
    undeleted.insert("from".to_owned(), sentence);
    undeleted.insert("at".to_owned(), to_value(undeleted_at));
    fields.insert(UNDELETED.to_owned(), Value::Object(undeleted));
    Ok(record::to_bytes(&fields))
}

fn fields(record: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    let line = record.split(|byte| *byte == b'\n').next();
    serde_json::from_slice(line.unwrap_or(record))
}

fn to_value(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("records are plain data")
}
