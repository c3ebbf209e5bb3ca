//! `offsite plan`.

use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;

use super::table::Table;
use super::{Context, block_on, connect, log_to_stderr, print, print_json, run};
use crate::cli::PlanArgs;
use crate::config::Purpose;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::plan::{SourcePlan, plan as plan_source};
use crate::signal;

pub(super) fn plan(context: &Context, args: &PlanArgs) -> Result<ExitCode, Failure> {
    let mut job = context.load(&args.dirs.flags(), Purpose::Backup)?.job;
    run::only(&mut job, &args.dirs.source)?;
    log_to_stderr(&job);
    let events = run::quiet_events(&job);
    let plans = block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job.store).await;
        let mut plans = Vec::new();
        for source in &job.pass.sources {
            let limits = &job.pass.limits;
            let planned = plan_source(&store, source, limits, &events, &stop, Timestamp::now());
            plans.push(planned.await?);
        }
        Ok::<_, Failure>(plans)
    })??;
    match args.json {
        true => print_json(&plans),
        false => print(&table(&plans)),
    }
    let unreadable = plans.iter().any(|plan| plan.unreadable > 0);
    Ok(match unreadable {
        true => ExitCode::Incomplete,
        false => ExitCode::Complete,
    })
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
    if plans.iter().any(|plan| plan.read_files > 0) {
        text.push_str(
            "\nREAD: files of the same size that look touched; they are hashed, and sent only if their contents differ\n",
        );
    }
    text
}
