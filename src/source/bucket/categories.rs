//! What objects are, by the endings of their keys.

use std::collections::{BTreeMap, BTreeSet};

/// What is in no category that has a name.
pub const OTHER: &str = "other";

/// The categories that there are where nobody names any: those of the systems that this one replaces.
const USUAL: [(&str, &[&str]); 2] = [
    (
        "images",
        &["jpg", "jpeg", "png", "gif", "bmp", "tiff", "webp"],
    ),
    ("documents", &["pdf", "doc", "docx", "txt", "rtf", "odt"]),
];

/// Categories by ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Categories {
    by_ending: BTreeMap<String, String>,
    names: BTreeSet<String>,
}

impl Default for Categories {
    fn default() -> Self {
        let mut categories = Self::none();
        for (name, endings) in USUAL {
            categories.name(name);
            for ending in endings {
                let _ = categories.add(name, ending);
            }
        }
        categories
    }
}

impl Categories {
    /// None but what everything else is in.
    #[must_use]
    pub fn none() -> Self {
        Self {
            by_ending: BTreeMap::new(),
            names: BTreeSet::from([OTHER.to_owned()]),
        }
    }

    /// Adds a category, in which nothing is yet. Whether there was none of this name.
    pub fn name(&mut self, name: &str) -> bool {
        self.names.insert(name.to_owned())
    }

    /// Puts keys that end so, after a dot and in capitals or not, into a category.
    ///
    /// # Errors
    /// The category that they are in already.
    pub fn add(&mut self, name: &str, ending: &str) -> Result<(), String> {
        let ending = ending.trim_start_matches('.').to_lowercase();
        match self.by_ending.get(&ending) {
            Some(other) if other != name => Err(other.clone()),
            _ => {
                self.by_ending.insert(ending, name.to_owned());
                Ok(())
            }
        }
    }

    /// The names of all, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether there is one of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The category of a key.
    #[must_use]
    pub fn of(&self, key: &str) -> &str {
        let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
        let ending = name.rsplit_once('.').map(|(_, ending)| ending);
        let category = ending.and_then(|ending| self.by_ending.get(&ending.to_lowercase()));
        category.map_or(OTHER, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_key_says_what_it_is() {
        let categories = Categories::default();
        for (key, category) in [
            ("a.jpg", "images"),
            ("deep//down/A.JPEG", "images"),
            ("x.tar.pdf", "documents"),
            ("pdf", "other"),
            ("a.pdf/b", "other"),
            ("../.txt", "documents"),
            ("é.", "other"),
        ] {
            assert_eq!(categories.of(key), category, "{key}");
        }
        let names: Vec<_> = categories.names().collect();
        assert_eq!(names, ["documents", "images", "other"]);
    }

    #[test]
    fn an_ending_is_in_one_category() {
        let mut categories = Categories::none();
        assert!(categories.name("scans"));
        assert_eq!(categories.add("scans", ".PDF"), Ok(()));
        assert_eq!(categories.add("scans", "pdf"), Ok(()));
        assert_eq!(categories.add("forms", "pdf"), Err("scans".to_owned()));
        assert_eq!(categories.of("a.pdf"), "scans");
        assert_eq!(categories.of("a.jpg"), "other");
    }
}
