//! Why a source as a whole cannot be used, in words that fit its kind.

use std::io;

use crate::exit::ExitCode;

/// Why a source as a whole cannot be used. Nothing of it is committed in this pass.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Unusable {
    /// What is the matter.
    pub cause: Cause,
    /// The same for people, with the place as it was written.
    pub message: String,
    /// What can be done about it.
    pub hint: String,
    /// What the pass ends with, if this is the first thing that fails in it.
    pub exit_code: ExitCode,
    /// Whether another pass may well succeed some minutes later, so that this process tries again
    /// (`backup.retry.for`).
    pub is_worth_another_pass: bool,
}

/// What is the matter with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is not there, or cannot be opened or looked at.
    Unreadable,
    /// The place leads to another one than when the pass began.
    Replaced,
    /// The system does not give another thread.
    Thread,
}

/// What can be done where the system gives no thread.
pub(crate) const MORE_THREADS: &str = "allow more processes and threads (`ulimit -u`, the container's `pids` limit), or lower `backup.limits.scan_threads` and `backup.limits.read_threads`";

impl Unusable {
    /// One that another pass does not mend, with the exit code of a pass that failed.
    #[must_use]
    pub fn new(cause: Cause, message: String, hint: &str) -> Self {
        Self {
            cause,
            message,
            hint: hint.to_owned(),
            exit_code: ExitCode::Failed,
            is_worth_another_pass: false,
        }
    }

    /// That of a source for which a thread could not be started.
    #[must_use]
    pub fn thread(error: &io::Error) -> Self {
        let message = format!("cannot start a thread: {error}");
        Self::new(Cause::Thread, message, MORE_THREADS)
    }
}

/// What people make of a source in which nothing is, though something was expected.
#[derive(Debug, Clone, Copy)]
pub struct IfEmpty {
    /// What it looks like: "a volume that is not mounted".
    pub looks_like: &'static str,
    /// What to do about that: "mount the volume".
    pub remedy: &'static str,
    /// What else to check where includes and excludes leave out everything: "which volume is mounted".
    pub check: &'static str,
}
