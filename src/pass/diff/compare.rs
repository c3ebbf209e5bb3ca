//! Whether an entry has changed: a pure function of what exists and what the last snapshot says.

use crate::format::entry::{Entry, Kind};
use crate::format::object::Likeness;
use crate::pass::job::Detect;
use crate::source::Found;
use crate::source::stat::Stat;

/// What has to be done about an entry that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Unchanged,
    /// The metadata is recorded anew; there are no contents to look at.
    Rerecord,
    /// The file is read, and sent only if its contents differ from those recorded. Of an object, its copy is asked for what
    /// was not recorded, and it is copied again only if that differs.
    Reread,
    /// The file is captured.
    Capture,
}

/// The kernel stamps files with a clock that ticks at least every 10 ms (`CONFIG_HZ=100`).
const TICK_NS: i64 = 10_000_000;

/// FAT keeps times to 2 seconds, other file systems to one; their times are whole seconds.
const COARSE_TICK_NS: i64 = 2_000_000_000;

/// Compares an entry that exists with the one recorded by a pass whose scan began at
/// `scan_started_ns`.
#[must_use]
pub(crate) fn compare(
    found: &Found,
    recorded: &Entry,
    scan_started_ns: i64,
    detect: Detect,
) -> Verdict {
    match found.stat.metadata.kind {
        Kind::Object => compare_objects(found, recorded),
        _ => compare_files(&found.stat, recorded, scan_started_ns, detect),
    }
}

/// A bucket says which version of an object is there. A later time alone means that the same bytes were put again, it
/// may be with other metadata; whether the class is another one does not matter, which no lifecycle rule changes the
/// time with. What it counts as is a matter of the configuration.
fn compare_objects(found: &Found, recorded: &Entry) -> Verdict {
    let (Some(now), Some(then)) = (&found.object, &recorded.object) else {
        return Verdict::Capture;
    };
    let is_complete = recorded.unreadable.is_none() && recorded.content.is_some();
    if found.refused.is_some() || !is_complete || found.stat.metadata != recorded.metadata {
        return Verdict::Capture;
    }
    match now.likeness(then) {
        Likeness::Same if now.category == then.category => Verdict::Unchanged,
        Likeness::Same => Verdict::Rerecord,
        Likeness::Unknown => Verdict::Reread,
        Likeness::Other => Verdict::Capture,
    }
}

fn compare_files(found: &Stat, recorded: &Entry, scan_started_ns: i64, detect: Detect) -> Verdict {
    let (now, then) = (&found.metadata, &recorded.metadata);
    let complete = recorded.unreadable.is_none() && !recorded.changed_while_reading;
    let settled = !recorded.racy && !is_racy(now.mtime_ns.max(now.ctime_ns), scan_started_ns);
    let same = now == then && complete && !is_another_directory(found, recorded);
    match now.kind {
        Kind::File => {}
        // A link that was replaced within one tick of the clock looks the same.
        Kind::Symlink if !settled => return Verdict::Rerecord,
        _ if same => return Verdict::Unchanged,
        _ => return Verdict::Rerecord,
    }
    if then.kind != Kind::File || recorded.content.is_none() || now.size != then.size {
        return Verdict::Capture;
    }
    if same && settled && detect == Detect::Metadata {
        return Verdict::Unchanged;
    }
    Verdict::Reread
}

/// Whether the directory that was recorded has given way to another one.
pub(super) fn is_another_directory(found: &Stat, recorded: &Entry) -> bool {
    found.metadata.kind == Kind::Directory && recorded.inode.is_some_and(|inode| inode != found.ino)
}

/// Whether a file stamped `changed_ns` could have changed once more, unseen, after a scan that
/// began at `scan_started_ns` looked at it.
pub(crate) fn is_racy(changed_ns: i64, scan_started_ns: i64) -> bool {
    let tick = match changed_ns % 1_000_000_000 {
        0 => COARSE_TICK_NS,
        _ => TICK_NS,
    };
    changed_ns.saturating_add(tick) >= scan_started_ns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::{Content, Digest, Metadata, Unreadable};
    use crate::format::location::Location;
    use crate::format::path::EntryPath;

    const SCAN: i64 = 1_800_000_000_500_000_000;
    const LONG_AGO: i64 = 1_700_000_000_123_456_789;

    fn stat(kind: Kind) -> Stat {
        Stat {
            metadata: Metadata {
                kind,
                size: 10,
                mtime_ns: LONG_AGO,
                ctime_ns: LONG_AGO,
                mode: 0o644,
                uid: 1,
                gid: 1,
            },
            dev: 1,
            ino: 1,
            nlink: 1,
            sparse: false,
        }
    }

    fn recorded(stat: &Stat) -> Entry {
        let mut entry = Entry::new(EntryPath::parse("x").unwrap(), stat.metadata);
        entry.content = (stat.metadata.kind == Kind::File).then(|| Content {
            digest: Digest::Sha256([0; 32]),
            pass: "20251227T020000Z-7f3a".parse().unwrap(),
            captured_as: None,
            location: Location::Inline,
        });
        entry
    }

    fn after(change: impl Fn(&mut Stat)) -> Verdict {
        let mut now = stat(Kind::File);
        let then = recorded(&now);
        change(&mut now);
        compare_files(&now, &then, SCAN, Detect::Metadata)
    }

    #[test]
    fn any_difference_is_looked_into_and_only_another_size_is_sent_unread() {
        assert_eq!(after(|_| {}), Verdict::Unchanged);
        assert_eq!(after(|s| s.metadata.size = 11), Verdict::Capture);
        assert_eq!(after(|s| s.metadata.mtime_ns += 1), Verdict::Reread);
        assert_eq!(after(|s| s.metadata.ctime_ns += 1), Verdict::Reread);
        assert_eq!(after(|s| s.metadata.mode = 0o600), Verdict::Reread);
        assert_eq!(after(|s| s.metadata.uid = 2), Verdict::Reread);
        assert_eq!(after(|s| s.metadata.gid = 2), Verdict::Reread);
        assert_eq!(after(|s| s.ino = 2), Verdict::Unchanged);
        let same = stat(Kind::File);
        assert_eq!(
            compare_files(&same, &recorded(&same), SCAN, Detect::Checksum),
            Verdict::Reread
        );
    }

    #[test]
    fn a_file_not_older_than_the_scan_that_recorded_it_is_read_again() {
        for (changed_ns, verdict) in [
            (SCAN + 1, Verdict::Reread),
            (SCAN - TICK_NS / 2, Verdict::Reread),
            (SCAN - TICK_NS - 1, Verdict::Unchanged),
            // Whole seconds: the file system may not keep more.
            (1_800_000_000_000_000_000, Verdict::Reread),
            (1_799_999_998_000_000_000, Verdict::Unchanged),
        ] {
            let mut now = stat(Kind::File);
            now.metadata.ctime_ns = changed_ns;
            let then = recorded(&now);
            assert_eq!(compare_files(&now, &then, SCAN, Detect::Metadata), verdict);
        }
    }

    #[test]
    fn what_was_recorded_badly_is_looked_at_again() {
        let now = stat(Kind::File);
        let mut then = recorded(&now);
        then.changed_while_reading = true;
        assert_eq!(
            compare_files(&now, &then, SCAN, Detect::Metadata),
            Verdict::Reread
        );
        let mut then = recorded(&now);
        then.unreadable = Some(Unreadable {
            error: "EIO".to_owned(),
            since: "20251227T020000Z-7f3a".parse().unwrap(),
        });
        assert_eq!(
            compare_files(&now, &then, SCAN, Detect::Metadata),
            Verdict::Reread
        );
        then.content = None;
        assert_eq!(
            compare_files(&now, &then, SCAN, Detect::Metadata),
            Verdict::Capture
        );
    }

    #[test]
    fn a_change_of_kind_is_a_change() {
        for (before, now, verdict) in [
            (Kind::Directory, Kind::File, Verdict::Capture),
            (Kind::File, Kind::Directory, Verdict::Rerecord),
            (Kind::File, Kind::Symlink, Verdict::Rerecord),
            (Kind::Directory, Kind::Directory, Verdict::Unchanged),
        ] {
            let then = recorded(&stat(before));
            assert_eq!(
                compare_files(&stat(now), &then, SCAN, Detect::Metadata),
                verdict,
                "{before:?} to {now:?}"
            );
        }
    }
}
