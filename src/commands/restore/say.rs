//! What a restore prints.

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::super::{note, print};
use crate::format::rules::Rules;
use crate::format::snapshot::Snapshot;
use crate::restore::replace::{ReplacePlan, Replaced};
use crate::restore::{DeletionReport, Deletions, Plan, Renamed, RestoreReport, Shortfall};
use crate::stdio;
use crate::text;

/// Paths that are shown of what would be removed.
const SHOWN: usize = 20;

/// What was done, or would be, with one snapshot.
#[derive(Serialize)]
pub(super) struct Restored<'a> {
    pub(super) source: &'a str,
    pub(super) snapshot: &'a str,
    pub(super) target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plan: Option<&'a Plan>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) deletions: Option<&'a Deletions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replace: Option<&'a ReplacePlan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) report: Option<&'a RestoreReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deleted: Option<&'a DeletionReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replaced: Option<&'a Replaced>,
    /// What the backup of the source leaves out, for people.
    #[serde(skip)]
    pub(super) left_out: Option<String>,
}

/// What the rules say that a snapshot was made with; nothing where nothing was left out.
pub(super) fn left_out(snapshot: &Snapshot) -> Option<String> {
    let Rules {
        include,
        exclude,
        one_file_system,
        sessions,
    } = &snapshot.rules;
    let quoted = |patterns: &[String]| {
        let quoted: Vec<_> = patterns.iter().map(|one| format!("`{one}`")).collect();
        quoted.join(", ")
    };
    let parts = [
        (!exclude.is_empty()).then(|| quoted(exclude)),
        (!include.is_empty()).then(|| format!("all but {}", quoted(include))),
        one_file_system.then(|| "what is mounted in it".to_owned()),
        sessions.then(|| "files beside sessions".to_owned()),
        (snapshot.selection.is_some()).then(|| "sessions that were not asked for".to_owned()),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What a tree that is replaced loses.
fn name_left_out(restored: &Restored<'_>) {
    if let Some(left_out) = &restored.left_out {
        note(&text::one_line(&format!(
            "note: what the backup leaves out ({left_out}) is not in the new tree; where the old one has it, move it over before --discard-old"
        )));
    }
}

pub(in crate::commands) fn progress(snapshot: &Snapshot, bytes: u64) -> ProgressBar {
    let bar = stdio::progress(Some(bytes));
    let template =
        "{spinner} {prefix}: [{bar:24}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(snapshot.source.to_string());
    bar
}

pub(super) fn preview(restored: &Restored<'_>) {
    let Restored {
        source,
        snapshot,
        target,
        plan,
        deletions,
        replace,
        ..
    } = restored;
    let Some(plan) = plan else {
        return;
    };
    for damaged in &plan.damaged {
        note(&format!("error: {damaged}; that would not be restored"));
    }
    name(&plan.lacking, plan.lacking_count);
    name_renamed(plan);
    if let Some(deletions) = deletions {
        name_deletions(deletions);
    }
    if replace.is_some_and(|replace| replace.exists) {
        name_left_out(restored);
    }
    print(&format!(
        "{source} {snapshot} into {target}: create {} ({}), keep {}, replace {} ({}){}{}; nothing written\n",
        HumanCount(plan.create),
        HumanBytes(plan.create_bytes),
        HumanCount(plan.keep),
        HumanCount(plan.replace),
        HumanBytes(plan.replace_bytes),
        deletions.map_or(String::new(), would_delete),
        replace.map_or(String::new(), would_replace),
    ));
}

fn would_delete(deletions: &Deletions) -> String {
    format!(
        ", delete {} ({})",
        HumanCount(deletions.delete),
        HumanBytes(deletions.delete_bytes)
    )
}

fn would_replace(replace: &ReplacePlan) -> String {
    match (replace.exists, &replace.entry_by_entry_because) {
        (false, _) => String::new(),
        (true, None) => ", then exchange the two trees and keep the old one beside it".to_owned(),
        (true, Some(reason)) => format!(
            ", then exchange entry by entry and keep the old entries in it ({})",
            text::one_line(reason)
        ),
    }
}

fn name_deletions(deletions: &Deletions) {
    if let Some(reason) = &deletions.prevented {
        note(&text::one_line(&format!(
            "warning: nothing is deleted: {reason}"
        )));
    }
    for path in deletions.deletions.iter().take(SHOWN) {
        print(&text::one_line(&format!("delete {path}")));
        print("\n");
    }
    let more = (deletions.deletions.len() as u64).saturating_sub(SHOWN as u64);
    if more > 0 {
        print(&format!("delete {} more\n", HumanCount(more)));
    }
    name_left(deletions);
}

/// What stays though the snapshot lacks it.
fn name_left(deletions: &Deletions) {
    for Shortfall { path, error } in &deletions.left {
        note(&text::one_line(&format!("note: {path}: {error}")));
    }
    if let Some(first) = deletions.left_out_paths.first() {
        let verb = if deletions.left_out == 1 {
            "stays"
        } else {
            "stay"
        };
        note(&text::one_line(&format!(
            "note: {} that the backup leaves out {verb}, for no snapshot has a copy: for example {first}",
            text::count(deletions.left_out, "entry")
        )));
    }
}

/// Names what is not restored, or would not be, as far as it is not only counted.
pub(super) fn name(named: &[Shortfall], count: u64) {
    for Shortfall { path, error } in named {
        note(&text::one_line(&format!("error: {path}: {error}")));
    }
    let more = count - named.len() as u64;
    if more > 0 {
        note(&format!("error: and {} more", HumanCount(more)));
    }
}

/// Names objects whose files are called something else than their keys.
fn name_renamed(plan: &Plan) {
    for Renamed { key, path } in &plan.renamed {
        note(&text::one_line(&format!(
            "note: `{key}` becomes `{path}`: no file can have the name of its key"
        )));
    }
    let more = plan.renamed_count - plan.renamed.len() as u64;
    if more > 0 {
        note(&format!("note: and {} more", HumanCount(more)));
    }
}

pub(super) fn summary(restored: &Restored<'_>) {
    if let Some(replaced) = restored.replaced.filter(|replaced| replaced.was_unfinished) {
        return finished(restored, replaced);
    }
    let Some(report) = &restored.report else {
        return;
    };
    name(&report.failures, report.failure_count);
    if let Some(plan) = restored.plan {
        name_renamed(plan);
    }
    if report.earlier_state > 0 {
        note(&format!(
            "warning: {} in an earlier state: the snapshot's pass could not read them",
            text::count(report.earlier_state, "entry")
        ));
    }
    if report.special > 0 {
        note(&format!(
            "note: {} not restored: sockets, pipes and devices are only recorded",
            text::count(report.special, "special file")
        ));
    }
    let Restored {
        source,
        snapshot,
        target,
        ..
    } = restored;
    let is_left = restored.replace.is_some() && restored.replaced.is_none();
    let place = if is_left { "beside" } else { "into" };
    let how = match (&report.ended_early, report.failure_count) {
        (Some(reason), _) => format!("ENDED EARLY ({reason})"),
        (None, 0) => "restored".to_owned(),
        (None, n) => format!("restored EXCEPT FOR {n}"),
    };
    print(&format!(
        "{source} {snapshot} {how} {place} {target}: {}, {}; {} there already\n",
        match report.restored {
            1 => "1 file or link".to_owned(),
            n => format!("{} files and links", HumanCount(n)),
        },
        HumanBytes(report.restored_bytes),
        HumanCount(report.kept),
    ));
    deleted(restored);
    if let Some(replaced) = restored.replaced {
        told_as_replaced(restored, replaced);
    } else if restored.replace.is_some()
        && (report.ended_early.is_some() || report.failure_count > 0)
    {
        note(
            "error: the tree was not replaced: the old one is in place, as it was; run the same command again, or remove with \
             --discard-old what was restored",
        );
    }
}

fn deleted(restored: &Restored<'_>) {
    let Restored { target, .. } = restored;
    match (restored.deleted, restored.deletions) {
        (Some(deleted), _) => {
            for Shortfall { path, error } in &deleted.failures {
                note(&text::one_line(&format!("error: {path}: {error}")));
            }
            let count = text::count(deleted.deleted, "entry");
            print(&format!(
                "deleted {count} that the snapshot lacks from {target}\n"
            ));
        }
        (None, Some(_)) => {
            note("warning: nothing was deleted, because not everything was restored");
        }
        (None, None) => {}
    }
    if let Some(deletions) = restored.deletions {
        name_left(deletions);
    }
}

fn told_as_replaced(restored: &Restored<'_>, replaced: &Replaced) {
    for Shortfall { path, error } in &replaced.failures {
        note(&text::one_line(&format!("error: {path}: {error}")));
    }
    if let Some(kept) = &replaced.kept {
        print(&text::one_line(&format!(
            "replaced {}; the old tree is {kept}, until --discard-old removes it",
            replaced.target
        )));
        print("\n");
        name_left_out(restored);
    }
}

/// For what was restored earlier, and only had to be put in place.
fn finished(restored: &Restored<'_>, replaced: &Replaced) {
    let Restored {
        source,
        snapshot,
        target,
        ..
    } = restored;
    print(&format!(
        "{source} {snapshot} put in place of {target}, which an earlier restore had begun\n"
    ));
    told_as_replaced(restored, replaced);
}
