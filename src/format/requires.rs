//! Features that a record needs its reader to know.
//!
//! A reader ignores fields that it does not know. Where that would lead to wrong conclusions, whoever
//! writes names the feature in the record's `requires`, and a program that does not know it refuses the
//! record. (What a program knows never leaves the list.)

use serde::{Deserialize, Serialize};

use super::name::Order;

/// Entries that are objects of a bucket: named by keys, in the order of those, and with what the store vouches
/// for in place of a SHA-256.
const OBJECT_KEYS: &str = "object_keys";

/// Features that this program knows.
const KNOWN: &[&str] = &[OBJECT_KEYS];

/// The features that a record requires.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Requires(Vec<String>);

/// A record that requires a feature this program does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("requires the feature `{0}`, which this program does not have; use a newer one")]
pub struct Unsupported(String);

impl Requires {
    /// What entries in this order require.
    #[must_use]
    pub fn of(order: Order) -> Self {
        match order {
            Order::Path => Self::default(),
            Order::Key => Self(vec![OBJECT_KEYS.to_owned()]),
        }
    }

    /// Whether it requires nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses a feature that is not known.
    ///
    /// # Errors
    /// Names the first one.
    pub fn check(&self) -> Result<(), Unsupported> {
        let unknown = self
            .0
            .iter()
            .find(|feature| !KNOWN.contains(&feature.as_str()));
        unknown.map_or(Ok(()), |feature| Err(Unsupported(feature.clone())))
    }
}
