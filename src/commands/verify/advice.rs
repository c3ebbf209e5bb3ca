//! What to do about each kind of finding. Nothing is advised that costs more than the damage.

use crate::verify::{Depth, Finding, FindingKind, VerifyReport};

/// What the source is, as far as the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceKind {
    Directory,
    Sessions,
}

/// Sentences that each say what to do about some of the findings.
pub(super) fn advice(
    report: &VerifyReport,
    depth: Depth,
    kind: SourceKind,
    is_repaired: bool,
) -> Vec<String> {
    let VerifyReport {
        source, snapshot, ..
    } = report;
    let of = |kinds: &[FindingKind]| -> Vec<&Finding> {
        let findings = report.findings.iter();
        findings.filter(|f| kinds.contains(&f.kind)).collect()
    };
    let mut advice = Vec::new();
    let damaged = of(&[
        FindingKind::Missing,
        FindingKind::Truncated,
        FindingKind::Altered,
    ]);
    if !damaged.is_empty() && !is_repaired {
        advice.push(format!(
            "`offsite verify --source {source} --snapshot {snapshot} --repair` puts damaged objects back from a copy of the store, and has the next pass capture again what no copy has; earlier versions in the bucket are as good, if it keeps any"
        ));
    }
    let is_archive =
        |finding: &&Finding| finding.files.is_some() && finding.kind != FindingKind::Missing;
    if !depth.reads_all() && damaged.iter().any(is_archive) {
        advice.push(format!(
            "`offsite verify --source {source} --snapshot {snapshot} --read` tells which files of a damaged archive can still be read"
        ));
    }
    if !of(&[FindingKind::Replaced]).is_empty() {
        advice.push(format!(
            "`offsite verify --source {source} --snapshot {snapshot} --read` compares the contents of what was put again"
        ));
    }
    if !of(&[FindingKind::Unsteady]).is_empty() {
        advice.push(
            "data is damaged on the way from the store; look for a proxy, a network card or memory that does it, and verify from another machine"
                .to_owned(),
        );
    }
    if !of(&[FindingKind::Segment]).is_empty() {
        advice.push(match kind {
            SourceKind::Directory => format!(
                "`offsite run --source {source}` captures again what the damaged segments list, as far as it still exists"
            ),
            SourceKind::Sessions => format!(
                "put the damaged segments back from a copy of the store or from earlier versions; `offsite run --source {source}` refuses to go on without, and with --force archives every session again that still exists"
            ),
        });
    }
    if !of(&[FindingKind::Record]).is_empty() {
        advice.push(
            "the commit record does not fit what it names; put it and what it names back from a copy of the store, or from earlier versions if the bucket keeps any"
                .to_owned(),
        );
    }
    advice
}
