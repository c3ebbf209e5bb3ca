//! What there is of a source before a pass looks at it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::PassContext;
use super::damage::Marked;
use super::error::SourceError;
use super::unfinished::{self, Unfinished};
use crate::format::damage::DamagedContents;
use crate::format::keys::SourceName;
use crate::format::location::ObjectId;
use crate::format::snapshot::Snapshot;
use crate::snapshots::chain;

/// The last snapshot of a source, and what passes since have left.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// The last snapshot.
    pub(crate) parent: Option<Snapshot>,
    /// What passes have left that were killed since, the latest first.
    pub(crate) unfinished: Vec<Unfinished>,
    /// What of all that is damaged in the store.
    pub(crate) damaged: Arc<DamagedContents>,
}

impl Past {
    /// That of a source, for a command that only looks.
    ///
    /// # Errors
    /// The store fails, or what is in it cannot be used.
    pub(crate) async fn find(pass: &PassContext, source: &SourceName) -> Result<Self, SourceError> {
        let parent = chain::latest(&*pass.store, source).await?;
        let mut past = Self::of(pass, source, parent, false).await?;
        let marked = Marked::find(&*pass.store, source).await?;
        past.damaged = Arc::new(marked.contents);
        Ok(past)
    }

    /// That of a source whose last snapshot is `parent`. Where `is_settled`, nothing comes after it.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn of(
        pass: &PassContext,
        source: &SourceName,
        parent: Option<Snapshot>,
        is_settled: bool,
    ) -> Result<Self, SourceError> {
        let committed = parent.as_ref().map(|parent| parent.pass);
        let unfinished = match is_settled {
            true => Vec::new(),
            false => unfinished::find(&*pass.store, source, committed, pass.pass).await?,
        };
        Ok(Self {
            parent,
            unfinished,
            damaged: Arc::default(),
        })
    }

    /// Entries of the last snapshot, the root among them; 0 without one.
    pub(crate) fn entries(&self) -> u64 {
        self.parent
            .as_ref()
            .map_or(0, |parent| parent.totals.entries)
    }

    /// The shared objects that entries of the last snapshot point into.
    pub(crate) fn objects(&self) -> BTreeSet<ObjectId> {
        let segments = self.parent.iter().flat_map(|parent| &parent.segments);
        segments.flat_map(|s| s.objects.keys().copied()).collect()
    }
}
