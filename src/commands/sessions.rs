//! `offsite sessions`, and which sessions other commands are about.

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::table::Table;
use super::{Context, block_on, chosen, connect, log_to_stderr, note, print, print_json};
use crate::cli::{ChoiceArgs, SessionsArgs};
use crate::config::{Job, Purpose};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::objects::ObjectTable;
use crate::format::snapshot::Snapshot;
use crate::pass::context::PassContext;
use crate::pass::error::SourceError;
use crate::pass::job::SourceJob;
use crate::pass::past::Past;
use crate::pass::policy::sessions::{
    Choice, NamePattern, Session, SessionOptions, SessionState, Survey, check, survey,
};
use crate::signal;
use crate::snapshots::objects;
use crate::text;

/// A row of `sessions --json`.
#[derive(Serialize)]
struct Row {
    source: String,
    #[serde(flatten)]
    session: Session,
    /// The key of its archive, under the prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

pub(super) fn sessions(context: &Context, args: &SessionsArgs) -> Result<ExitCode, Failure> {
    let mut job = context.load(&[], Purpose::Backup)?.job;
    chosen::only(&mut job, &args.source)?;
    choose(&mut job, &args.choice)?;
    log_to_stderr(&job);
    let sources = job.pass.sources.iter();
    let sources: Vec<_> = sources.filter(|source| source.sessions.is_some()).collect();
    if sources.is_empty() {
        return Err(no_sessions());
    }
    let listed = block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        let pass = chosen::looking_only(&job, &store, &stop);
        let mut listed = Vec::new();
        for source in sources {
            let Some(options) = &source.sessions else {
                continue;
            };
            let (survey, parent) = look(&pass, source, options).await?;
            let objects = match &parent {
                Some(parent) => {
                    let loaded = objects::load(&*store, parent).await;
                    loaded.map_err(SourceError::from)?
                }
                None => ObjectTable::default(),
            };
            let limit = options.choice.limit.unwrap_or(u64::MAX);
            let is_wanted = |session: &Session| {
                let is_new = session.state == SessionState::New || !options.choice.only_new;
                is_new && options.choice.has(session)
            };
            let wanted = survey.sessions.into_iter().filter(is_wanted);
            let wanted = wanted.take(usize::try_from(limit).unwrap_or(usize::MAX));
            listed.extend(wanted.map(|session| {
                let object = session.object.and_then(|id| objects.get(id));
                Row {
                    source: source.name.to_string(),
                    key: object.map(|object| object.key.to_string()),
                    session,
                }
            }));
            if survey.loose > 0 {
                let what = text::count(survey.loose, "file");
                note(&format!(
                    "note: {}: {what} outside of any session",
                    source.name
                ));
            }
        }
        Ok::<_, Failure>(listed)
    })??;
    if args.json {
        print_json(&listed);
    } else {
        print(&table(&listed));
    }
    Ok(ExitCode::Complete)
}

fn no_sessions() -> Failure {
    let hint = "a source has sessions if it names `sessions: <directory>` in `backup.sources`";
    Failure::new(ExitCode::Usage, "no source with sessions is configured").hint(hint)
}

/// Tells the sources with sessions which of them were asked for.
pub(super) fn choose(job: &mut Job, args: &ChoiceArgs) -> Result<(), Failure> {
    if *args == ChoiceArgs::default() {
        return Ok(());
    }
    let choice = Choice {
        names: args
            .session
            .iter()
            .map(|text| NamePattern::new(text))
            .collect(),
        year: args.year.clone(),
        limit: args.limit,
        only_new: args.not_backed_up,
        force: args.force,
    };
    let sources = job.pass.sources.iter_mut();
    let mut sources = sources
        .filter_map(|source| source.sessions.as_mut())
        .peekable();
    if sources.peek().is_none() {
        return Err(no_sessions());
    }
    for sessions in sources {
        sessions.choice = choice.clone();
    }
    Ok(())
}

/// Looks at the sessions of a source as a pass would, without reading what looks touched.
pub(super) async fn look(
    pass: &PassContext,
    source: &SourceJob,
    sessions: &SessionOptions,
) -> Result<(Survey, Option<Snapshot>), SourceError> {
    let past = Past::find(pass, &source.name).await?;
    let context = pass.open(source).await?;
    let survey = survey(&context, sessions, &past, false).await?;
    check(&context, &survey, &past).await?;
    context.confirm().await?;
    Ok((survey, past.parent))
}

fn table(listed: &[Row]) -> String {
    let heading = [
        "SOURCE", "SESSION", "YEAR", "FILES", "SIZE", "STATE", "ARCHIVED", "KEY",
    ];
    let mut table = Table::new(&heading, &[3, 4]);
    for Row {
        source,
        session,
        key,
    } in listed
    {
        let archived = session.archived_at.map(|at| at.to_string());
        table.row(vec![
            source.clone(),
            session.name.clone(),
            session.year.clone(),
            HumanCount(session.files).to_string(),
            HumanBytes(session.bytes).to_string(),
            session.state.to_string(),
            archived.unwrap_or_default(),
            key.clone().unwrap_or_default(),
        ]);
    }
    table.to_string()
}
