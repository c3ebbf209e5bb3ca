//! SIGTERM and SIGINT.
//!
//! The first one asks the work to stop: nothing new is begun, what is in flight is finished. After
//! some time what is in flight is given up, so that there is time left to say goodbye before the
//! scheduler kills the process. The second one ends the process at once.
//!
//! They are heard by a thread of their own, which waits for nothing else: not for the work, nor for
//! whoever reads its output.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::ExitCode;
use crate::stdio::{self, Importance};
use crate::stop::Stop;

/// What is in flight has this long. ECS and Kubernetes kill 30 seconds after SIGTERM by default.
const GRACE: Duration = Duration::from_secs(15);

/// Writing down how far things have got has this long after that, where the store still answers.
const GOODBYE: Duration = Duration::from_secs(5);

/// Whatever has not come to its end so long after that is ended here: a restore or a look at a store
/// that does not answer any more. A pass ends by itself, and says how.
const LAST: Duration = Duration::from_secs(7);

/// A last word, where the process is ended, has this long to be written.
const LAST_WORD: Duration = Duration::from_secs(1);

/// The exit code of the signal that came, or 0.
static RECEIVED: AtomicU8 = AtomicU8::new(0);

/// Listens from now on. The returned stop is set by the first signal.
///
/// # Errors
/// The handlers cannot be installed, or the thread not be started.
pub fn listen() -> std::io::Result<Arc<Stop>> {
    let stop = Arc::new(Stop::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut terminate, mut interrupt) = {
        let _within = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        )
    };
    let told = Arc::clone(&stop);
    let listen = async move {
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
            stdio::hurry();
            tokio::spawn(end_in_time(Arc::clone(&told), code));
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || runtime.block_on(listen))?;
    Ok(stop)
}

/// Ends the process, if it does not end by itself.
async fn end_in_time(stop: Arc<Stop>, code: ExitCode) {
    tokio::time::sleep(GRACE).await;
    stop.hurry();
    tokio::time::sleep(GOODBYE).await;
    stop.leave();
    tokio::time::sleep(LAST).await;
    let why = b"error: ended by a signal, in the middle of its work\n";
    stdio::stderr().offer(why, Importance::Last);
    stdio::drain(Some(LAST_WORD));
    std::process::exit(code.code().into());
}

/// The exit code of the signal that came, if one did.
#[must_use]
pub fn received() -> Option<ExitCode> {
    let code = RECEIVED.load(Ordering::Relaxed);
    ExitCode::ALL
        .into_iter()
        .find(|known| known.code() == code && code != 0)
}
