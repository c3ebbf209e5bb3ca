//! Buffers that are used again. Large files and archives go through megabytes at a time on many
//! threads; an allocator that is asked for each of them anew either keeps far more than is in use, or gives
//! pages back and has them zeroed again all the time.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Empty buffers of a similar length.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    capacity: usize,
}

impl Buffers {
    /// Buffers that hold so many bytes from the beginning.
    pub(crate) fn of(capacity: usize) -> Self {
        Self {
            free: Arc::default(),
            capacity,
        }
    }

    /// One that is empty. There are never more than were in use at once.
    pub(crate) fn take(&self) -> Buffer {
        let bytes = self.lock().pop();
        Buffer {
            bytes: bytes.unwrap_or_else(|| Vec::with_capacity(self.capacity)),
            home: Some(self.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes back to where it came from when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    home: Option<Buffers>,
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else {
            return;
        };
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() > 2 * home.capacity {
            return;
        }
        bytes.clear();
        home.lock().push(bytes);
    }
}
