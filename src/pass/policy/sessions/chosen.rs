//! From a survey to what a pass does with each session.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Session, SessionOptions, SessionState, Survey};
use crate::archive::template::Values;
use crate::format::keys;
use crate::format::pass_id::PassId;
use crate::pass::job::ArchiveOptions;
use crate::pass::job::{Method, SourceJob};
use crate::pass::steps::Group;
use crate::store::Placement;

/// What a pass does with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is archived as a whole, whatever of it was archived before.
    Whole,
    /// A killed pass has archived it; what it has recorded is taken over.
    Continued,
    /// It was read and is the same; its new times are recorded.
    SameAsRead,
    /// Some of it could not be read; that is tried again.
    Retried,
}

/// A session that a pass does something with.
#[derive(Debug)]
pub(crate) struct Assigned {
    /// What it does.
    pub(crate) mode: Mode,
    /// What of it is captured goes here.
    pub(crate) group: Arc<Group>,
    /// Its year.
    pub(crate) year: String,
}

/// What a pass does with the sessions it does something with. All others stay as they are.
#[derive(Debug, Default)]
pub(crate) struct Modes {
    /// By name.
    pub(crate) by_name: HashMap<Vec<u8>, Assigned>,
    /// When the survey began, by this machine's clock.
    pub(crate) surveyed_at_ns: i64,
    /// Whether every session on the disk is archived anew, so that nothing of the last snapshot is
    /// needed for them.
    pub(crate) anew: bool,
}

impl Modes {
    /// Names of the sessions that are looked at again.
    #[must_use]
    pub(crate) fn names(&self) -> Arc<HashSet<Vec<u8>>> {
        Arc::new(self.by_name.keys().cloned().collect())
    }
}

/// The sessions a pass does something with, in order of name.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// What it does with them.
    pub(crate) modes: Modes,
    /// Notes in those that are archived as a whole.
    pub(crate) notes: u64,
    /// Entries of sessions that are gone which no pass could read. None ever will.
    pub(crate) lost: u64,
    /// Sessions that were never archived and will not be by this pass, because nobody asks for them.
    pub(crate) left_out: u64,
    /// Entries that the survey has found in the sessions that this pass does something with.
    pub(crate) surveyed: u64,
}

/// Decides about every session.
#[must_use]
pub(crate) fn choose(
    source: &SourceJob,
    options: &SessionOptions,
    survey: Survey,
    pass: PassId,
    surveyed_at_ns: i64,
) -> Chosen {
    let choice = options.choice_of(source.afresh);
    let Method::Archive(archive) = &source.method else {
        return Chosen::default();
    };
    let mut left = choice.limit.unwrap_or(u64::MAX);
    let mut chosen = Chosen::default();
    chosen.modes.surveyed_at_ns = surveyed_at_ns;
    chosen.modes.anew = choice.is_everything();
    for session in survey.sessions {
        if session.state == SessionState::Gone {
            chosen.lost += session.unreadable;
        }
        let mode = match session.state {
            SessionState::Uncommitted => Mode::Continued,
            _ if choice.archives(&session) && left > 0 => {
                left -= 1;
                Mode::Whole
            }
            SessionState::Touched if choice.has(&session) => match session.unreadable {
                0 => Mode::SameAsRead,
                _ => Mode::Retried,
            },
            state => {
                chosen.left_out += u64::from(state == SessionState::New);
                continue;
            }
        };
        chosen.surveyed += session.entries;
        if mode == Mode::Whole {
            chosen.notes += session.notes;
        }
        let group = group(source, options, archive, (&session, mode), pass);
        let assigned = Assigned {
            mode,
            group: Arc::new(group),
            year: session.year,
        };
        chosen.modes.by_name.insert(session.bytes_of_name, assigned);
    }
    chosen
}

fn group(
    source: &SourceJob,
    options: &SessionOptions,
    archive: &ArchiveOptions,
    (session, mode): (&Session, Mode),
    pass: PassId,
) -> Group {
    let values = Values {
        source: &source.name,
        pass,
        session: &keys::percent_encode(&session.bytes_of_name),
        name: "",
        year: &session.year,
        is_full: true,
        codec: archive.codec,
    };
    Group {
        key: archive.template.key(&values),
        name: Some(session.name.clone()),
        placement: Placement {
            tags: options.tags(&session.name, &source.placement.tags),
            ..source.placement.clone()
        },
        takes_directories: mode == Mode::Whole,
        is_only: false,
    }
}
