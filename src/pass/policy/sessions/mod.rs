//! Sessions: each directory in the root of a source goes into an archive of its own, once.
//!
//! A survey compares every session with the last snapshot and says what has become of it. Those
//! that are new or different, and asked for, are archived as a whole; the others stay in the
//! manifest as they are, also those that are on the disk no more. So the manifest is all sessions as
//! they were archived last, and a pass in which nothing is new reads metadata and sends nothing.

mod choice;
mod chosen;
mod notes;
mod policy;
mod settle;
mod survey;

use std::collections::BTreeMap;

use globset::GlobMatcher;
use jiff::Timestamp;
use serde::Serialize;

use crate::archive::template::KeyTemplate;
use crate::format::location::ObjectId;
use crate::source::filter::Globs;
use crate::source::session::{self, YearPattern};

pub(crate) use self::choice::{Choice, NamePattern};
pub(crate) use self::chosen::{Mode, choose};

pub(crate) use self::settle::check;
pub(super) use self::settle::settle;
pub(crate) use self::survey::{Survey, survey};

/// What is particular about a source of sessions.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Where the year stands in a session's name.
    pub year: Option<YearPattern>,
    /// Files directly in a session that become objects of their own as well.
    pub notes: Option<Globs>,
    /// Where those go.
    pub notes_key: KeyTemplate,
    /// Tags by name of the session; later rules win.
    pub tag_rules: Vec<TagRule>,
    /// Which sessions a pass archives.
    pub choice: Choice,
}

/// Object tags of the sessions whose names match.
#[derive(Debug, Clone)]
pub struct TagRule {
    /// Which.
    pub pattern: GlobMatcher,
    /// Their tags, besides the source's.
    pub tags: BTreeMap<String, String>,
}

/// What has become of a session since the last snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// It was never archived.
    New,
    /// It is not what was archived.
    Changed,
    /// It has the sizes of what was archived, and other times; reading it tells.
    Touched,
    /// It was archived by a pass that was killed; the next pass takes that over.
    Uncommitted,
    /// It is as it was archived.
    Archived,
    /// It was archived, and nothing is left in its directory; what was archived stays.
    Emptied,
    /// It was archived, and is not on the disk any more.
    Gone,
}

impl std::fmt::Display for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Touched => "touched",
            Self::Uncommitted => "uncommitted",
            Self::Archived => "archived",
            Self::Emptied => "emptied",
            Self::Gone => "gone",
        })
    }
}

/// One session.
#[derive(Debug, Clone, Serialize)]
pub struct Session {
    /// Name of its directory, for people.
    #[serde(rename = "session")]
    pub name: String,
    /// The same, exactly.
    #[serde(skip)]
    pub bytes_of_name: Vec<u8>,
    /// By its name, or else of its newest file.
    pub year: String,
    /// What has become of it.
    pub state: SessionState,
    /// Files in it.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Everything in it, itself included.
    pub entries: u64,
    /// Entries that are not in the last snapshot.
    pub new: u64,
    /// Entries that are different.
    pub changed: u64,
    /// Entries that are gone.
    pub removed: u64,
    /// Entries with other times and the same size.
    pub touched: u64,
    /// Bytes of those.
    #[serde(skip)]
    pub touched_bytes: u64,
    /// Entries that could not be looked at or read; of a session that is gone, those that never were.
    pub unreadable: u64,
    /// Its archive.
    #[serde(skip)]
    pub object: Option<ObjectId>,
    /// When that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    /// Files in it that become objects of their own as well.
    #[serde(skip)]
    pub notes: u64,
}

impl SessionOptions {
    /// What was asked for, by its own options or those of the source.
    fn choice_of(&self, afresh: bool) -> Choice {
        Choice {
            force: self.choice.force || afresh,
            ..self.choice.clone()
        }
    }

    fn year(&self, name: &str, newest_ns: i64) -> String {
        let by_name = match &self.year {
            Some(pattern) => pattern.find(name),
            None => session::year_in(name),
        };
        by_name.map_or_else(|| session::year_at(newest_ns), str::to_owned)
    }

    /// Object tags of a session's archive.
    #[must_use]
    pub fn tags(&self, name: &str, source: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut tags = source.clone();
        for rule in &self.tag_rules {
            if rule.pattern.is_match(name) {
                tags.extend(rule.tags.clone());
            }
        }
        tags
    }
}
