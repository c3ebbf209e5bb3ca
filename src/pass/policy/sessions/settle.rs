//! Before a pass over sessions: the survey, and whether it makes sense.

use std::sync::Arc;

use super::notes::Notes;
use super::policy::Sessions;
use super::{SessionOptions, SessionState, Survey, choose, survey};
use crate::events::Event;
use crate::pass::context::SourceContext;
use crate::pass::error::{Nothing, SourceError};
use crate::pass::past::Past;
use crate::pass::policy::Approach;
use crate::pass::policy::tree::Closeness;
use crate::text;

/// How alike a name must be to be the one that was meant.
const ALIKE: f64 = 0.85;

/// Surveys the sessions of a source and decides about each.
///
/// # Errors
/// The survey fails, the source looks like a volume that is not mounted, or it has no session that
/// was asked for.
pub(in crate::pass) async fn settle(
    context: &Arc<SourceContext>,
    options: &SessionOptions,
    past: &Past,
) -> Result<Approach, SourceError> {
    let source = &context.job;
    let survey = survey(context, options, past, true).await?;
    check(context, &survey, past).await?;
    let parent = past.parent.as_ref();
    tell(context, &survey);
    let chosen = choose(source, options, survey, context.pass, context.opened_ns);
    Ok(Approach {
        only: Some(chosen.modes.names()),
        is_full: false,
        // Sessions stay as they were archived.
        xattrs: context.source.records_xattrs() && parent.is_none_or(|parent| parent.xattrs),
        selection: options.choice.selection(),
        expected: chosen.surveyed,
        lost: chosen.lost,
        left_out: chosen.left_out,
        policy: Box::new(Sessions {
            modes: chosen.modes,
            notes: Notes::of(source, options, context.pass),
            root: Closeness::of(context, parent),
            xattrs: context.source.records_xattrs(),
        }),
    })
}

/// Tells of what the survey has seen and the pass leaves alone.
fn tell(context: &SourceContext, survey: &Survey) {
    let source = &context.job;
    if survey.loose > 0 {
        let what = text::count(survey.loose, "file");
        context.events.emit(&Event::Notice {
            message: format!(
                "{}: {what} outside of any session left out, directly in `{}`",
                source.name,
                source.place.text()
            ),
        });
    }
    for session in &survey.sessions {
        if session.state == SessionState::Emptied {
            context.events.emit(&Event::Notice {
                message: format!(
                    "{}: session `{}` is empty and was not: what was archived of it stays in the snapshot; is it mounted? If it is meant to be empty, set `allow_empty: true` for the source",
                    source.name, session.name
                ),
            });
        }
    }
}

/// Whether there is something to go by: what was archived so far, sessions, and those asked for.
///
/// # Errors
/// There is not.
pub(crate) async fn check(
    context: &SourceContext,
    survey: &Survey,
    past: &Past,
) -> Result<(), SourceError> {
    let source = &context.job;
    let is_everything = (source.sessions.as_ref())
        .is_some_and(|sessions| sessions.choice_of(source.afresh).is_everything());
    if let Some(damaged) = survey.damaged.first().filter(|_| !is_everything) {
        return Err(damaged.clone().into());
    }
    if survey.found == 0 && !source.allow_empty {
        let nothing = context.nothing_there(Nothing::NoSessions, past.entries());
        return Err(nothing.await);
    }
    let choice = source.sessions.as_ref().map(|sessions| &sessions.choice);
    if let Some(year) = choice.and_then(|choice| choice.year.as_ref())
        && !survey.sessions.iter().any(|session| session.year == *year)
    {
        let years = survey.sessions.iter().map(|session| session.year.clone());
        return Err(SourceError::NoYear {
            place: source.place.text(),
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
        place: source.place.text(),
        wanted: wanted.to_owned(),
        like: like.take(3).cloned().collect(),
    })
}
