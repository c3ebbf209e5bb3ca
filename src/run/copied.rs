//! What became of the copies of a pass.

use crate::format::status::CopyStatus;

/// What became of a pass's copies.
#[derive(Debug, Default)]
pub(super) struct AfterPass {
    /// Each copy that was tried.
    pub(super) copies: Vec<CopyStatus>,
    /// Whether each was tried to its end, before anybody said stop.
    pub(super) is_over: bool,
}

impl AfterPass {
    /// Stores that have not everything.
    pub(super) fn failed(&self) -> Vec<String> {
        let failed = self.copies.iter().filter(|copy| copy.error.is_some());
        failed.map(|copy| copy.store.clone()).collect()
    }

    pub(super) fn lacks_a_required_one(&self) -> bool {
        let mut copies = self.copies.iter();
        copies.any(|copy| copy.required && copy.error.is_some())
    }
}
