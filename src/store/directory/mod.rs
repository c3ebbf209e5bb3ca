//! The store in a directory: a disk, or what a file server offers.
//!
//! Same layout and same promises as in a bucket; an object is a file. What a bucket has from S3 comes from the
//! file system here:
//!
//! - An object is whole before it has its name, and takes nothing's place ([`making`]).
//! - What is replaced only by who has seen it, is so by numbered files ([`versions`]).
//! - What a record refers to is on the disk before the record is, and the record with its name before anybody
//!   is told so ([`durable`]).
//! - The time is that of the machine which keeps the files: of a file that was just made.
//!
//! There are no checksums besides contents; a disk keeps none.

mod durable;
mod keys;
mod listing;
mod making;
mod owner;
mod root;
mod trouble;
mod uploads;
mod versions;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::Statx;
use rustix::io::Errno;

use self::durable::Durable;
use self::listing::{Listed, Scope, Walk};
use self::making::{Draft, read_at, write_at};
use self::root::{Root, stat};
use self::trouble::{Result, Trouble};
use self::versions::Version;
use super::{
    Clock, Completed, Condition, ETag, ListedObject, Listing, Object, ObjectInfo, OpenUpload,
    Operation, Page, Pages, Part, Placement, Store, StoreError, StoreErrorKind, StoreResult,
    Upload, UploadedPart,
};
use crate::boottime::boottime;
use crate::format::location::Checksum;

/// Objects in a page of a listing.
const PAGE: usize = 1000;

/// How old the time may be that reading goes by, and goes on from.
const TIME_IS_NEW: Duration = Duration::from_secs(1);

/// A store in a directory.
pub(super) struct DirectoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    root: Mutex<Option<Arc<Root>>>,
    durable: Durable,
    clock: Clock,
    told_at: Mutex<Option<Duration>>,
    requests: AtomicU64,
    uploads: Mutex<HashMap<String, Arc<Mutex<Draft>>>>,
}

impl DirectoryStore {
    /// A store in the directory at `path`; looks at nothing yet.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                root: Mutex::default(),
                durable: Durable::default(),
                clock: Clock::new(boottime),
                told_at: Mutex::default(),
                requests: AtomicU64::new(0),
                uploads: Mutex::default(),
            }),
        }
    }

    /// Does something with files, where that may block.
    async fn work<T: Send + 'static>(
        &self,
        operation: Operation,
        key: &str,
        act: impl FnOnce(&Shared, &Arc<Root>, &str) -> Result<T> + Send + 'static,
    ) -> StoreResult<T> {
        let (shared, name) = (Arc::clone(&self.shared), key.to_owned());
        shared.requests.fetch_add(1, Ordering::Relaxed);
        let done = tokio::task::spawn_blocking(move || act(&shared, &shared.root()?, &name)).await;
        let done = match done {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        done.map_err(|trouble| self.error(operation, key, trouble.into()))
    }

    fn error(&self, operation: Operation, key: &str, kind: StoreErrorKind) -> StoreError {
        StoreError {
            operation,
            location: format!("{}{key}", self.location()),
            kind,
        }
    }
}

#[async_trait]
impl Store for DirectoryStore {
    fn location(&self) -> String {
        format!("{}/", self.shared.path.display())
    }

    fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    async fn learn_time(&self) -> StoreResult<()> {
        let learn = self.work(Operation::Put, "", |shared, root, _| {
            shared.learn_time(root)
        });
        learn.await
    }

    async fn get(&self, key: &str, at_most: u64) -> StoreResult<Object> {
        let get = self.work(Operation::Get, key, move |shared, root, key| {
            // Who has to know the time asks for it. Others read where nothing can be written.
            let _ = shared.learn_time(root);
            let (_, version) = find(root, key, versions::latest)?;
            let size = version.stat.stx_size;
            if size > at_most {
                return Err(Trouble::TooLarge(at_most));
            }
            Ok(Object {
                bytes: read(&version, 0..size)?,
                etag: version.etag(),
                last_modified: time_of(&version.stat),
            })
        });
        get.await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> StoreResult<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let get = self.work(Operation::Get, key, move |_, root, key| {
            read(&find(root, key, versions::current)?.1, range)
        });
        get.await
    }

    async fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        let head = self.work(Operation::Head, key, |_, root, key| {
            let (_, version) = find(root, key, versions::current)?;
            Ok(ObjectInfo {
                size: version.stat.stx_size,
                etag: version.etag(),
                sha256: None,
                crc64nvme: None,
                sha256_of_parts: None,
                has_foreign_checksum: false,
                is_archived: false,
            })
        });
        head.await
    }

    async fn make_durable(&self, key: &str) -> StoreResult<()> {
        let make = self.work(Operation::Head, key, |shared, root, key| {
            let (path, version) = find(root, key, versions::current)?;
            (shared.durable).takes_contents(root, &path, &version.file)
        });
        make.await
    }

    async fn put(&self, key: &str, body: Bytes, condition: &Condition) -> StoreResult<ETag> {
        let condition = condition.clone();
        let put = self.work(Operation::Put, key, move |shared, root, key| {
            shared.durable.sync_contents(root)?;
            let mut draft = Draft::with(root, &body)?;
            draft.sync()?;
            let (path, etag) = place(root, key, &mut draft, &condition)?;
            shared.tell(&stat(&draft.file)?);
            shared.durable.sync_name(root, &path)?;
            Ok(etag)
        });
        put.await
    }

    async fn put_content(
        &self,
        key: &str,
        body: Bytes,
        _sha256: [u8; 32],
        condition: &Condition,
        _placement: &Placement,
    ) -> StoreResult<ETag> {
        let condition = condition.clone();
        let put = self.work(Operation::Put, key, move |shared, root, key| {
            let draft = Draft::with(root, &body)?;
            shared.place_contents(root, key, draft, &condition)
        });
        put.await
    }

    async fn begin_upload(&self, key: &str, _placement: &Placement) -> StoreResult<Upload> {
        let begin = self.work(Operation::Upload, key, |shared, root, key| {
            let (id, draft) = uploads::begin(root, key)?;
            let draft = Arc::new(Mutex::new(draft));
            shared.uploads().insert(id.clone(), draft);
            Ok(Upload {
                key: key.to_owned(),
                id,
            })
        });
        begin.await
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        part: Part,
        body: Bytes,
        crc64nvme: u64,
    ) -> StoreResult<UploadedPart> {
        let id = upload.id.clone();
        let send = self.work(Operation::Upload, &upload.key, move |shared, _, _| {
            let draft = shared.uploads().get(&id).cloned();
            let draft = draft.ok_or(Errno::NOENT)?;
            // Parts are written side by side.
            let file = {
                let draft = draft.lock().expect("nothing panics holding this");
                draft.file.try_clone().map_err(|_| Errno::MFILE)?
            };
            write_at(&file, &body, part.offset)?;
            Ok(UploadedPart {
                number: part.number,
                etag: ETag(part.number.to_string()),
                crc64nvme,
                sha256: None,
            })
        });
        send.await
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        _parts: Vec<UploadedPart>,
        size: u64,
        crc64nvme: u64,
        condition: &Condition,
    ) -> StoreResult<Completed> {
        let (id, condition) = (upload.id.clone(), condition.clone());
        let complete = self.work(Operation::Upload, &upload.key, move |shared, root, key| {
            let draft = shared.uploads().remove(&id).ok_or(Errno::NOENT)?;
            let draft = Arc::into_inner(draft).ok_or(Errno::BUSY)?;
            let draft = draft.into_inner().expect("nothing panics holding this");
            if stat(&draft.file)?.stx_size != size {
                return Err(Errno::IO.into());
            }
            let etag = shared.place_contents(root, key, draft, &condition);
            // What is left of it, where there is anything, a later pass removes otherwise.
            let _ = uploads::end(root, &id);
            etag
        });
        Ok(Completed {
            etag: complete.await?,
            checksum: Checksum::Crc64Nvme(crc64nvme),
        })
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        let id = upload.id.clone();
        let abort = self.work(Operation::Upload, &upload.key, move |shared, root, _| {
            shared.uploads().remove(&id);
            uploads::end(root, &id)
        });
        abort.await
    }

    async fn open_uploads(&self, prefix: &str) -> StoreResult<Vec<OpenUpload>> {
        let open = self.work(Operation::List, prefix, |shared, root, prefix| {
            uploads::open(root, prefix, shared.clock.now())
        });
        open.await
    }

    fn list<'a>(&'a self, listing: Listing<'a>) -> Box<dyn Pages + 'a> {
        Box::new(FilePages {
            store: self,
            next: Some(Next::Begin(Scope {
                prefix: listing.prefix.to_owned(),
                start_after: listing.start_after.map(str::to_owned),
                folders: listing.folders,
            })),
            prefix: listing.prefix.to_owned(),
        })
    }
}

impl Shared {
    /// The directory, opened once: whatever happens to its path meanwhile, a pass stays in one store.
    fn root(&self) -> Result<Arc<Root>> {
        let mut root = self.root.lock().expect("nothing panics holding this");
        if let Some(root) = &*root {
            return Ok(Arc::clone(root));
        }
        let opened = Arc::new(Root::open(&self.path)?);
        *root = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn uploads(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Mutex<Draft>>>> {
        self.uploads.lock().expect("nothing panics holding this")
    }

    /// Gives contents their name.
    fn place_contents(
        &self,
        root: &Arc<Root>,
        key: &str,
        mut draft: Draft,
        condition: &Condition,
    ) -> Result<ETag> {
        if root.reports_late || *condition != Condition::Absent {
            draft.sync()?;
        }
        let (path, etag) = place(root, key, &mut draft, condition)?;
        self.durable.has_contents(root, &path)?;
        Ok(etag)
    }

    /// A file that was just written has this time.
    fn tell(&self, stat: &Statx) {
        if let Some(time) = time_of(stat) {
            self.clock.tell(time);
            *self.told_at.lock().expect("nothing panics holding this") = Some(boottime());
        }
    }

    /// Learns the time where nothing was written lately.
    fn learn_time(&self, root: &Root) -> Result<()> {
        let told_at = *self.told_at.lock().expect("nothing panics holding this");
        if told_at.is_none_or(|at| boottime().saturating_sub(at) >= TIME_IS_NEW) {
            self.tell(&root.touch()?);
        }
        Ok(())
    }
}

/// Where an object lies, and what it is.
fn find(
    root: &Root,
    key: &str,
    look: fn(&Root, &Path) -> Result<Version>,
) -> Result<(PathBuf, Version)> {
    if let Some(path) = keys::path_of(key, root.folds_case()) {
        match look(root, &path) {
            Ok(version) => return Ok((path, version)),
            Err(Trouble::System(Errno::NOENT)) => {}
            Err(error) => return Err(error),
        }
    }
    if !root.has_hashed()? {
        return Err(Errno::NOENT.into());
    }
    let path = keys::hashed(key);
    let version = look(root, &path)?;
    Ok((path, version))
}

/// Gives a file the name of an object, if the condition holds. Returns its path and its version.
fn place(
    root: &Arc<Root>,
    key: &str,
    draft: &mut Draft,
    condition: &Condition,
) -> Result<(PathBuf, ETag)> {
    if let Condition::Matches(seen) = condition {
        let (path, _) = find(root, key, versions::latest)?;
        let etag = versions::replace(root, &path, seen, draft)?;
        return Ok((path, etag));
    }
    if root.has_hashed()? {
        let path = keys::hashed(key);
        match versions::latest(root, &path) {
            Ok(there) => return Ok((path, same(draft, &there)?)),
            Err(Trouble::System(Errno::NOENT)) => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(path) = keys::path_of(key, root.folds_case()) {
        match place_at(root, &path, draft) {
            // A file is where a directory would have to be, or the other way round, or the name is too
            // long for this file system.
            Err(Trouble::System(Errno::NOTDIR | Errno::ISDIR | Errno::NAMETOOLONG)) => {}
            placed => return Ok((path, placed?)),
        }
    }
    let mut name = Draft::with(root, key.as_bytes())?;
    name.sync()?;
    match name.name(&keys::name_of_hashed(key)) {
        Ok(()) | Err(Trouble::System(Errno::EXIST)) => {}
        Err(error) => return Err(error),
    }
    let path = keys::hashed(key);
    let etag = place_at(root, &path, draft)?;
    Ok((path, etag))
}

fn place_at(root: &Root, path: &Path, draft: &mut Draft) -> Result<ETag> {
    match draft.name(path) {
        Ok(()) => Ok(versions::etag(1, &stat(&draft.file)?)),
        Err(Trouble::System(Errno::EXIST)) => match versions::latest(root, path) {
            Ok(there) => same(draft, &there),
            Err(Trouble::System(Errno::NOENT)) => Err(Errno::ISDIR.into()),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// The version of what is there, if it is what was to be put there.
fn same(draft: &Draft, there: &Version) -> Result<ETag> {
    match draft.is_same_as(&there.file)? {
        true => Ok(there.etag()),
        false => Err(Trouble::Condition),
    }
}

fn read(version: &Version, range: Range<u64>) -> Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(|_| Errno::FBIG)?;
    let mut bytes = vec![0; length];
    match read_at(&version.file, &mut bytes, range.start)? == length {
        true => Ok(bytes.into()),
        false => Err(Trouble::TooShort),
    }
}

/// When a file was written, in whole seconds.
fn time_of(stat: &Statx) -> Option<Timestamp> {
    Timestamp::from_second(stat.stx_mtime.tv_sec).ok()
}

/// A listing under way.
struct FilePages<'a> {
    store: &'a DirectoryStore,
    prefix: String,
    /// `None` at the end.
    next: Option<Next>,
}

enum Next {
    Begin(Scope),
    Go(Walk),
}

#[async_trait]
impl Pages for FilePages<'_> {
    async fn next(&mut self) -> StoreResult<Option<Page>> {
        let Some(next) = self.next.take() else {
            return Ok(None);
        };
        let list = self
            .store
            .work(Operation::List, &self.prefix, |_, root, _| {
                let mut walk = match next {
                    Next::Begin(scope) => Walk::begin(root, scope)?,
                    Next::Go(walk) => walk,
                };
                let mut page = Page::default();
                while page.objects.len() + page.folders.len() < PAGE {
                    match walk.next(root)? {
                        None => return Ok((page, None)),
                        Some(Listed::Folder(folder)) => page.folders.push(folder),
                        Some(Listed::Object(key, version)) => page.objects.push(ListedObject {
                            key,
                            size: version.stat.stx_size,
                            etag: version.etag(),
                            last_modified: time_of(&version.stat),
                            storage_class: None,
                        }),
                    }
                }
                Ok((page, Some(walk)))
            });
        let (page, walk) = list.await?;
        self.next = walk.map(Next::Go);
        let is_empty = page.objects.is_empty() && page.folders.is_empty();
        Ok((!is_empty).then_some(page))
    }
}
