//! Keeping a lease while a pass runs, committing under it, and noticing when it is gone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::record;
use super::settle::{AtKey, Settled, Voider};
use super::{LeaseError, Request};
use crate::boottime::Boottime;
use crate::exit::ExitCode;
use crate::format::abilities::Abilities;
use crate::format::keys::{self, SourceName};
use crate::format::lock::{Ending, Lock};
use crate::format::owner::StoreOwner;
use crate::format::pass_id::PassId;
use crate::format::snapshot::RECORD_BYTES;
use crate::store::{Condition, ETag, Store, StoreError, StoreErrorKind};

/// A lease that was renewed within this fraction of its time is not renewed again before a commit. A
/// short pass is spared a request; a long one asks the store last thing whether the lease is its own.
const FRESH: u32 = 12;

/// Pause between attempts at a renewal that fails.
const RETRY: Duration = Duration::from_secs(1);

/// How long a pass tries to find out what became of a commit that was not answered, unless its lease is
/// shorter. After that, whoever takes the lock next finds out.
const SETTLE: Duration = Duration::from_secs(10);

/// Why a lease is no longer held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Somebody took it, or took it away.
    #[error("the lock was taken away by somebody else")]
    Taken,
    /// It could not be renewed in time.
    #[error("the lock could not be renewed in time: {0}")]
    NotRenewed(String),
}

impl Lost {
    /// The exit code of a pass that ends with this.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Taken => ExitCode::Locked,
            Self::NotRenewed(_) => ExitCode::Failed,
        }
    }
}

/// Why a commit record was not written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The lease is gone. No commit record of this pass was written, and none will be.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not answer while the lease covered the commit.
    #[error("the store did not answer the commit in time")]
    TimedOut,
}

impl CommitError {
    /// The exit code of a pass that fails for this.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Lost(lost) => lost.exit_code(),
            Self::Store(error) => error.kind.exit_code(),
            Self::TimedOut => ExitCode::Failed,
        }
    }
}

/// A lease that is held, and renewed in the background.
pub struct Lease {
    shared: Arc<Shared>,
    renewal: tokio::task::JoinHandle<()>,
}

struct Shared {
    store: Arc<dyn Store>,
    sources: Vec<SourceName>,
    generation: u64,
    /// Held over each request, so that versions follow one another.
    current: tokio::sync::Mutex<Current>,
    /// Until when the lease covers what is sent, on the clock of `boottime`.
    valid_until: Mutex<Duration>,
    boottime: Boottime,
    ttl: Duration,
    lost: watch::Sender<Option<Lost>>,
    /// Keys of commits that were sent and not answered.
    unsettled: Mutex<Vec<String>>,
}

struct Current {
    record: Lock,
    etag: ETag,
}

impl Lease {
    /// A lease that a put, begun at `sent`, has created.
    pub(super) fn new(
        store: Arc<dyn Store>,
        request: &Request,
        record: Lock,
        etag: ETag,
        sent: Duration,
    ) -> Self {
        let ttl = record.ttl();
        let shared = Arc::new(Shared {
            store,
            sources: request.sources.clone(),
            generation: record.generation,
            current: tokio::sync::Mutex::new(Current { record, etag }),
            valid_until: Mutex::new(sent + ttl * 2 / 3),
            boottime: request.boottime,
            ttl,
            lost: watch::Sender::new(None),
            unsettled: Mutex::default(),
        });
        let renewal = tokio::spawn(Arc::clone(&shared).keep());
        Self { shared, renewal }
    }

    /// Its number: one higher than that of the lease before.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation
    }

    /// What the lock object says of this lease.
    pub async fn record(&self) -> Lock {
        self.shared.current.lock().await.record.clone()
    }

    /// Gives the pass an id later than `other`, which is somebody else's.
    ///
    /// # Errors
    /// The lease is lost.
    pub async fn rename_after(&self, other: PassId, random: u16) -> Result<PassId, Lost> {
        let pass = {
            let mut current = self.shared.current.lock().await;
            let own = current.record.pass;
            let pass = PassId::new(own.started_at(), Some(own.max(other)), random);
            record::rename(&mut current.record, &self.shared.sources, pass);
            pass
        };
        self.shared.renew().await?;
        Ok(pass)
    }

    /// Makes the store `owner`'s, and lasts as long as the lock does.
    ///
    /// # Errors
    /// The lease is lost, and nobody knows whether the lock names the new owner.
    pub async fn give_store_to(&self, owner: StoreOwner) -> Result<(), Lost> {
        self.shared.current.lock().await.record.store_owner = Some(owner);
        self.shared.renew().await
    }

    /// Notes in the lock that there is, or is about to be, a mark of damage under `key`, and lasts as long as passes
    /// have not dealt with it.
    ///
    /// # Errors
    /// The lease is lost, and nobody knows whether the lock says it.
    pub async fn note_damage(&self, key: &str) -> Result<(), Lost> {
        {
            let mut current = self.shared.current.lock().await;
            current.record.damaged.push(key.to_owned());
        }
        self.shared.renew().await
    }

    /// Notes, with the next renewal or with the release, that a pass has dealt with marks of damage.
    pub async fn forget_damage(&self, keys: &[String]) {
        let mut current = self.shared.current.lock().await;
        current.record.damaged.retain(|key| !keys.contains(key));
    }

    /// Blocks every commit record that an earlier holder may still write.
    pub(super) async fn settle(&self) -> Result<(), LeaseError> {
        let record = self.record().await;
        if record.to_void.is_empty() {
            return Ok(());
        }
        for key in record.to_void.clone() {
            let settled = self
                .shared
                .voider(&record)
                .settle(&*self.shared.store, &key);
            if let Err(error) = settled.await {
                return Err(LeaseError::Unsettled { key, error });
            }
        }
        self.shared.current.lock().await.record.to_void.clear();
        // Should this be lost, the list is in the lock still, and the next pass settles it once more.
        let _ = self.shared.renew().await;
        Ok(())
    }

    /// Writes down what the store can do, with the next renewal or with the release.
    pub(super) async fn note(&self, found: Abilities) {
        self.shared.current.lock().await.record.abilities = Some(found);
    }

    /// Why the lease is lost, if it is.
    #[must_use]
    pub fn is_lost(&self) -> Option<Lost> {
        self.shared.lost.borrow().clone()
    }

    /// Completes when the lease is lost.
    pub async fn lost(&self) -> Lost {
        let mut lost = self.shared.lost.subscribe();
        let found = lost.wait_for(Option::is_some).await;
        match found.map(|lost| lost.clone()) {
            Ok(Some(lost)) => lost,
            // The sender lives as long as `self`.
            _ => std::future::pending().await,
        }
    }

    /// Writes a commit record, which must not exist yet, under the lease: more than half of its time
    /// is left when the put is sent, and the put is given no more than a third.
    ///
    /// # Errors
    /// The lease is lost, or the store did not take the record. Unless the error itself says that it
    /// could not be found out, the record does not exist and never will.
    pub async fn commit(&self, key: &str, body: Bytes) -> Result<(), CommitError> {
        self.ensure().await?;
        let voider = self.shared.voider(&self.record().await);
        self.put_record(key, body, Condition::Absent, voider).await
    }

    /// Writes the commit record of a snapshot that another store's pass has made. Whoever takes the lease
    /// over has to know of it before it is sent. An earlier copy may have been stopped at it, and a void record
    /// of this lease or an earlier one is there then: it gives way. What the key holds otherwise stays, and
    /// is an error unless it is the same.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_copy(&self, key: &str, body: Bytes) -> Result<(), CommitError> {
        let shared = &self.shared;
        let record = {
            let mut current = shared.current.lock().await;
            let commits = &mut current.record.commits;
            if !commits.iter().any(|commit| commit == key) {
                commits.push(key.to_owned());
            }
            current.record.clone()
        };
        shared.renew().await?;
        let voider = Voider {
            replaces_own: true,
            ..shared.voider(&record)
        };
        let condition = match voider.look(&*shared.store, key).await? {
            AtKey::Nothing => Condition::Absent,
            AtKey::Older(condition) => condition,
            AtKey::Settled(_) => match shared.store.get(key, RECORD_BYTES).await? {
                there if there.bytes == body => return Ok(()),
                _ => Condition::Absent,
            },
        };
        self.put_record(key, body, condition, voider).await?;
        let mut current = shared.current.lock().await;
        current.record.commits.retain(|commit| commit != key);
        Ok(())
    }

    async fn put_record(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
        voider: Voider,
    ) -> Result<(), CommitError> {
        let shared = &self.shared;
        // From now on until there is an answer, whatever becomes of this future.
        shared.unsettled().push(key.to_owned());
        let put = shared.store.put(key, body.clone(), &condition);
        let error = match timeout(shared.ttl / 3, put).await {
            Ok(Ok(_)) => {
                shared.is_settled(key);
                return Ok(());
            }
            Ok(Err(error)) => CommitError::Store(error),
            Err(_) => CommitError::TimedOut,
        };
        let settle = async {
            let settled = voider.settle(&*shared.store, key).await?;
            Ok::<_, StoreError>(match settled {
                Settled::Voided => Err(error),
                Settled::Blocked => Err(shared.lose(Lost::Taken).into()),
                Settled::Taken if shared.store.get(key, RECORD_BYTES).await?.bytes == body => {
                    Ok(())
                }
                Settled::Taken => Err(error),
            })
        };
        match timeout(SETTLE.min(shared.ttl), settle).await {
            Ok(Ok(committed)) => {
                shared.is_settled(key);
                committed
            }
            // It stays in the list, and gets into the lock.
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(CommitError::TimedOut),
        }
    }

    /// Makes sure that a commit sent now is covered, and that nobody has taken the lease away by
    /// force in the meantime.
    ///
    /// # Errors
    /// The lease is lost.
    pub async fn ensure(&self) -> Result<(), Lost> {
        if let Some(lost) = self.is_lost() {
            return Err(lost);
        }
        let shared = &self.shared;
        let valid_for = shared.valid_until().saturating_sub((shared.boottime)());
        let renewed_ago = (shared.ttl * 2 / 3).saturating_sub(valid_for);
        match renewed_ago < shared.ttl / FRESH {
            true => Ok(()),
            false => shared.renew().await,
        }
    }

    /// Gives the lease back and says how the pass ended, and which of its commits may still arrive. A
    /// lease that is lost is left alone.
    ///
    /// # Errors
    /// The request fails, and the lease ends by itself; or somebody else has taken the lock.
    pub async fn release(self, outcome: Ending) -> Result<(), StoreError> {
        self.renewal.abort();
        if self.is_lost().is_some() {
            return Ok(());
        }
        let mut current = self.shared.current.lock().await;
        current.record.outcome = Some(outcome);
        if self.shared.store.misses_an_ability() {
            current.record.abilities = None;
        }
        let unsettled = self.shared.unsettled().clone();
        current.record.end(unsettled);
        match self.shared.put(&mut current).await {
            Err(error) if error.kind == StoreErrorKind::PreconditionFailed => {
                // A renewal that was given up just now may have arrived all the same, or somebody
                // probes.
                match super::look(&*self.shared.store).await {
                    Ok(Some(seen)) if seen.record.is_of(&current.record) => {
                        current.etag = seen.etag;
                        self.shared.put(&mut current).await
                    }
                    _ => Err(error),
                }
            }
            other => other,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl Shared {
    fn valid_until(&self) -> Duration {
        *self
            .valid_until
            .lock()
            .expect("nothing panics holding this")
    }

    fn unsettled(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.unsettled.lock().expect("nothing panics holding this")
    }

    fn is_settled(&self, key: &str) {
        self.unsettled().retain(|unsettled| unsettled != key);
    }

    fn voider(&self, record: &Lock) -> Voider {
        Voider {
            generation: record.generation,
            pass: record.pass,
            replaces_own: false,
        }
    }

    /// Renews every third of the lease's time, until it is lost.
    async fn keep(self: Arc<Self>) {
        loop {
            let renew_at = self.valid_until().saturating_sub(self.ttl / 3);
            let left = renew_at.saturating_sub((self.boottime)());
            if !left.is_zero() {
                sleep(left).await;
                continue;
            }
            if self.renew().await.is_err() {
                return;
            }
        }
    }

    async fn renew(&self) -> Result<(), Lost> {
        let mut current = self.current.lock().await;
        let mut last_error = "no time left to try".to_owned();
        loop {
            let valid_until = self.valid_until();
            let sent = (self.boottime)();
            if sent >= valid_until {
                return Err(self.lose(Lost::NotRenewed(last_error)));
            }
            current.record.renewals += 1;
            match timeout(valid_until - sent, self.put(&mut current)).await {
                Ok(Ok(())) => {
                    let mut valid_until = self.valid_until.lock().expect("nothing panics here");
                    *valid_until = sent + self.ttl * 2 / 3;
                    return Ok(());
                }
                Ok(Err(error)) if error.kind == StoreErrorKind::PreconditionFailed => {
                    // An earlier renewal may have arrived although its answer did not; or somebody
                    // probes.
                    match super::look(&*self.store).await {
                        Ok(Some(seen)) if seen.record.is_of(&current.record) => {
                            current.etag = seen.etag;
                            continue;
                        }
                        Ok(_) => return Err(self.lose(Lost::Taken)),
                        Err(error) => last_error = error.to_string(),
                    }
                }
                Ok(Err(error)) => last_error = error.to_string(),
                Err(_) => last_error = "the store did not answer".to_owned(),
            }
            sleep(RETRY).await;
        }
    }

    async fn put(&self, current: &mut Current) -> Result<(), StoreError> {
        let body = current.record.to_bytes();
        let condition = Condition::Matches(current.etag.clone());
        current.etag = self.store.put(keys::LOCK, body, &condition).await?;
        Ok(())
    }

    fn lose(&self, lost: Lost) -> Lost {
        self.lost.send_replace(Some(lost.clone()));
        lost
    }
}
