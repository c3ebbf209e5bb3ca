//! `offsite verify`.

mod advice;
mod against;
mod repair;
mod summary;
mod verified;

use jiff::Timestamp;

use super::{Context, block_on, connect, print_json, selection};
use crate::cli::VerifyArgs;
use crate::config::Job;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::signal;
use crate::verify::{Depth, VerifyOptions};
use crate::window::Window;

use self::verified::{Verified, kind, verified_snapshots};

pub(super) fn verify(context: &Context, args: &VerifyArgs) -> Result<ExitCode, Failure> {
    if args.against_source {
        return against::against_source(context, args, depth(args)?.read);
    }
    let job = context.reader()?;
    let selection = selection(&args.select)?;
    let options = VerifyOptions {
        depth: depth(args)?,
        concurrency: job.pass.limits.concurrency,
    };
    block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        if args.repair {
            let job = &job;
            let world = repair::World {
                context,
                args,
                job,
                store,
                stop,
            };
            return repair::repair(&world, &selection, options).await;
        }
        let verified = verified_snapshots(&store, &selection, options, args.all, &stop).await?;
        Ok(tell(args, &job, options, verified))
    })?
}

/// Prints what was found.
fn tell(args: &VerifyArgs, job: &Job, options: VerifyOptions, verified: Vec<Verified>) -> ExitCode {
    let reports: Vec<_> = verified.into_iter().map(|one| one.report).collect();
    match args.json {
        true => print_json(&reports),
        false => {
            for report in &reports {
                summary::print_summary(report, options.depth, kind(job, report), false);
            }
        }
    }
    let found = reports.iter().any(|report| !report.findings.is_empty());
    match (signal::received(), found) {
        (Some(signal), _) => signal,
        (None, true) => ExitCode::Integrity,
        (None, false) => ExitCode::Complete,
    }
}

fn depth(args: &VerifyArgs) -> Result<Depth, Failure> {
    let share = args.read.as_deref().map(share).transpose()?;
    let read = share.filter(|share| *share > 0.0);
    Ok(Depth {
        read: read.map(|share| Window::at(Timestamp::now(), share)),
        checksums: args.checksums,
    })
}

/// A share like `5%`, from 0 to 1.
pub(super) fn share(share: &str) -> Result<f64, Failure> {
    match share.trim().trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => {
            let message = format!("--read takes a share like `5%`, not `{share}`");
            Err(Failure::new(ExitCode::Usage, message))
        }
    }
}
