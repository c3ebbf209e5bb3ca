//! `offsite copy`.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Context, block_on, chosen, connect, format, log_to_stderr};
use crate::boottime::boottime;
use crate::cli::CopyArgs;
use crate::config::{Purpose, relation};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::run::World;
use crate::run::copies::{Scope, Terms, copy as copy_store};
use crate::signal;
use crate::snapshots::select::{Selection, select, sources_named};
use crate::stop::Stop;
use crate::store::CopyJob;
use crate::store::open::open;
use crate::store::url::StoreUrl;

pub(super) fn copy(context: &Context, args: &CopyArgs) -> Result<ExitCode, Failure> {
    let job = context.load(&args.flags(), Purpose::Read)?.job;
    log_to_stderr(&job);
    let to: StoreUrl = args
        .to
        .parse()
        .map_err(|problem: crate::store::url::BadStore| {
            Failure::new(ExitCode::Usage, format!("--to {problem}")).hint(problem.hint())
        })?;
    let endpoint = args.to_endpoint_url.as_ref();
    let is_meant = |copy: &&CopyJob| {
        copy.store == to
            && endpoint.is_none_or(|url| copy.options.endpoint_url.as_ref() == Some(url))
    };
    let mut meant = job.pass.copies.iter().filter(is_meant);
    let configured = meant.next();
    if meant.next().is_some() {
        let text = format!("--to `{to}` is in `backup.copies` more than once");
        let hint = "say on which server with --to-endpoint-url";
        return Err(Failure::new(ExitCode::Usage, text).hint(hint));
    }
    // The same server and credentials, unless it is said otherwise.
    let options = configured.map_or(&job.store_options, |copy| &copy.options);
    let options = options.clone().but(
        args.to_profile.as_deref(),
        args.to_region.as_deref(),
        args.to_endpoint_url.as_deref(),
    );
    if let Some(relation) = relation((&to, &options), (&job.store, &job.store_options)) {
        let text = relation.text();
        let text = format!(
            "--to {text} the store that is to be copied, `{}`",
            job.store
        );
        return Err(Failure::new(ExitCode::Usage, text).hint("give the copy a place of its own"));
    }
    block_on(async {
        let stop = signal::listen()?;
        let from = connect(&job).await;
        let sources = sources_named(&*from, args.source.as_deref()).await?;
        let snapshot = match &args.snapshot {
            None => None,
            Some(_) => {
                let selection = Selection {
                    source: args.source.clone(),
                    snapshot: args.snapshot.clone(),
                    at: None,
                };
                let selected = select(&from, &selection).await?;
                let passes: BTreeSet<_> = selected.iter().map(|snapshot| snapshot.pass).collect();
                if passes.len() > 1 {
                    let text = "--snapshot latest means a different snapshot for each source";
                    let hint =
                        "name one with --source, or leave out --snapshot: the latest come along";
                    return Err(Failure::new(ExitCode::Usage, text).hint(hint));
                }
                selected
                    .first()
                    .map(|snapshot| (snapshot.pass, selected.clone()))
            }
        };
        let (snapshot, sources) = match snapshot {
            None => (None, sources),
            Some((pass, selected)) => {
                let with_it = selected.into_iter().filter(|s| s.pass == pass);
                (Some(pass), with_it.map(|s| s.source).collect())
            }
        };
        let world = World {
            store: Arc::clone(&from),
            events: chosen::events(format(job.log_format), job.log_level),
            stop: Stop::within(&stop),
            interrupted_by: signal::received,
            holder: context.environment.holder(),
            random: fastrand::u16(..),
            clock: Timestamp::now,
            boottime,
        };
        let terms = Terms {
            limits: job.pass.limits.clone(),
            lock_ttl: job.pass.lock_ttl,
            lock_wait: job.pass.lock_wait,
            store_owner: job.pass.store_owner.clone(),
            required: true,
        };
        let to = open(&to, &options).await;
        let copied = copy_store(&world, to, &Scope { sources, snapshot }, &terms).await;
        Ok(match copied {
            Ok(_) => ExitCode::Complete,
            Err(failure) => signal::received().unwrap_or(failure.exit_code()),
        })
    })?
}
