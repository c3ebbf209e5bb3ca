//! `offsite prune`.

use indicatif::HumanBytes;
use jiff::Timestamp;
use serde::Serialize;

use super::table::Table;
use super::{Context, block_on, chosen, connect, format, log_to_stderr, note, print, print_json};
use crate::boottime::boottime;
use crate::cli::PruneArgs;
use crate::config::{Job, Purpose, parse_duration};
use crate::error::Failure;
use crate::events::Format;
use crate::exit::ExitCode;
use crate::format::keys::SourceName;
use crate::format::retention::{Policy, span};
use crate::prices::Prices;
use crate::retention::Retention;
use crate::retention::plan::{Decision, SourcePlan};
use crate::retention::prepare::{Kept, Plans, plans};
use crate::run::World;
use crate::run::prune::{PruneFailure, Terms, prune as prune_store};
use crate::signal;
use crate::snapshots::select::sources_named;
use crate::stop::Stop;
use crate::store::Store;
use crate::text::count;

pub(super) fn prune(context: &Context, args: &PruneArgs) -> Result<ExitCode, Failure> {
    let job = context.load(&args.flags(), Purpose::Read)?.job;
    log_to_stderr(&job);
    let grace = grace(args)?;
    block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        let kept = kept(&*store, &job, args.source.as_deref(), grace).await?;
        if args.dry_run {
            let plans = plans(&store, &kept, Timestamp::now());
            let plans = plans.await.map_err(|error| failure(&error.into()))?;
            for (source, error) in &plans.unread {
                note(&format!("note: source `{source}` is left alone: {error}"));
            }
            if let Some(expected) = args.expect_removed.filter(|n| *n != plans.removes()) {
                note(&format!(
                    "note: {} would be removed, not {expected}",
                    plans.removes()
                ));
            }
            let shown = Shown::of(&plans, &job);
            match args.json {
                true => print_json(&shown),
                false => print(&shown.text(&plans)),
            }
            return Ok(ExitCode::Complete);
        }
        let written = match args.json {
            true => Format::Json,
            false => format(job.log_format),
        };
        let world = World {
            store,
            events: chosen::events(written, job.log_level),
            stop: Stop::within(&stop),
            interrupted_by: signal::received,
            holder: context.environment.holder(),
            random: fastrand::u16(..),
            clock: Timestamp::now,
            boottime,
        };
        let terms = Terms {
            lock_ttl: job.pass.lock_ttl,
            lock_wait: job.pass.lock_wait,
            store_owner: job.pass.store_owner.clone(),
            expected: args.expect_removed,
        };
        Ok(match prune_store(&world, &kept, &terms).await {
            Ok(()) => ExitCode::Complete,
            Err(failure) => signal::received().unwrap_or(failure.exit_code()),
        })
    })?
}

fn failure(failed: &PruneFailure) -> Failure {
    let (code, hint) = (failed.exit_code(), failed.hint());
    let failure = Failure::new(code, failed.to_string());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn grace(args: &PruneArgs) -> Result<Option<u64>, Failure> {
    let Some(text) = &args.grace else {
        return Ok(None);
    };
    let grace = parse_duration(text).ok_or_else(|| {
        let text = format!("--grace must be a duration like `7d` or `36h`, not `{text}`");
        Failure::new(ExitCode::Usage, text)
    })?;
    Ok(Some(grace.as_secs()))
}

/// The sources that a policy is configured for, and it. Others are named, so that nobody takes them for pruned.
async fn kept(
    store: &dyn Store,
    job: &Job,
    wanted: Option<&str>,
    grace: Option<u64>,
) -> Result<Vec<Kept>, Failure> {
    let mut kept = Vec::new();
    let mut left = Vec::new();
    for source in sources_named(store, wanted).await? {
        match retention_of(&source, job, wanted.is_some()) {
            Ok(retention) => kept.push((source, retention)),
            Err(why) => left.push(format!("source `{source}` is left alone: {why}")),
        }
    }
    if kept.is_empty() {
        let text = match left.first() {
            Some(one) if left.len() == 1 => one.clone(),
            _ if job.pass.retention.is_some() => {
                "none of the sources in this store is configured, so nothing is removed; name one with --source".to_owned()
            }
            _ => "no retention is configured, so nothing is ever removed".to_owned(),
        };
        let hint = "set `backup.defaults.retention`, for example `{keep_within: 14d, daily: 30, monthly: 12}`";
        return Err(Failure::new(ExitCode::Usage, text).hint(hint));
    }
    for why in left {
        note(&format!("note: {why}"));
    }
    for (_, retention) in &mut kept {
        retention.policy.grace_seconds = grace.unwrap_or(retention.policy.grace_seconds);
    }
    Ok(kept)
}

fn retention_of(source: &SourceName, job: &Job, is_named: bool) -> Result<Retention, &'static str> {
    let configured = job.pass.sources.iter().find(|one| one.name == *source);
    match configured {
        Some(configured) => configured
            .retention
            .clone()
            .ok_or("no retention is configured for it"),
        None if is_named => job
            .pass
            .retention
            .clone()
            .ok_or("it is not configured, and `backup.defaults.retention` is not set"),
        None => Err("it is not configured; name it with --source to prune it all the same"),
    }
}

/// What `prune --dry-run --json` says.
#[derive(Serialize)]
struct Shown<'a> {
    sources: Vec<ShownSource<'a>>,
    /// Snapshots that would be condemned.
    removes: u64,
    /// Snapshots that would stay.
    remaining: u64,
    /// Upper bound of the bytes that would come free, as far as commit records tell.
    bytes_freed_at_most: u64,
    /// What they cost each month.
    #[serde(skip_serializing_if = "Option::is_none")]
    usd_per_month: Option<f64>,
    /// What deleting them before their class allows it costs, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    early_deletion_usd: Option<f64>,
    /// Which sources would be left alone without `--expect-removed`, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<String>,
}

#[derive(Serialize)]
struct ShownSource<'a> {
    #[serde(flatten)]
    plan: &'a SourcePlan,
    removes: u64,
    remaining: u64,
}

impl<'a> Shown<'a> {
    fn of(plans: &'a Plans, job: &Job) -> Self {
        let shown = |plan: &'a SourcePlan| ShownSource {
            plan,
            removes: plan.removes(),
            remaining: plan.remaining(),
        };
        let now = Timestamp::now();
        let costs = plans.sources.iter().map(|plan| {
            let configured = job.pass.sources.iter().find(|s| s.name == plan.source);
            let class = configured.and_then(|s| s.placement.storage_class.as_deref());
            cost(plan, class.unwrap_or("STANDARD"), &job.prices, now)
        });
        let costs: Option<Vec<_>> = costs.collect();
        let sum =
            |of: fn(&(f64, f64)) -> f64| costs.as_ref().map(|costs| costs.iter().map(of).sum());
        Self {
            sources: plans.sources.iter().map(shown).collect(),
            removes: plans.removes(),
            remaining: plans.remaining(),
            bytes_freed_at_most: plans.frees_at_most(),
            usd_per_month: sum(|cost| cost.0),
            early_deletion_usd: sum(|cost| cost.1),
            refused: plans.refusals(),
        }
    }

    fn text(&self, plans: &Plans) -> String {
        let mut text = String::new();
        for plan in &plans.sources {
            text.push_str(&format!(
                "{}: {}\n\n{}\n",
                plan.source,
                plan.policy,
                table(plan)
            ));
        }
        let graces = plans.sources.iter().map(|plan| plan.policy.grace_seconds);
        let grace = span(graces.max().unwrap_or(0));
        text.push_str(&match self.removes {
            0 => format!("nothing to condemn; {} stay\n", count(self.remaining, "snapshot")),
            removes => format!(
                "{} of {} would be condemned. They can be undeleted for {grace} or longer; after that at most about {} can be freed{}.\n",
                removes,
                count(removes + self.remaining, "snapshot"),
                HumanBytes(self.bytes_freed_at_most),
                self.costs(),
            ),
        });
        if !self.refused.is_empty() {
            text.push_str(&format!(
                "\n{}.\nIf that is meant, run `offsite prune --expect-removed {}`.\n",
                self.refused.join(".\n"),
                self.removes
            ));
        }
        text
    }

    fn costs(&self) -> String {
        match (self.usd_per_month, self.early_deletion_usd) {
            (Some(monthly), Some(early)) if early >= 0.005 => {
                format!(", ${monthly:.2} a month, at ${early:.2} once for deleting them early")
            }
            (Some(monthly), _) => format!(", ${monthly:.2} a month"),
            (None, _) => String::new(),
        }
    }
}

/// What is saved each month, and what it costs once; `None` without a price.
fn cost(plan: &SourcePlan, class: &str, prices: &Prices, now: Timestamp) -> Option<(f64, f64)> {
    let grace_days = plan.policy.grace_seconds as f64 / 86_400.0;
    let mut sum = (0.0, 0.0);
    for (decision, _) in plan.removed() {
        let age = now.duration_since(decision.committed_at).as_secs_f64() / 86_400.0;
        let bytes = decision.uploaded_bytes;
        sum.0 += prices.monthly(class, bytes)?;
        sum.1 += prices.early_deletion(class, bytes, age + grace_days)?;
    }
    Some(sum)
}

fn table(plan: &SourcePlan) -> Table {
    let heading = ["SNAPSHOT", "COMMITTED", "UPLOADED", "", "WHY"];
    let mut table = Table::new(&heading, &[2]);
    for decision in &plan.snapshots {
        let (what, why) = decided(decision);
        table.row(vec![
            decision.snapshot.to_string(),
            local(decision.committed_at, &plan.policy),
            HumanBytes(decision.uploaded_bytes).to_string(),
            what.to_owned(),
            why,
        ]);
    }
    table
}

fn decided(decision: &Decision) -> (&'static str, String) {
    let incomplete = match decision.complete {
        true => "",
        false => "incomplete; ",
    };
    match &decision.removed {
        Some(removal) => ("remove", format!("{incomplete}{removal}")),
        None => {
            let reasons: Vec<_> = decision.kept.iter().map(ToString::to_string).collect();
            ("keep", format!("{incomplete}{}", reasons.join(", ")))
        }
    }
}

/// A time in the time zone of the rules: it is the only one in a plan.
fn local(at: Timestamp, policy: &Policy) -> String {
    match at.in_tz(&policy.timezone) {
        Ok(local) => local.strftime("%Y-%m-%d %H:%M:%S%:z").to_string(),
        Err(_) => at.to_string(),
    }
}
