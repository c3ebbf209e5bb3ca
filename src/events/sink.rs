//! Where events go: JSON lines on standard output, or text on standard error.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde::Serialize;

use super::metrics::Metrics;
use super::progress::Progress;
use super::{Event, Level};
use crate::ecs::Identity;
use crate::manifest::pass_id::PassId;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line on standard output, for schedulers and log collectors.
    Json,
    /// Text on standard error, with a progress line where that is a terminal.
    Text,
}

/// How the events of an execution are written, and what all of them carry.
#[derive(Debug, Clone)]
pub struct Output {
    /// How.
    pub format: Format,
    /// Those that matter less are left out.
    pub level: Level,
    /// Names the execution.
    pub run_id: String,
    /// The ECS task it runs in.
    pub task: Option<Identity>,
    /// Where the backups go, if there are to be metrics of it.
    pub metrics_of: Option<String>,
}

/// Takes the events of one pass. Clones share one output.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    output: Output,
    pass: OnceLock<PassId>,
    progress: Option<Progress>,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    level: Level,
    run_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a PassId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ecs_task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ecs_cluster: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event,
    #[serde(flatten)]
    metrics: Option<Metrics<'a>>,
}

impl Events {
    /// Events that are written like this.
    #[must_use]
    pub fn new(output: Output) -> Self {
        let progress = match output.format {
            Format::Json => None,
            Format::Text => Progress::on_terminal(),
        };
        Self(Arc::new(Inner {
            output,
            pass: OnceLock::new(),
            progress,
        }))
    }

    /// All later events carry this pass.
    pub fn set_pass(&self, pass: PassId) {
        // A pass has one id; a second one would be a mistake of the caller's, and is not shown.
        let _ = self.0.pass.set(pass);
    }

    /// Whether events of this level are written; saves making those that are not.
    #[must_use]
    pub fn wants(&self, level: Level) -> bool {
        level <= self.0.output.level
    }

    /// Entries that were compared and need nothing, for the progress line.
    pub fn passed_over(&self, entries: u64) {
        if let Some(progress) = &self.0.progress {
            progress.passed_over(entries);
        }
    }

    /// Writes an event, if its level is wanted. An output that is gone is not an error: the backup
    /// matters more than its log.
    pub fn emit(&self, event: &Event) {
        let inner = &*self.0;
        if let Some(progress) = &inner.progress {
            progress.update(event);
        }
        if !self.wants(event.level()) {
            return;
        }
        match inner.output.format {
            Format::Json => {
                let now = Timestamp::now();
                let Output {
                    run_id,
                    task,
                    metrics_of,
                    ..
                } = &inner.output;
                let task = task.as_ref();
                let line = Line {
                    timestamp: now,
                    level: event.level(),
                    run_id,
                    pass: inner.pass.get(),
                    ecs_task: task.map(|task| task.task.as_str()),
                    ecs_cluster: task.map(|task| task.cluster.as_str()),
                    event,
                    metrics: metrics_of
                        .as_deref()
                        .and_then(|store| Metrics::of(event, store, now)),
                };
                let mut bytes = serde_json::to_vec(&line).expect("events are plain data");
                bytes.push(b'\n');
                let _ = std::io::stdout().write_all(&bytes);
            }
            Format::Text => {
                let text = match (&inner.progress, event) {
                    // The progress line counts these.
                    (Some(_), Event::FileUploaded { .. }) if !self.wants(Level::Debug) => return,
                    _ => super::progress::text(event),
                };
                match &inner.progress {
                    Some(progress) => progress.print(&text),
                    None => {
                        let _ = writeln!(std::io::stderr(), "{text}");
                    }
                }
            }
        }
    }
}
