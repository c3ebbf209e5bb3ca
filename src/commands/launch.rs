//! `offsite launch`.

use super::{block_on, note, print, print_json};
use crate::cli::LaunchArgs;
use crate::ecs::{Capacity, Launch, Launched, Tasks};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::signal;

pub(super) fn launch(args: LaunchArgs, region: Option<String>) -> Result<u8, Failure> {
    let json = args.json;
    let container = args.container.clone();
    let launch = Launch {
        task_definition: args.task_definition,
        subnets: args.subnets,
        security_groups: args.security_groups,
        assign_public_ip: args.assign_public_ip,
        capacity: match args.capacity_provider {
            Some(name) => Capacity::Provider(name),
            None => Capacity::LaunchType(args.launch_type),
        },
        container: args.container,
        command: args.command,
    };
    block_on(async {
        let stop = signal::listen()?;
        let tasks = Tasks::of(args.cluster.clone(), region).await;
        let task = tasks.start(&launch).await?;
        note(&format!("started {task}"));
        let waited = tokio::select! {
            waited = tasks.wait(&task, container.as_deref(), note) => Some(waited),
            () = stop.stopped() => None,
        };
        let Some(waited) = waited else {
            note(&format!(
                "the task goes on; `aws ecs stop-task --cluster {} --task {task}` stops it",
                args.cluster
            ));
            let code = signal::received().unwrap_or(ExitCode::Interrupted);
            return Ok(code.code());
        };
        let launched = waited?;
        match json {
            true => print_json(&launched),
            false => print(&format!("{}\n", text(&launched))),
        }
        Ok(exit_code(&launched))
    })?
}

/// What the container exited with. One that never ran has not exited with anything, and its task is
/// no success.
fn exit_code(launched: &Launched) -> u8 {
    let code = launched.exit_code.and_then(|code| u8::try_from(code).ok());
    code.unwrap_or(ExitCode::Failed.code())
}

fn text(launched: &Launched) -> String {
    let exited = match launched.exit_code {
        Some(code) => format!("exited with {code}"),
        None => "never ran".to_owned(),
    };
    let reasons = [
        launched.container_reason.as_deref().unwrap_or_default(),
        &launched.stopped_reason,
    ];
    let reasons: Vec<_> = reasons.into_iter().filter(|r| !r.is_empty()).collect();
    let container = &launched.container;
    match reasons.is_empty() {
        true => format!("container `{container}` {exited}"),
        false => format!("container `{container}` {exited}: {}", reasons.join("; ")),
    }
}
