//! What holds of all stores after every step.

use std::collections::{BTreeMap, BTreeSet};

use offsite::format::pass_id::PassId;
use offsite::format::snapshot::{Record, Snapshot};
use serde_json::Value;

use super::{History, STORES, url};
use crate::support::{BUCKET, SOURCE};

impl History {
    /// The snapshots of a store.
    pub(super) fn snapshots(&self, store: usize) -> BTreeMap<PassId, Snapshot> {
        let prefix = format!("{}snapshots/", STORES[store]);
        let keys = self.world.server.keys(BUCKET).into_iter();
        let keys = keys.filter(|key| key.starts_with(&prefix));
        let live = keys.filter_map(|key| {
            let object = self.world.server.object(BUCKET, &key).unwrap();
            match Record::parse(&object.bytes).unwrap() {
                Record::Live(snapshot) => Some((snapshot.pass, *snapshot)),
                Record::Condemned(_) | Record::Void(_) | Record::Other(_) => None,
            }
        });
        live.collect()
    }

    pub(super) fn newest(&self, store: usize) -> Option<PassId> {
        self.snapshots(store).into_keys().next_back()
    }

    /// Looks at everything there is.
    pub(super) fn look(&mut self) {
        self.nothing_has_changed();
        let stores: Vec<_> = (0..STORES.len())
            .map(|store| self.snapshots(store))
            .collect();
        for snapshot in stores.iter().flat_map(BTreeMap::values) {
            self.parents.insert(snapshot.pass, snapshot.parent);
        }
        for (store, snapshots) in stores.iter().enumerate() {
            let later = snapshots.keys().skip(1);
            for (earlier, later) in snapshots.keys().zip(later) {
                let store = STORES[store];
                assert!(
                    self.follows(*later, *earlier),
                    "{store}: {later} does not follow {earlier}"
                );
            }
        }
        self.copies_say_so(&stores);
    }

    fn nothing_has_changed(&mut self) {
        let mut now = BTreeMap::new();
        for key in self.world.server.keys(BUCKET) {
            let changes = ["/lock", "/status.json", "/probe"];
            if !changes.iter().any(|name| key.ends_with(name)) {
                let object = self.world.server.object(BUCKET, &key).unwrap();
                now.insert(key, object.bytes);
            }
        }
        let is_record = |key: &str| key.contains("/snapshots/");
        for (key, was) in &self.seen {
            // Void records give way.
            let may_change = is_record(key) && !matches!(Record::parse(was), Ok(Record::Live(_)));
            let is = now.get(key).unwrap_or_else(|| panic!("{key} is gone"));
            assert!(may_change || is == was, "{key} was overwritten");
        }
        let seen = std::mem::replace(&mut self.seen, now);
        let new = self.seen.iter();
        let new = new.filter(|(key, is)| is_record(key) && seen.get(*key) != Some(*is));
        for (key, is) in new {
            if let Record::Live(snapshot) = Record::parse(is).unwrap() {
                let (prefix, _) = key.split_once("snapshots/").unwrap();
                self.is_whole(&format!("s3://{BUCKET}/{prefix}"), snapshot.pass);
            }
        }
    }

    fn is_whole(&self, store: &str, pass: PassId) {
        let args = ["verify", "--read", "--store", store, "--source", SOURCE];
        let pass = pass.to_string();
        let verified = self
            .world
            .offsite([&args[..], &["--snapshot", &pass]].concat());
        assert_eq!(verified.code, 0, "{store} {pass}: {verified:?}");
    }

    fn follows(&self, later: PassId, earlier: PassId) -> bool {
        let parent = |pass: &PassId| self.parents.get(pass).copied().flatten();
        let ancestors = std::iter::successors(Some(later), parent);
        ancestors.skip(1).any(|ancestor| ancestor == earlier)
    }

    /// Each snapshot was made in one store, and those that others have of it are the same and name a store that
    /// has it.
    fn copies_say_so(&self, stores: &[BTreeMap<PassId, Snapshot>]) {
        let ids: BTreeSet<_> = stores.iter().flat_map(BTreeMap::keys).collect();
        for id in ids {
            let mut originals = 0;
            let mut contents = Vec::new();
            for snapshot in stores.iter().filter_map(|snapshots| snapshots.get(id)) {
                let copied = snapshot.copied.as_ref();
                match copied.filter(|copied| copied.through == *id) {
                    None => originals += 1,
                    Some(copied) => {
                        let at = (0..STORES.len()).find(|store| url(*store) == copied.from);
                        let at = at.unwrap_or_else(|| panic!("{} is no store", copied.from));
                        assert!(
                            stores[at].contains_key(id),
                            "{id} is not in {}",
                            copied.from
                        );
                    }
                }
                let mut fields: Value = serde_json::to_value(snapshot).unwrap();
                fields.as_object_mut().unwrap().remove("copied");
                contents.push(fields);
            }
            assert_eq!(originals, 1, "{id} was made in one store");
            assert!(
                contents.windows(2).all(|pair| pair[0] == pair[1]),
                "{contents:#?}"
            );
        }
    }
}
