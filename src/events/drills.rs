//! What drills say on a terminal.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};

use crate::format::drill::{Drill, DrillOutcome, Mismatch};
use crate::format::keys::SourceName;
use crate::format::pass_id::PassId;
use crate::text::{count, duration, one_line};

/// Everything about one, on several lines.
pub(super) fn text(source: &SourceName, snapshot: PassId, drill: &Drill) -> String {
    let Drill {
        mismatches,
        mismatch_count,
        not_restored,
        not_restored_count,
        ..
    } = drill;
    let mut lines = named(mismatches, *mismatch_count, "error");
    lines.extend(named(not_restored, *not_restored_count, "warning"));
    let outcome = match drill.outcome {
        DrillOutcome::Passed => "passed".to_owned(),
        DrillOutcome::Incomplete => format!(
            "INCOMPLETE, {} not restored",
            HumanCount(*not_restored_count)
        ),
        DrillOutcome::Damaged => match mismatch_count {
            1 => "FAILED, 1 PROBLEM".to_owned(),
            n => format!("FAILED, {} PROBLEMS", HumanCount(*n)),
        },
        DrillOutcome::Unknown => "unknown".to_owned(),
    };
    lines.push(one_line(&format!(
        "{source} {snapshot}: drill {outcome}: {}, {}, {} read back; {}, {}",
        count(drill.entries, "entry"),
        count(drill.files, "file"),
        HumanBytes(drill.bytes),
        count(drill.requests, "request"),
        duration(Duration::from_millis(drill.duration_ms)),
    )));
    lines.push(format!(
        "{source}: a full restore would take {}",
        full(drill)
    ));
    lines.join("\n")
}

fn full(drill: &Drill) -> String {
    let full = &drill.projected;
    let mut text = format!(
        "about {}, {}, {}",
        duration(Duration::from_secs(full.seconds)),
        count(full.requests, "request"),
        HumanBytes(full.bytes)
    );
    if let Some(usd) = full.usd {
        text += &format!("; ${usd:.2} from within the region");
    }
    if let Some(usd) = full.egress_usd {
        text += &format!(", ${usd:.2} more over the internet");
    }
    text
}

fn named(mismatches: &[Mismatch], all: u64, level: &str) -> Vec<String> {
    let line =
        |Mismatch { path, problem }: &Mismatch| one_line(&format!("{level}: {path}: {problem}"));
    let mut lines: Vec<_> = mismatches.iter().map(line).collect();
    let more = all.saturating_sub(mismatches.len() as u64);
    if more > 0 {
        lines.push(format!("{level}: and {} more", HumanCount(more)));
    }
    lines
}
