//! Standard output and standard error. Everything that is written there goes through here.
//!
//! Whoever works must never wait for whoever reads: a pass that stood still because its log is not
//! collected would lose its lock. So each stream is an [`Outlet`], a bounded queue with a thread of its
//! own that writes. What is told while work goes on is *offered*: if there is no room, it is dropped, and
//! whoever offered it counts that. Reports, which are the work of their command, *wait* for room, as long
//! as no signal has come.

mod outlet;
mod terminal;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) use self::outlet::{Importance, Outlet};
pub(crate) use self::terminal::progress;

/// How long the end of the program waits for a reader that does not read, if it may not wait for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Data: reports, and events as JSON.
pub(crate) fn stdout() -> &'static Outlet {
    static STDOUT: OnceLock<Outlet> = OnceLock::new();
    STDOUT.get_or_init(|| Outlet::over(&std::io::stdout()))
}

/// Everything else.
pub(crate) fn stderr() -> &'static Outlet {
    static STDERR: OnceLock<Outlet> = OnceLock::new();
    STDERR.get_or_init(|| Outlet::over(&std::io::stderr()))
}

/// A signal has come: from now on nobody waits longer than [`PATIENCE`] for a reader.
pub(crate) fn hurry() {
    stdout().hurry();
    stderr().hurry();
}

/// Waits until everything is written, has no reader any more, or was waited for long enough: for
/// `patience`, or for as long as no signal comes.
pub(crate) fn drain(patience: Option<Duration>) {
    let until = patience.map(|patience| Instant::now() + patience);
    stdout().drain(until);
    stderr().drain(until);
}
