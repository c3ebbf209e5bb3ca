//! `docs/EVENTS.md` against the program.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::format::drill::Mismatch;

/// One of each event, with every field there is.
fn samples() -> Vec<Event> {
    let source = || SourceName::parse("data").unwrap();
    let pass: PassId = "20251227T020000Z-7f3a".parse().unwrap();
    let text = String::new;
    let time = Timestamp::UNIX_EPOCH;
    let origin = || {
        Box::new(Origin {
            place: text(),
            machine: text(),
            file_system: Some(text()),
            first: pass,
            last: pass,
            last_at: time,
        })
    };
    let (totals, changes) = (Totals::default(), Changes::default());
    vec![
        Event::BackupStarted {
            store: text(),
            sources: vec![source()],
            version: "",
        },
        Event::LockAcquired {
            generation: 1,
            duration_ms: 1,
            taken_from: Some(text()),
        },
        Event::LockHeld {
            holder: text(),
            by: pass,
            since: time,
            until: time,
            waiting_seconds: 0,
        },
        Event::LockLost { error: text() },
        Event::SourceStarted {
            source: source(),
            place: text(),
            parent: Some(pass),
            continued_passes: 0,
            expected_entries: 0,
        },
        Event::FileUploaded {
            source: source(),
            path: text(),
            key: text(),
            size: 0,
            sha256: text(),
            duration_ms: 0,
        },
        Event::ObjectCopied {
            source: source(),
            path: text(),
            key: text(),
            size: 0,
            duration_ms: 0,
        },
        Event::FileArchived {
            source: source(),
            path: text(),
            key: text(),
            size: 0,
        },
        Event::BackupArchiveUploaded {
            source: source(),
            session: Some(text()),
            key: text(),
            size: 0,
            crc64nvme: text(),
            members: 0,
            bytes: 0,
            duration_ms: 0,
        },
        Event::FileUnchanged {
            source: source(),
            path: text(),
        },
        Event::FileChangedWhileReading {
            source: source(),
            path: text(),
        },
        Event::FileVanished {
            source: source(),
            path: text(),
        },
        Event::FileSkipped {
            source: source(),
            path: text(),
            kind: Kind::Fifo,
        },
        Event::DirectorySkipped {
            source: source(),
            path: text(),
            reason: NotEntered::Loop,
        },
        Event::FileUnreadable {
            source: source(),
            path: text(),
            error: text(),
        },
        Event::FileUploadFailed {
            source: source(),
            path: text(),
            key: text(),
            error: text(),
        },
        Event::CheckpointWritten {
            source: source(),
            key: text(),
            entries: 0,
        },
        Event::SegmentDamaged {
            source: source(),
            key: text(),
            error: text(),
        },
        Event::SourceFailed {
            source: source(),
            error: text(),
            hint: Some(text()),
        },
        Event::SnapshotCommitted {
            source: source(),
            complete: true,
            totals,
            changes,
            segments_written: 0,
            segments_reused: 0,
            duration_ms: 0,
            requests: 0,
        },
        Event::PassRetried {
            attempt: 2,
            waiting_ms: 0,
            sources: vec![source()],
            error: text(),
        },
        Event::BackupCompleted {
            exit_code: 0,
            sources: 0,
            totals,
            changes,
            failed_copies: vec![text()],
            duration_ms: 0,
            requests: 0,
        },
        Event::BackupFailed {
            exit_code: 1,
            error: text(),
            hint: Some(text()),
            duration_ms: 0,
            requests: 0,
        },
        Event::OriginReturned {
            source: source(),
            origin: origin(),
            other: origin(),
        },
        Event::Notice { message: text() },
        Event::StoreOwnerRecorded {
            store: text(),
            store_owner: text(),
            was_in_use: false,
        },
        Event::CopyStarted {
            store: text(),
            sources: vec![source()],
        },
        Event::SnapshotCopied {
            source: source(),
            snapshot: pass,
            objects: 0,
            bytes: 0,
            server_side_bytes: 0,
            there: 0,
        },
        Event::CopyCompleted {
            store: text(),
            snapshots: 0,
            objects: 0,
            bytes: 0,
            server_side_bytes: 0,
            duration_ms: 0,
            requests: 0,
        },
        Event::CopyFailed {
            store: text(),
            required: true,
            snapshots: 0,
            error: text(),
            hint: Some(text()),
            duration_ms: 0,
            requests: 0,
        },
        Event::AnomalousLoss {
            source: source(),
            snapshot: pass,
            before: pass,
            entries_before: 0,
            entries: 0,
            bytes_before: 0,
            bytes: 0,
            hint: text(),
        },
        Event::SnapshotCondemned {
            source: source(),
            snapshot: pass,
            committed_at: Timestamp::UNIX_EPOCH,
            because: text(),
        },
        Event::PruneCompleted {
            prune: Some(pass),
            sources: vec![source()],
            condemned: 0,
            remaining: 0,
            bytes_freed_at_most: 0,
            duration_ms: 0,
        },
        Event::PruneFailed {
            exit_code: 1,
            condemned: 0,
            error: text(),
            hint: Some(text()),
            duration_ms: 0,
        },
        Event::DrillCompleted {
            source: source(),
            snapshot: pass,
            drill: Box::new(drill()),
            recorded: true,
            hint: Some(text()),
        },
        Event::DrillFailed {
            source: source(),
            snapshot: pass,
            exit_code: 1,
            error: text(),
            hint: Some(text()),
            duration_ms: 0,
            requests: 0,
        },
        Event::SourceSkipped {
            source: source(),
            because: source(),
        },
    ]
}

fn drill() -> Drill {
    let mismatch = Mismatch {
        path: String::new(),
        problem: String::new(),
    };
    Drill {
        outcome: DrillOutcome::Passed,
        mismatches: vec![mismatch.clone()],
        not_restored: vec![mismatch],
        ..Drill::default()
    }
}

/// Does not compile while a variant is missing here; then it is missing above as well.
fn place(event: &Event) -> usize {
    match event {
        Event::BackupStarted { .. } => 0,
        Event::LockAcquired { .. } => 1,
        Event::LockHeld { .. } => 2,
        Event::LockLost { .. } => 3,
        Event::SourceStarted { .. } => 4,
        Event::FileUploaded { .. } => 5,
        Event::ObjectCopied { .. } => 6,
        Event::FileArchived { .. } => 7,
        Event::BackupArchiveUploaded { .. } => 8,
        Event::FileUnchanged { .. } => 9,
        Event::FileChangedWhileReading { .. } => 10,
        Event::FileVanished { .. } => 11,
        Event::FileSkipped { .. } => 12,
        Event::DirectorySkipped { .. } => 13,
        Event::FileUnreadable { .. } => 14,
        Event::FileUploadFailed { .. } => 15,
        Event::CheckpointWritten { .. } => 16,
        Event::SegmentDamaged { .. } => 17,
        Event::SourceFailed { .. } => 18,
        Event::SnapshotCommitted { .. } => 19,
        Event::PassRetried { .. } => 20,
        Event::BackupCompleted { .. } => 21,
        Event::BackupFailed { .. } => 22,
        Event::OriginReturned { .. } => 23,
        Event::Notice { .. } => 24,
        Event::StoreOwnerRecorded { .. } => 25,
        Event::CopyStarted { .. } => 26,
        Event::SnapshotCopied { .. } => 27,
        Event::CopyCompleted { .. } => 28,
        Event::CopyFailed { .. } => 29,
        Event::AnomalousLoss { .. } => 30,
        Event::SnapshotCondemned { .. } => 31,
        Event::PruneCompleted { .. } => 32,
        Event::PruneFailed { .. } => 33,
        Event::DrillCompleted { .. } => 34,
        Event::DrillFailed { .. } => 35,
        Event::SourceSkipped { .. } => 36,
    }
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_documentation_has_every_event_and_every_field_and_no_others() {
    let page = include_str!("../../docs/EVENTS.md");
    let (head, sections) = page.split_once("\n## ").unwrap();
    let mut sections: Vec<_> = sections.split("\n## ").collect();
    let totals = keys(&serde_json::to_value(Totals::default()).unwrap());
    let changes = keys(&serde_json::to_value(Changes::default()).unwrap());
    for field in totals.iter().chain(&changes) {
        assert!(quoted(head).contains(field), "`{field}` is not described");
    }
    for (index, event) in samples().iter().enumerate() {
        assert_eq!(place(event), index);
        let value = serde_json::to_value(event).unwrap();
        let name = value["event"].as_str().unwrap();
        let at = sections
            .iter()
            .position(|section| section.starts_with(&format!("{name} · ")))
            .unwrap_or_else(|| panic!("no section for {name}"));
        let section = sections.remove(at);
        let heading = section.lines().next().unwrap();
        let level = serde_json::to_value(event.level()).unwrap();
        assert!(
            heading.contains(level.as_str().unwrap()),
            "{heading}: it is {level}"
        );

        let mut fields = keys(&value);
        fields.remove("event");
        for (word, group) in [
            ("totals", totals.clone()),
            ("changes", changes.clone()),
            (
                "cost",
                ["duration_ms", "requests"].map(str::to_owned).into(),
            ),
        ] {
            let has_group = group.is_subset(&fields) && section.contains(word);
            if has_group {
                fields = fields.difference(&group).cloned().collect();
            }
        }
        assert_eq!(quoted(section), fields, "{name}");
    }
    assert!(
        sections.is_empty(),
        "described and never emitted: {sections:?}"
    );
}
