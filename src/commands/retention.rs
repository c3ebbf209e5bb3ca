//! `offsite retention --simulate`: what a policy will hold.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::table::Table;
use super::{Context, block_on, connect, print, print_json};
use crate::cli::RetentionArgs;
use crate::config::{Job, parse_duration};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::keys::SourceName;
use crate::format::retention::Policy;
use crate::pass::job::SourceJob;
use crate::retention::Retention;
use crate::retention::rules::Rule;
use crate::retention::simulate::{Held, MOST, simulate as go_through};
use crate::snapshots::chain;
use crate::store::Store;

/// So many snapshots say how much a pass uploads.
const LAST: usize = 30;

/// What `retention --simulate --json` says of a source.
#[derive(Serialize)]
struct Shown {
    source: SourceName,
    policy: Policy,
    /// Snapshots that were made.
    made: u64,
    /// Snapshots that are held at the end.
    held: u64,
    by_rule: Vec<ByRule>,
    /// How many are held of each day.
    days: Vec<Day>,
    #[serde(flatten)]
    size: Size,
    #[serde(skip)]
    zone: TimeZone,
}

#[derive(Serialize)]
struct ByRule {
    rule: String,
    snapshots: u64,
    oldest: Timestamp,
}

#[derive(Serialize)]
struct Day {
    day: Date,
    snapshots: u64,
}

/// What it comes to, by what the last passes have uploaded; nothing of a source that was never backed up.
#[derive(Serialize, Default)]
struct Size {
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usd_per_month: Option<f64>,
}

pub(super) fn simulate(context: &Context, args: &RetentionArgs) -> Result<ExitCode, Failure> {
    let every = length("--simulate", &args.simulate)?;
    let lasting = length("--for", &args.duration)?;
    let job = context.reader()?;
    block_on(async {
        let store = connect(&job).await;
        let mut shown = Vec::new();
        for (source, retention) in kept(&job, args.source.as_deref())? {
            let held = go_through(
                &retention.policy,
                &retention.zone,
                Timestamp::now(),
                (every, lasting),
            );
            let held = held.ok_or_else(|| too_many(args))?;
            let size = size(&*store, &job, source, held.left.len() as u64).await?;
            shown.push(show(source, &retention, &held, size));
        }
        match args.json {
            true => print_json(&shown),
            false => shown.iter().for_each(|one| print(&text(one, args))),
        }
        Ok(ExitCode::Complete)
    })?
}

fn length(flag: &str, text: &str) -> Result<Duration, Failure> {
    let length = years(text).or_else(|| parse_duration(text));
    length.filter(|length| !length.is_zero()).ok_or_else(|| {
        let text = format!("{flag} must be a duration like `15m`, `1d` or `3y`, not `{text}`");
        Failure::new(ExitCode::Usage, text)
    })
}

/// `3y`: a year has no fixed length elsewhere; here 365 days do.
fn years(text: &str) -> Option<Duration> {
    let years: u32 = text.trim().strip_suffix('y')?.trim().parse().ok()?;
    Some(Duration::from_secs(365 * 24 * 3600) * years.min(100))
}

fn too_many(args: &RetentionArgs) -> Failure {
    let text = format!(
        "a pass every {} for {} makes more than {} snapshots",
        args.simulate,
        args.duration,
        HumanCount(MOST)
    );
    Failure::new(ExitCode::Usage, text).hint("look at a shorter time with --for")
}

fn kept<'a>(
    job: &'a Job,
    wanted: Option<&str>,
) -> Result<Vec<(&'a SourceJob, Retention)>, Failure> {
    let is_meant = |source: &&SourceJob| wanted.is_none_or(|name| source.name.as_str() == name);
    let meant: Vec<_> = job.pass.sources.iter().filter(is_meant).collect();
    if let (Some(wanted), true) = (wanted, meant.is_empty()) {
        let text = format!("no source `{wanted}` is configured");
        return Err(Failure::new(ExitCode::NotFound, text));
    }
    let with_policy = |source: &'a SourceJob| Some((source, source.retention.clone()?));
    let kept: Vec<_> = meant.into_iter().filter_map(with_policy).collect();
    match kept.is_empty() {
        false => Ok(kept),
        true => {
            let text = "no retention is configured, so every snapshot is kept";
            let hint = "set `backup.defaults.retention`, for example `{keep_within: 14d, daily: 30, monthly: 12}`";
            Err(Failure::new(ExitCode::Usage, text).hint(hint))
        }
    }
}

/// The last snapshot whole, and of each other one what a pass uploads on average.
async fn size(
    store: &dyn Store,
    job: &Job,
    source: &SourceJob,
    held: u64,
) -> Result<Size, Failure> {
    let passes = chain::passes(store, &source.name).await?;
    let mut snapshots = Vec::new();
    for pass in passes.into_iter().rev().take(LAST) {
        let read = chain::read(store, &source.name, pass).await;
        snapshots.extend(read.map_err(crate::snapshots::select::SelectError::from)?);
    }
    let Some(newest) = snapshots.first() else {
        return Ok(Size::default());
    };
    // The first one of all uploads everything.
    let changes = snapshots
        .iter()
        .filter(|snapshot| snapshot.parent.is_some());
    let uploads: Vec<u64> = changes.map(|snapshot| snapshot.uploaded_bytes).collect();
    let mean = uploads
        .iter()
        .sum::<u64>()
        .checked_div(uploads.len() as u64);
    let more = mean.unwrap_or(0).saturating_mul(held.saturating_sub(1));
    let bytes = newest.totals.bytes.saturating_add(more);
    let class = source.placement.storage_class.as_deref();
    Ok(Size {
        bytes: Some(bytes),
        usd_per_month: job.prices.monthly(class.unwrap_or("STANDARD"), bytes),
    })
}

fn show(source: &SourceJob, retention: &Retention, held: &Held, size: Size) -> Shown {
    let mut by_rule: Vec<ByRule> = Vec::new();
    for (at, rules) in &held.left {
        for rule in rules {
            let name = name(rule);
            match by_rule.iter_mut().find(|one| one.rule == name) {
                Some(one) => one.snapshots += 1,
                None => by_rule.push(ByRule {
                    rule: name,
                    snapshots: 1,
                    oldest: *at,
                }),
            }
        }
    }
    by_rule.sort_by_key(|one| std::cmp::Reverse(one.oldest));
    let days = held.by_day(&retention.zone).into_iter();
    Shown {
        source: source.name.clone(),
        policy: retention.policy.clone(),
        made: held.made,
        held: held.left.len() as u64,
        by_rule,
        days: days
            .map(|(day, snapshots)| Day { day, snapshots })
            .collect(),
        size,
        zone: retention.zone.clone(),
    }
}

fn name(rule: &Rule) -> String {
    match rule {
        Rule::Last { .. } => "keep_last".to_owned(),
        Rule::Within { .. } => "keep_within".to_owned(),
        Rule::Calendar { every, .. } => every.name().to_owned(),
        Rule::Oldest { .. } => "oldest".to_owned(),
    }
}

fn text(shown: &Shown, args: &RetentionArgs) -> String {
    let mut rules = Table::new(&["RULE", "SNAPSHOTS", "BACK TO"], &[1]);
    for one in &shown.by_rule {
        let oldest = one.oldest.to_zoned(shown.zone.clone()).date();
        rules.row(vec![
            one.rule.clone(),
            HumanCount(one.snapshots).to_string(),
            oldest.to_string(),
        ]);
    }
    let size = match (shown.size.bytes, shown.size.usd_per_month) {
        (Some(bytes), Some(usd)) => format!("; about {}, ${usd:.2} a month", HumanBytes(bytes)),
        (Some(bytes), None) => format!("; about {}", HumanBytes(bytes)),
        (None, _) => String::new(),
    };
    format!(
        "{}: {}\n\na pass every {} for {} makes {} snapshots; {} are held at the end{size}\n\n{rules}\n{}\n",
        shown.source,
        shown.policy,
        args.simulate,
        args.duration,
        HumanCount(shown.made),
        HumanCount(shown.held),
        calendar(&shown.days),
    )
}

/// A line a month, a column a day: how many snapshots are held of it.
fn calendar(days: &[Day]) -> String {
    let mut text = "         1        10        20        30\n".to_owned();
    let mut days = days.iter().peekable();
    while let Some(first) = days.peek() {
        let (year, month) = (first.day.year(), first.day.month());
        let mut line = vec![b'.'; usize::from(first.day.days_in_month().unsigned_abs())];
        while let Some(day) = days.next_if(|day| (day.day.year(), day.day.month()) == (year, month))
        {
            let column = usize::from(day.day.day().unsigned_abs()) - 1;
            line[column] = match day.snapshots {
                few @ 0..=9 => b'0' + u8::try_from(few).unwrap_or(9),
                _ => b'+',
            };
        }
        let line = String::from_utf8_lossy(&line);
        text.push_str(&format!("{year}-{month:02}  {line}\n"));
    }
    text
}
