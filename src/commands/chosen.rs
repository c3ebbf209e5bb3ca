//! Which sources a command is about, and looking at them as a pass would.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::note;
use crate::config::Job;
use crate::error::Failure;
use crate::events::{Events, Files, Format, Level, Output};
use crate::exit::ExitCode;
use crate::format::pass_id::PassId;
use crate::pass::context::PassContext;
use crate::pass::job::SourceJob;
use crate::source::directory::clean::clean;
use crate::stop::Stop;
use crate::store::Store;

/// Keeps only the sources that were asked for, by name or, where no source has that name, by
/// directory.
pub(super) fn only(job: &mut Job, wanted: &[String]) -> Result<(), Failure> {
    if wanted.is_empty() {
        return Ok(());
    }
    let sources = &mut job.pass.sources;
    let mut names = BTreeSet::new();
    for wanted in wanted {
        let named = |source: &&SourceJob| source.name.as_str() == wanted;
        let is_there =
            |source: &&SourceJob| source.place.text() == clean(wanted).display().to_string();
        let found = sources
            .iter()
            .find(named)
            .or_else(|| sources.iter().find(is_there));
        let Some(found) = found else {
            let known: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
            let message = format!("no source `{wanted}` is configured");
            let hint = format!("there are: {}", known.join(", "));
            return Err(Failure::new(ExitCode::NotFound, message).hint(hint));
        };
        names.insert(found.name.clone());
    }
    sources.retain(|source| names.contains(&source.name));
    Ok(())
}

/// Keeps only the categories that were asked for, of sources that have them, and no other sources.
pub(super) fn categories(job: &mut Job, wanted: &[String]) -> Result<(), Failure> {
    if wanted.is_empty() {
        return Ok(());
    }
    let sources = &mut job.pass.sources;
    let has = |name: &String| {
        let one = std::slice::from_ref(name);
        let mut places = sources.iter().map(|source| &source.place);
        places.any(|place| place.with_categories(one).is_some())
    };
    if let Some(unknown) = wanted.iter().find(|name| !has(name)) {
        let message = format!("no source that was asked for has a category `{unknown}`");
        let hint = "`offsite plan` shows the categories of each bucket; `categories` and `only` of the source say which there are";
        return Err(Failure::new(ExitCode::NotFound, message).hint(hint));
    }
    sources.retain_mut(|source| match source.place.with_categories(wanted) {
        Some(place) => {
            source.place = place;
            true
        }
        None => false,
    });
    Ok(())
}

/// For commands that look at sources as a pass does, and print as people expect.
pub(super) fn looking_only(job: &Job, store: &Arc<dyn Store>, stop: &Arc<Stop>) -> PassContext {
    if job.pass.sources.is_empty() {
        note("note: there is nothing to back up");
    }
    PassContext {
        store: Arc::clone(store),
        events: events(Format::Text, job.log_level.min(Level::Error)),
        limits: job.pass.limits.clone(),
        pass: PassId::new(store.now(), None, 0),
        generation: 0,
        started_at: store.now(),
        stop: Arc::clone(stop),
        clock: Timestamp::now,
    }
}

/// Names one execution in the logs.
pub(super) fn run_id() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// Events of no task, without metrics.
pub(super) fn events(format: Format, level: Level) -> Events {
    Events::new(Output {
        format,
        level,
        files: Files::All,
        run_id: run_id(),
        task: None,
        metrics_of: None,
    })
}
