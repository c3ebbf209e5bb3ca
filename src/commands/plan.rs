//! `offsite plan`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytesize::ByteSize;
use indicatif::{HumanBytes, HumanCount};

use super::table::Table;
use super::{Context, block_on, chosen, connect, log_to_stderr, note, print, print_json, sessions};
use crate::cli::PlanArgs;
use crate::config::{Job, Purpose};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::lease::{self, Claim, LeaseError};
use crate::pass::context::PassContext;
use crate::pass::error::SourceError;
use crate::pass::job::SourceJob;
use crate::pass::policy::sessions::SessionOptions;
use crate::plan::sessions::{SessionsPlan, plan as plan_sessions};
use crate::plan::{CategorySum, SourcePlan, plan as plan_source};
use crate::signal;
use crate::status::history;
use crate::store::{Store, StoreResult};
use crate::text;

/// Passes whose speed tells how fast the next one will be.
const PASSES_MEASURED: usize = 10;

/// A pass that sends less spends its time on other things.
const ENOUGH_BYTES: u64 = 16 << 20;

pub(super) fn plan(context: &Context, args: &PlanArgs) -> Result<ExitCode, Failure> {
    let mut job = context.load(&args.dirs.flags(), Purpose::Backup)?.job;
    chosen::only(&mut job, &args.dirs.source)?;
    chosen::categories(&mut job, &args.dirs.category)?;
    sessions::choose(&mut job, &args.choice)?;
    let rate = args.rate.as_deref().map(parse_rate).transpose()?;
    log_to_stderr(&job);
    let (plans, failed) = block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        warn_of_refusal(&job, &*store).await?;
        let pass = chosen::looking_only(&job, &store, &stop);
        let (mut plans, mut failed) = (Vec::new(), false);
        for source in &job.pass.sources {
            let planned = match &source.sessions {
                Some(options) => plan_of_sessions(&pass, &job, source, options, rate).await,
                None => plan_source(&pass, source).await,
            };
            match planned {
                Ok(plan) => plans.push(plan),
                // As in a pass, the others are looked at nevertheless.
                Err(error @ (SourceError::Unusable(_) | SourceError::Empty { .. })) => {
                    failed = true;
                    note(&format!("{}: {}\n", source.name, Failure::from(error)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok::<_, Failure>((plans, failed))
    })??;
    match args.json {
        true => print_json(&plans),
        false => print(&table(&plans)),
    }
    let unreadable = plans.iter().any(|plan| plan.unreadable > 0);
    Ok(match (failed, unreadable) {
        (true, _) => ExitCode::Failed,
        (false, true) => ExitCode::Incomplete,
        (false, false) => ExitCode::Complete,
    })
}

/// Says when a pass would get no further than the lock.
async fn warn_of_refusal(job: &Job, store: &dyn Store) -> Result<(), LeaseError> {
    let claim = Claim::Owner(job.pass.store_owner.clone());
    let refusal = match lease::look(store).await {
        Ok(seen) => {
            let lock = seen.as_ref().map(|seen| &seen.record);
            claim.owner_after(lock, store).err()
        }
        Err(error @ LeaseError::Store(_)) => return Err(error),
        Err(error) => Some(error),
    };
    if let Some(error) = refusal {
        note(&format!("note: a pass would be refused: {error}"));
    }
    Ok(())
}

async fn plan_of_sessions(
    pass: &PassContext,
    job: &Job,
    source: &SourceJob,
    options: &SessionOptions,
    rate: Option<u64>,
) -> Result<SourcePlan, SourceError> {
    let (survey, parent) = sessions::look(pass, source, options).await?;
    let rate = match rate {
        Some(rate) => Some(rate),
        None => measured_rate(&*pass.store).await?,
    };
    Ok(plan_sessions(
        (source, options),
        survey,
        parent.as_ref(),
        pass.pass,
        &job.pass.limits,
        (rate, &job.prices),
    ))
}

fn parse_rate(text: &str) -> Result<u64, Failure> {
    let size = text.trim().trim_end_matches("/s").parse::<ByteSize>();
    let rate = size.ok().map(|size| size.as_u64());
    rate.filter(|rate| *rate > 0).ok_or_else(|| {
        let message = format!("--rate must be bytes a second, as 50MB, not {text:?}");
        Failure::new(ExitCode::Usage, message)
    })
}

/// Bytes a second that the last passes sent, all together, if they sent enough to tell.
async fn measured_rate(store: &dyn Store) -> StoreResult<Option<u64>> {
    let (mut bytes, mut millis) = (0, 0);
    for record in history(store, PASSES_MEASURED).await? {
        let changes = record.sources.iter().filter_map(|source| source.changes);
        let sent: u64 = changes.map(|changes| changes.uploaded_bytes).sum();
        if sent >= ENOUGH_BYTES {
            bytes += sent;
            millis += record.duration_ms;
        }
    }
    let rate = bytes.saturating_mul(1000).checked_div(millis);
    Ok(rate.filter(|rate| *rate > 0))
}

/// What is to be known before sessions are sent to a store one pays for.
fn sessions_text(source: &str, plan: &SessionsPlan) -> String {
    let heading = ["YEAR", "SESSIONS", "FILES", "SIZE", "TO ARCHIVE", "SIZE"];
    let mut table = Table::new(&heading, &[1, 2, 3, 4, 5]);
    let years = plan.years.iter().map(|(year, sum)| (year.as_str(), sum));
    for (year, sum) in years.chain([("all", &plan.total)]) {
        table.row(vec![
            year.to_owned(),
            HumanCount(sum.sessions).to_string(),
            HumanCount(sum.files).to_string(),
            HumanBytes(sum.bytes).to_string(),
            HumanCount(sum.archive_sessions).to_string(),
            HumanBytes(sum.archive_bytes).to_string(),
        ]);
    }
    let how_long = match (plan.duration_seconds, plan.rate_bytes_per_second) {
        (Some(seconds), Some(rate)) => format!(
            "about {} at {}/s",
            text::duration(Duration::from_secs(seconds)),
            HumanBytes(rate)
        ),
        _ => "say how fast it goes with --rate, to know how long it takes".to_owned(),
    };
    let mut costs = Table::new(
        &[
            "CLASS",
            "TO ARCHIVE A MONTH",
            "ALL A MONTH",
            "REQUESTS ONCE",
        ],
        &[1, 2, 3],
    );
    for (class, cost) in &plan.costs {
        let usd = |usd: f64| format!("{usd:.2} USD");
        costs.row(vec![
            class.clone(),
            usd(cost.archive_usd_per_month),
            usd(cost.all_usd_per_month),
            usd(cost.put_usd),
        ]);
    }
    let costs = match plan.costs.is_empty() {
        true => String::new(),
        false => format!(
            "\n{costs}prices of {}; `backup.prices` has them\n",
            plan.prices_as_of
        ),
    };
    format!("\n{source}:\n{table}\n{how_long}\n{costs}")
}

/// What each category of a bucket's objects holds, and what a pass would do with it.
fn categories_text(source: &str, categories: &BTreeMap<String, CategorySum>) -> String {
    let heading = [
        "CATEGORY", "OBJECTS", "SIZE", "NEW", "CHANGED", "REMOVED", "SEND",
    ];
    let mut table = Table::new(&heading, &[1, 2, 3, 4, 5, 6]);
    for (category, sum) in categories {
        table.row(vec![
            category.clone(),
            HumanCount(sum.objects).to_string(),
            HumanBytes(sum.bytes).to_string(),
            HumanCount(sum.new).to_string(),
            HumanCount(sum.changed).to_string(),
            HumanCount(sum.removed).to_string(),
            HumanBytes(sum.send_bytes).to_string(),
        ]);
    }
    format!("\n{source}:\n{table}")
}

fn table(plans: &[SourcePlan]) -> String {
    let heading = [
        "SOURCE",
        "SINCE",
        "NEW",
        "CHANGED",
        "REMOVED",
        "UNCHANGED",
        "SEND",
        "BYTES",
        "READ",
        "REQUESTS",
    ];
    let mut table = Table::new(&heading, &[2, 3, 4, 5, 6, 7, 8, 9]);
    for plan in plans {
        table.row(vec![
            plan.source.clone(),
            plan.parent
                .map_or("(first)".to_owned(), |pass| pass.to_string()),
            HumanCount(plan.new).to_string(),
            HumanCount(plan.changed).to_string(),
            HumanCount(plan.removed).to_string(),
            HumanCount(plan.unchanged).to_string(),
            HumanCount(plan.send_files).to_string(),
            HumanBytes(plan.send_bytes).to_string(),
            HumanCount(plan.read_files).to_string(),
            HumanCount(plan.requests).to_string(),
        ]);
    }
    let mut text = table.to_string();
    for plan in plans {
        if !plan.categories.is_empty() {
            text.push_str(&categories_text(&plan.source, &plan.categories));
        }
        for remark in &plan.remarks {
            text.push_str(&format!("\n{}: {remark}\n", plan.source));
        }
        if let Some(sessions) = &plan.sessions {
            text.push_str(&sessions_text(&plan.source, sessions));
        }
    }
    for plan in plans.iter().filter(|plan| plan.full == Some(true)) {
        text.push_str(&format!(
            "\n{}: a full archive{}\n",
            plan.source,
            match plan.parent {
                Some(_) => ", so that all entries of the last snapshot count as changed",
                None => "",
            }
        ));
    }
    if plans.iter().any(|plan| plan.read_files > 0) {
        text.push_str(
            "\nREAD: files of the same size that look touched; they are hashed, and sent only if their contents differ\n",
        );
    }
    text
}
