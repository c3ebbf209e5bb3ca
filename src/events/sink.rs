//! Where events go: JSON lines on standard output, or text on standard error.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::files::{Files, Sampler};
use super::metrics::Metrics;
use super::progress::Progress;
use super::{Event, Level};
use crate::ecs::Identity;
use crate::format::pass_id::PassId;
use crate::stdio::{self, Importance};
use crate::text;

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
    /// Which of those about single files are written.
    pub files: Files,
    /// Names the execution.
    pub run_id: String,
    /// The ECS task it runs in.
    pub task: Option<Identity>,
    /// Where the backups go, if there are to be metrics of it.
    pub metrics_of: Option<String>,
}

/// Takes the events of one execution. Clones share one output.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    output: Output,
    files: Sampler,
    pass: RwLock<Option<PassId>>,
    progress: Option<Progress>,
    dropped: AtomicU64,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    level: Level,
    run_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<PassId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ecs_task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ecs_cluster: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event,
    #[serde(flatten)]
    missing: Missing,
    #[serde(flatten)]
    metrics: Option<Metrics<'a>>,
}

/// What was not written before a line.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Missing {
    /// Events about single files, by `log.files`, since the last one that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    events_left_out: Option<u64>,
    /// Events of this execution that found no room, because their reader was too slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    events_dropped: Option<u64>,
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
            files: Sampler::new(output.files),
            output,
            pass: RwLock::default(),
            progress,
            dropped: AtomicU64::new(0),
        }))
    }

    /// All later events carry this pass, or none.
    pub fn set_pass(&self, pass: Option<PassId>) {
        let mut current = self.0.pass.write().unwrap_or_else(PoisonError::into_inner);
        *current = pass;
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

    /// Writes an event, if it is wanted. Never waits for whoever reads it: what finds no room is counted,
    /// and the last event says how many did not. An output that is gone is not an error: the backup
    /// matters more than its log.
    pub fn emit(&self, event: &Event) {
        let inner = &*self.0;
        if let Some(progress) = &inner.progress {
            progress.update(event);
        }
        if let Event::SourceStarted { .. } = event {
            inner.files.restart();
        }
        let Some(missing) = self.wanted(event) else {
            return;
        };
        let importance = match event {
            event if event.is_last() => Importance::Last,
            event if event.is_about_a_file() || event.level() >= Level::Debug => Importance::Detail,
            _ => Importance::Normal,
        };
        let found_room = match inner.output.format {
            Format::Json => {
                let line = format!("{}\n", self.json(event, missing));
                stdio::stdout().offer(line.as_bytes(), importance)
            }
            Format::Text => {
                let text = format!("{}{}\n", super::progress::text(event), missing.text());
                match &inner.progress {
                    Some(progress) => progress.print(&text, importance),
                    None => stdio::stderr().offer(text.as_bytes(), importance),
                }
            }
        };
        if !found_room {
            inner.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What to say with an event of what was not written before it; `None` for an event that is not
    /// written either. The last one always is: without it nobody knows how the pass ended.
    fn wanted(&self, event: &Event) -> Option<Missing> {
        let inner = &*self.0;
        let mut missing = Missing::default();
        if event.is_last() {
            missing.events_dropped = Some(inner.dropped.swap(0, Ordering::Relaxed));
            return Some(missing);
        }
        if !self.wants(event.level()) {
            return None;
        }
        if event.is_about_a_file() {
            // The progress line counts these.
            let is_counted = matches!(
                event,
                Event::FileUploaded { .. } | Event::ObjectCopied { .. }
            );
            if inner.progress.is_some() && is_counted && !self.wants(Level::Debug) {
                return None;
            }
            let left_out = inner.files.take(Instant::now())?;
            missing.events_left_out = Some(left_out).filter(|left_out| *left_out > 0);
        }
        Some(missing)
    }

    fn json(&self, event: &Event, missing: Missing) -> String {
        let inner = &*self.0;
        let now = Timestamp::now();
        let Output {
            run_id,
            task,
            metrics_of,
            ..
        } = &inner.output;
        let task = task.as_ref();
        text::json(&Line {
            timestamp: now,
            level: event.level(),
            run_id,
            pass: *inner.pass.read().unwrap_or_else(PoisonError::into_inner),
            ecs_task: task.map(|task| task.task.as_str()),
            ecs_cluster: task.map(|task| task.cluster.as_str()),
            event,
            missing,
            metrics: metrics_of
                .as_deref()
                .and_then(|store| Metrics::of(event, store, now)),
        })
    }
}

impl Missing {
    fn text(self) -> String {
        match (self.events_left_out, self.events_dropped) {
            (Some(n), _) => format!(", after {} not shown", text::count(n, "other")),
            (None, Some(n)) if n > 0 => {
                format!(
                    "\nnote: {} lost: they were read too slowly",
                    text::count(n, "line")
                )
            }
            _ => String::new(),
        }
    }
}
