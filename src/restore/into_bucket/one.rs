//! Putting back one object.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

use super::BucketPlan;
use super::beside::{Beside, key_of};
use super::sight::{Looker, Sight, agrees};
use crate::contents::ContentsError;
use crate::format::entry::{Content, Entry};
use crate::format::location::{Checksum, ETag, Location, Stored};
use crate::format::object::ObjectHeaders;
use crate::format::pass_id::PassId;
use crate::memory::turns::Turn;
use crate::store::patience::patiently;
use crate::store::server_side::{can_take, copy_whole};
use crate::store::{
    Condition, Copied, Length, NewObject, Placement, Store, StoreError, StoreErrorKind, Tags,
    Uploader, WholeCopy, WriteError,
};

/// What has become of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// It was put back.
    Put,
    /// It was there already.
    Kept,
}

/// Why an object was not put back.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotPut {
    /// The snapshot has nothing of it but its name.
    #[error("it was never copied")]
    Lacking,
    /// Nothing can be put under its key.
    #[error("{0}")]
    Impossible(&'static str),
    /// What is there was not there when the bucket was looked at first, or is another version by now.
    #[error("something else has come there since the restore began, and stays; restore again")]
    Appeared,
    /// The backup is to blame.
    #[error("{0}")]
    Damaged(String),
    /// Its copy is in an archive class.
    #[error(
        "its copy is archived ({0}): thaw it with `aws s3api restore-object`, and restore again"
    )]
    Archived(String),
    /// The bucket or the store fails.
    #[error(transparent)]
    Store(StoreError),
    /// It could not be read from the store.
    #[error(transparent)]
    Contents(ContentsError),
    /// The command is being stopped.
    #[error("interrupted")]
    Stopped,
}

impl From<StoreError> for NotPut {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl NotPut {
    /// Whether the backup is to blame: what was recorded is not what there is.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Contents(
                ContentsError::Altered(_)
                | ContentsError::NotVouched(_)
                | ContentsError::NotAsRead(_)
                | ContentsError::Unknown(_),
            ) => true,
            Self::Contents(ContentsError::Store(error)) => matches!(
                error.kind,
                StoreErrorKind::NotFound | StoreErrorKind::TooShort
            ),
            _ => false,
        }
    }

    /// Whether it is not allowed.
    pub(super) fn is_denied(&self) -> bool {
        let denied = |error: &StoreError| matches!(error.kind, StoreErrorKind::AccessDenied(_));
        matches!(self, Self::Store(error) if denied(error))
    }

    /// Why all that follow would fail too, if they would.
    pub(super) fn is_fatal(&self) -> Option<String> {
        match self {
            Self::Store(error) | Self::Contents(ContentsError::Store(error)) => {
                error.kind.is_fatal().then(|| error.to_string())
            }
            Self::Stopped | Self::Contents(ContentsError::Stopped) => {
                Some("interrupted".to_owned())
            }
            _ => None,
        }
    }
}

/// What puts objects back.
pub(super) struct Putter {
    pub(super) store: Arc<dyn Store>,
    pub(super) looker: Arc<Looker>,
    pub(super) plan: Arc<BucketPlan>,
    pub(super) uploader: Uploader,
    /// What was captured up to this pass was put again by a copy of the store, under other versions.
    pub(super) copied_through: Option<PassId>,
}

impl Putter {
    /// Whether the server of the bucket may be able to take an object from the store itself.
    pub(super) fn can_copy(&self, entry: &Entry) -> bool {
        let content = entry.content.as_ref();
        let is_object =
            content.is_some_and(|content| matches!(content.location, Location::Object(_)));
        is_object && can_take(&*self.store, &*self.looker.what.target)
    }

    /// Puts an object where it was, if it is not there.
    pub(super) async fn put_back(
        self: &Arc<Self>,
        beside: &Beside,
        mut sight: Sight,
        turn: &Turn,
    ) -> Result<Done, NotPut> {
        let (entry, key) = (&beside.entry, beside.key());
        let content = entry.content.as_ref().ok_or(NotPut::Lacking)?;
        if sight == Sight::Unclear {
            sight = self.looker.look(entry, key).await?;
        }
        let condition = match (sight, &beside.there) {
            (Sight::Same, _) => return Ok(Done::Kept),
            (Sight::Nothing, _) | (_, None) => Condition::Absent,
            (Sight::Different | Sight::Unclear, Some(there)) => {
                if !self.looker.what.overwrite || !self.plan.has_seen(key, &there.etag) {
                    return Err(NotPut::Appeared);
                }
                Condition::Matches(there.etag.clone())
            }
        };
        if let Some(reason) = self.looker.what.cannot_hold(key) {
            return Err(NotPut::Impossible(reason));
        }
        if self.looker.what.unconditional || entry.metadata.size > self.looker.what.whole_bytes {
            self.look_before(key, &condition).await?;
        }
        let put = match (&content.location, self.can_copy(entry)) {
            (Location::Object(stored), true) => {
                self.copy(entry, (content, stored), condition, turn).await
            }
            _ => self.send(entry, content, condition).await,
        };
        match put {
            Err(NotPut::Store(error)) if error.kind == StoreErrorKind::PreconditionFailed => {
                self.settle(beside, content).await
            }
            put => put.map(|()| Done::Put),
        }
    }

    /// Makes sure that a condition holds, where nobody else does.
    async fn look_before(&self, key: &str, condition: &Condition) -> Result<(), NotPut> {
        let there = match self.looker.what.target.head(key).await {
            Ok(info) => Some(info.etag),
            Err(error) if error.kind == StoreErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let holds = match (condition, there) {
            (Condition::Absent, there) => there.is_none(),
            (Condition::Matches(etag), there) => {
                there.is_some_and(|there| there.bare() == etag.bare())
            }
        };
        holds.then_some(()).ok_or(NotPut::Appeared)
    }

    /// What it means that a condition does not hold: an answer that was lost, or another version, of either object.
    async fn settle(&self, beside: &Beside, content: &Content) -> Result<Done, NotPut> {
        let (entry, key) = (&beside.entry, beside.key());
        if self.looker.look(entry, key).await? == Sight::Same {
            return Ok(Done::Put);
        }
        if let Location::Object(stored) = &content.location
            && let Some(recorded) = self.recorded(content, stored)
        {
            let copy = self.store.head(&stored.key).await.map_err(missing)?;
            if copy.etag.bare() != recorded.bare() {
                let text = "its copy in the store is another one than the snapshot has";
                return Err(NotPut::Damaged(text.to_owned()));
            }
        }
        Err(NotPut::Appeared)
    }

    /// The version of a copy, where the store that made it is the one that is read.
    fn recorded<'a>(&self, content: &Content, stored: &'a Stored) -> Option<&'a ETag> {
        let is_of_another = |through| content.pass <= through;
        let etag = stored.etag.as_ref();
        etag.filter(|_| !self.copied_through.is_some_and(is_of_another))
    }

    /// Has the server copy an object.
    async fn copy(
        &self,
        entry: &Entry,
        (content, stored): (&Content, &Stored),
        condition: Condition,
        turn: &Turn,
    ) -> Result<(), NotPut> {
        let (store, target) = (&*self.store, &*self.looker.what.target);
        let etag = match self.recorded(content, stored) {
            Some(etag) => etag.clone(),
            None => self.found(entry, content, &stored.key).await?,
        };
        let copies = store.copies().ok_or(NotPut::Lacking)?;
        let unconditional = self.looker.what.unconditional;
        let copy = WholeCopy {
            from: copies.named(&stored.key, etag),
            size: entry.metadata.size,
            key: key_of(entry).to_owned(),
            condition: Some(condition).filter(|_| !unconditional),
            storage_class: entry
                .object
                .as_ref()
                .and_then(|object| object.class.clone()),
            tags: self.looker.what.tags,
        };
        let whole_bytes = self.looker.what.whole_bytes;
        let ask = || copy_whole((store, &stored.key), target, &copy, whole_bytes);
        let copied = patiently(turn, ask)
            .await
            .map_err(|error| match error.kind {
                StoreErrorKind::NotFound => missing(error),
                StoreErrorKind::Archived(class) => NotPut::Archived(class),
                _ => error.into(),
            })?;
        check(content, &copied)
    }

    /// The version of a copy that nobody has recorded, if it is what it should be.
    async fn found(&self, entry: &Entry, content: &Content, key: &str) -> Result<ETag, NotPut> {
        let info = self.store.head(key).await.map_err(missing)?;
        let agrees = agrees(content, info.sha256, info.crc64nvme);
        if info.size != entry.metadata.size || agrees == Some(false) {
            let text = "its copy in the store is something else than the snapshot has";
            return Err(NotPut::Damaged(text.to_owned()));
        }
        Ok(info.etag)
    }

    /// Reads an object, and sends it. It comes to be only once all of it was checked.
    async fn send(
        self: &Arc<Self>,
        entry: &Entry,
        content: &Content,
        condition: Condition,
    ) -> Result<(), NotPut> {
        let mut headers = self.headers(entry, content).await?;
        let object = NewObject {
            key: key_of(entry).to_owned(),
            condition,
            placement: Placement {
                storage_class: entry
                    .object
                    .as_ref()
                    .and_then(|object| object.class.clone()),
                tags: match self.looker.what.tags {
                    Tags::Ignore => BTreeMap::new(),
                    _ => std::mem::take(&mut headers.tags),
                },
                headers: Some(Box::new(headers)),
            },
            length: Length::Known(entry.metadata.size),
            with_sha256: false,
        };
        let (putter, entry, content) = (Arc::clone(self), entry.clone(), content.clone());
        let sent =
            tokio::task::spawn_blocking(move || putter.read_and_send(&entry, &content, &object));
        match sent.await {
            Ok(sent) => sent,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// What an object has besides its bytes: the manifest says so, or else its copy.
    async fn headers(&self, entry: &Entry, content: &Content) -> Result<ObjectHeaders, NotPut> {
        let recorded = entry
            .object
            .as_ref()
            .and_then(|object| object.headers.clone());
        match (recorded, self.store.copies(), &content.location) {
            (None, Some(copies), Location::Object(stored)) => {
                let described = copies.describe(&stored.key, self.looker.what.tags).await;
                Ok(described.map_err(missing)?.headers)
            }
            (recorded, ..) => Ok(recorded.unwrap_or_default()),
        }
    }

    fn read_and_send(
        &self,
        entry: &Entry,
        content: &Content,
        object: &NewObject,
    ) -> Result<(), NotPut> {
        let runtime = tokio::runtime::Handle::current();
        let mut writer = self.uploader.begin(object.clone());
        let mut refused = None;
        let mut is_again = false;
        let read = self.looker.contents.read(entry, content, |offset, piece| {
            if self.looker.what.stop.is_set() {
                return Err(Errno::CANCELED);
            }
            if offset == 0 && is_again {
                // What had arrived was damaged, and comes once more.
                let begun = std::mem::replace(&mut writer, self.uploader.begin(object.clone()));
                runtime.block_on(begun.abort());
            }
            is_again = true;
            let written = runtime.block_on(writer.write(Bytes::copy_from_slice(piece)));
            written.map_err(|error| {
                refused = Some(error);
                Errno::IO
            })
        });
        let read = match (read, refused) {
            (_, Some(error)) => Err(unwritten(error)),
            (Ok(()), None) => Ok(()),
            (Err(ContentsError::Write(_)), None) => Err(NotPut::Stopped),
            (Err(error), None) => Err(NotPut::Contents(error)),
        };
        let finished = read.and_then(|()| {
            let finished = runtime.block_on(writer.finish());
            finished.map(drop).map_err(unwritten)
        });
        if finished.is_err() {
            runtime.block_on(writer.abort());
        }
        finished
    }
}

fn missing(error: StoreError) -> NotPut {
    match error.kind {
        StoreErrorKind::NotFound => NotPut::Damaged(error.to_string()),
        _ => error.into(),
    }
}

fn unwritten(error: WriteError) -> NotPut {
    match error {
        WriteError::Store(error) => error.into(),
        WriteError::Stopped(_) => NotPut::Stopped,
    }
}

/// Compares what the server says that it has made with what was recorded.
fn check(content: &Content, copied: &Copied) -> Result<(), NotPut> {
    let (sha256, crc64nvme) = match copied.checksum {
        Checksum::Sha256(sha256) => (Some(sha256), None),
        Checksum::Crc64Nvme(crc64nvme) => (None, Some(crc64nvme)),
        Checksum::Sha256OfParts(_) | Checksum::None => (None, None),
    };
    let is_another = agrees(content, sha256, crc64nvme) == Some(false);
    match is_another {
        true => {
            let text =
                "what the server has made of its copy has another checksum than the snapshot";
            Err(NotPut::Damaged(text.to_owned()))
        }
        false => Ok(()),
    }
}
