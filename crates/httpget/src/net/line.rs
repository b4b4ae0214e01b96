//! The connection a request is on, known to others than who waits for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::stream::Hangup;

/// A place for one connection at a time, to be ended from another thread.
#[derive(Debug, Default)]
pub(crate) struct Line(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Free,
    Busy(Hangup),
    Ended,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is on this connection from now on.
    pub(super) fn take(&self, hangup: Hangup) {
        let mut state = self.state();
        match *state {
            State::Ended => hangup.now(),
            State::Free | State::Busy(_) => *state = State::Busy(hangup),
        }
    }

    /// The connection may serve others, and is no longer to be ended here.
    pub(super) fn free(&self) {
        let mut state = self.state();
        if let State::Busy(_) = *state {
            *state = State::Free;
        }
    }

    /// Ends whatever is on it, now or later.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        if let State::Busy(hangup) = &*state {
            hangup.now();
        }
        *state = State::Ended;
    }
}
