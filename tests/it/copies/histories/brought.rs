//! What a copy may do to the store that it goes to.

use offsite::format::pass_id::PassId;
use offsite::format::snapshot::Snapshot;

use super::blow::Fate;
use super::{History, url};

impl History {
    pub(super) fn copy_between(
        &mut self,
        from: usize,
        to: usize,
        one: Option<PassId>,
        fate: Option<Fate>,
    ) {
        let (here, there) = (self.snapshots(from), self.snapshots(to));
        let newest = there.keys().next_back();
        let follows = newest.is_none_or(|newest| {
            let is_parent = |snapshot: &Snapshot| snapshot.parent == Some(*newest);
            here.contains_key(newest) || here.values().any(is_parent)
        });
        let (from_url, to_url) = (url(from), url(to));
        let mut args = vec!["copy", "--store", &from_url, "--to", &to_url];
        let id = one.map(|id| id.to_string());
        args.extend(id.iter().flat_map(|id| ["--snapshot", id]));
        let ended = self.run(fate, to, &args);
        let after = self.snapshots(to);
        // Whatever happened to it, it brings what there is and takes nothing away.
        let is_kept = there.iter().all(|(id, was)| after.get(id) == Some(was));
        assert!(is_kept, "{args:?} has changed what was there: {ended:?}");
        let mut new = after.keys().filter(|id| !there.contains_key(*id));
        let is_copied = new.clone().all(|id| here.contains_key(id));
        assert!(is_copied, "{args:?} has invented a snapshot: {ended:?}");
        let forward = new
            .clone()
            .all(|id| newest.is_none_or(|newest| id > newest));
        assert!(forward, "{args:?} has gone back: {ended:?}");
        self.counts.copied += new.clone().count();
        let Some(output) = ended else { return };
        match output.code {
            0 if one.is_some() => assert!(follows, "{output:?}"),
            0 => {
                assert!(follows || here.is_empty(), "{args:?}: {output:?}");
                let same = here.is_empty() || self.newest(from) == self.newest(to);
                assert!(same, "{args:?}: {output:?}");
            }
            2 => {
                assert!(!follows, "{args:?} was refused: {output:?}");
                assert_eq!(new.next(), None, "{output:?}");
                self.counts.refused += 1;
            }
            // A key that has no pass in it is taken by what a killed pass has left.
            4 => assert!(output.stdout.contains("is another one"), "{output:?}"),
            // Not among those that may follow; or there is nothing to be copied.
            10 => assert!(one.is_some() || here.is_empty(), "{output:?}"),
            _ => {}
        }
    }
}
