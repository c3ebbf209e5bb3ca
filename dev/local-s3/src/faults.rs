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
}

impl Armed {
    /// Counts a request; whether the fault is due for it.
    fn is_due(&mut self, request: &RequestInfo) -> bool {
        if !self.fault.matches(request) {
            return false;
        }
        self.seen += 1;
        let fired = self.fired.load(Ordering::SeqCst);
        self.seen > self.fault.skip && self.fault.times.is_none_or(|times| fired < times)
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
        });
        FaultHandle { fired }
    }

    pub(crate) fn clear(&self) {
        self.list().clear();
    }

    /// The fault that hits this request.
    pub(crate) fn strike(&self, request: &RequestInfo) -> Option<Fault> {
        let mut struck = None;
        for armed in self.list().iter_mut() {
            if armed.is_due(request) && struck.is_none() {
                armed.fired.fetch_add(1, Ordering::SeqCst);
                struck = Some(armed.fault.clone());
            }
        }
        struck
    }

    fn list(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn request(operation: Operation, key: &str) -> RequestInfo {
        RequestInfo {
            index: 0,
            operation,
            method: String::new(),
            bucket: None,
            key: Some(key.to_owned()),
            query: String::new(),
            range: None,
            headers: HeaderMap::new(),
        }
    }

    #[test]
    fn a_fault_skips_then_fires_then_is_spent() {
        let faults = Faults::default();
        let handle = faults.add(Fault::on(Operation::PutObject).skip(1).times(2).hang());
        let put = request(Operation::PutObject, "k");
        let struck: Vec<bool> = (0..5).map(|_| faults.strike(&put).is_some()).collect();
        assert_eq!(struck, [false, true, true, false, false]);
        assert_eq!(handle.fired(), 2);
    }

    #[test]
    fn a_fault_hits_only_its_operation_and_keys() {
        let faults = Faults::default();
        faults.add(
            Fault::on(Operation::PutObject)
                .key_contains("files/")
                .always()
                .hang(),
        );
        assert!(
            faults
                .strike(&request(Operation::GetObject, "files/a"))
                .is_none()
        );
        assert!(
            faults
                .strike(&request(Operation::PutObject, "lock"))
                .is_none()
        );
        assert!(
            faults
                .strike(&request(Operation::PutObject, "x/files/a"))
                .is_some()
        );
    }

    #[test]
    fn a_fault_hits_only_requests_with_its_header() {
        let faults = Faults::default();
        let fault = Fault::on_any().always();
        faults.add(fault.if_header("x-amz-security-token", "old").hang());
        let mut put = request(Operation::PutObject, "k");
        assert!(faults.strike(&put).is_none());
        for (token, is_struck) in [("old", true), ("new", false)] {
            let token = token.parse().unwrap();
            put.headers.insert("x-amz-security-token", token);
            assert_eq!(faults.strike(&put).is_some(), is_struck);
        }
    }

    #[test]
    fn of_two_due_faults_the_first_is_applied_and_the_other_waits() {
        let faults = Faults::default();
        faults.add(Fault::on_any().drop_before());
        faults.add(Fault::on_any().hang());
        let put = request(Operation::PutObject, "k");
        assert_eq!(faults.strike(&put).unwrap().effect, Effect::DropBefore);
        assert_eq!(faults.strike(&put).unwrap().effect, Effect::Hang);
        assert!(faults.strike(&put).is_none());
    }
}
