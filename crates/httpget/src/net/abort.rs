//! The connection a request is on, known to others than who waits for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::stream::ShutdownHandle;

/// A place for one connection at a time, to be ended from another thread.
#[derive(Debug, Default)]
pub(crate) struct AbortHandle(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Detached,
    Attached(ShutdownHandle),
    Aborted,
}

impl AbortHandle {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is on this connection from now on.
    pub(super) fn attach(&self, shutdown: ShutdownHandle) {
        let mut state = self.state();
        match *state {
            State::Aborted => shutdown.shut_down(),
            State::Detached | State::Attached(_) => *state = State::Attached(shutdown),
        }
    }

    /// The connection may serve others, and is no longer to be ended here.
    pub(super) fn detach(&self) {
        let mut state = self.state();
        if let State::Attached(_) = *state {
            *state = State::Detached;
        }
    }

    /// Ends whatever is on it, now or later.
    pub(crate) fn abort(&self) {
        let mut state = self.state();
        if let State::Attached(shutdown) = &*state {
            shutdown.shut_down();
        }
        *state = State::Aborted;
    }
}
