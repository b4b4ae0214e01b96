//! A handle that aborts the connection of a request from another thread.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::stream::ShutdownHandle;

/// Aborts the connection that a request uses, now or as soon as it has one.
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

    /// Attaches the connection of a request; closes it if the handle was aborted.
    pub(super) fn attach(&self, shutdown: ShutdownHandle) {
        let mut state = self.state();
        match *state {
            State::Aborted => shutdown.shut_down(),
            State::Detached | State::Attached(_) => *state = State::Attached(shutdown),
        }
    }

    /// Detaches the connection, which may then serve other requests.
    pub(super) fn detach(&self) {
        let mut state = self.state();
        if let State::Attached(_) = *state {
            *state = State::Detached;
        }
    }

    /// Closes the attached connection, and any that is attached later.
    pub(crate) fn abort(&self) {
        let mut state = self.state();
        if let State::Attached(shutdown) = &*state {
            shutdown.shut_down();
        }
        *state = State::Aborted;
    }
}
