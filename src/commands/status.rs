//! `offsite status`.

use std::collections::BTreeMap;

use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;
use serde::Serialize;

use super::table::Table;
use super::{Context, block_on, connect, note, print, print_json};
use crate::cli::StatusArgs;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::drill::DrillOutcome;
use crate::format::keys::SourceName;
use crate::format::lock::{Lock, LockState};
use crate::format::origin::Alternation;
use crate::format::owner::StoreOwner;
use crate::format::pass_record::PassRecord;
use crate::format::status::Status;
use crate::lease::{self, Seen};
use crate::snapshots::drills::{LastDrill, last_drills};
use crate::snapshots::select::{self, SelectError};
use crate::status::{self, history};
use crate::text;

/// What `status --json` says.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    status: Option<Status>,
    /// Whose store it is, if it is anybody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    store_owner: Option<StoreOwner>,
    /// Who holds the lock now.
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<Lock>,
    /// Who let it expire without a word on how the pass ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_off: Option<Lock>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<PassRecord>>,
    /// The last drill of each source that had one; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    drills: Option<BTreeMap<SourceName, ShownDrill>>,
}

/// The last drill of a source, as of now.
#[derive(Serialize)]
struct ShownDrill {
    /// How long ago it was.
    age_seconds: u64,
    #[serde(flatten)]
    last: LastDrill,
}

pub(super) fn status(context: &Context, args: &StatusArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    let (shown, has_snapshots, nothing) = block_on(async {
        let store = connect(&job).await;
        let seen = lease::look(&*store).await?;
        let owner = seen
            .as_ref()
            .and_then(|seen| seen.record.store_owner.clone());
        let held = seen.as_ref().and_then(|seen| seen.held_at(store.now()));
        let status = status::read(&*store).await?;
        let told = status.as_ref().map(|status| status.pass);
        let lost = seen.filter(|Seen { record, .. }| {
            held.is_none() && record.state == LockState::Held && told != Some(record.pass)
        });
        let shown = Shown {
            status,
            store_owner: owner,
            lock: held.map(|held| held.record),
            cut_off: lost.map(|lost| lost.record),
            history: match args.history {
                Some(most) => Some(history(&*store, most).await?),
                None => None,
            },
            drills: match last_drills(&store).await {
                Ok(last) => Some(shown_drills(last, store.now())),
                Err(error) => {
                    note(&format!("note: the last drills are not known: {error}"));
                    None
                }
            },
        };
        let has_snapshots = shown.status.is_none() && !select::sources(&*store).await?.is_empty();
        let nothing = SelectError::Nothing(store.location());
        Ok::<_, Failure>((shown, has_snapshots, nothing))
    })??;
    let is_untouched = shown.status.is_none() && shown.lock.is_none() && shown.cut_off.is_none();
    if is_untouched && !has_snapshots {
        return Err(nothing.into());
    }
    if is_untouched {
        note(
            "note: there are snapshots, which `offsite list` shows, and no `status.json` that says how the last pass ended: it is damaged, or this store is a copy that no pass has run in yet; each source is here once it was backed up (again)",
        );
    }
    match args.json {
        true => print_json(&shown),
        false => print(&text(&shown)),
    }
    Ok(match shown.status {
        Some(_) => ExitCode::Complete,
        None => ExitCode::NotFound,
    })
}

fn shown_drills(
    last: BTreeMap<SourceName, LastDrill>,
    now: Timestamp,
) -> BTreeMap<SourceName, ShownDrill> {
    let shown = |(source, last): (SourceName, LastDrill)| {
        let age = now.duration_since(last.at).as_secs();
        let age_seconds = u64::try_from(age).unwrap_or(0);
        (source, ShownDrill { age_seconds, last })
    };
    last.into_iter().map(shown).collect()
}

fn text(shown: &Shown) -> String {
    let mut text = match &shown.status {
        Some(status) => format!(
            "last pass {}: {} (exit code {}), finished {}\n",
            status.pass, status.outcome, status.exit_code, status.finished_at
        ),
        None if shown.lock.is_none() && shown.cut_off.is_none() => {
            "how the last pass ended is not known\n".to_owned()
        }
        None => "no pass has ended yet\n".to_owned(),
    };
    if let Some(owner) = &shown.store_owner {
        text.push_str(&format!("owner of the store: {owner}\n"));
    }
    if let Some(record) = &shown.lock {
        text.push_str(&format!("running now: {}\n", who(record)));
    }
    if let Some(record) = &shown.cut_off {
        text.push_str(&format!(
            "cut off: {}; the next pass goes on where it was\n",
            who(record)
        ));
    }
    if let Some(status) = &shown.status {
        for copy in &status.copies {
            let how = match (&copy.error, copy.required) {
                (None, _) => "up to date".to_owned(),
                (Some(error), true) => format!("NOT COPIED, and required: {error}"),
                (Some(error), false) => format!("NOT COPIED: {error}"),
            };
            text.push_str(&format!("copy {}: {how}\n", copy.store));
        }
        text.push_str(&format!("\n{}", sources(status, shown.drills.as_ref())));
        for (name, source) in &status.sources {
            if let Some(Alternation { origin, other }) = &source.alternation {
                text.push_str(&format!(
                    "\nwarning: source `{name}` is {origin} and was {other} in pass {}; if these are two, give one of them another name\n",
                    other.last
                ));
            }
        }
    }
    if let Some(records) = &shown.history {
        text.push_str(&format!("\n{}", passes(records)));
    }
    text
}

fn who(record: &Lock) -> String {
    format!(
        "pass {} by {}, since {}",
        record.pass, record.holder, record.acquired_at
    )
}

/// How the last drill of a source went, and how long ago.
fn drilled(drill: Option<&ShownDrill>) -> String {
    let Some(ShownDrill { age_seconds, last }) = drill else {
        return "never".to_owned();
    };
    let outcome = match last.drill.outcome {
        DrillOutcome::Damaged => "DAMAGED".to_owned(),
        outcome => outcome.to_string(),
    };
    format!("{outcome}, {}", ago(*age_seconds))
}

fn ago(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{} ago", text::count(number, unit))
}

fn sources(status: &Status, drills: Option<&BTreeMap<SourceName, ShownDrill>>) -> Table {
    let heading = [
        "SOURCE",
        "LAST SNAPSHOT",
        "FILES",
        "BYTES",
        "LAST PASS",
        "OUTCOME",
        "LAST DRILL",
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
                None if source.left_out > 0 => format!(
                    "{}; {} never archived",
                    source.last_outcome,
                    text::count(source.left_out, "session")
                ),
                None => source.last_outcome.to_string(),
            },
            match drills {
                Some(drills) => drilled(
                    drills
                        .iter()
                        .find_map(|(of, drill)| (of.as_str() == name).then_some(drill)),
                ),
                None => "unknown".to_owned(),
            },
        ]);
    }
    table
}

fn passes(history: &[PassRecord]) -> Table {
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
    table
}
