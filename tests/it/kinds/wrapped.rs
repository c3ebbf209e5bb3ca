//! Sources that something happens to.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use offsite::exit::ExitCode;
use offsite::source::stat::Stat;
use offsite::source::{Cause, Found, Items, Opened, Place, Refused, Scope, Source, Unusable};

/// A place whose source lists everything, and has nothing of it when it is opened.
#[derive(Debug)]
pub(super) struct EverythingGone(pub(super) Arc<dyn Place>);

struct Emptied(Arc<dyn Source>);

impl Place for EverythingGone {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn text(&self) -> String {
        self.0.text()
    }

    fn open(&self) -> Result<Arc<dyn Source>, Unusable> {
        Ok(Arc::new(Emptied(self.0.open()?)))
    }
}

impl Source for Emptied {
    fn items(&self, scope: &Scope) -> Result<Items, Unusable> {
        self.0.items(scope)
    }

    fn open(&self, _: &Found) -> Result<Opened, Refused> {
        Err(Refused::Gone)
    }

    fn recheck(&self, opened: &Opened) -> Result<Option<Stat>, Refused> {
        self.0.recheck(opened)
    }

    fn confirm(&self) -> Result<(), Unusable> {
        self.0.confirm()
    }

    fn is_empty(&self) -> io::Result<bool> {
        self.0.is_empty()
    }
}

/// A place that cannot be reached the first few times, as the server of a database that is not up yet.
#[derive(Debug)]
pub(super) struct Away {
    pub(super) place: Arc<dyn Place>,
    pub(super) times: AtomicUsize,
    pub(super) is_worth_another_pass: bool,
}

impl Place for Away {
    fn kind(&self) -> &'static str {
        self.place.kind()
    }

    fn text(&self) -> String {
        self.place.text()
    }

    fn open(&self) -> Result<Arc<dyn Source>, Unusable> {
        let left = |times: usize| times.checked_sub(1);
        let times = &self.times;
        match times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Err(_) => self.place.open(),
            Ok(_) => Err(Unusable {
                exit_code: ExitCode::Denied,
                is_worth_another_pass: self.is_worth_another_pass,
                ..Unusable::new(Cause::Unreadable, "it is away".to_owned(), "wait for it")
            }),
        }
    }
}

/// A place that cannot be opened before the gate is, as that of a file server that does not answer.
#[derive(Debug)]
pub(super) struct Hangs {
    pub(super) place: Arc<dyn Place>,
    pub(super) gate: Arc<Gate>,
}

#[derive(Debug, Default)]
pub(super) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(super) fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl Place for Hangs {
    fn kind(&self) -> &'static str {
        self.place.kind()
    }

    fn text(&self) -> String {
        self.place.text()
    }

    fn open(&self) -> Result<Arc<dyn Source>, Unusable> {
        let is_open = self.gate.is_open.lock().unwrap();
        drop(self.gate.opened.wait_while(is_open, |is_open| !*is_open));
        self.place.open()
    }
}

/// A place whose file is written once more, unseen by its times, right after it was opened.
#[derive(Debug)]
pub(super) struct WrittenWhileOpened(pub(super) Arc<dyn Place>, pub(super) PathBuf);

impl Place for WrittenWhileOpened {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn text(&self) -> String {
        self.0.text()
    }

    fn open(&self) -> Result<Arc<dyn Source>, Unusable> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let second = UNIX_EPOCH + Duration::from_secs(now.as_secs());
        let write = |text: &str| {
            fs::write(&self.1, text).unwrap();
            let file = fs::File::options().write(true).open(&self.1).unwrap();
            file.set_modified(second).unwrap();
        };
        write("one\n");
        let source = self.0.open()?;
        write("two\n");
        // What it takes to open it, and the store to say what went before.
        std::thread::sleep(Duration::from_millis(2500));
        Ok(source)
    }
}
