//! Finding out by trying what a server can do with objects that are sent in parts.
//!
//! One small object is sent in one part, under a key of its own. Its part is sent with a checksum first that
//! is not that of its bytes. A server that takes it although it is wrong may still know better: what counts
//! is that a HEAD tells the checksum of the bytes that lie there, whatever was claimed. The same upload shows
//! whether parts are kept from becoming an object under a key that is taken.
//!
//! Whatever is left when this is interrupted says nothing: what was found is recorded by the caller, once all
//! of it is known. An upload that was left open is aborted by whoever tries next.

use bytes::Bytes;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use sha2::{Digest as _, Sha256};

use super::S3Store;
use super::ask::Attempts;
use super::proof::entity_tag;
use super::upload::{Claim, completed};
use super::whole::{Sight, Whole};
use crate::format::abilities::{Abilities, ChecksumOfParts};
use crate::format::keys;
use crate::format::location::Checksum;
use crate::store::{
    Condition, ETag, Operation, Placement, Store as _, StoreErrorKind, StoreResult, Upload,
    UploadedPart,
};

/// What takes the key before anything is sent in parts.
const BEFORE: &[u8] = b"offsite tries out here what the store can do: see docs/STORES.md\n";

/// From what is used where it is there to what has to do.
const KINDS: [ChecksumOfParts; 3] = [
    ChecksumOfParts::Crc64Nvme,
    ChecksumOfParts::Sha256,
    ChecksumOfParts::None,
];

/// An upload whose only part was sent.
struct Sent {
    upload: Upload,
    part: UploadedPart,
    whole: Whole,
    size: u64,
    /// The part was taken with the checksum that is not its own.
    is_misnamed: bool,
    kept: ChecksumOfParts,
}

/// What became of one kind of checksum.
struct Tried {
    /// The object has it.
    is_kept: bool,
    /// Parts were kept from becoming an object under a key that is taken.
    if_absent: bool,
    /// The object's version.
    etag: ETag,
}

impl S3Store {
    pub(super) async fn try_parts(&self) -> StoreResult<Abilities> {
        let mut attempts = Attempts::new();
        loop {
            let found = self.try_all().await;
            // A pass that lost the lock while it tried, and only now wakes up, ends what this one has begun.
            let again = found.as_ref().is_err_and(|error| {
                error.kind == StoreErrorKind::NotFound || error.kind.is_worth_repeating()
            });
            if let Some(found) = attempts.settle_if(again, found).await {
                return found;
            }
        }
    }

    /// Tries one kind of checksum after the other.
    async fn try_all(&self) -> StoreResult<Abilities> {
        self.abort_earlier_tries().await;
        let absent = Condition::Absent;
        let mut before = match self.put(keys::PROBE, BEFORE.into(), &absent).await {
            Ok(etag) => etag,
            Err(error) if error.kind == StoreErrorKind::PreconditionFailed => {
                self.head(keys::PROBE).await?.etag
            }
            Err(error) => return Err(error),
        };
        for kept in KINDS {
            let Some(tried) = self.try_kind(kept, &before).await? else {
                continue;
            };
            if tried.is_kept {
                return Ok(Abilities {
                    address: self.address(),
                    checksum_of_parts: kept,
                    parts_if_absent: tried.if_absent,
                });
            }
            before = tried.etag;
        }
        let lacking = "it does not take objects that are sent in parts".to_owned();
        let kind = StoreErrorKind::Unsupported(lacking);
        Err(self.error(Operation::Upload, keys::PROBE, kind))
    }

    /// Frees what interrupted tries have left, as far as that can be done.
    async fn abort_earlier_tries(&self) {
        let open = self.list_uploads(keys::PROBE).await.unwrap_or_default();
        for left in open.iter().filter(|left| left.upload.key == keys::PROBE) {
            let _ = self.abort(&left.upload).await;
        }
    }

    /// Sends an object with one kind of checksum, over the version `before`. `None` where the server refuses
    /// that.
    async fn try_kind(&self, kept: ChecksumOfParts, before: &ETag) -> StoreResult<Option<Tried>> {
        let mut if_absent = None;
        // Once more where the first upload ended without an object: some servers end it when they refuse,
        // or look at the checksum of a part no sooner than that.
        for misnames in [true, false] {
            let Some(sent) = self.send_probe(kept, misnames).await? else {
                return Ok(None);
            };
            if if_absent.is_none() {
                let first = self.end_probe(&sent, Some(&Condition::Absent)).await;
                if_absent = Some(match &first {
                    Err(error) => error.kind == StoreErrorKind::PreconditionFailed,
                    Ok(()) => false,
                });
                if !matches!(&first, Err(error) if is_refusal(&error.kind)
                    || error.kind == StoreErrorKind::PreconditionFailed)
                {
                    return self.look_at_probe(&sent, before, false, first).await;
                }
            }
            match self.end_probe(&sent, None).await {
                Err(error) if is_refusal(&error.kind) => {
                    let _ = self.abort(&sent.upload).await;
                }
                Err(error) if error.kind == StoreErrorKind::NotFound && misnames => {}
                ended => {
                    let if_absent = if_absent.unwrap_or_default();
                    return self.look_at_probe(&sent, before, if_absent, ended).await;
                }
            }
        }
        Ok(None)
    }

    /// Looks at what an upload has become, which has ended so.
    async fn look_at_probe(
        &self,
        sent: &Sent,
        before: &ETag,
        if_absent: bool,
        ended: StoreResult<()>,
    ) -> StoreResult<Option<Tried>> {
        match &ended {
            // The object says what this means.
            Err(error) if matches!(error.kind, StoreErrorKind::UnexpectedAnswer(_)) => {}
            Err(_) => return ended.map(|()| None),
            Ok(()) => {}
        }
        let info = self.head(keys::PROBE).await?;
        if info.size != sent.size || info.etag.bare() == before.bare() {
            ended?;
            let fault = "a success after which the object is not there";
            return Err(self.unexpected(Operation::Upload, keys::PROBE, fault));
        }
        let sight = sent.whole.compare(&info);
        Ok(Some(Tried {
            is_kept: sight == Sight::Same || sent.kept == ChecksumOfParts::None,
            if_absent,
            etag: info.etag,
        }))
    }

    /// Begins an upload and sends its part, if so with another checksum first. `None` where the server
    /// refuses that.
    async fn send_probe(&self, kept: ChecksumOfParts, misnames: bool) -> StoreResult<Option<Sent>> {
        // Each try sends something else, and always as much.
        let body = format!("this was sent in one part, {:016x}\n", fastrand::u64(..));
        let body = Bytes::from(body);
        let size = body.len() as u64;
        let sha256: [u8; 32] = Sha256::digest(&body).into();
        let crc64nvme = crc_fast::checksum(Crc64Nvme, &body);
        let (right, wrong) = match kept {
            ChecksumOfParts::Crc64Nvme => (
                Claim::crc64nvme(crc64nvme),
                Some(Claim::crc64nvme(!crc64nvme)),
            ),
            ChecksumOfParts::Sha256 => {
                let other = sha256.map(|byte| !byte);
                (Claim::sha256(sha256), Some(Claim::sha256(other)))
            }
            ChecksumOfParts::None => (Claim::default(), None),
        };
        let placement = Placement::default();
        let begun = self.begin(keys::PROBE, kept, &placement);
        let Some(upload) = unless_refused(begun.await)? else {
            return Ok(None);
        };
        let misnamed = match wrong.filter(|_| misnames) {
            Some(wrong) => unless_refused(self.put_part(&upload, 1, &body, &wrong).await)?,
            None => None,
        };
        let is_misnamed = misnamed.is_some();
        let taken = match misnamed {
            Some(taken) => Some(taken),
            None => unless_refused(self.put_part(&upload, 1, &body, &right).await)?,
        };
        let Some(taken) = taken else {
            let _ = self.abort(&upload).await;
            return Ok(None);
        };
        let etag = entity_tag(taken.e_tag)
            .map_err(|fault| self.unexpected(Operation::Upload, keys::PROBE, fault))?;
        let part = UploadedPart {
            number: 1,
            etag,
            crc64nvme,
            sha256: (kept == ChecksumOfParts::Sha256).then_some(sha256),
        };
        let whole = Whole::of(kept, std::slice::from_ref(&part), (size, crc64nvme));
        Ok(Some(Sent {
            upload,
            part,
            whole,
            size,
            is_misnamed,
            kept,
        }))
    }

    /// Asks that the part becomes an object.
    async fn end_probe(&self, sent: &Sent, condition: Option<&Condition>) -> StoreResult<()> {
        let mut part = sent.part.clone();
        let mut checksum = &sent.whole.checksum;
        if sent.is_misnamed {
            // As it was sent; the whole is left to the server to find out.
            part.crc64nvme = !part.crc64nvme;
            part.sha256 = part.sha256.map(|sha256| sha256.map(|byte| !byte));
            checksum = &Checksum::None;
        }
        let parts = vec![completed(part, sent.kept)];
        let ended = self.put_together(&sent.upload, parts, (sent.size, checksum), condition);
        ended.await.map(|_| ())
    }
}

/// Whether the server does not want what it was asked for, rather than failing at it.
fn is_refusal(kind: &StoreErrorKind) -> bool {
    matches!(
        kind,
        StoreErrorKind::Rejected(_) | StoreErrorKind::Damaged(_) | StoreErrorKind::Unsupported(_)
    )
}

fn unless_refused<T>(result: StoreResult<T>) -> StoreResult<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if is_refusal(&error.kind) => Ok(None),
        Err(error) => Err(error),
    }
}
