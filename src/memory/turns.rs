//! Turns at something that may have too much to do: how many are taken at once is halved each time it says so, and
//! raised slowly as long as it does not (additive increase, multiplicative decrease; Chiu and Jain, 1989).

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::stop::Stopped;

/// What is in flight when it is too much is refused together, and counts once.
const ONCE_IN: Duration = Duration::from_secs(1);

/// Turns, of which there are so many and no more. Who asked first gets one first.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    shared: Arc<Shared>,
    runtime: Handle,
}

#[derive(Debug)]
struct Shared {
    free: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How many may be taken at once.
    limit: usize,
    most: usize,
    /// Turns that were not too much since the limit was set: as many as it is raise it by one.
    granted: usize,
    /// Turns that are taken and above the limit: they are not given to others when they end.
    above: usize,
    halved_at: Option<Instant>,
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Shared>);

impl Turns {
    /// So many at once, to begin with and at most.
    pub(crate) fn of(most: usize, runtime: Handle) -> Self {
        let most = most.max(1);
        let state = State {
            limit: most,
            most,
            granted: 0,
            above: 0,
            halved_at: None,
        };
        Self {
            shared: Arc::new(Shared {
                free: Arc::new(Semaphore::new(most)),
                state: Mutex::new(state),
            }),
            runtime,
        }
    }

    /// Waits for a turn. Blocks.
    pub(crate) fn take(&self) -> Result<Turn, Stopped> {
        let permit = self.runtime.block_on(self.shared.free.acquire());
        permit.map_err(|_closed| Stopped)?.forget();
        Ok(Turn(Arc::clone(&self.shared)))
    }

    /// Nobody gets a turn any more.
    pub(crate) fn close(&self) {
        self.shared.free.close();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics holding this")
    }

    /// Lets there be as many turns as a new limit says.
    fn set_limit(&self, state: &mut State, limit: usize) {
        let before = std::mem::replace(&mut state.limit, limit);
        state.granted = 0;
        for _ in limit..before {
            if self.free.forget_permits(1) == 0 {
                state.above += 1;
            }
        }
        for _ in before..limit {
            self.free_one(state);
        }
    }

    fn free_one(&self, state: &mut State) {
        match state.above {
            0 => self.free.add_permits(1),
            above => state.above = above - 1,
        }
    }
}

impl Turn {
    /// It was too much.
    pub(crate) fn is_refused(&self) {
        self.is_refused_at(Instant::now());
    }

    fn is_refused_at(&self, now: Instant) {
        let mut state = self.0.state();
        let is_known = (state.halved_at).is_some_and(|at| now.duration_since(at) < ONCE_IN);
        if !is_known {
            let limit = (state.limit / 2).max(1);
            self.0.set_limit(&mut state, limit);
            state.halved_at = Some(now);
        }
    }

    /// It was not too much.
    pub(crate) fn is_granted(&self) {
        let mut state = self.0.state();
        state.granted += 1;
        if state.granted >= state.limit && state.limit < state.most {
            let limit = state.limit + 1;
            self.0.set_limit(&mut state, limit);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.state();
        self.0.free_one(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Turns {
        fn try_take(&self) -> Option<Turn> {
            self.shared.free.try_acquire().ok()?.forget();
            Some(Turn(Arc::clone(&self.shared)))
        }
    }

    /// How many can be taken at once.
    fn at_once(turns: &Turns) -> usize {
        let mut taken = Vec::new();
        while let Some(turn) = turns.try_take() {
            taken.push(turn);
        }
        taken.len()
    }

    #[tokio::test]
    async fn turns_are_halved_when_refused_and_come_back_one_by_one() {
        let turns = Turns::of(16, Handle::current());
        assert_eq!(at_once(&turns), 16);
        let start = Instant::now();
        let refuse = |at: u32| {
            let turn = turns.try_take().unwrap();
            turn.is_refused_at(start + ONCE_IN / 2 * at);
        };
        // What was in flight together counts once.
        refuse(0);
        refuse(1);
        assert_eq!(at_once(&turns), 8);
        refuse(2);
        assert_eq!(at_once(&turns), 4);
        for _ in 0..5 {
            turns.try_take().unwrap().is_granted();
        }
        assert_eq!(at_once(&turns), 5);
        for _ in 0..1000 {
            turns.try_take().unwrap().is_granted();
        }
        assert_eq!(at_once(&turns), 16);

        // While all are taken, too: those above the limit are not given on.
        let mut taken: Vec<_> = (0..16).map(|_| turns.try_take().unwrap()).collect();
        taken[0].is_refused_at(start + ONCE_IN * 10);
        taken.truncate(9);
        assert_eq!(at_once(&turns), 0);
        taken.truncate(7);
        assert_eq!(at_once(&turns), 1);
        taken.clear();
        assert_eq!(at_once(&turns), 8);

        for at in 11..20 {
            refuse(2 * at);
        }
        assert_eq!(at_once(&turns), 1);
        turns.close();
        assert!(turns.try_take().is_none());
    }
}
