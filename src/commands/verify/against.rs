//! `offsite verify --against-source`: a snapshot against the source that it is of.

use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;

use crate::cli::VerifyArgs;
use crate::commands::diff::not_compared;
use crate::commands::{
    Context, block_on, chosen, connect, log_to_stderr, note, print, print_json, selection,
};
use crate::config::Purpose;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::format::snapshot::Snapshot;
use crate::plan::spot_check::{Pick, SpotCheck, spot_check};
use crate::signal;
use crate::snapshots::select::select;
use crate::text::{count, one_line};
use crate::window::Window;

/// Files that are read of a source unless `--read` says how many.
const SAMPLE: u64 = 1000;

pub(super) fn against_source(
    context: &Context,
    args: &VerifyArgs,
    read: Option<Window>,
) -> Result<ExitCode, Failure> {
    let mut job = context.load(&[], Purpose::Backup)?.job;
    chosen::only(&mut job, args.select.source.as_slice())?;
    log_to_stderr(&job);
    let mut selection = selection(&args.select)?;
    // The name of a source that was chosen by its directory is the configured one.
    if selection.source.is_some() {
        selection.source = job
            .pass
            .sources
            .first()
            .map(|source| source.name.to_string());
    }
    let checks = block_on(async {
        let stop = signal::listen()?;
        let store = connect(&job).await;
        let pass = chosen::looking_only(&job, &store, &stop);
        let mut checks = Vec::new();
        for snapshot in select(&store, &selection).await? {
            let mut sources = job.pass.sources.iter();
            let name = &snapshot.source;
            match sources.find(|source| source.name == *name) {
                None => note(&format!("note: {name} is left out: it is not configured")),
                Some(source) if source.sessions.is_some() => note(&format!(
                    "note: {name} is left out: `offsite sessions` shows what of its sessions differs"
                )),
                Some(source) => {
                    let pick = pick(&snapshot, read);
                    let check = spot_check(&pass, source, &snapshot, pick).await;
                    checks.push(check.map_err(not_compared)?);
                }
            }
        }
        Ok::<_, Failure>(checks)
    })??;
    if checks.is_empty() {
        let message = "nothing that is configured can be compared with a snapshot";
        let hint = "`offsite list` shows which sources have snapshots";
        return Err(Failure::new(ExitCode::NotFound, message).hint(hint));
    }
    match args.json {
        true => print_json(&checks),
        false => checks.iter().for_each(print_check),
    }
    let is_wrong = |check: &SpotCheck| !check.mismatches.is_empty();
    let is_unread = |check: &SpotCheck| !check.unreadable.is_empty();
    Ok(match signal::received() {
        Some(signal) => signal,
        None if checks.iter().any(is_wrong) => ExitCode::Integrity,
        None if checks.iter().any(is_unread) => ExitCode::Incomplete,
        None => ExitCode::Complete,
    })
}

/// A share of the files, which rotates with time.
fn pick(snapshot: &Snapshot, read: Option<Window>) -> Pick {
    let share = SAMPLE as f64 / snapshot.totals.files.max(SAMPLE) as f64;
    let window = read.unwrap_or_else(|| Window::at(Timestamp::now(), share));
    Box::new(move |sha256| window.holds(sha256))
}

fn print_check(check: &SpotCheck) {
    for unread in &check.unreadable {
        note(&one_line(&format!(
            "error: {}: {}",
            unread.path, unread.error
        )));
    }
    for other in &check.mismatches {
        note(&one_line(&format!(
            "error: {}: contents mismatch although size and times are those of the snapshot: SHA-256 recorded {}, in the source {}",
            other.path, other.recorded, other.found
        )));
    }
    if !check.mismatches.is_empty() {
        note(&format!(
            "hint: either the disk has damaged the file, and `offsite restore --source {0} --snapshot {1} --path FILE --to DIR` has it as it was; or a program writes without changing times, and `detect: checksum` backs up what it writes",
            check.source, check.snapshot
        ));
    }
    if check.hidden > 0 {
        let total = check.unchanged + check.changed + check.added + check.hidden;
        let hidden = format!(
            "`include` and `exclude` hide {} of {} from the backup",
            HumanCount(check.hidden),
            count(total, "file")
        );
        note(&match check.hides_much() {
            true => format!("warning: {hidden}; check that none of them is needed"),
            false => format!("note: {hidden}"),
        });
    }
    print(&format!(
        "{} {}: {}\n",
        check.source,
        check.snapshot,
        verdict(check)
    ));
}

fn verdict(check: &SpotCheck) -> String {
    let counts = [
        (check.changed, "changed"),
        (check.added, "added"),
        (check.removed, "removed"),
        (check.unreadable.len() as u64, "UNREADABLE"),
    ];
    let mut said = vec![format!("{} unchanged", count(check.unchanged, "file"))];
    let counts = counts.iter().filter(|(number, _)| *number > 0);
    said.extend(counts.map(|(number, what)| format!("{} {what}", HumanCount(*number))));
    let hashed = format!(
        "{} of the unchanged hashed, {}",
        HumanCount(check.hashed_files),
        HumanBytes(check.hashed_bytes)
    );
    let matches = match check.mismatches.len() {
        0 => "all match".to_owned(),
        1 => "1 MISMATCH".to_owned(),
        n => format!("{n} MISMATCHES"),
    };
    format!("{}; {hashed}; {matches}", said.join(", "))
}
