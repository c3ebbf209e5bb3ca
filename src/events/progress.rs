//! Events for people: a line of text each, and a progress line on a terminal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use super::{Event, drills};
use crate::format::totals::Totals;
use crate::source::NotEntered;
use crate::stdio::{Importance, progress, stderr};
use crate::text::{count, duration, one_line};

/// The line at the bottom of a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    /// A progress line, if standard error is a terminal.
    pub(super) fn on_terminal() -> Option<Self> {
        let bar = progress(None);
        if bar.is_hidden() {
            return None;
        }
        bar.set_style(style("{spinner} {prefix}: {human_pos} entries, {msg}"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Some(Self {
            bar,
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    pub(super) fn passed_over(&self, entries: u64) {
        self.bar.inc(entries);
    }

    /// Shows a line above the progress line; `false` if there is no room for it.
    pub(super) fn print(&self, line: &str, importance: Importance) -> bool {
        self.bar
            .suspend(|| stderr().offer(line.as_bytes(), importance))
    }

    pub(super) fn update(&self, event: &Event) {
        match event {
            Event::SourceStarted {
                source,
                expected_entries,
                ..
            } => {
                self.files.store(0, Ordering::Relaxed);
                self.bytes.store(0, Ordering::Relaxed);
                self.bar.reset();
                self.bar.set_prefix(source.to_string());
                self.bar.set_message("nothing sent yet");
                if *expected_entries > 0 {
                    self.bar.set_length(*expected_entries);
                    self.bar.set_style(style(
                        "{spinner} {prefix}: [{bar:24}] {human_pos}/{human_len} entries, {msg}",
                    ));
                }
            }
            Event::FileUploaded { size, .. }
            | Event::ObjectCopied { size, .. }
            | Event::FileArchived { size, .. } => {
                let files = self.files.fetch_add(1, Ordering::Relaxed) + 1;
                let bytes = self.bytes.fetch_add(*size, Ordering::Relaxed) + size;
                self.bar.inc(1);
                let millis = self.bar.elapsed().as_millis().max(1);
                let rate = u128::from(bytes) * 1000 / millis;
                self.bar.set_message(format!(
                    "{} sent, {}, {}/s",
                    count(files, "file"),
                    HumanBytes(bytes),
                    HumanBytes(u64::try_from(rate).unwrap_or(u64::MAX))
                ));
            }
            Event::BackupCompleted { .. } | Event::BackupFailed { .. } => {
                self.bar.finish_and_clear();
            }
            _ => {}
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}

/// An event as a line of text, and another for its hint.
pub(super) fn text(event: &Event) -> String {
    let line = match event {
        Event::DrillCompleted {
            source,
            snapshot,
            drill,
            ..
        } => drills::text(source, *snapshot, drill),
        _ => one_line(&line(event)),
    };
    let hint = match event {
        Event::DrillCompleted { hint, .. } | Event::DrillFailed { hint, .. } => hint.as_deref(),
        Event::SourceFailed { hint, .. }
        | Event::CopyFailed { hint, .. }
        | Event::PruneFailed { hint, .. }
        | Event::BackupFailed { hint, .. } => hint.as_deref(),
        Event::AnomalousLoss { hint, .. } => Some(hint.as_str()),
        _ => None,
    };
    match hint {
        Some(hint) => format!("{line}\nhint: {}", one_line(hint)),
        None => line,
    }
}

fn line(event: &Event) -> String {
    match event {
        Event::BackupStarted {
            store,
            sources,
            version,
        } => {
            let names: Vec<_> = sources.iter().map(ToString::to_string).collect();
            format!("offsite {version}: {} to {store}", names.join(", "))
        }
        Event::LockAcquired {
            generation,
            taken_from,
            ..
        } => match taken_from {
            Some(holder) => {
                format!("lock {generation} taken over from {holder}, which let it expire")
            }
            None => format!("lock {generation} acquired"),
        },
        Event::StoreOwnerRecorded {
            store,
            store_owner,
            was_in_use,
        } => match was_in_use {
            false => format!("{store} belongs to {store_owner}"),
            true => format!(
                "{store} had no owner and belongs to {store_owner} from now on; passes of other owners are refused"
            ),
        },
        Event::LockHeld {
            holder,
            by,
            since,
            until,
            waiting_seconds,
        } => {
            let wait = match waiting_seconds {
                0 => String::new(),
                seconds => format!("; waiting up to {seconds} s"),
            };
            format!("lock held by {holder} (pass {by}) since {since}, until {until}{wait}")
        }
        Event::LockLost { error } => format!("lock lost: {error}"),
        Event::SourceStarted {
            source,
            place,
            parent,
            continued_passes,
            ..
        } => {
            let mut text = format!("{source}: {place}");
            match parent {
                Some(parent) => text.push_str(&format!(", changes since {parent}")),
                None => text.push_str(", first backup"),
            }
            if *continued_passes > 0 {
                text.push_str(", continuing what an earlier pass has begun");
            }
            text
        }
        Event::OriginReturned {
            source,
            origin,
            other,
        } => format!(
            "{source}: warning: {origin} is back after {other}; if these are two, give one of them another name"
        ),
        Event::FileUploaded {
            source, path, size, ..
        } => format!("{source}: sent {path} ({})", HumanBytes(*size)),
        Event::ObjectCopied {
            source, path, size, ..
        } => format!("{source}: copied {path} ({})", HumanBytes(*size)),
        Event::FileArchived {
            source, path, size, ..
        } => format!("{source}: archived {path} ({})", HumanBytes(*size)),
        Event::BackupArchiveUploaded {
            source,
            key,
            size,
            members,
            bytes,
            duration_ms,
            ..
        } => format!(
            "{source}: archive {key}: {}, {} in {}; {}",
            count(*members, "member"),
            HumanBytes(*bytes),
            HumanBytes(*size),
            duration(Duration::from_millis(*duration_ms)),
        ),
        Event::FileUnchanged { source, path } => format!("{source}: unchanged {path}"),
        Event::FileChangedWhileReading { source, path } => {
            format!("{source}: warning: {path} changed while it was read, twice; kept as read")
        }
        Event::FileVanished { source, path } => {
            format!("{source}: warning: {path} vanished before it was read")
        }
        Event::FileSkipped { source, path, kind } => {
            format!("{source}: skipped {path} ({kind:?})")
        }
        Event::DirectorySkipped {
            source,
            path,
            reason,
        } => {
            let reason = match reason {
                NotEntered::OtherFileSystem => "another file system is mounted on it",
                NotEntered::Loop => "it is a directory above it, mounted again",
            };
            format!("{source}: did not enter {path}: {reason}")
        }
        Event::FileUnreadable {
            source,
            path,
            error,
        } => format!("{source}: error: cannot read {path}: {error}"),
        Event::FileUploadFailed {
            source,
            path,
            error,
            ..
        } => format!("{source}: error: cannot send {path}: {error}"),
        Event::CheckpointWritten {
            source,
            key,
            entries,
        } => format!("{source}: checkpoint {key} ({})", count(*entries, "entry")),
        Event::SegmentDamaged { source, key, error } => format!(
            "{source}: error: {key} of the last snapshot cannot be used ({error}); what it names is captured again"
        ),
        Event::SourceFailed { source, error, .. } => format!("{source}: failed: {error}"),
        Event::SourceSkipped { source, because } => {
            format!("{source}: skipped, because {because} failed")
        }
        Event::SnapshotCommitted {
            source,
            complete,
            totals,
            changes,
            duration_ms,
            ..
        } => format!(
            "{source}: snapshot committed{}: {}; {} new, {} changed, {} removed; sent {}, {}; {}",
            if *complete { "" } else { " INCOMPLETE" },
            held(totals),
            HumanCount(changes.new),
            HumanCount(changes.changed),
            HumanCount(changes.removed),
            count(changes.uploaded_files, "file"),
            HumanBytes(changes.uploaded_bytes),
            duration(Duration::from_millis(*duration_ms)),
        ),
        Event::CopyStarted { store, .. } => format!("copying to {store}"),
        Event::SnapshotCopied {
            source,
            snapshot,
            objects,
            bytes,
            ..
        } => format!(
            "{source} {snapshot} copied: {}, {}",
            count(*objects, "object"),
            HumanBytes(*bytes)
        ),
        Event::CopyCompleted {
            store,
            snapshots,
            duration_ms,
            ..
        } => format!(
            "{store} is up to date: {} copied, {}",
            count(*snapshots, "snapshot"),
            duration(Duration::from_millis(*duration_ms))
        ),
        Event::CopyFailed { store, error, .. } => format!("NOT copied to {store}: {error}"),
        Event::AnomalousLoss {
            source,
            snapshot,
            before,
            entries_before,
            entries,
            bytes_before,
            bytes,
            ..
        } => format!(
            "{source}: MORE THAN HALF IS GONE in {snapshot}: {} and {} are left of the {} and {} in {before}, which is kept until somebody acknowledges this",
            count(*entries, "entry"),
            HumanBytes(*bytes),
            HumanCount(*entries_before),
            HumanBytes(*bytes_before),
        ),
        Event::SnapshotCondemned {
            source,
            snapshot,
            because,
            ..
        } => format!("{source} {snapshot} condemned: {because}"),
        Event::PruneCompleted {
            condemned,
            remaining,
            bytes_freed_at_most,
            duration_ms,
            ..
        } => format!(
            "prune complete: {} condemned, {} kept, at most {} to be freed; {}",
            count(*condemned, "snapshot"),
            HumanCount(*remaining),
            HumanBytes(*bytes_freed_at_most),
            duration(Duration::from_millis(*duration_ms)),
        ),
        Event::PruneFailed {
            condemned, error, ..
        } => match condemned {
            0 => format!("prune FAILED, nothing is condemned: {error}"),
            some => format!(
                "prune FAILED, {} condemned: {error}",
                count(*some, "snapshot")
            ),
        },
        // Several lines, by `text`.
        Event::DrillCompleted { source, .. } => source.to_string(),
        Event::DrillFailed {
            source,
            snapshot,
            error,
            ..
        } => format!("{source} {snapshot}: the drill could not be completed: {error}"),
        Event::PassRetried {
            attempt,
            waiting_ms,
            error,
            ..
        } => format!(
            "attempt {} failed, the next one is in {}: {error}",
            attempt - 1,
            duration(Duration::from_millis(*waiting_ms)),
        ),
        Event::BackupCompleted {
            exit_code,
            sources,
            totals,
            failed_copies,
            requests,
            duration_ms,
            ..
        } => format!(
            "backup {}: {}, {}; {}, {}{}",
            if *exit_code == 0 {
                "complete"
            } else {
                "INCOMPLETE"
            },
            count(*sources, "source"),
            held(totals),
            count(*requests, "request"),
            duration(Duration::from_millis(*duration_ms)),
            match &failed_copies[..] {
                [] => String::new(),
                failed => format!("; NOT COPIED to {}", failed.join(", ")),
            },
        ),
        Event::BackupFailed { error, .. } => format!("backup FAILED: {error}"),
        Event::Notice { message } => format!("note: {message}"),
    }
}

fn held(totals: &Totals) -> String {
    format!(
        "{}, {}",
        count(totals.files, "file"),
        HumanBytes(totals.bytes)
    )
}
