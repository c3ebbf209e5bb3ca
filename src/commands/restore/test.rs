//! `offsite restore --test`.

use std::sync::Arc;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::{Work, in_thread, note, print, print_json, say};
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::restore::TestReport;
use crate::signal;
use crate::store::Store;

/// What was found of one snapshot.
#[derive(Serialize)]
struct Tested<'a> {
    source: &'a str,
    snapshot: &'a str,
    test: &'a TestReport,
}

/// Reads and checks everything that would be restored.
pub(super) async fn test(
    store: &Arc<dyn Store>,
    work: &[Work],
    is_json: bool,
) -> Result<ExitCode, Failure> {
    let mut reports = Vec::new();
    for work in work {
        let plan = &work.plan;
        let bar = say::progress(&work.snapshot, plan.create_bytes + plan.replace_bytes);
        let shown = bar.clone();
        let of = (&work.snapshot, &work.options);
        let report = in_thread(store, of, move |store, snapshot, options| {
            let progress = move |bytes| shown.inc(bytes);
            crate::restore::test(store, snapshot, options, progress)
        });
        let report = report.await??;
        bar.finish_and_clear();
        let has_ended = report.ended_early.is_some();
        reports.push(report);
        if has_ended {
            break;
        }
    }
    let tested = work.iter().zip(&reports).map(|(work, test)| Tested {
        source: work.snapshot.source.as_str(),
        snapshot: work.snapshot.pass.as_str(),
        test,
    });
    let tested: Vec<_> = tested.collect();
    match is_json {
        true => print_json(&tested),
        false => tested.iter().for_each(summary),
    }
    Ok(exit_code(&reports))
}

fn exit_code(reports: &[TestReport]) -> ExitCode {
    let ended = reports.iter().any(|report| report.ended_early.is_some());
    let failed = reports.iter().any(|report| report.failure_count > 0);
    let lacking = reports.iter().any(|report| report.lacking_count > 0);
    match (signal::received(), ended, failed, lacking) {
        (Some(signal), true, ..) => signal,
        (_, true, ..) => ExitCode::Failed,
        (_, _, true, _) => ExitCode::Integrity,
        (_, _, false, true) => ExitCode::Incomplete,
        (_, _, false, false) => ExitCode::Complete,
    }
}

fn summary(tested: &Tested<'_>) {
    let Tested {
        source,
        snapshot,
        test,
    } = tested;
    say::name(&test.failures, test.failure_count);
    say::name(&test.lacking, test.lacking_count);
    let wrong = test.failure_count + test.lacking_count;
    let how = match (&test.ended_early, wrong) {
        (Some(reason), _) => format!("NOT ALL READ ({reason})"),
        (None, 0) => "can be restored".to_owned(),
        (None, wrong) => format!("can be restored EXCEPT FOR {}", HumanCount(wrong)),
    };
    let files = match test.files {
        1 => "1 file".to_owned(),
        files => format!("{} files", HumanCount(files)),
    };
    print(&format!(
        "{source} {snapshot} {how}: {files}, {} read and checked; nothing written\n",
        HumanBytes(test.bytes)
    ));
    if test.ended_early.is_some() {
        note("error: the files that were not read may be damaged; run it again");
    }
}
