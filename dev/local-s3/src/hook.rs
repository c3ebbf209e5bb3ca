//! A test's own code, called for every request before it is handled.
//!
//! This is how a test kills a process at an exact request: the hook sees the index, kills, and says
//! whether the request is still to be applied. The hook runs on a thread of its own and may block;
//! other requests go on meanwhile.

use crate::operation::{Operation, Query};
use http::{HeaderMap, HeaderValue};
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A request, as far as it is known from its head.
#[derive(Clone, Debug, Serialize)]
pub struct RequestInfo {
    /// Its number in order of arrival, from 0, since the start or the last
    /// [`clear_requests`](crate::LocalS3::clear_requests).
    pub index: usize,
    /// The S3 operation.
    pub operation: Operation,
    /// The HTTP method.
    pub method: String,
    /// The bucket, if the path names one.
    pub bucket: Option<String>,
    /// The key, decoded.
    pub key: Option<String>,
    /// The query string as it was sent.
    pub query: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// All headers.
    #[serde(serialize_with = "serialize_headers")]
    pub headers: HeaderMap,
}

impl RequestInfo {
    /// A header's value, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A decoded parameter of the query string.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<String> {
        Query::parse(&self.query).get(name).map(str::to_owned)
    }
}

/// Headers of their own memory: as they come, they are pieces of the connection's buffer, and
/// whoever keeps one keeps the whole buffer.
pub(crate) fn detached(headers: &HeaderMap) -> HeaderMap {
    let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
    let copies = headers.iter().map(|(name, value)| (name, copy(value)));
    let mut detached = HeaderMap::with_capacity(headers.len());
    for (name, value) in copies {
        if let Some(value) = value {
            detached.append(name, value);
        }
    }
    detached
}

fn serialize_headers<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    serializer.collect_map(
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), text(value))),
    )
}

/// What is to become of a request.
pub enum HookAction {
    /// Go on as if there were no hook.
    Proceed,
    /// Close the connection; the request is not applied.
    DropBefore,
    /// Apply the request, call the function if there is one, close the connection without an
    /// answer.
    HandleThenDrop(Option<Box<dyn FnOnce() + Send>>),
    /// Close the connection without an answer; apply the request once the first function has returned, as
    /// if it had been on its way until then, and call the second. The client may be gone by that time.
    DropThenHandle(Box<dyn FnOnce() + Send>, Box<dyn FnOnce() + Send>),
}

impl HookAction {
    /// [`HookAction::HandleThenDrop`] with a function to call once the request has been applied.
    pub fn handle_then_drop(after: impl FnOnce() + Send + 'static) -> Self {
        Self::HandleThenDrop(Some(Box::new(after)))
    }

    /// [`HookAction::DropThenHandle`]: the request arrives when `held` returns, and has been applied when
    /// `after` is called.
    pub fn drop_then_handle(
        held: impl FnOnce() + Send + 'static,
        after: impl FnOnce() + Send + 'static,
    ) -> Self {
        Self::DropThenHandle(Box::new(held), Box::new(after))
    }
}

type Hook = dyn Fn(&RequestInfo) -> HookAction + Send + Sync;

/// The hook that is in place, if any.
#[derive(Default)]
pub(crate) struct HookSlot(RwLock<Option<Arc<Hook>>>);

impl HookSlot {
    pub(crate) fn set(&self, hook: Option<Arc<Hook>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    pub(crate) async fn ask(&self, request: &RequestInfo) -> HookAction {
        // Cloned out of the lock, so that a hook may replace itself.
        let hook = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(hook) = hook else {
            return HookAction::Proceed;
        };
        let request = request.clone();
        // A hook that panics has said why; its request is not applied.
        tokio::task::spawn_blocking(move || hook(&request))
            .await
            .unwrap_or(HookAction::DropBefore)
    }
}

impl fmt::Debug for HookSlot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("HookSlot").finish_non_exhaustive()
    }
}
