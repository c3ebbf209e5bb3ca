//! What `verify` prints of a snapshot: findings and advice on standard error, the verdict on standard output.

use indicatif::{HumanBytes, HumanCount};

use super::advice::{SourceKind, advice};
use crate::commands::{note, print};
use crate::text::{count, one_line};
use crate::verify::{Compared, Depth, Finding, VerifyReport};

/// Says what was found and what to do, and then, on standard output, the verdict.
/// What `--repair` is about to do is not advised.
pub(super) fn print_summary(
    report: &VerifyReport,
    depth: Depth,
    kind: SourceKind,
    is_repaired: bool,
) {
    for finding in &report.findings {
        note(&one_line(&described(finding)));
    }
    for hint in advice(report, depth, kind, is_repaired) {
        note(&one_line(&format!("hint: {hint}")));
    }
    if report.compared.size > 0 {
        note(&format!(
            "warning: {} compared by size only: there is no ETag to compare; {}`--read` compares contents",
            were(report.compared.size),
            match depth.checksums {
                true => "nor a checksum; ",
                false => "`--checksums` compares checksums where the store keeps them, ",
            }
        ));
    }
    if depth.reads_all() {
        print_unproven(report);
    } else if report.compared.etag > 0 && !depth.checksums {
        note(&format!(
            "note: {} compared by ETag, which says that nothing was put there since; `--checksums` compares what the store has computed of the bytes, `--read` the bytes",
            were(report.compared.etag)
        ));
    }
    if report.compared.etag > 0 && depth.checksums && !depth.reads_all() {
        note(&format!(
            "note: the store tells no checksum of {}; the ETag only says that nothing was put there since; `--read` compares contents",
            count(report.compared.etag, "object")
        ));
    }
    if report.unreadable > 0 {
        note(&format!(
            "warning: {} of this snapshot could not be read by its pass; `offsite list {} --source {}` marks them",
            count(report.unreadable, "entry"),
            report.snapshot,
            report.source
        ));
    }
    let digests = &report.digests;
    for problem in &digests.problems {
        note(&one_line(&format!(
            "warning: ignored the recorded digests in {problem}; contents were compared with the manifest alone"
        )));
    }
    if let Some(why_not) = &digests.why_not {
        note(&one_line(&format!(
            "note: cannot record {}: {why_not}; the next `--read` tries again",
            count(digests.not_recorded, "SHA-256 digest")
        )));
    }
    print(&format!(
        "{} {}: {}\n",
        report.source,
        report.snapshot,
        verdict(report)
    ));
}

/// Says of what was read and had nothing to be compared with that it has now.
fn print_unproven(report: &VerifyReport) {
    let unproven = report.compared.etag.saturating_sub(report.archived);
    if unproven > 0 {
        note(&format!(
            "note: no checksum of {} was recorded before; the next `--read` compares the SHA-256 of what was read now",
            count(unproven, "object")
        ));
    }
}

/// A finding on one line: what it concerns first.
fn described(finding: &Finding) -> String {
    let Finding {
        path, key, problem, ..
    } = finding;
    match finding.files {
        Some(files) => format!("error: {key}: {problem}; holds {}", count(files, "file")),
        None => format!("error: {path}: {problem} ({key})"),
    }
}

/// What was compared and how, and what came of it.
fn verdict(report: &VerifyReport) -> String {
    let Compared {
        contents,
        checksum,
        etag,
        size,
    } = report.compared;
    let by = [
        (contents, "by contents"),
        (checksum, "by checksum"),
        (etag, "by ETag"),
        (size, "by size only"),
    ];
    let by = by.iter().filter(|(number, _)| *number > 0);
    let by: Vec<_> = by
        .map(|(number, how)| format!("{} {how}", HumanCount(*number)))
        .collect();
    let mut said = vec![count(report.objects, "object")];
    if !by.is_empty() {
        said[0] += &format!(": {}", by.join(", "));
    }
    if report.archived > 0 {
        said.push(format!("{} archived", HumanCount(report.archived)));
    }
    if report.checked_before > 0 {
        let files = count(report.checked_before, "file");
        said.push(format!("{files} checked with an earlier snapshot"));
    }
    said.push(match report.read_objects {
        0 => "none read back".to_owned(),
        n => format!(
            "{} read back, {}",
            HumanCount(n),
            HumanBytes(report.read_bytes)
        ),
    });
    if report.digests.recorded > 0 {
        let digests = count(report.digests.recorded, "SHA-256 digest");
        said.push(format!("{digests} recorded"));
    }
    said.push(match (&report.ended_early, report.findings.len()) {
        (None, 0) if size == 0 => "all match".to_owned(),
        (None, 0) => format!(
            "no mismatch found, but the contents of {} were not compared",
            count(size, "object")
        ),
        (Some(reason), 0) => format!("ENDED EARLY ({reason}), nothing wrong so far"),
        (None, n) => problems(n),
        (Some(reason), n) => format!("ENDED EARLY ({reason}), {} so far", problems(n)),
    });
    said.join("; ")
}

fn were(objects: u64) -> String {
    let verb = if objects == 1 { "was" } else { "were" };
    format!("{} {verb}", count(objects, "object"))
}

fn problems(number: usize) -> String {
    match number {
        1 => "1 PROBLEM".to_owned(),
        n => format!("{n} PROBLEMS"),
    }
}
