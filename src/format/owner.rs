//! Whose store it is.
//!
//! Two jobs that write into one place would take each other's snapshots for their own. So the lock names
//! one owner, whatever people call it: a release, a team, a task.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in characters. A namespace and a release of Kubernetes have 117 together.
const LONGEST: usize = 200;

/// The name of whoever backs up into a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreOwner(String);

impl FromStr for StoreOwner {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let is_fine = !text.trim().is_empty()
            && text.chars().count() <= LONGEST
            && !text.contains(char::is_control);
        match is_fine {
            true => Ok(Self(text.to_owned())),
            false => Err("a name of 1 to 200 characters, without control characters"),
        }
    }
}

impl TryFrom<String> for StoreOwner {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .map_err(|expected| format!("a store's owner must be {expected}"))
    }
}

impl From<StoreOwner> for String {
    fn from(owner: StoreOwner) -> Self {
        owner.0
    }
}

impl fmt::Display for StoreOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_short_text_that_shows_itself() {
        let longest = "ü".repeat(200);
        for name in ["shop/offsite", "a", "Team Blau, Nürnberg", &longest] {
            assert_eq!(name.parse::<StoreOwner>().unwrap().to_string(), name);
        }
        for name in ["", " ", "a\nb", "a\u{7f}", &"ü".repeat(201)] {
            assert!(name.parse::<StoreOwner>().is_err(), "{name:?}");
        }
    }
}
