//! What a snapshot lacks of its source, and what that makes of the pass.

use super::context::SourceContext;
use crate::events::Event;
use crate::text;

/// Entries that may vanish during a pass, and
const FEW: u64 = 10;

/// the share of all that may, one in this many. Files come and go; where more of them go, or the last
/// one, somebody empties the source while it is read, and what is left need not be what anybody wants back.
const FEW_OF: u64 = 10;

/// What a snapshot lacks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gaps {
    /// Entries that this pass could not read.
    pub(super) failed: u64,
    /// Those of them that could be read, and that the store did not take.
    pub(super) unsent: u64,
    /// Entries that show an earlier state or none, whichever pass could not read them.
    pub(super) unreadable: u64,
    /// Those of them that are gone from the disk with their sessions, so that no pass can read them.
    pub(super) lost: u64,
    /// Sessions that no pass has ever archived, nor was this one asked to.
    pub(super) left_out: u64,
    /// Entries that were listed.
    pub(super) listed: u64,
    /// Those of them that were gone when their turn came.
    pub(super) vanished: u64,
    /// Entries that the snapshot has, besides directories.
    pub(super) contents: u64,
    /// Whether only a part was looked at, and nobody knows what else there is.
    pub(super) is_partial: bool,
}

impl Gaps {
    fn is_thinned_out(&self) -> bool {
        let is_many = self.vanished > FEW && self.vanished.saturating_mul(FEW_OF) > self.listed;
        is_many || self.is_emptied()
    }

    /// Whether something was there, and nothing but directories is left: also where that is one entry. A
    /// source without anything in it is not taken for one that was backed up, and one that loses everything
    /// under the eyes of a pass is no better.
    fn is_emptied(&self) -> bool {
        self.vanished > 0 && self.contents == 0
    }

    /// Whether the snapshot has everything that is in the source.
    pub(super) fn is_complete_snapshot(&self) -> bool {
        self.failed + self.unreadable + self.left_out == 0
            && !self.is_partial
            && !self.is_thinned_out()
    }

    /// Whether the pass did all that it was asked to.
    pub(super) fn is_complete_pass(&self) -> bool {
        self.failed == 0 && self.unreadable <= self.lost && !self.is_thinned_out()
    }

    /// Whether there is nothing wrong with the pass but that entries could not be read.
    pub(super) fn is_only_unreadable(&self) -> bool {
        self.unsent == 0 && !self.is_thinned_out()
    }

    /// Tells of what no other event does.
    pub(super) fn tell(&self, context: &SourceContext) {
        let notice = |message| context.events.emit(&Event::Notice { message });
        let name = &context.job.name;
        if self.is_thinned_out() {
            let left = match self.is_emptied() {
                true => ", and nothing but directories is left",
                false => "",
            };
            notice(format!(
                "{name}: the snapshot is incomplete: {} of {} entries vanished while the pass ran{left}",
                self.vanished, self.listed
            ));
        }
        if self.left_out > 0 {
            let sessions = text::count(self.left_out, "session");
            notice(format!(
                "{name}: the snapshot is incomplete: {sessions} on the disk were never archived, and this pass was not asked to"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gaps;

    #[test]
    fn few_entries_may_vanish() {
        for (listed, vanished, contents, complete) in [
            (1000, 0, 999, true),
            (5, 3, 1, true),
            (11, 10, 1, true),
            (110, 11, 98, true),
            (109, 11, 97, false),
            (12, 11, 1, false),
            (1_000_000, 100_000, 899_999, true),
            (1_000_000, 100_001, 899_998, false),
            // Nothing is left.
            (2, 1, 0, false),
            (11, 10, 0, false),
            (1_000_000, 1, 0, false),
            // Nothing was there.
            (1, 0, 0, true),
        ] {
            let gaps = Gaps {
                listed,
                vanished,
                contents,
                ..Gaps::default()
            };
            assert_eq!(gaps.is_complete_snapshot(), complete, "{gaps:?}");
            assert_eq!(gaps.is_complete_pass(), complete, "{gaps:?}");
        }
    }

    #[test]
    fn what_nobody_asked_for_is_missing_and_no_failure() {
        let gaps = Gaps {
            left_out: 1,
            ..Gaps::default()
        };
        assert!(!gaps.is_complete_snapshot() && gaps.is_complete_pass());
        let gaps = Gaps {
            unreadable: 2,
            lost: 2,
            ..Gaps::default()
        };
        assert!(!gaps.is_complete_snapshot() && gaps.is_complete_pass());
        let gaps = Gaps { lost: 1, ..gaps };
        assert!(!gaps.is_complete_pass());
    }

    #[test]
    fn only_what_could_not_be_read_is_only_unreadable() {
        let gaps = Gaps {
            failed: 3,
            unreadable: 3,
            ..Gaps::default()
        };
        assert!(gaps.is_only_unreadable());
        assert!(!Gaps { unsent: 1, ..gaps }.is_only_unreadable());
        let gaps = Gaps {
            listed: 100,
            vanished: 50,
            contents: 50,
            ..gaps
        };
        assert!(!gaps.is_only_unreadable());
    }
}
