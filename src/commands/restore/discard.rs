//! `offsite restore --discard-old`.

use std::path::{Path, PathBuf};

use super::refused::not_replaced;
use super::{note, print, print_json};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::restore::replace::{Discarded, OldTree, discard, old_trees};
use crate::text;

/// Removes the old trees of these targets, or says what it would remove.
pub(super) fn discard_old(
    targets: &[PathBuf],
    is_dry_run: bool,
    is_json: bool,
) -> Result<ExitCode, Failure> {
    let mut all = Discarded::default();
    for target in targets {
        let found = find(target, is_dry_run).map_err(|error| not_replaced(target, error));
        let Discarded {
            discarded,
            failures,
        } = found?;
        all.discarded.extend(discarded);
        all.failures.extend(failures);
    }
    match is_json {
        true => print_json(&all),
        false => tell(&all, is_dry_run),
    }
    Ok(match all.failures.is_empty() {
        true => ExitCode::Complete,
        false => ExitCode::Incomplete,
    })
}

fn find(
    target: &Path,
    is_dry_run: bool,
) -> Result<Discarded, crate::restore::replace::ReplaceError> {
    match is_dry_run {
        true => Ok(Discarded {
            discarded: old_trees(target)?,
            failures: Vec::new(),
        }),
        false => discard(target),
    }
}

fn tell(all: &Discarded, is_dry_run: bool) {
    for failure in &all.failures {
        note(&text::one_line(&format!("error: {}", failure.error)));
    }
    for tree in &all.discarded {
        let what = what(tree);
        let line = match is_dry_run {
            true => format!("would remove {} ({what})", tree.path),
            false => format!("removed {} ({what})", tree.path),
        };
        print(&text::one_line(&line));
        print("\n");
    }
    if all.discarded.is_empty() && all.failures.is_empty() {
        print("there is no old tree\n");
    }
}

fn what(tree: &OldTree) -> String {
    match &tree.record {
        Some(record) => format!(
            "replaced by snapshot {} of {} at {:.0}",
            record.snapshot, record.source, record.replaced_at
        ),
        None => "a new tree that was never put in place".to_owned(),
    }
}
