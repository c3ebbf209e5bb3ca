//! `offsite undelete`.

use super::marks::{SNAPSHOT_AGAIN, stored_by_beginning};
use super::{Context, block_on, connect, print};
use crate::cli::UndeleteArgs;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::mark::{Mark, Says};
use crate::retention::undelete::{UndeleteError, undelete as make_live};
use crate::snapshots::chain::{ChainError, Standing};
use crate::snapshots::marks;

/// Why an undeleted snapshot is pinned.
const REASON: &str = "undeleted";

pub(super) fn undelete(context: &Context, args: &UndeleteArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    block_on(async {
        let store = connect(&job).await;
        let found = stored_by_beginning(&store, args.source.as_deref(), &args.snapshot).await?;
        for (source, standing) in found {
            let pass = standing.snapshot().pass;
            if matches!(standing, Standing::Live(_)) {
                print(&format!("{source} {pass} is live; it was not condemned\n"));
                continue;
            }
            // First, so that no prune comes in between.
            let says = Says::Pin {
                reason: REASON.to_owned(),
                until: None,
            };
            let by = context.environment.holder();
            let mark = Mark::new(source.clone(), pass, store.now(), by, says);
            marks::write(&*store, &mark).await?;
            make_live(&*store, &source, pass, store.now())
                .await
                .map_err(|error| failure(&error))?;
            print(&format!(
                "{source} {pass} is live again, and pinned; `offsite unpin {pass} --source {source}` lets retention decide\n"
            ));
        }
        Ok(ExitCode::Complete)
    })?
}

fn failure(error: &UndeleteError) -> Failure {
    let code = match error {
        UndeleteError::Gone(_) => ExitCode::NotFound,
        UndeleteError::Chain(ChainError::Store(error)) | UndeleteError::Store(error) => {
            error.kind.exit_code()
        }
        UndeleteError::Chain(ChainError::Record { .. }) => ExitCode::Integrity,
    };
    let failure = Failure::new(code, error.to_string());
    match code {
        ExitCode::NotFound => failure.hint(SNAPSHOT_AGAIN),
        _ => failure,
    }
}
