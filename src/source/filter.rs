//! Which entries of a source count, by glob.
//!
//! Patterns read as in `.gitignore`: one without a slash matches a name at any depth, one with a
//! slash is relative to the source's root, a trailing slash means directories only, `*` stops at
//! slashes and `**` does not. What lies below an excluded directory is not even looked at. There are
//! no comments, and no `!` that takes an exclusion back: both are refused.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::session::is_in_root;
use crate::format::path::EntryPath;
use crate::format::rules::Rules;

/// A pattern that is not a glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a glob: {reason}")]
pub struct InvalidGlob {
    /// As it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Includes and excludes of a source.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Option<Globs>,
    exclude: Option<Globs>,
    only: Option<Arc<HashSet<Vec<u8>>>>,
    /// As they are written.
    rules: Arc<Rules>,
}

impl Filter {
    /// Compiles both lists. No includes means everything.
    ///
    /// # Errors
    /// The patterns that are not globs, all of them.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, Vec<InvalidGlob>> {
        let (include_as_written, exclude_as_written) = (include.to_vec(), exclude.to_vec());
        let compile = |patterns: &[String]| match patterns {
            [] => Ok(None),
            patterns => Globs::new(patterns).map(Some),
        };
        match (compile(include), compile(exclude)) {
            (Ok(include), Ok(exclude)) => Ok(Self {
                include,
                exclude,
                only: None,
                rules: Arc::new(Rules {
                    include: include_as_written,
                    exclude: exclude_as_written,
                    ..Rules::default()
                }),
            }),
            (include, exclude) => Err([include.err(), exclude.err()]
                .into_iter()
                .flatten()
                .flatten()
                .collect()),
        }
    }

    /// One that leaves out what these rules do.
    ///
    /// # Errors
    /// The patterns that are not globs, all of them.
    pub fn of(rules: &Rules) -> Result<Self, Vec<InvalidGlob>> {
        Self::new(&rules.include, &rules.exclude)
    }

    /// The patterns.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The same filter that leaves out everything in the root but these directories.
    #[must_use]
    pub fn only(self, directories: Arc<HashSet<Vec<u8>>>) -> Self {
        Self {
            only: Some(directories),
            ..self
        }
    }

    /// Whether the filter lets everything through, so that nobody need ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.include.is_none() && self.exclude.is_none() && self.only.is_none()
    }

    /// Whether an object is left out, by its key: `/` in it counts as in a path.
    #[must_use]
    pub fn leaves_out_key(&self, key: &str) -> bool {
        let key = key.as_bytes();
        let matches = |globs: &Globs| globs.select(key, false);
        self.exclude.as_ref().is_some_and(matches)
            || self.include.as_ref().is_some_and(|globs| !matches(globs))
    }

    /// Whether an entry is left out. Directories are never left out for want of an include: what
    /// is included may lie below.
    #[must_use]
    pub fn leaves_out(&self, path: &EntryPath, is_directory: bool) -> bool {
        if let Some(only) = self.only.as_ref().filter(|_| is_in_root(path))
            && !(is_directory && only.contains(path.as_bytes()))
        {
            return true;
        }
        let excluded = self.exclude.as_ref();
        if excluded.is_some_and(|globs| globs.match_itself(path.as_bytes(), is_directory)) {
            return true;
        }
        let included = self.include.as_ref();
        !is_directory && included.is_some_and(|globs| !globs.select(path.as_bytes(), is_directory))
    }
}

/// A list of patterns.
#[derive(Debug, Clone)]
pub struct Globs {
    any: GlobSet,
    directories: GlobSet,
}

impl Globs {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// The patterns that are not globs, all of them.
    pub fn new(patterns: &[String]) -> Result<Self, Vec<InvalidGlob>> {
        let mut any = GlobSetBuilder::new();
        let mut directories = GlobSetBuilder::new();
        let mut invalid = Vec::new();
        for pattern in patterns {
            let body = pattern.trim_end_matches('/');
            let set = if body.len() < pattern.len() {
                &mut directories
            } else {
                &mut any
            };
            let anchored = body.trim_start_matches('/');
            let glob = if body.contains('/') {
                anchored.to_owned()
            } else {
                format!("**/{anchored}")
            };
            match GlobBuilder::new(&glob).literal_separator(true).build() {
                Ok(_) if pattern.starts_with(['!', '#']) => invalid.push(InvalidGlob {
                    pattern: pattern.clone(),
                    reason: format!(
                        "it begins with `{0}`, which means something else in .gitignore and \
                         nothing here; for the character itself write `\\{0}`",
                        &pattern[..1]
                    ),
                }),
                Ok(_) if anchored.is_empty() => invalid.push(InvalidGlob {
                    pattern: pattern.clone(),
                    reason: "it is empty".to_owned(),
                }),
                Ok(glob) => {
                    set.add(glob);
                }
                Err(error) => invalid.push(InvalidGlob {
                    pattern: pattern.clone(),
                    reason: error.kind().to_string(),
                }),
            }
        }
        if !invalid.is_empty() {
            return Err(invalid);
        }
        let build = |set: &GlobSetBuilder| {
            set.build().map_err(|error| {
                vec![InvalidGlob {
                    pattern: patterns.join(", "),
                    reason: error.to_string(),
                }]
            })
        };
        Ok(Self {
            any: build(&any)?,
            directories: build(&directories)?,
        })
    }

    /// Whether the entry itself matches.
    #[must_use]
    pub fn match_itself(&self, name: &[u8], is_directory: bool) -> bool {
        let path = as_path(name);
        self.any.is_match(path) || (is_directory && self.directories.is_match(path))
    }

    /// Whether the entry or a directory above it matches.
    #[must_use]
    pub fn select(&self, name: &[u8], is_directory: bool) -> bool {
        let mut ancestors = name
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| as_path(&name[..at]));
        self.match_itself(name, is_directory)
            || ancestors.any(|dir| self.any.is_match(dir) || self.directories.is_match(dir))
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let owned =
            |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
        Filter::new(&owned(include), &owned(exclude)).unwrap()
    }

    fn keeps(filter: &Filter, path: &str) -> bool {
        let is_directory = path.ends_with('/');
        let path = EntryPath::parse(path.trim_end_matches('/')).unwrap();
        !filter.leaves_out(&path, is_directory)
    }

    #[test]
    fn patterns_read_as_in_gitignore() {
        let filter = filter(&[], &["*.tmp", "/cache", "logs/*.old", "build/", "a/**/z"]);
        for (path, kept) in [
            ("x.tmp", false),
            ("deep/down/x.tmp", false),
            ("cache", false),
            ("deep/cache", true),
            ("logs/1.old", false),
            ("logs/sub/1.old", true),
            ("deep/logs/1.old", true),
            ("build/", false),
            ("deep/build/", false),
            ("build", true),
            ("a/z", false),
            ("a/b/c/z", false),
            ("a/b/c/y", true),
        ] {
            assert_eq!(keeps(&filter, path), kept, "{path}");
        }
    }

    #[test]
    fn includes_keep_directories_and_what_lies_below_a_match() {
        let filter = filter(&["*.jpg", "docs"], &["private*"]);
        for (path, kept) in [
            ("a.jpg", true),
            ("x/y/a.jpg", true),
            ("x/", true),
            ("a.png", false),
            ("docs/", true),
            ("docs/deep/a.png", true),
            ("private.jpg", false),
        ] {
            assert_eq!(keeps(&filter, path), kept, "{path}");
        }
    }

    #[test]
    fn every_bad_pattern_is_named() {
        let bad = ["a{b", "/", "!keep", "# no comment"].map(str::to_owned);
        let bad = Filter::new(&["[z-a]".to_owned()], &bad);
        let patterns: Vec<_> = bad.unwrap_err().into_iter().map(|e| e.pattern).collect();
        assert_eq!(patterns, ["[z-a]", "a{b", "/", "!keep", "# no comment"]);
    }

    #[test]
    fn a_backslash_takes_the_meaning_from_a_character() {
        let filter = filter(&[], &["\\!important", "\\#*#", "a\\*b"]);
        for (path, kept) in [
            ("!important", false),
            ("#draft#", false),
            ("a*b", false),
            ("axb", true),
        ] {
            assert_eq!(keeps(&filter, path), kept, "{path}");
        }
    }
}
