//! What a merge goes through, put together in one place, so that whoever looks at a source looks at the
//! same.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::continued::{Continued, Trusted};
use super::cursor::Cursor;
use super::merge::{Merge, MergeError, Visitor};
use crate::format::damage::DamagedContents;
use crate::format::name::{Name, Order};
use crate::format::segment::SegmentRef;
use crate::pass::context::SourceContext;
use crate::pass::error::SourceError;
use crate::pass::past::Past;
use crate::snapshots::entries::Segments;
use crate::source::{Items, Scope};

/// What exists, the last snapshot, and what passes since have left.
pub(crate) struct Inputs {
    items: Items,
    base: Segments,
    passes: Vec<Segments>,
    trusted: Trusted,
    damaged: Arc<DamagedContents>,
}

impl Inputs {
    /// Begins to go through the source. Needs a runtime around it.
    ///
    /// # Errors
    /// The root cannot be looked at.
    pub(crate) fn open(
        context: &SourceContext,
        only: Option<Arc<HashSet<Vec<u8>>>>,
        past: &Past,
    ) -> Result<Self, SourceError> {
        let segments = past.parent.as_ref();
        let segments = segments.map_or(&[][..], |parent| &parent.segments);
        let scope = Scope {
            only,
            threads: context.limits.scan_threads,
            requests: context.limits.concurrency,
            cuts: cuts(segments, context.source.order()),
        };
        let items = context.source.items(&scope);
        let passes = past.unfinished.iter().map(|pass| pass.keys.clone());
        Ok(Self {
            items: items?,
            base: Segments::recorded(&context.store, segments),
            passes: passes
                .map(|keys| Segments::unrecorded(&context.store, keys))
                .collect(),
            trusted: Trusted::of(past),
            damaged: Arc::clone(&past.damaged),
        })
    }

    /// Shows a visitor everything, on a thread of its own: that blocks on the file system and, it may
    /// be, on full queues.
    pub(crate) fn merge<V>(
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
            let continued =
                Continued::new(self.passes, self.trusted, context.source.records_xattrs());
            Merge::new(base, continued, visitor, &context.stop)
                .with_damage(self.damaged)
                .run(self.items)
        })
    }
}

/// Where a source may be divided, by its last snapshot. Only keys are ever.
fn cuts(segments: &[SegmentRef], order: Order) -> Vec<Name> {
    match order {
        Order::Key => SegmentRef::cuts_of(segments),
        Order::Path => Vec::new(),
    }
}

/// Waits for a merge that nobody else waits for.
///
/// # Errors
/// It ended early.
pub(crate) async fn joined<T>(merge: JoinHandle<Result<T, MergeError>>) -> Result<T, SourceError> {
    match merge.await {
        Ok(merged) => Ok(merged?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
