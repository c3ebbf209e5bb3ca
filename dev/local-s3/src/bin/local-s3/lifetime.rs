//! When to stop: at a signal, at the end of the parent, after a time.

use rustix::process::getppid;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::sleep;

/// How soon the end of the parent is noticed.
const PARENT_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// What ends the server.
#[derive(Debug)]
pub(crate) struct End {
    parent: Option<Option<rustix::process::Pid>>,
    after: Option<Duration>,
}

impl End {
    pub(crate) fn new(with_parent: bool, after_seconds: Option<u64>) -> Self {
        Self {
            parent: with_parent.then(getppid),
            after: after_seconds.map(Duration::from_secs),
        }
    }

    /// Returns when it is time to stop.
    pub(crate) fn wait(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let ended = Arc::new(Notify::new());
            for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
                let mut signals = signal(kind)?;
                notify_after(&ended, async move {
                    signals.recv().await;
                });
            }
            if let Some(after) = self.after {
                notify_after(&ended, sleep(after));
            }
            if let Some(parent) = self.parent {
                notify_after(&ended, async move {
                    // An orphan gets another parent.
                    while getppid() == parent {
                        sleep(PARENT_CHECK_INTERVAL).await;
                    }
                });
            }
            ended.notified().await;
            Ok(())
        })
    }
}

fn notify_after(ended: &Arc<Notify>, event: impl Future<Output = ()> + Send + 'static) {
    let ended = Arc::clone(ended);
    tokio::spawn(async move {
        event.await;
        ended.notify_one();
    });
}
