//! What a job says of a further store.

use super::StoreOptions;
use super::url::StoreUrl;

/// A store that gets a copy of what is in the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyJob {
    /// Where the copy goes.
    pub store: StoreUrl,
    /// How it gets there.
    pub options: StoreOptions,
    /// Whether a pass without it is incomplete.
    pub required: bool,
}
