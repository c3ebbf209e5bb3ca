//! Keeping a lease while a pass runs, and noticing when it is gone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::record::{Outcome, Record, State};
use crate::exit::ExitCode;
use crate::manifest::keys;
use crate::manifest::pass_id::PassId;
use crate::store::{Condition, ETag, Store, StoreError, StoreErrorKind};

/// A lease that was renewed within this fraction of its time is not renewed again before a commit. A
/// short pass is spared a request; a long one asks the store last thing whether the lease is its own.
const FRESH: u32 = 12;

/// Pause between attempts at a renewal that fails.
const RETRY: Duration = Duration::from_secs(1);

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
    /// The lease is gone; nothing was sent.
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
    /// Held over each request, so that versions follow one another.
    current: tokio::sync::Mutex<Current>,
    valid_until: Mutex<Instant>,
    ttl: Duration,
    lost: watch::Sender<Option<Lost>>,
}

struct Current {
    record: Record,
    etag: ETag,
}

impl Lease {
    /// A lease that a put, begun at `sent`, has created.
    pub(super) fn new(store: Arc<dyn Store>, record: Record, etag: ETag, sent: Instant) -> Self {
        let ttl = record.ttl();
        let shared = Arc::new(Shared {
            store,
            current: tokio::sync::Mutex::new(Current { record, etag }),
            valid_until: Mutex::new(sent + ttl * 2 / 3),
            ttl,
            lost: watch::Sender::new(None),
        });
        let renewal = tokio::spawn(Arc::clone(&shared).keep());
        Self { shared, renewal }
    }

    /// The pass this lease was taken for, and how often the lock has been taken.
    pub async fn identity(&self) -> (PassId, u64) {
        let current = self.shared.current.lock().await;
        (current.record.pass, current.record.generation)
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
    /// The lease is lost, or the store did not take the record. Whether it exists after a timeout
    /// is not known; it names nothing that is not in the store.
    pub async fn commit(&self, key: &str, body: Bytes) -> Result<(), CommitError> {
        self.ensure().await?;
        let put = self.shared.store.put(key, body, &Condition::Absent);
        match tokio::time::timeout(self.shared.ttl / 3, put).await {
            Ok(put) => put.map(drop).map_err(CommitError::from),
            Err(_) => Err(CommitError::TimedOut),
        }
    }

    /// Makes sure that a commit sent now is covered, and that nobody has taken the lease away by
    /// force in the meantime.
    async fn ensure(&self) -> Result<(), Lost> {
        if let Some(lost) = self.is_lost() {
            return Err(lost);
        }
        let valid_for = self
            .shared
            .valid_until()
            .saturating_duration_since(Instant::now());
        let renewed_ago = (self.shared.ttl * 2 / 3).saturating_sub(valid_for);
        match renewed_ago < self.shared.ttl / FRESH {
            true => Ok(()),
            false => self.shared.renew().await,
        }
    }

    /// Gives the lease back and says how the pass ended. A lease that is lost is left alone.
    ///
    /// # Errors
    /// The request fails, and the lease ends by itself; or somebody else has taken the lock.
    pub async fn release(self, outcome: Outcome) -> Result<(), StoreError> {
        self.renewal.abort();
        if self.is_lost().is_some() {
            return Ok(());
        }
        let mut current = self.shared.current.lock().await;
        current.record.state = State::Released;
        current.record.outcome = Some(outcome);
        match self.shared.put(&mut current).await {
            Err(error) if error.kind == StoreErrorKind::PreconditionFailed => {
                // A renewal that was given up just now may have arrived all the same.
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
    fn valid_until(&self) -> Instant {
        *self
            .valid_until
            .lock()
            .expect("nothing panics holding this")
    }

    /// Renews every third of the lease's time, until it is lost.
    async fn keep(self: Arc<Self>) {
        loop {
            let renew_at = self.valid_until() - self.ttl / 3;
            sleep_until(renew_at).await;
            if self.valid_until() - self.ttl / 3 > Instant::now() {
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
            let sent = Instant::now();
            if sent >= valid_until {
                return Err(self.lose(Lost::NotRenewed(last_error)));
            }
            current.record.renewals += 1;
            match timeout_at(valid_until, self.put(&mut current)).await {
                Ok(Ok(())) => {
                    let mut valid_until = self.valid_until.lock().expect("nothing panics here");
                    *valid_until = sent + self.ttl * 2 / 3;
                    return Ok(());
                }
                Ok(Err(error)) if error.kind == StoreErrorKind::PreconditionFailed => {
                    // An earlier renewal may have arrived although its answer did not.
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
