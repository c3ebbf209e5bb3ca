//! A bounded queue of bytes, and the thread that writes them.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::PATIENCE;

/// What may wait to be written: some seconds of events about files, at thousands of files a second.
const CAPACITY: usize = 4 << 20;

/// A report goes in by pieces, so that one of any length fits.
const PIECE: usize = 64 << 10;

/// How long a line about one file of many waits for others, so that thousands a second take a hundred
/// writes. Nobody who watches sees it.
const GATHERING: Duration = Duration::from_millis(10);

/// How much something matters, and so how full the queue may be for it to find room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Importance {
    /// A progress line, which the next one replaces.
    Passing,
    /// One of very many, as about each file.
    Detail,
    /// Anything else.
    Normal,
    /// How it all ended.
    Last,
}

impl Importance {
    fn most(self, capacity: usize) -> usize {
        match self {
            Self::Passing => capacity / 16,
            Self::Detail => capacity / 4 * 3,
            Self::Normal => capacity,
            // There is one in each execution, so this is a bound as well.
            Self::Last => usize::MAX,
        }
    }
}

/// Where bytes go to be written, in order.
pub(crate) struct Outlet {
    shared: Arc<Shared>,
}

struct Shared {
    capacity: usize,
    state: Mutex<OutletState>,
    /// The thread waits for this: something to write, or a hurry.
    filled: Condvar,
    /// Everybody else waits for this: room, or the end.
    emptied: Condvar,
}

#[derive(Default)]
struct OutletState {
    /// What the thread has not taken yet.
    queue: Vec<u8>,
    /// What is not written yet: the queue, and what the thread is writing.
    unwritten: usize,
    /// Somebody should see the queue at once, or waits until it is written.
    is_urgent: bool,
    /// How many wait for room, or for the end. It costs a system call to tell nobody.
    waiting: usize,
    /// Nobody reads any more, or was waited for in vain.
    is_over: bool,
    /// Why a report is not all there, the first time that something could not be written.
    failure: Option<io::Error>,
    /// When a signal came.
    hurried: Option<Instant>,
}

impl Outlet {
    /// An outlet that writes to a descriptor.
    pub(super) fn over(stream: &impl AsFd) -> Self {
        Self::with_capacity(stream, CAPACITY)
    }

    fn with_capacity(stream: &impl AsFd, capacity: usize) -> Self {
        let shared = Arc::new(Shared {
            capacity,
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        // Not the handles of the standard library, whose locks one writer that waits would keep.
        let writing = Arc::clone(&shared);
        let started = stream.as_fd().try_clone_to_owned().and_then(|stream| {
            let thread = std::thread::Builder::new().name("writer".to_owned());
            thread.spawn(move || writing.write(&File::from(stream)))
        });
        if let Err(error) = started {
            let mut state = shared.lock();
            state.failure = Some(error);
            state.is_over = true;
        }
        Self { shared }
    }

    /// Takes bytes if there is room for them. Never waits.
    pub(crate) fn offer(&self, bytes: &[u8], importance: Importance) -> bool {
        let state = self.shared.lock();
        if state.is_over {
            // Nobody misses it.
            return true;
        }
        if state.unwritten + bytes.len() > importance.most(self.shared.capacity) {
            return false;
        }
        self.shared
            .take(state, bytes, importance != Importance::Detail);
        true
    }

    /// Takes a part of a report, waiting for room, unless nobody reads it any more or the disk is full.
    pub(crate) fn report(&self, text: &str) {
        self.report_bytes(text.as_bytes());
    }

    /// The same for any bytes.
    pub(crate) fn report_bytes(&self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE.min(self.shared.capacity)) {
            let begun = Instant::now();
            let mut state = self.shared.lock();
            loop {
                if state.is_over || state.failure.is_some() {
                    return;
                }
                if state.unwritten + piece.len() <= self.shared.capacity {
                    break;
                }
                let until = state.hurried.map(|at| at.max(begun) + PATIENCE);
                state = match self.shared.wait(state, until) {
                    Ok(state) => state,
                    Err(mut state) => {
                        state.give_up();
                        return;
                    }
                };
            }
            self.shared.take(state, piece, true);
        }
    }

    /// Waits until all is written, or until then; or, once a signal has come, for [`PATIENCE`].
    pub(crate) fn drain(&self, until: Option<Instant>) {
        let begun = Instant::now();
        let mut state = self.shared.lock();
        while state.unwritten > 0 && !state.is_over {
            let hurried = state.hurried.map(|at| at.max(begun) + PATIENCE);
            let until = [until, hurried].into_iter().flatten().min();
            state = match self.shared.wait(state, until) {
                Ok(state) => state,
                Err(mut state) => {
                    state.give_up();
                    return;
                }
            };
        }
    }

    /// From now on nobody waits for long.
    pub(super) fn hurry(&self) {
        let mut state = self.shared.lock();
        state.hurried.get_or_insert_with(Instant::now);
        drop(state);
        self.shared.emptied.notify_all();
    }

    /// Whether there is no use in writing any more.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.shared.lock();
        state.is_over || state.failure.is_some()
    }

    /// Why not everything was written, unless it is only that the reader went away: that is no failure.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.shared.lock().failure.take()
    }
}

impl OutletState {
    fn give_up(&mut self) {
        let late = io::Error::new(ErrorKind::TimedOut, "its reader has stopped reading");
        self.failure.get_or_insert(late);
        self.is_over = true;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, OutletState> {
        self.state.lock().expect("nothing panics holding this")
    }

    /// Puts bytes into the queue, and tells the thread if it does not know of any, or should not wait for more.
    fn take(&self, mut state: MutexGuard<'_, OutletState>, bytes: &[u8], is_urgent: bool) {
        let was_empty = state.queue.is_empty();
        state.queue.extend_from_slice(bytes);
        state.unwritten += bytes.len();
        // Before it is full, whatever is in it.
        let is_urgent = is_urgent || state.unwritten > self.capacity / 4;
        let tell = was_empty || (is_urgent && !state.is_urgent);
        state.is_urgent |= is_urgent;
        drop(state);
        if tell {
            self.filled.notify_one();
        }
    }

    /// Waits until something was written, or gives the state back as an error once that took too long.
    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, OutletState>,
        until: Option<Instant>,
    ) -> Result<MutexGuard<'a, OutletState>, MutexGuard<'a, OutletState>> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(state);
        }
        state.is_urgent = true;
        self.filled.notify_one();
        state.waiting += 1;
        let mut state = match left {
            None => self.emptied.wait(state).expect("nothing panics here"),
            Some(left) => {
                let waited = self.emptied.wait_timeout(state, left);
                waited.expect("nothing panics here").0
            }
        };
        state.waiting -= 1;
        Ok(state)
    }

    /// The thread: writes what there is, for as long as somebody reads it.
    fn write(&self, stream: &File) {
        let mut taken = Vec::new();
        loop {
            let state = self
                .filled
                .wait_while(self.lock(), |state| state.queue.is_empty())
                .expect("nothing panics here");
            let (mut state, _) = self
                .filled
                .wait_timeout_while(state, GATHERING, |state| !state.is_urgent)
                .expect("nothing panics here");
            state.is_urgent = false;
            taken.clear();
            std::mem::swap(&mut taken, &mut state.queue);
            drop(state);
            if !self.write_all(stream, &taken) {
                return;
            }
        }
    }

    /// Writes it all; `false` once nobody reads any more. Anything else that goes wrong, such as a disk
    /// that is full, may be over by the next time.
    fn write_all(&self, mut stream: &File, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let (written, failure) = match stream.write(bytes) {
                Ok(written) => (written, None),
                Err(error) if error.kind() == ErrorKind::Interrupted => (0, None),
                // Somebody who shares the stream has made it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let ready = PollFd::new(&stream, PollFlags::OUT);
                    let _ = poll(&mut [ready], None);
                    (0, None)
                }
                Err(error) => (bytes.len(), Some(error)),
            };
            bytes = &bytes[written..];
            let mut state = self.lock();
            state.unwritten -= written;
            match failure {
                Some(error) if error.kind() == ErrorKind::BrokenPipe => state.is_over = true,
                Some(error) => drop(state.failure.get_or_insert(error)),
                None => {}
            }
            let is_over = state.is_over;
            let is_awaited = state.waiting > 0;
            drop(state);
            if is_awaited {
                self.emptied.notify_all();
            }
            if is_over {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read, pipe};
    use std::thread;

    use super::*;

    /// More than what a pipe holds for its reader.
    const A_LOT: usize = 1 << 20;

    fn outlet(capacity: usize) -> (Outlet, PipeReader) {
        let (reader, writer) = pipe().unwrap();
        (Outlet::with_capacity(&writer, capacity), reader)
    }

    /// Fills the pipe and the queue.
    fn fill(outlet: &Outlet, importance: Importance) -> usize {
        let mut taken = 0;
        // The thread moves bytes into the pipe until that is full.
        for _ in 0..100 {
            while outlet.offer(&[b'x'; 100], importance) {
                taken += 100;
            }
            thread::sleep(Duration::from_millis(1));
        }
        taken
    }

    #[test]
    fn everything_is_written_in_order() {
        let (outlet, mut reader) = outlet(1000);
        let mut lines: Vec<_> = (0..20_000).map(|number| format!("{number}\n")).collect();
        lines.push("long\n".repeat(A_LOT / 5));
        let expected = lines.concat();
        thread::scope(|scope| {
            let read = scope.spawn(|| {
                let mut text = vec![0; expected.len()];
                reader.read_exact(&mut text).unwrap();
                text
            });
            lines.iter().for_each(|line| outlet.report(line));
            assert_eq!(read.join().unwrap(), expected.as_bytes());
        });
        outlet.drain(None);
        assert!(outlet.failure().is_none() && !outlet.is_over());
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_the_last_word_always_finds_some() {
        let (outlet, mut reader) = outlet(8000);
        let details = fill(&outlet, Importance::Detail);
        assert!(!outlet.offer(&[b'x'; 3000], Importance::Normal));
        assert!(outlet.offer(b"normal", Importance::Normal));
        assert!(!outlet.offer(b"frame", Importance::Passing));
        let _ = fill(&outlet, Importance::Normal);
        assert!(!outlet.offer(&[b'x'; 100], Importance::Normal));
        assert!(outlet.offer(b"the end", Importance::Last));
        let mut all = vec![0; details];
        reader.read_exact(&mut all).unwrap();
        assert!(all.iter().all(|byte| *byte == b'x'));
        let mut normal = [0; 6];
        reader.read_exact(&mut normal).unwrap();
        assert_eq!(&normal, b"normal");
    }

    #[test]
    fn a_report_waits_for_its_reader_until_a_signal_comes() {
        let (outlet, _reader) = outlet(1000);
        fill(&outlet, Importance::Normal);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| outlet.report("more"));
            thread::sleep(Duration::from_millis(100));
            assert!(!waiting.is_finished());
            // As if the signal had come long ago, and everybody had waited long enough.
            outlet.hurry();
            let mut state = outlet.shared.lock();
            state.give_up();
            drop(state);
            outlet.shared.emptied.notify_all();
            waiting.join().unwrap();
        });
        assert!(outlet.is_over());
        assert_eq!(outlet.failure().unwrap().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_reader_that_goes_away_is_no_failure() {
        let (outlet, reader) = outlet(1000);
        drop(reader);
        outlet.report(&"x".repeat(A_LOT));
        outlet.drain(None);
        assert!(outlet.is_over());
        assert!(outlet.failure().is_none());
        assert!(
            outlet.offer(b"more", Importance::Detail),
            "nobody misses it"
        );
    }

    #[test]
    fn a_full_disk_ends_a_report_and_not_the_events() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let outlet = Outlet::with_capacity(&full, 1000);
        outlet.report("a report\n");
        outlet.drain(None);
        assert!(outlet.is_over());
        assert!(outlet.offer(b"an event\n", Importance::Normal));
        outlet.drain(None);
        let failure = outlet.failure().unwrap();
        assert_eq!(failure.kind(), ErrorKind::StorageFull);
    }

    #[test]
    fn the_end_waits_for_a_reader_no_longer_than_it_may() {
        let (outlet, _reader) = outlet(1000);
        fill(&outlet, Importance::Normal);
        let started = Instant::now();
        outlet.drain(Some(started + Duration::from_millis(200)));
        let took = started.elapsed();
        assert!(took.as_millis() >= 200 && took.as_secs() < 5, "{took:?}");
    }
}
