//! Which snapshots need a damaged object.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::format::damage::DamagedContents;
use crate::format::keys::SourceName;
use crate::format::pass_id::PassId;
use crate::snapshots::chain::{self, ChainError};
use crate::snapshots::entries::{Entries, EntriesError};
use crate::store::{Store, StoreError};

/// The snapshots that need damaged objects.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// By the number of the object, the earliest first.
    by_object: BTreeMap<usize, Vec<PassId>>,
    newest: Option<PassId>,
}

impl Costs {
    /// The snapshots that need an object.
    pub(super) fn of(&self, number: usize) -> &[PassId] {
        self.by_object.get(&number).map_or(&[], Vec::as_slice)
    }

    /// Whether the newest snapshot of the source is one of them.
    pub(super) fn is_in_newest(&self, number: usize) -> bool {
        self.of(number)
            .last()
            .copied()
            .is_some_and(|last| Some(last) == self.newest)
    }
}

/// Finds the snapshots of a source that need damaged objects. A segment that several snapshots share is read once. Blocks.
///
/// # Errors
/// The store fails.
pub(super) fn costs(
    store: &Arc<dyn Store>,
    source: &SourceName,
    damaged: &DamagedContents,
) -> Result<Costs, StoreError> {
    let runtime = Handle::current();
    let mut known: HashMap<String, BTreeSet<usize>> = HashMap::new();
    let mut costs = Costs::default();
    for pass in runtime.block_on(chain::passes(&**store, source))? {
        let snapshot = match runtime.block_on(chain::read(&**store, source, pass)) {
            Ok(Some(snapshot)) => snapshot,
            // One that cannot be read lacks more than this.
            Ok(None) | Err(ChainError::Record { .. }) => continue,
            Err(ChainError::Store(error)) => return Err(error),
        };
        costs.newest = Some(pass);
        let mut lacking = BTreeSet::new();
        for segment in &snapshot.segments {
            if !known.contains_key(&segment.key) {
                let mut found = BTreeSet::new();
                for entry in Entries::in_segments(store, std::slice::from_ref(segment)) {
                    match entry {
                        Ok(entry) => found.extend(damaged.find(&entry)),
                        Err(EntriesError::Store(error)) => return Err(error),
                        Err(EntriesError::Damaged { .. }) => {}
                    }
                }
                known.insert(segment.key.clone(), found);
            }
            lacking.extend(known.get(&segment.key).into_iter().flatten());
        }
        for number in lacking {
            costs.by_object.entry(number).or_default().push(pass);
        }
    }
    Ok(costs)
}
