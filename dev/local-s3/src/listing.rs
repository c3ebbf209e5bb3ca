//! One page of a listing of sorted keys, as `ListObjects` and `ListObjectsV2` define it.
//!
//! Keys are in the order of their UTF-8 bytes. A common prefix costs one step however many keys it
//! hides.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Sorted names, each with an entry.
pub(crate) trait Names {
    /// What a name stands for.
    type Entry;

    /// The names from `start` on, in the order of their bytes.
    fn starting_at(
        &self,
        start: Bound<String>,
    ) -> impl Iterator<Item = (Cow<'_, str>, Self::Entry)>;
}

impl<Value: Clone> Names for BTreeMap<String, Value> {
    type Entry = Value;

    fn starting_at(&self, start: Bound<String>) -> impl Iterator<Item = (Cow<'_, str>, Value)> {
        let names = self.range((start, Bound::Unbounded));
        names.map(|(name, value)| (Cow::Borrowed(name.as_str()), value.clone()))
    }
}

/// S3 returns no more than this many names in a page, whatever is asked.
pub(crate) const LARGEST_PAGE: usize = 1_000;

/// What to list.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PageQuery<'a> {
    pub(crate) prefix: &'a str,
    /// Keys are rolled up into common prefixes at its first occurrence behind the prefix.
    pub(crate) delimiter: Option<&'a str>,
    /// Only names after this one; common prefixes are names like keys.
    pub(crate) after: Option<&'a str>,
    pub(crate) max_keys: usize,
}

/// A page; keys and common prefixes are each in order.
#[derive(Debug)]
pub(crate) struct Page<'a, Value> {
    pub(crate) entries: Vec<(Cow<'a, str>, Value)>,
    pub(crate) common_prefixes: Vec<String>,
    /// The last name of this page, if there are more names after it.
    pub(crate) next: Option<String>,
}

impl<'a> PageQuery<'a> {
    /// Where the names begin that can be on the page; `None` if none can.
    pub(crate) fn start(&self) -> Option<Bound<String>> {
        let Some(after) = self.after.filter(|after| *after >= self.prefix) else {
            return Some(Bound::Included(self.prefix.to_owned()));
        };
        match rolled_up(after, self.prefix, self.delimiter) {
            // Its name is before `after`, so it is past, with all that it hides.
            Some(common_prefix) => successor(common_prefix).map(Bound::Included),
            None => Some(Bound::Excluded(after.to_owned())),
        }
    }
}

/// The common prefix behind `prefix` that hides `key`, if one does.
pub(crate) fn rolled_up<'a>(
    key: &'a str,
    prefix: &str,
    delimiter: Option<&str>,
) -> Option<&'a str> {
    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let at = key.strip_prefix(prefix)?.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

/// The page of `names` that `query` asks for.
pub(crate) fn page<'a, N: Names>(names: &'a N, query: PageQuery<'_>) -> Page<'a, N::Entry> {
    let mut page = Page {
        entries: Vec::new(),
        common_prefixes: Vec::new(),
        next: None,
    };
    let Some(start) = query.start() else {
        return page;
    };
    let mut names_left = names.starting_at(start);
    let mut ends_in_prefix = false;
    while let Some((key, value)) = names_left
        .next()
        .filter(|(key, _)| key.starts_with(query.prefix))
    {
        if page.entries.len() + page.common_prefixes.len() >= query.max_keys.min(LARGEST_PAGE) {
            page.next = page.last(ends_in_prefix);
            break;
        }
        let common_prefix = rolled_up(&key, query.prefix, query.delimiter).map(str::to_owned);
        ends_in_prefix = common_prefix.is_some();
        let Some(common_prefix) = common_prefix else {
            page.entries.push((key, value));
            continue;
        };
        let start = successor(&common_prefix);
        page.common_prefixes.push(common_prefix);
        let Some(start) = start else { break };
        names_left = names.starting_at(Bound::Included(start));
    }
    page
}

impl<Value> Page<'_, Value> {
    fn last(&self, is_prefix: bool) -> Option<String> {
        if is_prefix {
            return self.common_prefixes.last().cloned();
        }
        let (key, _) = self.entries.last()?;
        Some(key.clone().into_owned())
    }
}

/// The first string after all those that start with `prefix`.
pub(crate) fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let code = u32::from(last) + 1;
        // Surrogates are no characters; the next character after them is U+E000.
        let next = char::from_u32(code).or_else(|| (code == 0xD800).then_some('\u{E000}'));
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(keys: &[&str]) -> BTreeMap<String, ()> {
        keys.iter().map(|key| ((*key).to_owned(), ())).collect()
    }

    fn all_pages(names: &BTreeMap<String, ()>, mut query: PageQuery<'_>) -> Vec<String> {
        let mut seen = Vec::new();
        let mut after: Option<String> = None;
        loop {
            query.after = None;
            let step = PageQuery {
                after: after.as_deref(),
                ..query
            };
            let found = page(names, step);
            assert!(found.entries.len() + found.common_prefixes.len() <= query.max_keys);
            let mut both: Vec<String> = found
                .entries
                .iter()
                .map(|(key, ())| key.clone().into_owned())
                .collect();
            both.extend(found.common_prefixes);
            both.sort();
            seen.extend(both);
            match found.next {
                Some(next) => after = Some(next),
                None => return seen,
            }
        }
    }

    #[test]
    fn pages_of_every_size_add_up_to_the_same_listing() {
        let names = names(&[
            "a",
            "a/1",
            "a/2",
            "a0",
            "b/x/1",
            "b/x/2",
            "b/y",
            "c",
            "\u{10FFFF}/z",
        ]);
        for max_keys in 1..10 {
            let query = PageQuery {
                delimiter: Some("/"),
                max_keys,
                ..PageQuery::default()
            };
            assert_eq!(
                all_pages(&names, query),
                ["a", "a/", "a0", "b/", "c", "\u{10FFFF}/"],
                "{max_keys}"
            );
            let query = PageQuery {
                prefix: "b/",
                delimiter: Some("/"),
                max_keys,
                ..PageQuery::default()
            };
            assert_eq!(all_pages(&names, query), ["b/x/", "b/y"], "{max_keys}");
            let query = PageQuery {
                max_keys,
                ..PageQuery::default()
            };
            assert_eq!(all_pages(&names, query).len(), 9, "{max_keys}");
        }
    }

    #[test]
    fn a_full_last_page_is_the_last_one() {
        let names = names(&["a", "b"]);
        assert_eq!(
            page(
                &names,
                PageQuery {
                    max_keys: 2,
                    ..PageQuery::default()
                }
            )
            .next,
            None
        );
    }

    #[test]
    fn after_a_key_within_a_common_prefix_the_prefix_is_past() {
        let names = names(&["a/1", "a/2", "b"]);
        let query = PageQuery {
            delimiter: Some("/"),
            after: Some("a/1"),
            max_keys: 9,
            ..PageQuery::default()
        };
        let page = page(&names, query);
        assert!(page.common_prefixes.is_empty());
        assert_eq!(page.entries.len(), 1);
    }

    #[test]
    fn nothing_after_the_greatest_character_is_missed() {
        assert_eq!(successor("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(successor("\u{D7FF}").as_deref(), Some("\u{E000}"));
        assert_eq!(successor("\u{10FFFF}"), None);
    }
}
