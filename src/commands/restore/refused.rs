//! Why nothing, or not everything, was restored, and what mends it.

use std::io::ErrorKind;
use std::path::Path;

use super::Work;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::restore::ApplyError;
use crate::restore::replace::ReplaceError;
use crate::snapshots::entries::EntriesError;
use crate::text;

/// What stands in the way, of all snapshots together, before anything is written.
pub(super) fn conflicts(work: &[Work]) -> Option<Failure> {
    let count: u64 = work.iter().map(|work| work.plan.conflict_count).sum();
    if count == 0 {
        return None;
    }
    let verb = if count == 1 { "differs" } else { "differ" };
    let things = text::count(count, "entry");
    let mut message =
        format!("{things} in the target {verb} from the snapshot; nothing was written:");
    for Work { options, plan, .. } in work {
        for path in &plan.conflicts {
            let there = options.target.join(path).display().to_string();
            message.push_str(&format!("\n  {}", text::one_line(&there)));
        }
    }
    let hint = "restore into an empty directory, or replace them with --overwrite (directories are never replaced by files)";
    Some(Failure::new(ExitCode::Failed, message).hint(hint))
}

/// Why a restore could not begin.
pub(in crate::commands) fn refused(target: &Path, error: &ApplyError) -> Failure {
    let message = format!("cannot restore into `{}`: {error}", target.display());
    let failure = Failure::new(ExitCode::Failed, text::one_line(&message));
    match error {
        ApplyError::InUse(_) => {
            failure.hint("wait until that one has ended, or restore into another directory")
        }
        ApplyError::Target(error) if error.kind() == ErrorKind::PermissionDenied => {
            failure.hint(may_not_write())
        }
        ApplyError::Store(error) => {
            let failure = Failure::new(error.kind.exit_code(), text::one_line(&message));
            match error.kind.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
        ApplyError::Target(_) => failure,
    }
}

pub(in crate::commands) fn may_not_write() -> String {
    format!(
        "this is user {}, who may not write there: make it their directory (in Kubernetes by `fsGroup`), or run as root (`docker run --user 0`, `restore.runAsRoot` of the Helm chart)",
        rustix::process::geteuid().as_raw()
    )
}

/// Why a tree was not replaced.
pub(super) fn not_replaced(target: &Path, error: ReplaceError) -> Failure {
    let message = match error {
        ReplaceError::Placed { .. } => format!("`{}`: {error}", target.display()),
        _ => format!("cannot replace `{}`: {error}", target.display()),
    };
    let message = text::one_line(&message);
    let (code, hint) = match error {
        ReplaceError::Entries(EntriesError::Store(error)) => return error.into(),
        ReplaceError::Entries(EntriesError::Damaged { .. }) => (ExitCode::Integrity, None),
        ReplaceError::InUse(_) => (
            ExitCode::Failed,
            Some("wait until that one has ended".to_owned()),
        ),
        ReplaceError::Place(_) => (ExitCode::Usage, None),
        ReplaceError::MountHasEntries(_) => (
            ExitCode::Usage,
            Some("unmount it, or restore into the tree that exists with --overwrite --delete".to_owned()),
        ),
        ReplaceError::MountInTheWay(_) => (
            ExitCode::Usage,
            Some("unmount what is below it, or restore into another directory".to_owned()),
        ),
        ReplaceError::System { error, .. } if error.kind() == ErrorKind::PermissionDenied => {
            (ExitCode::Failed, Some(may_not_write()))
        }
        ReplaceError::Refused { .. } => (
            ExitCode::Failed,
            Some("what was restored is kept beside it: run the same command again once that is mended, or remove it with --discard-old".to_owned()),
        ),
        ReplaceError::Placed { .. } => (
            ExitCode::Failed,
            Some("mend that and run the same command again: it finishes, and restores nothing again".to_owned()),
        ),
        ReplaceError::Stuck { .. } => (
            ExitCode::Failed,
            Some("mend that and run the same command again: it puts the old tree back".to_owned()),
        ),
        ReplaceError::Unfinished { .. } => (
            ExitCode::Failed,
            Some("run the same restore again, with --replace: it finishes what was begun".to_owned()),
        ),
        ReplaceError::Unclear { .. } => (
            ExitCode::Failed,
            Some("it may hold the old tree: look at it, and remove it by hand".to_owned()),
        ),
        ReplaceError::System { .. } | ReplaceError::Leftover(_) => (ExitCode::Failed, None),
    };
    let failure = Failure::new(code, message);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
