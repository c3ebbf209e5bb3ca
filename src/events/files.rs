//! Which events about single files are written. A first pass has one for each file, and a collector that
//! cannot keep up with them may lose others, which matter more.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How many events about single files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Files {
    /// Each.
    #[default]
    All,
    /// The first ones of each source, and then one now and again.
    Sampled,
    /// None.
    None,
}

impl std::str::FromStr for Files {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "all" => Ok(Self::All),
            "sampled" => Ok(Self::Sampled),
            "none" => Ok(Self::None),
            _ => Err("one of all, sampled, none"),
        }
    }
}

/// Of a sample: as many as a person looks at to see what a source is about,
const FIRST: u64 = 100;

/// and then one in this time, which shows how fast it goes.
const PAUSE: Duration = Duration::from_secs(1);

/// Decides about each event.
#[derive(Debug)]
pub(super) struct Sampler {
    files: Files,
    sample: Mutex<Sample>,
}

#[derive(Debug, Default)]
struct Sample {
    written: u64,
    last: Option<Instant>,
    left_out: u64,
}

impl Sampler {
    pub(super) fn new(files: Files) -> Self {
        Self {
            files,
            sample: Mutex::default(),
        }
    }

    /// Another source begins.
    pub(super) fn restart(&self) {
        *self.sample.lock().expect("nothing panics holding this") = Sample::default();
    }

    /// Whether to write an event now; if so, how many were left out since the last one.
    pub(super) fn take(&self, now: Instant) -> Option<u64> {
        match self.files {
            Files::All => return Some(0),
            Files::None => return None,
            Files::Sampled => {}
        }
        let mut sample = self.sample.lock().expect("nothing panics holding this");
        let is_due = sample.last.is_none_or(|last| now >= last + PAUSE);
        if sample.written >= FIRST && !is_due {
            sample.left_out += 1;
            return None;
        }
        sample.written += 1;
        sample.last = Some(now);
        Some(std::mem::take(&mut sample.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_first_ones_and_then_one_a_second() {
        let sampler = Sampler::new(Files::Sampled);
        let start = Instant::now();
        for source in 0..2 {
            let at = |millis: u64| {
                sampler.take(start + Duration::from_millis(100_000 * source + millis))
            };
            for _ in 0..FIRST {
                assert_eq!(at(0), Some(0));
            }
            for millis in [1, 500, 999] {
                assert_eq!(at(millis), None);
            }
            assert_eq!(at(1000), Some(3));
            assert_eq!(at(1001), None);
            assert_eq!(at(5000), Some(1));
            assert_eq!(at(5001), None);
            sampler.restart();
        }
    }

    #[test]
    fn all_and_none_are_what_they_say() {
        let now = Instant::now();
        for _ in 0..2 * FIRST {
            assert_eq!(Sampler::new(Files::All).take(now), Some(0));
            assert_eq!(Sampler::new(Files::None).take(now), None);
        }
    }
}
