//! What a merge goes through, put together in one place, so that whoever looks at a source looks at the
//! same.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::continued::{Continued, Trusted};
use super::cursor::Cursor;
use super::merge::{Merge, MergeError, Visitor};
use crate::format::snapshot::Snapshot;
use crate::pass::context::SourceContext;
use crate::pass::error::SourceError;
use crate::pass::unfinished::Unfinished;
use crate::snapshots::entries::Segments;
use crate::source::filter::Filter;
use crate::source::walk::{Walk, WalkOptions};

/// What exists, the last snapshot, and what passes since have left.
pub struct Inputs {
    walk: Walk,
    base: Segments,
    passes: Vec<Segments>,
    trusted: Trusted,
}

impl Inputs {
    /// Begins to walk. Needs a runtime around it.
    ///
    /// # Errors
    /// The root cannot be looked at.
    pub fn open(
        context: &SourceContext,
        filter: Filter,
        parent: Option<&Snapshot>,
        unfinished: &[Unfinished],
    ) -> Result<Self, SourceError> {
        let source = &context.source;
        let options = WalkOptions {
            filter,
            one_file_system: source.one_file_system,
            threads: context.limits.scan_threads,
        };
        let walk = Walk::start(Arc::clone(&context.root), options);
        let segments = parent.map_or(&[][..], |parent| &parent.segments);
        let passes = unfinished.iter().map(|pass| pass.keys.clone());
        Ok(Self {
            walk: walk.map_err(|error| source.not_walked(error))?,
            base: Segments::recorded(&context.store, segments),
            passes: passes
                .map(|keys| Segments::unrecorded(&context.store, keys))
                .collect(),
            trusted: Trusted::of(parent, unfinished),
        })
    }

    /// Shows a visitor everything, on a thread of its own: that blocks on the file system and, it may
    /// be, on full queues.
    pub fn merge<V>(
        self,
        context: &Arc<SourceContext>,
        visitor: V,
    ) -> JoinHandle<Result<V::Output, MergeError>>
    where
        V: Visitor + Send + 'static,
        V::Output: Send,
    {
        let context = Arc::clone(context);
        tokio::task::spawn_blocking(move || {
            let base = Cursor::new(self.base);
            let continued = Continued::new(self.passes, self.trusted, context.source.xattrs);
            Merge::new(base, continued, visitor, &context.stop).run(self.walk)
        })
    }
}

/// Waits for a merge that nobody else waits for.
///
/// # Errors
/// It ended early.
pub async fn joined<T>(merge: JoinHandle<Result<T, MergeError>>) -> Result<T, SourceError> {
    match merge.await {
        Ok(merged) => Ok(merged?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
