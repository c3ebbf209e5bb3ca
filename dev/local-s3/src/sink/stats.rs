//! How many requests of each operation there were.

use crate::operation::Operation;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct Stats(Vec<AtomicU64>);

impl Default for Stats {
    fn default() -> Self {
        Self(Operation::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Stats {
    pub(super) fn count(&self, operation: Operation) {
        if let Some(counter) = self.0.get(operation as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn reset(&self) {
        for counter in &self.0 {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// The operations there were, with the sum as `total`.
    pub(super) fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        let mut seen: BTreeMap<&'static str, u64> = Operation::ALL
            .iter()
            .map(|operation| operation.name())
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .collect();
        seen.insert("total", seen.values().sum());
        seen
    }
}
