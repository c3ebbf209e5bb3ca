//! A further store of a pass.

use crate::store::StoreOptions;
use crate::store::url::StoreUrl;

/// A further store, to which each pass is copied.
#[derive(Debug, Clone)]
pub struct CopyJob {
    /// Where it is.
    pub store: StoreUrl,
    /// How it is reached.
    pub options: StoreOptions,
    /// Whether a pass counts as incomplete when the copy fails.
    pub required: bool,
}
