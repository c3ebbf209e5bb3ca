//! Keeping sources apart: from one another, and from stores.

use std::path::Path;

use super::reader::Findings;
use super::source_at::SourceAt;

/// Two sources must not share a name, and must not hold each other's files.
pub(super) fn check_apart(all: &[SourceAt], findings: &Findings) {
    for (index, listed) in all.iter().enumerate() {
        for other in &all[..index] {
            let others = other.place.shown();
            let problem = if listed.place.is(&other.place) {
                format!("is `{others}` again, which `{}` names", other.field)
            } else if other.place.holds(&listed.place) {
                format!("lies in `{others}`, which `{}` names", other.field)
            } else if listed.place.holds(&other.place) {
                format!("holds `{others}`, which `{}` names", other.field)
            } else if listed.options.name == other.options.name {
                let name = &listed.options.name;
                format!("is named `{name}` like `{}`", other.field)
            } else {
                continue;
            };
            let hint = if listed.options.name == other.options.name {
                "give one of them another `name`, in `backup.sources`"
            } else {
                "list each file once: keep the outer directory, or exclude the inner one there"
            };
            let hint = Some(hint.to_owned());
            findings.problem(listed.tag, &listed.field, problem, hint);
        }
    }
}

/// A store in what is backed up would be backed up into itself, and grow with every pass. `field` names the
/// store, which is the directory `store`.
pub(super) fn check_apart_from_store(
    all: &[SourceAt],
    field: &str,
    store: &Path,
    findings: &Findings,
) {
    for listed in all {
        let (store_at, name) = (store.display(), &listed.options.name);
        let (problem, hint) = if listed.place.holds_path(store) {
            (
                format!(
                    "holds the store: `{field}`, `{store_at}`, lies in what the source `{name}` backs up"
                ),
                "keep the store elsewhere, best on another disk, or exclude it here",
            )
        } else if listed.place.lies_in(store) {
            (
                format!("lies in the store, `{store_at}`, whose names are its own"),
                "keep the store in a directory where nothing else is",
            )
        } else {
            continue;
        };
        findings.problem(listed.tag, &listed.field, problem, Some(hint.to_owned()));
    }
}
