//! Objects put back into a bucket: by its server where that can copy them, or else sent.
//!
//! First a plan: what the bucket has, listed beside what the snapshot says. Then, if nothing stands in the way, the
//! plan is carried out, with another look at the bucket, for it may have changed: what was not there is put only where
//! nothing is, what differs is replaced only if it is the version that the plan has seen, and what the snapshot does
//! not know stays. Each object comes to be at once or not at all, and what is the same is left alone, so that a restore
//! that was interrupted continues when it is started again.

mod apply;
mod beside;
mod one;
mod plan;
mod sight;

use std::fmt;
use std::sync::Arc;

use super::Portion;
use crate::stop::Stop;
use crate::store::{Store, Tags};

pub use self::apply::{BucketError, apply};
pub use self::plan::{BucketPlan, plan};

/// What is put back, where, and how.
#[derive(Clone)]
pub struct IntoBucket {
    /// The bucket, or the part of it, that the objects go to.
    pub target: Arc<dyn Store>,
    /// Bytes that every key there begins with.
    pub prefix_bytes: usize,
    /// Whether that is where they came from.
    pub is_origin: bool,
    /// What keys there begin with that are those of stores. Nothing is put under them.
    pub stores: Vec<String>,
    /// Which objects.
    pub portion: Portion,
    /// Whether what is there and differs is replaced.
    pub overwrite: bool,
    /// Whether it is done on a server that keeps to no conditions: each key is looked up just before.
    pub unconditional: bool,
    /// What becomes of their tags.
    pub tags: Tags,
    /// Objects that are put at once.
    pub concurrency: usize,
    /// Bytes of contents in memory at once, where they are sent.
    pub memory_bytes: usize,
    /// The largest object that is copied in one request.
    pub whole_bytes: u64,
    /// When to stop.
    pub stop: Arc<Stop>,
}

impl fmt::Debug for IntoBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.location();
        f.debug_struct("IntoBucket")
            .field("target", &target)
            .finish_non_exhaustive()
    }
}

impl IntoBucket {
    /// Why nothing can be put under a key, if so.
    fn cannot_hold(&self, key: &str) -> Option<&'static str> {
        /// S3 takes no longer ones.
        const KEY_BYTES: usize = 1024;
        let is_in_store = |prefix: &String| key.starts_with(&**prefix);
        if self.stores.iter().any(is_in_store) {
            return Some("backups are kept there");
        }
        (self.prefix_bytes + key.len() > KEY_BYTES)
            .then_some("its key would have more than the 1,024 bytes that S3 takes")
    }
}
