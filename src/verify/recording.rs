//! Writing down what was read: the digests of copies that nobody had read before, beside the segment that lists them.
//!
//! Several may do so at once, and each reads a share. So they are put where there are none, and otherwise replaced by
//! themselves and what is new, over the very version that was read.

use super::report::DigestReport;
use crate::format::digests::{Digests, DigestsWriter, unread};
use crate::format::keys::{self, SourceName};
use crate::format::segment::{SegmentReader, SegmentRef};
use crate::snapshots::digests::{self, Beside};
use crate::snapshots::entries::{Loaded, load};
use crate::store::{Condition, Store, StoreErrorKind};

/// How often it is tried while others write the same digests. Each of them has been at it for as long as it takes to
/// read what a segment lists.
const ATTEMPTS: usize = 8;

/// Adds digests to those beside a segment, and counts them. That they cannot be written is told, and no failure.
pub(super) async fn record(
    store: &dyn Store,
    (source, segment): (&SourceName, &SegmentRef),
    read: &Digests,
    report: &mut DigestReport,
) {
    match add(store, (source, segment), read).await {
        Ok(added) => report.recorded += added,
        Err(why) => {
            report.not_recorded += read.len();
            report.why_not.get_or_insert(why);
        }
    }
}

async fn add(
    store: &dyn Store,
    (source, segment): (&SourceName, &SegmentRef),
    read: &Digests,
) -> Result<u64, String> {
    let Some(key) = keys::digests(&segment.key) else {
        return Err(format!("`{}` is no key of a segment", segment.key));
    };
    for _ in 0..ATTEMPTS {
        let (mut known, condition) = match digests::load(store, segment).await {
            Beside::Nothing => (Digests::default(), Condition::Absent),
            Beside::Digests(known, etag) => (known, Condition::Matches(etag)),
            Beside::Damaged(_, etag) => (Digests::default(), Condition::Matches(etag)),
            Beside::Newer(error) => return Err(format!("`{key}` {error}")),
            Beside::Unknown(error) => return Err(error.to_string()),
        };
        let added = known.add_all(read);
        if added == 0 {
            return Ok(0);
        }
        let body = body(store, (source, segment), &known).await?;
        match store.put(&key, body, &condition).await {
            Ok(_) => return Ok(added),
            // Somebody else has written some meanwhile.
            Err(error) if error.kind == StoreErrorKind::PreconditionFailed => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!("others go on writing `{key}`"))
}

/// The digests of what a segment lists, in its order.
async fn body(
    store: &dyn Store,
    (source, segment): (&SourceName, &SegmentRef),
    known: &Digests,
) -> Result<bytes::Bytes, String> {
    let bytes = match load(store, segment.clone()).await {
        Loaded::Segment(loaded) => loaded.bytes.clone(),
        Loaded::Damaged(_, error) => return Err(format!("segment `{}`: {error}", segment.key)),
        Loaded::Failed(error) => return Err(error.to_string()),
    };
    let damaged = |error| format!("segment `{}`: {error}", segment.key);
    let mut writer = DigestsWriter::new(source, &segment.sha256);
    for entry in SegmentReader::open(bytes, segment.lines_bytes).map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        if let Some(stored) = entry.content.as_ref().and_then(unread)
            && let Some(sha256) = known.get(stored)
        {
            writer.push(stored, sha256);
        }
    }
    Ok(writer.finish())
}
