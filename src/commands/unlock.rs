//! `offsite unlock`.

use super::{Context, block_on, connect, print, print_json};
use crate::cli::UnlockArgs;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::lock::LockState;
use crate::lease::{self, Seen};

pub(super) fn unlock(context: &Context, args: &UnlockArgs) -> Result<ExitCode, Failure> {
    let job = context.reader()?;
    block_on(async {
        let store = connect(&job).await;
        let Some(seen) = lease::look(&*store).await? else {
            return Ok(show(args, None, "nobody has ever taken the lock"));
        };
        if seen.record.state == LockState::Released {
            let pass = seen.record.pass;
            let text = format!("nobody holds the lock; the last one was pass {pass}");
            return Ok(show(args, Some(&seen), &text));
        }
        let now = store.now();
        let held = seen.held(now);
        let renewed = held.renewed_at;
        let renewed = renewed.map_or_else(String::new, |at| format!(", renewed {at}"));
        let holder = format!(
            "{}, pass {}, since {}{renewed}, until {}",
            held.record.holder, held.record.pass, held.record.acquired_at, held.until
        );
        if !args.force && seen.held_at(now).is_none() {
            // One look cannot tell: a proxy may have written the time it goes by.
            let text = format!(
                "the lock was not released, and seems to have expired: {holder}\nthe next pass makes sure and takes it over; if the holder is dead, `offsite unlock --force` takes it away at once"
            );
            return Ok(show(args, Some(&seen), &text));
        }
        if !args.force {
            let text = format!(
                "the lock is held by {holder}\nif it is dead, `offsite unlock --force` takes the lock away; otherwise it will renew it"
            );
            show(args, Some(&seen), &text);
            return Ok(ExitCode::Locked);
        }
        lease::force(&*store, &seen).await?;
        Ok(show(
            args,
            Some(&seen),
            &format!("the lock was taken away from {holder}"),
        ))
    })?
}

fn show(args: &UnlockArgs, seen: Option<&Seen>, text: &str) -> ExitCode {
    match args.json {
        true => print_json(&seen.map(|seen| &seen.record)),
        false => print(&format!("{text}\n")),
    }
    ExitCode::Complete
}
