//! The last drill of each source, found out with few requests: the marks of all sources are listed, and of each
//! source the newest are read until one of them is a drill.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::task::JoinSet;

use super::marks::{MarksError, read};
use crate::format::drill::Drill;
use crate::format::keys::{self, SourceName};
use crate::format::mark::Says;
use crate::format::pass_id::PassId;
use crate::store::{Listing, Store, StoreResult};

/// Marks of a source that are read together. Most sources have few others than drills.
const TOGETHER: usize = 4;

/// Marks of a source that are read at most: a drill that so many pins have followed is not looked for.
const MOST: usize = 64;

/// A drill, and when it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastDrill {
    /// The snapshot.
    pub snapshot: PassId,
    /// When it was recorded, in the store's time.
    pub at: Timestamp,
    /// What came of it.
    #[serde(flatten)]
    pub drill: Drill,
}

/// The last drill of each source that had one.
///
/// # Errors
/// The store fails.
pub async fn last_drills(
    store: &Arc<dyn Store>,
) -> Result<BTreeMap<SourceName, LastDrill>, MarksError> {
    let mut searches = JoinSet::new();
    for (source, marks) in newest_first(&**store).await? {
        let store = Arc::clone(store);
        searches.spawn(async move { Ok((source, last(&store, &marks).await?)) });
    }
    let found: Result<Vec<_>, MarksError> = searches.join_all().await.into_iter().collect();
    let drilled = found?.into_iter();
    Ok(drilled
        .filter_map(|(source, last)| Some((source, last?)))
        .collect())
}

/// Keys of marks by source, those written last first.
async fn newest_first(store: &dyn Store) -> StoreResult<BTreeMap<SourceName, Vec<String>>> {
    let mut pages = store.list(Listing {
        prefix: keys::MARKS,
        ..Listing::default()
    });
    let mut marks: BTreeMap<SourceName, Vec<_>> = BTreeMap::new();
    while let Some(page) = pages.next().await? {
        for object in page.objects {
            let source = object.key.strip_prefix(keys::MARKS);
            let source = source.and_then(|rest| SourceName::parse(rest.split('/').next()?).ok());
            if let Some(source) = source {
                let marks = marks.entry(source).or_default();
                marks.push((object.last_modified, object.key));
            }
        }
    }
    let sorted = marks.into_iter().map(|(source, mut marks)| {
        marks.sort_unstable_by(|a, b| b.cmp(a));
        let keys = marks.into_iter().map(|(_, key)| key);
        (source, keys.collect())
    });
    Ok(sorted.collect())
}

async fn last(store: &Arc<dyn Store>, marks: &[String]) -> Result<Option<LastDrill>, MarksError> {
    for some in marks[..marks.len().min(MOST)].chunks(TOGETHER) {
        let mut reads = JoinSet::new();
        for key in some {
            let (store, key) = (Arc::clone(store), key.clone());
            reads.spawn(async move { read(&*store, key).await });
        }
        let mut last: Option<LastDrill> = None;
        for read in reads.join_all().await {
            let mark = match read {
                Ok((_, mark)) => mark,
                Err(MarksError::Store(error)) => return Err(error.into()),
                // It is something else, or of a later version.
                Err(MarksError::Mark { .. }) => continue,
            };
            if let Says::Drill(drill) = mark.says
                && last.as_ref().is_none_or(|last| last.at < mark.at)
            {
                last = Some(LastDrill {
                    snapshot: mark.snapshot,
                    at: mark.at,
                    drill: *drill,
                });
            }
        }
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}
