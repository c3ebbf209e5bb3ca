//! What a pass would do with the sessions of a source.

use std::collections::BTreeMap;

use serde::Serialize;

use super::SourcePlan;
use crate::format::pass_id::PassId;
use crate::format::snapshot::Snapshot;
use crate::pass::archive;
use crate::pass::context::Limits;
use crate::pass::job::SourceJob;
use crate::pass::policy::sessions::{Mode, Session, SessionOptions, SessionState, Survey, choose};
use crate::prices::{Cost, Prices};

/// What a pass would do with sessions, and what that takes.
#[derive(Debug, Serialize)]
pub struct SessionsPlan {
    /// By year.
    pub years: BTreeMap<String, Sum>,
    /// Of all years.
    pub total: Sum,
    /// Names of the sessions to archive.
    pub archive: Vec<String>,
    /// How fast bytes go, as asked for or as they went lately.
    pub rate_bytes_per_second: Option<u64>,
    /// How long it takes at that rate.
    pub duration_seconds: Option<u64>,
    /// Requests that write.
    pub puts: u64,
    /// By storage class.
    pub costs: BTreeMap<String, Cost>,
    /// Where and when the prices were read.
    pub prices_as_of: String,
}

/// Some sessions.
#[derive(Debug, Default, Serialize)]
pub struct Sum {
    /// How many there are, on disk or archived.
    pub sessions: u64,
    /// Files in them.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// How many of them would be archived.
    pub archive_sessions: u64,
    /// Files in those.
    pub archive_files: u64,
    /// Bytes of those.
    pub archive_bytes: u64,
}

impl Sum {
    fn add(&mut self, session: &Session, is_archived: bool) {
        self.sessions += 1;
        self.files += session.files;
        self.bytes += session.bytes;
        if is_archived {
            self.archive_sessions += 1;
            self.archive_files += session.files;
            self.archive_bytes += session.bytes;
        }
    }
}

/// Makes a plan of a survey.
#[must_use]
pub(crate) fn plan(
    (source, options): (&SourceJob, &SessionOptions),
    survey: Survey,
    parent: Option<&Snapshot>,
    pass: PassId,
    limits: &Limits,
    (rate_bytes_per_second, prices): (Option<u64>, &Prices),
) -> SourcePlan {
    let sessions = survey.sessions.clone();
    let chosen = choose(source, options, survey, pass, 0);
    let mode = |session: &Session| {
        let chosen = chosen.modes.by_name.get(&session.bytes_of_name);
        chosen.map(|assigned| assigned.mode)
    };
    let mut years: BTreeMap<String, Sum> = BTreeMap::new();
    let (mut total, mut archive, mut puts) = (Sum::default(), Vec::new(), 0);
    let (mut read_files, mut read_bytes, mut entries) = (0, 0, 0);
    for session in &sessions {
        let is_archived = mode(session) == Some(Mode::Whole);
        let year = years.entry(session.year.clone()).or_default();
        year.add(session, is_archived);
        total.add(session, is_archived);
        if is_archived {
            archive.push(session.name.clone());
            entries += session.entries;
            // The archive, its checkpoint and its record.
            puts += archive::requests_at_most(session.bytes, session.entries) + 2;
        } else if mode(session).is_some() {
            read_files += session.touched;
            read_bytes += session.touched_bytes;
        }
    }
    // Beside the notes, the table of the archives, where it changes.
    puts += chosen.notes + u64::from(total.archive_sessions > 0);
    let segments = parent.map_or(0, |parent| parent.segments.len() as u64);
    let written = entries.div_ceil(limits.segment_entries);
    // Each archive and each note is looked for before it is put, and both the survey and the pass
    // read the last manifest.
    let changes_table = total.archive_sessions > 0;
    let table = u64::from(changes_table && parent.is_some_and(|parent| parent.objects.is_some()));
    let looks = total.archive_sessions + chosen.notes + 2 * segments + table;
    let there = || {
        sessions
            .iter()
            .filter(|s| !matches!(s.state, SessionState::Emptied | SessionState::Gone))
    };
    let sum = |of: fn(&Session) -> u64| there().map(of).sum::<u64>();
    let chosen_sum = |of: fn(&Session) -> u64| {
        let chosen = there().filter(|session| mode(session).is_some());
        chosen.map(of).sum::<u64>()
    };
    let duration = |rate: u64| (rate > 0).then(|| total.archive_bytes.div_ceil(rate));
    SourcePlan {
        source: source.name.to_string(),
        place: source.place.text(),
        parent: parent.map(|parent| parent.pass),
        new: chosen_sum(|s| s.new),
        changed: chosen_sum(|s| s.changed),
        removed: chosen_sum(|s| s.removed),
        unchanged: sum(|s| (s.entries).saturating_sub(s.new + s.changed)),
        unreadable: sum(|s| s.unreadable),
        send_files: total.archive_files,
        send_bytes: total.archive_bytes,
        read_files,
        read_bytes,
        requests: puts + looks + written + 2,
        full: None,
        categories: BTreeMap::new(),
        remarks: Vec::new(),
        sessions: Some(SessionsPlan {
            years,
            archive,
            rate_bytes_per_second,
            duration_seconds: rate_bytes_per_second.and_then(duration),
            puts,
            costs: prices.costs(total.archive_bytes, total.bytes, puts),
            prices_as_of: prices.as_of.clone(),
            total,
        }),
    }
}
