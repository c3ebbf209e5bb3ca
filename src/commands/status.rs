//! `offsite status`.

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::table::Table;
use super::{Context, block_on, connect, print, print_json};
use crate::cli::StatusArgs;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::lease::{self, Held};
use crate::select::SelectError;
use crate::status::{PassRecord, Status, history};

/// What `status --json` says.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    status: Status,
    /// Who holds the lock now.
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<lease::Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<PassRecord>>,
}

pub(super) fn status(context: &Context, args: &StatusArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    let (status, held, history) = block_on(async {
        let store = connect(&job.store).await;
        let status = Status::read(&*store).await?;
        let status = status.ok_or_else(|| SelectError::Nothing(store.location()))?;
        let seen = lease::look(&*store).await?;
        let held = seen.and_then(|seen| seen.held_at(store.now()));
        let history = match args.history {
            Some(most) => Some(history(&*store, most).await?),
            None => None,
        };
        Ok::<_, Failure>((status, held, history))
    })??;
    match args.json {
        true => print_json(&Shown {
            status,
            lock: held.map(|held| held.record),
            history,
        }),
        false => print(&text(&status, held.as_ref(), history.as_deref())),
    }
    Ok(ExitCode::Complete)
}

fn text(status: &Status, held: Option<&Held>, history: Option<&[PassRecord]>) -> String {
    let mut text = format!(
        "last pass {}: {} (exit code {}), finished {}\n",
        status.pass, status.outcome, status.exit_code, status.finished_at
    );
    if let Some(held) = held {
        text.push_str(&format!(
            "running now: pass {} by {}, since {}\n",
            held.record.pass, held.record.holder, held.record.acquired_at
        ));
    }
    let heading = [
        "SOURCE",
        "LAST SNAPSHOT",
        "FILES",
        "BYTES",
        "LAST PASS",
        "OUTCOME",
    ];
    let mut table = Table::new(&heading, &[2, 3]);
    for (name, source) in &status.sources {
        let totals = source.totals.unwrap_or_default();
        table.row(vec![
            name.clone(),
            source
                .snapshot
                .map_or("none".to_owned(), |pass| pass.to_string()),
            HumanCount(totals.files).to_string(),
            HumanBytes(totals.bytes).to_string(),
            source.last_pass.to_string(),
            match &source.error {
                Some(error) => format!("{}: {error}", source.last_outcome),
                None => source.last_outcome.to_string(),
            },
        ]);
    }
    text.push_str(&format!("\n{table}"));
    if let Some(history) = history {
        let heading = [
            "PASS",
            "OUTCOME",
            "EXIT",
            "SECONDS",
            "SENT FILES",
            "SENT BYTES",
            "REQUESTS",
            "BY",
        ];
        let mut table = Table::new(&heading, &[2, 3, 4, 5, 6]);
        for record in history {
            let changes = record.sources.iter().filter_map(|source| source.changes);
            let files: u64 = changes.clone().map(|changes| changes.uploaded_files).sum();
            let bytes: u64 = changes.map(|changes| changes.uploaded_bytes).sum();
            table.row(vec![
                record.pass.to_string(),
                record.outcome.to_string(),
                record.exit_code.to_string(),
                format!("{:.1}", record.duration_ms as f64 / 1000.0),
                HumanCount(files).to_string(),
                HumanBytes(bytes).to_string(),
                HumanCount(record.requests).to_string(),
                record.holder.to_string(),
            ]);
        }
        text.push_str(&format!("\n{table}"));
    }
    text
}
