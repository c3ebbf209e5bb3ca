//! SIGTERM and SIGINT.
//!
//! The first one asks the work to stop: nothing new is begun, what is in flight is finished. After
//! some time what is in flight is given up, so that there is time left to say goodbye before the
//! scheduler kills the process. The second one ends the process at once.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::ExitCode;
use crate::stop::Stop;

/// What is in flight has this long. ECS and Kubernetes kill 30 seconds after SIGTERM by default.
const GRACE: Duration = Duration::from_secs(15);

/// Writing down how far things have got has this long after that, where the store still answers.
const GOODBYE: Duration = Duration::from_secs(5);

/// Whatever has not come to its end so long after that is ended here: a restore or a look at a store
/// that does not answer any more. A pass ends by itself, and says how.
const LAST: Duration = Duration::from_secs(7);

/// The exit code of the signal that came, or 0.
static RECEIVED: AtomicU8 = AtomicU8::new(0);

/// Listens from now on. The returned stop is set by the first signal.
///
/// # Errors
/// The handlers cannot be installed.
pub fn listen() -> std::io::Result<Arc<Stop>> {
    let stop = Arc::new(Stop::default());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told = Arc::clone(&stop);
    tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                Some(()) = terminate.recv() => ExitCode::Terminated,
                Some(()) = interrupt.recv() => ExitCode::Interrupted,
                else => return,
            };
            if RECEIVED.swap(code.code(), Ordering::Relaxed) != 0 {
                std::process::exit(code.code().into());
            }
            told.stop();
            let hurried = Arc::clone(&told);
            tokio::spawn(async move {
                tokio::time::sleep(GRACE).await;
                hurried.hurry();
                tokio::time::sleep(GOODBYE).await;
                hurried.leave();
                tokio::time::sleep(LAST).await;
                let _ = writeln!(
                    std::io::stderr(),
                    "error: ended by a signal, in the middle of its work"
                );
                std::process::exit(code.code().into());
            });
        }
    });
    Ok(stop)
}

/// The exit code of the signal that came, if one did.
#[must_use]
pub fn received() -> Option<ExitCode> {
    let code = RECEIVED.load(Ordering::Relaxed);
    ExitCode::ALL
        .into_iter()
        .find(|known| known.code() == code && code != 0)
}
