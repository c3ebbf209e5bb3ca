//! Which sessions are asked for.

use globset::{GlobBuilder, GlobMatcher};

use super::{Session, SessionState};
use crate::format::selection::SessionSelection;

/// What was asked for. Nothing means every session that is new or changed.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Names, or globs of names.
    pub names: Vec<NamePattern>,
    /// Only sessions of this year.
    pub year: Option<String>,
    /// At most so many are archived.
    pub limit: Option<u64>,
    /// Only sessions that were never archived.
    pub only_new: bool,
    /// Also sessions that have not changed.
    pub force: bool,
}

/// A name, or a glob.
#[derive(Debug, Clone)]
pub struct NamePattern {
    text: String,
    glob: Option<GlobMatcher>,
}

impl NamePattern {
    /// Takes whatever was typed; what is no glob is a name.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        Self {
            text: text.to_owned(),
            glob: glob.ok().map(|glob| glob.compile_matcher()),
        }
    }

    fn matches(&self, name: &str) -> bool {
        self.text == name || self.glob.as_ref().is_some_and(|glob| glob.is_match(name))
    }
}

impl Choice {
    /// Whether a name is asked for.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted.matches(name))
    }

    /// Whether a session is asked for, whatever its state.
    #[must_use]
    pub fn has(&self, session: &Session) -> bool {
        let in_year = self.year.as_ref().is_none_or(|year| *year == session.year);
        in_year && self.has_name(&session.name)
    }

    /// Whether a session is to be archived, save for the limit.
    #[must_use]
    pub fn archives(&self, session: &Session) -> bool {
        let by_state = match session.state {
            SessionState::New => true,
            SessionState::Changed => !self.only_new,
            SessionState::Touched | SessionState::Archived => self.force && !self.only_new,
            SessionState::Uncommitted | SessionState::Emptied | SessionState::Gone => false,
        };
        by_state && self.has(session)
    }

    /// Whether every session on the disk is to be archived, whatever is known of it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.force && self.selection().is_none()
    }

    /// The same for records; `None` where every session is asked for.
    #[must_use]
    pub fn selection(&self) -> Option<SessionSelection> {
        let selection = SessionSelection {
            categories: Vec::new(),
            sessions: self
                .names
                .iter()
                .map(|wanted| wanted.text.clone())
                .collect(),
            year: self.year.clone(),
            limit: self.limit,
            not_backed_up: self.only_new,
        };
        (selection != SessionSelection::default()).then_some(selection)
    }

    /// The first name that no session has.
    #[must_use]
    pub fn unknown<'a>(&'a self, sessions: &[Session]) -> Option<&'a str> {
        let is_unknown =
            |wanted: &&NamePattern| !sessions.iter().any(|session| wanted.matches(&session.name));
        let unknown = self.names.iter().find(is_unknown);
        unknown.map(|wanted| wanted.text.as_str())
    }
}
