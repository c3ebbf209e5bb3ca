//! Copying a large object without its bytes passing through here: the store takes them, in parts, from another
//! store at the same address.
//!
//! What the store says of the copy is believed only where it must have looked at the bytes. A checksum that the
//! original has may be handed on as it is: S3 says so of `CopyObject` (Amazon S3 API reference, "CopyObject",
//! `x-amz-checksum-algorithm`), and others do the same. Those of parts that the original was not sent in have to
//! be computed. So an object goes in parts of other lengths than it was sent in, and what their CRC-64/NVMEs come
//! to is compared with the one that was recorded, before the parts become an object, and by the store once more
//! as they do. Nothing exists before it is proven.

use std::ops::Range;
use std::sync::Arc;

use crc_fast::CrcAlgorithm::Crc64Nvme;
use crc_fast::{checksum, checksum_combine};
use tokio::task::JoinSet;

use super::{
    Completed, Condition, Copied, Copies, ObjectRef, Operation, PART_BYTES, Part, Placement, Store,
    StoreError, StoreErrorKind, StoreResult, Upload, UploadedPart, WholeCopy,
};
use crate::memory::budget::Budget;
use crate::stop::Stopped;

/// About the length of a part that the store copies, if there is enough for several: within what S3 copies in a
/// second or two, and few requests.
const COPIED_PART_BYTES: u64 = 64 << 20;

/// Parts that are sent are whole MiB (`part_sizes`). Those that are copied are not.
const MIB: u64 = 1 << 20;
const OFF_MIB: u64 = 4 << 10;

/// S3 takes no shorter part but as the last one (S3 user guide, "Amazon S3 multipart upload limits").
const SHORTEST_PART_BYTES: u64 = 5 << 20;

/// S3 takes no more parts in one upload.
const MOST_PARTS: u64 = 10_000;

/// What an object has to come to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    /// Where it goes.
    pub(crate) key: &'a str,
    /// Its length, more than [`PART_BYTES`].
    pub(crate) size: u64,
    /// CRC-64/NVME of the whole, as it was recorded.
    pub(crate) crc64nvme: u64,
    /// How it is kept.
    pub(crate) placement: &'a Placement,
}

/// Why the store has not copied an object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCopied {
    /// It cannot, or may not: it will not copy others either.
    #[error("{0}")]
    Unable(String),
    /// It fails, as it may at anything: this object alone was not copied.
    #[error("{0}")]
    Failed(StoreError),
    /// What it would have made is not what was recorded.
    #[error("the copy would be another object")]
    Different,
    /// It had copied all parts, and failed at making them an object.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody gets a request any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl NotCopied {
    /// What it means that the store has not begun an object, or not made a part.
    fn of(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::Throttled(_)
            | StoreErrorKind::Unavailable(_)
            | StoreErrorKind::Transport(_) => Self::Failed(error),
            _ => Self::Unable(error.to_string()),
        }
    }
}

/// Whether a store may be able to copy what another one has.
pub(crate) fn could_copy(from: &dyn Store, to: &dyn Store) -> bool {
    let proves = to.copies().is_some_and(Copies::proves_parts);
    proves && can_take(from, to)
}

/// Whether a store may be able to take objects as a whole from another one.
pub(crate) fn can_take(from: &dyn Store, to: &dyn Store) -> bool {
    from.copies().is_some() && to.copies().is_some() && from.address() == to.address()
}

/// The length of parts in which an object is copied that is too large for one request, which takes `whole_bytes` at
/// most.
pub(crate) fn whole_part_bytes(size: u64, whole_bytes: u64) -> u64 {
    let usual = COPIED_PART_BYTES.min(whole_bytes.max(SHORTEST_PART_BYTES));
    usual.max(size.div_ceil(MOST_PARTS))
}

/// Requests that copying an object as a whole takes.
pub(crate) fn copy_requests(size: u64, whole_bytes: u64) -> u64 {
    match size <= whole_bytes {
        true => 1,
        // What it is, a beginning, the parts, an end.
        false => 4 + size.div_ceil(whole_part_bytes(size, whole_bytes)),
    }
}

/// Makes `to` copy one version of an object as a whole, with what it has besides its bytes; in parts if it has more
/// than `whole_bytes`.
///
/// # Errors
/// As [`Copies::copy_whole`].
pub(crate) async fn copy_whole(
    (from, key): (&dyn Store, &str),
    to: &dyn Store,
    copy: &WholeCopy,
    whole_bytes: u64,
) -> StoreResult<Copied> {
    let unable = || StoreError {
        operation: Operation::Copy,
        location: format!("{}{}", to.location(), copy.key),
        kind: StoreErrorKind::Unsupported("it takes nothing from other stores".to_owned()),
    };
    let copies = to.copies().ok_or_else(unable)?;
    if copy.size <= whole_bytes {
        return copies.copy_whole(copy).await;
    }
    let others = from.copies().ok_or_else(unable)?;
    let described = others.describe(key, copy.tags).await?;
    if described.etag.bare() != copy.from.etag.bare() {
        return Err(StoreError {
            kind: StoreErrorKind::PreconditionFailed,
            ..unable()
        });
    }
    let part_bytes = whole_part_bytes(copy.size, whole_bytes);
    copies
        .copy_in_parts(copy, &described.headers, part_bytes)
        .await
}

/// Makes `to` copy an object, which must not be there yet. Nothing is left where it has not.
///
/// # Errors
/// There is no object, or it is not known whether there is one.
pub(crate) async fn copy_object(
    to: &Arc<dyn Store>,
    from: &ObjectRef,
    expected: Expected<'_>,
    requests: &Budget,
) -> Result<Completed, NotCopied> {
    let Expected { key, size, .. } = expected;
    debug_assert!(size > PART_BYTES as u64);
    let begun = to.begin_upload(key, expected.placement).await;
    let upload = Arc::new(begun.map_err(NotCopied::of)?);
    let copied = copy_parts(to, &upload, from, size, requests).await;
    let completed = match copied {
        Ok(parts) if crc64nvme(&parts) == expected.crc64nvme => {
            let parts = parts.into_iter().map(|(_, part)| part).collect();
            let crc64nvme = expected.crc64nvme;
            let completed = to.complete_upload(&upload, parts, size, crc64nvme, &Condition::Absent);
            completed.await.map_err(|error| match error.kind {
                StoreErrorKind::Rejected(_)
                | StoreErrorKind::Damaged(_)
                | StoreErrorKind::Unsupported(_)
                | StoreErrorKind::AbilityGone(_) => NotCopied::Unable(error.to_string()),
                _ => error.into(),
            })
        }
        Ok(_) => Err(NotCopied::Different),
        Err(error) => Err(error),
    };
    if completed.is_err() {
        let _ = to.abort_upload(&upload).await;
    }
    completed
}

/// Copies all parts, several at a time; each with its length, in order.
async fn copy_parts(
    to: &Arc<dyn Store>,
    upload: &Arc<Upload>,
    from: &ObjectRef,
    size: u64,
    requests: &Budget,
) -> Result<Vec<(u64, UploadedPart)>, NotCopied> {
    let mut copying: JoinSet<StoreResult<(u64, UploadedPart)>> = JoinSet::new();
    for (number, range) in (1..).zip(parts(size)) {
        let request = requests.one().await?;
        let (to, upload, from) = (Arc::clone(to), Arc::clone(upload), from.clone());
        copying.spawn(async move {
            let part = Part {
                number,
                offset: range.start,
            };
            let length = range.end - range.start;
            let copies = to.copies().expect("it was looked at before");
            let copied = copies.copy_part(&upload, part, &from, range).await;
            drop(request);
            Ok((length, copied?))
        });
    }
    let mut parts = Vec::new();
    while let Some(copied) = copying.join_next().await {
        let copied = copied.map_err(|_| Stopped)?;
        parts.push(copied.map_err(NotCopied::of)?);
    }
    parts.sort_unstable_by_key(|(_, part)| part.number);
    Ok(parts)
}

/// CRC-64/NVME of the whole, from those of its parts.
fn crc64nvme(parts: &[(u64, UploadedPart)]) -> u64 {
    let empty = checksum(Crc64Nvme, b"");
    parts.iter().fold(empty, |whole, (length, part)| {
        checksum_combine(Crc64Nvme, whole, part.crc64nvme, *length)
    })
}

/// Where parts begin and end: two at least, so that none is the whole, and none as it was sent.
fn parts(size: u64) -> impl Iterator<Item = Range<u64>> {
    let few = size
        .div_ceil(2)
        .clamp(SHORTEST_PART_BYTES, COPIED_PART_BYTES);
    let length = few.max(size.div_ceil(MOST_PARTS)).next_multiple_of(MIB) + OFF_MIB;
    (0..size.div_ceil(length)).map(move |index| {
        let start = index * length;
        start..size.min(start + length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Length;

    #[test]
    fn parts_are_others_than_those_that_were_sent() {
        let smallest = PART_BYTES as u64 + 1;
        let tib = 1 << 40;
        for size in [smallest, 16 << 20, 17 << 20, 1 << 30, 100 << 30, 5 * tib] {
            let parts: Vec<_> = parts(size).collect();
            assert!((2..=10_000).contains(&parts.len()), "{size}");
            assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, size));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            let length = parts[0].end;
            assert!((SHORTEST_PART_BYTES..=5 << 30).contains(&length), "{size}");
            for sent in [Length::Known(size), Length::Unknown] {
                assert_ne!(length % MIB, sent.part_bytes(0) as u64 % MIB, "{size}");
            }
        }
    }
}
