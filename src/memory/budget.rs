//! What captures and restores may use at once: bytes of contents in memory, requests in flight.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::stop::Stopped;

/// Bytes one permit stands for; semaphores count in 32 bits.
const UNIT: usize = 1024;

/// A bounded amount of something, waited for by threads.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    semaphore: Arc<Semaphore>,
    most: u32,
    runtime: Handle,
}

impl Budget {
    pub(crate) fn of_bytes(bytes: usize, runtime: Handle) -> Self {
        Self::new(bytes / UNIT, runtime)
    }

    pub(crate) fn of_requests(requests: usize, runtime: Handle) -> Self {
        Self::new(requests, runtime)
    }

    fn new(permits: usize, runtime: Handle) -> Self {
        let most = u32::try_from(permits.max(1)).unwrap_or(u32::MAX);
        let permits = usize::try_from(most).unwrap_or(usize::MAX);
        Self {
            semaphore: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            most,
            runtime,
        }
    }

    /// Waits until so many bytes are free. More than there are at all is granted when nobody else
    /// has any.
    pub(crate) fn take_bytes(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Stopped> {
        self.take(units(bytes))
    }

    /// The same for who has something else to wait for besides.
    pub(crate) async fn bytes(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Stopped> {
        self.wait(units(bytes)).await
    }

    /// Takes so many bytes if they are free now.
    pub(crate) fn try_take_bytes(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.try_take(units(bytes))
    }

    /// Waits until a request may be sent.
    pub(crate) fn take_one(&self) -> Result<OwnedSemaphorePermit, Stopped> {
        self.take(1)
    }

    /// The same for who has something else to wait for besides.
    pub(crate) async fn one(&self) -> Result<OwnedSemaphorePermit, Stopped> {
        self.wait(1).await
    }

    fn take(&self, permits: u32) -> Result<OwnedSemaphorePermit, Stopped> {
        match self.try_take(permits) {
            Some(permit) => Ok(permit),
            None => self.runtime.block_on(self.wait(permits)),
        }
    }

    fn try_take(&self, permits: u32) -> Option<OwnedSemaphorePermit> {
        let semaphore = Arc::clone(&self.semaphore);
        semaphore
            .try_acquire_many_owned(permits.min(self.most))
            .ok()
    }

    async fn wait(&self, permits: u32) -> Result<OwnedSemaphorePermit, Stopped> {
        let semaphore = Arc::clone(&self.semaphore);
        let taken = semaphore.acquire_many_owned(permits.min(self.most));
        taken.await.map_err(|_| Stopped)
    }

    /// Nobody gets anything any more.
    pub(crate) fn close(&self) {
        self.semaphore.close();
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}
