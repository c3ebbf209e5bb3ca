//! What happens to a process at one of its requests.

use std::sync::mpsc;

use local_s3::{HookAction, Operation, RequestInfo};
use rustix::process::{Pid, Signal, kill_process};

use super::{REQUESTS, STORES};
use crate::takeover::{OnTheirWay, is_commit, is_record};

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// It is killed, and the store never gets the request.
    KilledBefore,
    /// It is killed once the store has done what it asked.
    KilledAfter,
    /// It is stopped, and sends the request again when it is woken up.
    StoppedBefore,
    /// It is stopped once the store has done what it asked, of which it hears nothing.
    StoppedAfter,
    /// It hears nothing of what the store has done.
    AnswerLost,
    /// Its request is on its way for long, and it hears nothing of it.
    Late,
}

/// Those after which the lock is held by nobody who is at work come up more often.
pub(super) const BLOWS: [Blow; 8] = [
    Blow::KilledBefore,
    Blow::KilledAfter,
    Blow::StoppedBefore,
    Blow::StoppedBefore,
    Blow::StoppedBefore,
    Blow::StoppedAfter,
    Blow::AnswerLost,
    Blow::Late,
];

/// Which of its requests that happens at: at one of a kind, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Commit,
    /// A commit record or a void record.
    Record,
    Lock,
    Content,
    /// A look at what a commit record's key holds in the store whose lock it has.
    Look,
}

/// And among how many of the kind.
pub(super) const KINDS: [(Kind, usize); 9] = [
    (Kind::Any, REQUESTS),
    (Kind::Commit, 1),
    (Kind::Commit, 2),
    (Kind::Commit, 3),
    (Kind::Record, 2),
    (Kind::Lock, 5),
    (Kind::Content, 4),
    (Kind::Look, 2),
    (Kind::Look, 4),
];

impl Kind {
    fn is(self, request: &RequestInfo, store: usize) -> bool {
        let key = request.key.as_deref().unwrap_or_default();
        let is_put = request.operation == Operation::PutObject;
        match self {
            Self::Any => true,
            Self::Commit => is_commit(request),
            Self::Record => is_record(request),
            Self::Lock => is_put && key.ends_with("/lock"),
            Self::Look => {
                let below = key.strip_prefix(STORES[store]);
                request.operation == Operation::GetObject
                    && below.is_some_and(|key| key.starts_with("snapshots/"))
            }
            Self::Content => {
                is_put && ["/files/", "/mine/"].iter().any(|part| key.contains(part))
                    || request.operation == Operation::CompleteMultipartUpload
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) blow: Blow,
    pub(super) kind: Kind,
    pub(super) number: usize,
}

/// The process whose requests come just now: there is one at a time.
pub(super) struct Running {
    pub(super) fate: Option<Fate>,
    /// Whose lock it takes.
    pub(super) store: usize,
    pub(super) pid: Pid,
    /// Requests of the kind so far.
    pub(super) requests: usize,
    /// Tells that the request at which it was stopped was done.
    pub(super) done: mpsc::Sender<()>,
}

impl Running {
    pub(super) fn strike(&mut self, request: &RequestInfo, late: &OnTheirWay) -> HookAction {
        let is_it = |fate: &Fate| fate.kind.is(request, self.store);
        let Some(fate) = self.fate.filter(is_it) else {
            return HookAction::Proceed;
        };
        let number = self.requests;
        self.requests += 1;
        // Its sender would send it again.
        let is_every = fate.blow == Blow::Late && fate.kind != Kind::Any;
        if number != fate.number && !(is_every && number > fate.number) {
            return HookAction::Proceed;
        }
        let (pid, done) = (self.pid, self.done.clone());
        match fate.blow {
            Blow::KilledBefore => {
                let _ = kill_process(pid, Signal::KILL);
                HookAction::DropBefore
            }
            Blow::KilledAfter => HookAction::handle_then_drop(move || {
                let _ = kill_process(pid, Signal::KILL);
            }),
            Blow::StoppedBefore => {
                let _ = kill_process(pid, Signal::STOP);
                let _ = done.send(());
                HookAction::DropBefore
            }
            Blow::StoppedAfter => HookAction::handle_then_drop(move || {
                let _ = kill_process(pid, Signal::STOP);
                let _ = done.send(());
            }),
            Blow::AnswerLost => HookAction::HandleThenDrop(None),
            Blow::Late => late.hold(),
        }
    }
}
