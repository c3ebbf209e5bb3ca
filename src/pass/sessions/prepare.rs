//! Before a pass over sessions: the survey, and whether it makes sense.

use std::sync::Arc;

use super::{Chosen, State, Survey, SurveyOptions, choose, survey};
use crate::events::Event;
use crate::format::snapshot::Snapshot;
use crate::pass::DirectorySource;
use crate::pass::commit::PassContext;
use crate::pass::continued::Unfinished;
use crate::pass::error::SourceError;
use crate::source::open::Root;
use crate::text;

/// How alike a name must be to be the one that was meant.
const ALIKE: f64 = 0.85;

/// Surveys the sessions of a source and decides about each; `None` where it has no sessions.
///
/// # Errors
/// The survey fails, the source looks like a volume that is not mounted, or it has no session that
/// was asked for.
pub async fn prepare(
    context: &PassContext,
    (source, root): (&DirectorySource, &Arc<Root>),
    parent: Option<&Snapshot>,
    unfinished: &[Unfinished],
) -> Result<Option<Chosen>, SourceError> {
    let Some(sessions) = &source.sessions else {
        return Ok(None);
    };
    let started = (context.clock)();
    let started_ns = i64::try_from(started.as_nanosecond()).unwrap_or(i64::MAX);
    let options = SurveyOptions {
        source,
        root,
        sessions,
        limits: &context.limits,
        parent,
        unfinished,
        reads: true,
        stop: &context.stop,
    };
    let survey = survey(&context.store, options).await?;
    check((source, root), &survey, parent).await?;
    if survey.loose > 0 {
        let what = text::count(survey.loose, "file");
        context.events.emit(&Event::Notice {
            message: format!(
                "{}: {what} outside of any session left out, directly in `{}`",
                source.name,
                source.directory.display()
            ),
        });
    }
    for session in &survey.sessions {
        if session.state == State::Emptied {
            context.events.emit(&Event::Notice {
                message: format!(
                    "{}: session `{}` is empty and was not: what was archived of it stays in the snapshot; is it mounted? If it is meant to be empty, set `allow_empty: true` for the source",
                    source.name, session.name
                ),
            });
        }
    }
    let chosen = choose(source, sessions, survey, context.pass, started_ns);
    Ok(Some(chosen))
}

/// Whether there is something to go by: what was archived so far, sessions, and those asked for.
///
/// # Errors
/// There is not.
pub async fn check(
    (source, root): (&DirectorySource, &Arc<Root>),
    survey: &Survey,
    parent: Option<&Snapshot>,
) -> Result<(), SourceError> {
    let is_everything = (source.sessions.as_ref())
        .is_some_and(|sessions| sessions.choice_of(source).is_everything());
    if let Some(damaged) = survey.damaged.first().filter(|_| !is_everything) {
        return Err(damaged.clone().into());
    }
    if survey.found == 0 && !source.allow_empty {
        let entries = parent.map_or(0, |parent| parent.totals.entries);
        return Err(source.nothing_in(root, entries).await);
    }
    let choice = source.sessions.as_ref().map(|sessions| &sessions.choice);
    if let Some(year) = choice.and_then(|choice| choice.year.as_ref())
        && !survey.sessions.iter().any(|session| session.year == *year)
    {
        let years = survey.sessions.iter().map(|session| session.year.clone());
        return Err(SourceError::NoYear {
            directory: source.directory.clone(),
            wanted: year.clone(),
            years: years.collect(),
        });
    }
    let Some(wanted) = choice.and_then(|choice| choice.unknown(&survey.sessions)) else {
        return Ok(());
    };
    let names = survey.sessions.iter().map(|session| &session.name);
    let like = names.filter(|name| strsim::jaro_winkler(name, wanted) > ALIKE);
    Err(SourceError::NoSession {
        directory: source.directory.clone(),
        wanted: wanted.to_owned(),
        like: like.take(3).cloned().collect(),
    })
}
