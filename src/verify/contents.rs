//! Contents: looked at from outside as objects, and read back, wherever they lie.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use super::batch::WantedFile;
use super::compare::{Look, Recorded, look};
use super::fetched::Fetched;
use super::report::{Evidence, Finding, FindingKind, Problem, VerifyReport};
use crate::contents::{Contents, ContentsError, Expected};
use crate::format::digests::{Digests, unread};
use crate::format::entry::{Content, Digest, Entry};
use crate::format::location::Location;
use crate::format::name::Name;
use crate::format::objects::ObjectTable;
use crate::format::pass_id::PassId;
use crate::stop::Stop;
use crate::store::{Store, StoreError, StoreErrorKind};

/// What is read back is in memory up to so many bytes at once.
const MEMORY_BYTES: usize = 64 << 20;

/// How often contents are read that do not come the same twice. Each time they are fetched twice.
const ATTEMPTS: usize = 2;

/// What checks the contents of one snapshot, from many tasks at once.
pub(super) struct Checker {
    store: Arc<dyn Store>,
    contents: Contents,
    /// What was captured up to this pass was put again by a copy.
    copied_through: Option<PassId>,
    pub(super) fetched: Arc<Fetched>,
    report: Mutex<VerifyReport>,
    /// Of copies that nobody had read before, and that have not been written down.
    read: Mutex<Digests>,
    /// Archives that the store would not give out for their class.
    refused: Mutex<HashSet<String>>,
    failure: Mutex<Option<StoreError>>,
    progress: Box<dyn Fn(u64) + Send + Sync>,
}

/// What reading contents back has shown.
enum Back {
    Sound(Option<[u8; 32]>),
    Wrong(Problem),
    /// The store does not give them out for the time being.
    Archived,
    /// The command is being stopped.
    Stopped,
}

/// What contents have come to that were read.
enum Hashed {
    /// They are what was recorded; their SHA-256, where that is not known yet.
    AsRecorded(Option<[u8; 32]>),
    /// Nothing was recorded that tells, and each time they were something else.
    DiffersEachTime,
}

impl Checker {
    pub(super) fn of(
        store: &Arc<dyn Store>,
        objects: Arc<ObjectTable>,
        copied_through: Option<PassId>,
        report: VerifyReport,
        stop: &Arc<Stop>,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        let fetched = Arc::new(Fetched::default());
        let noted = Arc::clone(&fetched);
        let observer = Box::new(move |key: &str, offset, bytes: &[u8]| {
            noted.note(key, offset, bytes);
        });
        Self {
            store: Arc::clone(store),
            contents: Contents::of(store, Ok(objects), MEMORY_BYTES, stop).observed_by(observer),
            copied_through,
            fetched,
            report: Mutex::new(report),
            read: Mutex::default(),
            refused: Mutex::default(),
            failure: Mutex::default(),
            progress: Box::new(progress),
        }
    }

    /// The key of the object that holds contents, where the snapshot says so.
    pub(super) fn key(&self, content: &Content) -> String {
        self.contents.key(content).unwrap_or_default().to_owned()
    }

    pub(super) fn failure(&self) -> Option<StoreError> {
        let failure = self.failure.lock().expect("nothing panics holding this");
        failure.clone()
    }

    pub(super) fn is_refused(&self, key: &str) -> bool {
        let refused = self.refused.lock().expect("nothing panics holding this");
        refused.contains(key)
    }

    /// What was found so far, and the archives that could not be read.
    pub(super) fn take(&self) -> (VerifyReport, HashSet<String>) {
        let mut report = self.report.lock().expect("nothing panics holding this");
        let mut refused = self.refused.lock().expect("nothing panics holding this");
        (std::mem::take(&mut *report), std::mem::take(&mut *refused))
    }

    /// Digests of what was read for the first time since this was asked last.
    pub(super) fn take_digests(&self) -> Digests {
        std::mem::take(&mut self.read.lock().expect("nothing panics holding this"))
    }

    pub(super) fn find(&self, finding: Finding) {
        self.count(|report| report.findings.push(finding));
    }

    pub(super) fn advance(&self) {
        (self.progress)(1);
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut VerifyReport)) {
        count(&mut self.report.lock().expect("nothing panics holding this"));
    }

    pub(super) fn fail(&self, error: StoreError) {
        let mut failure = self.failure.lock().expect("nothing panics holding this");
        failure.get_or_insert(error);
    }

    fn is_copied(&self, content: &Content) -> bool {
        self.copied_through
            .is_some_and(|through| content.pass <= through)
    }

    /// What the store is asked of a file that is an object of its own; `None` where there is nothing to ask, or the
    /// record of it is wrong, which is a finding.
    pub(super) fn wanted(&self, entry: &Entry) -> Option<WantedFile> {
        let content = entry.content.as_ref()?;
        let Location::Object(stored) = &content.location else {
            return None;
        };
        let size = entry.metadata.size;
        if stored.size != size {
            let text = format!(
                "recorded with {size} bytes, and its object with {}",
                stored.size
            );
            let problem = Problem::new(FindingKind::Record, text);
            self.find(problem.at(entry.name.to_string(), &*stored.key));
            self.advance();
            return None;
        }
        Some(WantedFile {
            name: entry.name.clone(),
            stored: stored.clone(),
            digest: content.digest,
            is_copied: self.is_copied(content),
        })
    }

    /// Enters what the store has said of an object that is not read.
    pub(super) fn told(&self, wanted: &WantedFile, look: Look) {
        let result = look.compared.map_err(|mismatch| mismatch.problem());
        self.enter((&wanted.name, &wanted.stored.key), look.is_archived, result);
        self.advance();
    }

    /// Reads the contents of an entry under `key`. A failure of the store is kept.
    pub(super) async fn check(self: Arc<Self>, entry: Entry, key: String) {
        let entry = Arc::new(entry);
        let checked = match entry.content.as_ref().map(|content| &content.location) {
            Some(Location::Object(stored)) => {
                let content = entry.content.as_ref();
                let digest = content.map_or(Digest::Vouched, |content| content.digest);
                let is_copied = content.is_some_and(|content| self.is_copied(content));
                let recorded = Recorded::of_contents(stored, digest).copied(is_copied);
                self.object(&entry, recorded, &key).await
            }
            Some(Location::Member(_)) => self.member(&entry, &key).await,
            Some(Location::Inline) | None => Ok(()),
        };
        self.advance();
        if let Err(error) = checked {
            self.fail(error);
        }
    }

    /// Looks at an object from outside, and reads it where that can be done.
    async fn object(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        recorded: Recorded,
        key: &str,
    ) -> Result<(), StoreError> {
        let look = look(&*self.store, key, &recorded).await?;
        let mut is_archived = look.is_archived;
        let is_worth_reading = look.is_worth_reading();
        let mut result = look.compared.map_err(|mismatch| mismatch.problem());
        if is_worth_reading {
            match self.read_back(entry, key).await? {
                Back::Sound(read) => {
                    // Of what something else has put there nothing is written down.
                    self.note(entry, read.filter(|_| result.is_ok()));
                    if is_comparable(entry) {
                        result = Ok(Evidence::Contents);
                    }
                }
                Back::Wrong(problem) => result = Err(problem.after(result)),
                Back::Archived => is_archived = true,
                Back::Stopped => {}
            }
            self.fetched.take(key);
        }
        self.enter((&entry.name, key), is_archived, result);
        Ok(())
    }

    /// Notes that a copy was read as a whole, and what it came to where nobody had read it before.
    fn note(&self, entry: &Entry, sha256: Option<[u8; 32]>) {
        let Some(content) = &entry.content else {
            return;
        };
        if let (Some(stored), Some(sha256)) = (unread(content), sha256) {
            let mut read = self.read.lock().expect("nothing panics holding this");
            read.add(stored, sha256);
        }
        if matches!(content.digest, Digest::ReadSince(_)) {
            self.count(|report| report.digests.confirmed += 1);
        }
    }

    /// Enters what is known of an object now.
    fn enter(
        &self,
        (name, key): (&Name, &str),
        is_archived: bool,
        result: Result<Evidence, Problem>,
    ) {
        self.count(|report| {
            report.objects += 1;
            report.archived += u64::from(is_archived);
            match result {
                Ok(evidence) => report.compared.count(evidence),
                Err(problem) => report.findings.push(problem.at(name.to_string(), key)),
            }
        });
    }

    /// Reads a file out of an archive.
    async fn member(self: &Arc<Self>, entry: &Arc<Entry>, key: &str) -> Result<(), StoreError> {
        match self.read_back(entry, key).await? {
            Back::Sound(_) | Back::Stopped => {}
            Back::Wrong(problem) => self.find(problem.at(entry.name.to_string(), key)),
            Back::Archived => {
                let mut refused = self.refused.lock().expect("nothing panics holding this");
                refused.insert(key.to_owned());
            }
        }
        Ok(())
    }

    /// Reads contents back and hashes them. They are damaged in the store if they come the same
    /// twice and are not what was recorded.
    async fn read_back(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        key: &str,
    ) -> Result<Back, StoreError> {
        let mut problem = Problem::unsteady();
        for _ in 0..ATTEMPTS {
            let (reader, read) = (Arc::clone(self), Arc::clone(entry));
            let result = tokio::task::spawn_blocking(move || reader.hash(&read));
            match result.await {
                Ok(Ok(Hashed::DiffersEachTime)) => problem = Problem::unsteady(),
                Ok(Ok(Hashed::AsRecorded(sha256))) => {
                    self.count(|report| {
                        report.read_objects += 1;
                        report.read_bytes += entry.metadata.size;
                    });
                    return Ok(Back::Sound(sha256));
                }
                Ok(Err(ContentsError::Unknown(error))) => {
                    return Ok(Back::Wrong(Problem::new(FindingKind::Record, error)));
                }
                Ok(Err(
                    altered @ (ContentsError::Altered(_)
                    | ContentsError::NotVouched(_)
                    | ContentsError::NotAsRead(_)),
                )) => {
                    if self.fetched.is_confirmed(key, extent(entry)) {
                        let text = match altered {
                            ContentsError::NotVouched(_) => {
                                "altered: what was read does not have the checksum of the manifest"
                            }
                            ContentsError::NotAsRead(_) => {
                                "altered: SHA-256 mismatch with what `verify --read` has recorded"
                            }
                            _ => "altered: SHA-256 mismatch of what was read",
                        };
                        return Ok(Back::Wrong(Problem::new(FindingKind::Altered, text)));
                    }
                    problem = Problem::unsteady();
                }
                Ok(Err(ContentsError::Store(error))) => match error.kind {
                    StoreErrorKind::TooShort => problem = Problem::cut_short(),
                    StoreErrorKind::NotFound => return Ok(Back::Wrong(Problem::missing())),
                    StoreErrorKind::Archived(_) => return Ok(Back::Archived),
                    _ => return Err(error),
                },
                // Nothing is written, and a task that panicked has said so.
                Ok(Err(ContentsError::Write(_) | ContentsError::Stopped)) | Err(_) => {
                    return Ok(Back::Stopped);
                }
            }
        }
        Ok(Back::Wrong(problem))
    }

    /// Reads the contents of an entry, which are compared with what was recorded; hashes them where that is no SHA-256.
    /// Blocks.
    fn hash(&self, entry: &Entry) -> Result<Hashed, ContentsError> {
        let Some(content) = &entry.content else {
            return Ok(Hashed::AsRecorded(None));
        };
        if unread(content).is_none() {
            self.contents.read(entry, content, |_, _| Ok(()))?;
            return Ok(Hashed::AsRecorded(None));
        }
        let sha256 = self.sha256(entry, content)?;
        // Where nothing tells what was damaged on the way, reading it again does.
        let is_certain = is_comparable(entry) || self.sha256(entry, content)? == sha256;
        Ok(match is_certain {
            true => Hashed::AsRecorded(Some(sha256)),
            false => Hashed::DiffersEachTime,
        })
    }

    fn sha256(&self, entry: &Entry, content: &Content) -> Result<[u8; 32], ContentsError> {
        let mut hasher = Sha256::new();
        self.contents.read(entry, content, |at, bytes| {
            if at == 0 {
                hasher.reset();
            }
            hasher.update(bytes);
            Ok(())
        })?;
        Ok(hasher.finalize().into())
    }
}

/// Whether anything is on record that contents can be compared with.
fn is_comparable(entry: &Entry) -> bool {
    let content = entry.content.as_ref();
    content.is_some_and(|content| Expected::of(content) != Expected::Nothing)
}

/// Where the contents of an entry lie in their object.
fn extent(entry: &Entry) -> std::ops::Range<u64> {
    match entry.content.as_ref().and_then(Content::member) {
        Some(member) => member.offset..member.end(),
        None => 0..entry.metadata.size,
    }
}
