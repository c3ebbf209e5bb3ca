//! Faults a test scripts: which requests they hit and what happens to those.
//!
//! Each fault counts the requests it matches on its own, whatever other faults do; of those that
//! are due, the one that was added first is applied. A fault never fires more often than it was
//! told to.

use crate::forged::{Answer, Forge, header_name, header_value};
use crate::hook::RequestInfo;
use crate::operation::Operation;
use http::header::{HeaderName, HeaderValue};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A fault: conditions, how often, and an effect. Without an effect it only counts (and delays).
#[derive(Clone, Debug)]
#[must_use = "a fault does nothing until it is given to `LocalS3::fault`"]
pub struct Fault {
    operation: Option<Operation>,
    key_part: Option<String>,
    header: Option<(String, String)>,
    above: Option<usize>,
    skip: usize,
    times: Option<usize>,
    pub(crate) delay: Duration,
    pub(crate) effect: Effect,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    Status {
        status: u16,
        code: String,
    },
    DropBefore,
    DropAfter,
    Hang,
    CorruptUpload,
    Download(Damage),
    DateAhead(Duration),
    /// Another answer than the server's; whether the request is applied all the same.
    Forged {
        forge: Forge,
        is_applied: bool,
    },
    /// A header of the answer has another value, or is not there.
    Header(HeaderName, Option<HeaderValue>),
}

/// What happens to the body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// A bit of the byte at this offset is flipped.
    Corrupt(u64),
    /// The connection closes after half of it.
    CutHalf,
    /// The connection closes after so many bytes.
    CutAfter(u64),
    /// Nothing comes after so many bytes, and the connection stays open.
    Stall(u64),
    /// It is shorter, and its `Content-Length` agrees.
    Shorten(u64),
}

impl Fault {
    /// A fault that hits requests of one operation, once.
    pub fn on(operation: Operation) -> Self {
        Self {
            operation: Some(operation),
            ..Self::on_any()
        }
    }

    /// A fault that hits any request, once.
    pub fn on_any() -> Self {
        Self {
            operation: None,
            key_part: None,
            header: None,
            above: None,
            skip: 0,
            times: Some(1),
            delay: Duration::ZERO,
            effect: Effect::None,
        }
    }

    /// Only requests whose key contains this.
    pub fn key_contains(self, part: impl Into<String>) -> Self {
        Self {
            key_part: Some(part.into()),
            ..self
        }
    }

    /// Only requests that have a header with this value.
    pub fn if_header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            header: Some((name.into(), value.into())),
            ..self
        }
    }

    /// Only requests that come while `running` others of those that match are not yet answered: a limit
    /// of the concurrency.
    pub fn above(self, running: usize) -> Self {
        Self {
            above: Some(running),
            ..self
        }
    }

    /// Lets the first `count` matching requests pass.
    pub fn skip(self, count: usize) -> Self {
        Self {
            skip: count,
            ..self
        }
    }

    /// Hits `count` requests instead of one.
    pub fn times(self, count: usize) -> Self {
        Self {
            times: Some(count),
            ..self
        }
    }

    /// Hits every matching request from the first that is not skipped.
    pub fn always(self) -> Self {
        Self {
            times: None,
            ..self
        }
    }

    /// Waits before anything else happens; with no effect the request then goes on as usual.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Answers with an error; the request is not applied.
    pub fn status(self, status: u16, code: impl Into<String>) -> Self {
        self.effect(Effect::Status {
            status,
            code: code.into(),
        })
    }

    /// Answers 200 with an error in the body, as S3 does when a copy or a completion fails after it has
    /// begun to answer; the request is not applied.
    pub fn error_in_body(self, code: impl Into<String>) -> Self {
        self.status(200, code)
    }

    /// Closes the connection; the request is not applied.
    pub fn drop_before(self) -> Self {
        self.effect(Effect::DropBefore)
    }

    /// Applies the request and closes the connection without an answer.
    pub fn drop_after(self) -> Self {
        self.effect(Effect::DropAfter)
    }

    /// Never answers; the request is not applied, the connection stays open.
    pub fn hang(self) -> Self {
        self.effect(Effect::Hang)
    }

    /// Flips the first byte of the uploaded content, before the server sees it.
    pub fn corrupt_upload(self) -> Self {
        self.effect(Effect::CorruptUpload)
    }

    /// Flips the first byte of the answer's body.
    pub fn corrupt_download(self) -> Self {
        self.corrupt_download_at(0)
    }

    /// Flips the byte at `offset` of the answer's body, if it is that long.
    pub fn corrupt_download_at(self, offset: u64) -> Self {
        self.effect(Effect::Download(Damage::Corrupt(offset)))
    }

    /// Closes the connection after half of the answer's body.
    pub fn cut_download(self) -> Self {
        self.effect(Effect::Download(Damage::CutHalf))
    }

    /// Closes the connection after `bytes` of the answer's body.
    pub fn truncate_download(self, bytes: u64) -> Self {
        self.effect(Effect::Download(Damage::CutAfter(bytes)))
    }

    /// Sends `bytes` of the answer's body and nothing more, ever; the connection stays open.
    pub fn stall_download(self, bytes: u64) -> Self {
        self.effect(Effect::Download(Damage::Stall(bytes)))
    }

    /// Answers with the first `bytes` of the body only, as if there were no more: the answer is
    /// well-formed.
    pub fn shorten_download(self, bytes: u64) -> Self {
        self.effect(Effect::Download(Damage::Shorten(bytes)))
    }

    /// Answers without `Last-Modified`.
    pub fn undated(self) -> Self {
        self.without_header("last-modified")
    }

    /// Answers with a `Date` that is ahead of the store's clock, as a proxy with a clock of its own does.
    pub fn date_ahead(self, by: Duration) -> Self {
        self.effect(Effect::DateAhead(by))
    }

    /// Answers this; the request is not applied.
    pub fn answer(self, answer: Answer) -> Self {
        self.answer_by(move |_| answer.clone())
    }

    /// Answers what a function makes of the request, which is not applied.
    pub fn answer_by(self, forge: impl Fn(&RequestInfo) -> Answer + Send + Sync + 'static) -> Self {
        self.effect(Effect::Forged {
            forge: Forge::new(forge),
            is_applied: false,
        })
    }

    /// Applies the request and answers this.
    pub fn answer_after(self, answer: Answer) -> Self {
        self.effect(Effect::Forged {
            forge: Forge::new(move |_| answer.clone()),
            is_applied: true,
        })
    }

    /// Gives the answer another value of a header.
    ///
    /// # Panics
    ///
    /// If name or value cannot stand in an answer.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.effect(Effect::Header(header_name(name), Some(header_value(value))))
    }

    /// Answers without a header; without `content-length`, the body comes in chunks.
    ///
    /// # Panics
    ///
    /// If there can be no header of this name.
    pub fn without_header(self, name: &str) -> Self {
        self.effect(Effect::Header(header_name(name), None))
    }

    fn effect(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }

    fn matches(&self, request: &RequestInfo) -> bool {
        let key = request.key.as_deref().unwrap_or_default();
        self.operation
            .is_none_or(|operation| operation == request.operation)
            && self
                .key_part
                .as_deref()
                .is_none_or(|part| key.contains(part))
            && (self.header.as_ref())
                .is_none_or(|(name, value)| request.header(name) == Some(value))
    }
}

/// A fault that was given to a server.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    fired: Arc<AtomicUsize>,
}

impl FaultHandle {
    /// How many requests it has hit.
    #[must_use]
    pub fn fired(&self) -> usize {
        self.fired.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    seen: usize,
    fired: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
}

impl Armed {
    /// Counts a request; whether the fault is due for it, `running` others being under way.
    fn is_due(&mut self, running: usize) -> bool {
        if self.fault.above.is_some_and(|above| running < above) {
            return false;
        }
        self.seen += 1;
        let fired = self.fired.load(Ordering::SeqCst);
        self.seen > self.fault.skip && self.fault.times.is_none_or(|times| fired < times)
    }
}

/// A request that faults count as running, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Counted(Vec<Arc<AtomicUsize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        for running in &self.0 {
            running.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The faults of a server.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Armed>>);

impl Faults {
    pub(crate) fn add(&self, fault: Fault) -> FaultHandle {
        let fired = Arc::new(AtomicUsize::new(0));
        self.list().push(Armed {
            fault,
            seen: 0,
            fired: Arc::clone(&fired),
            running: Arc::default(),
        });
        FaultHandle { fired }
    }

    pub(crate) fn clear(&self) {
        self.list().clear();
    }

    /// The fault that hits this request, and the count it is in.
    pub(crate) fn strike(&self, request: &RequestInfo) -> (Option<Fault>, Counted) {
        let mut struck = None;
        let mut counted = Counted::default();
        for armed in self.list().iter_mut() {
            if !armed.fault.matches(request) {
                continue;
            }
            let running = armed.running.fetch_add(1, Ordering::SeqCst);
            counted.0.push(Arc::clone(&armed.running));
            if armed.is_due(running) && struck.is_none() {
                armed.fired.fetch_add(1, Ordering::SeqCst);
                struck = Some(armed.fault.clone());
            }
        }
        (struck, counted)
    }

    fn list(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "faults/tests.rs"]
mod tests;
