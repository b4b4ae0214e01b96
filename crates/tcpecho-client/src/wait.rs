//! Waiting for descriptors with a deadline. Every wait also ends at a signal
//! that requests the shutdown.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use common::{Error, Result};
use net::poll::{self, PollFd, PollFlags};
use net::signal::{SIGINT, SIGTERM, Signals};

/// The reason why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A descriptor is ready.
    Ready,
    /// The deadline has passed.
    TimedOut,
    /// A signal requested the shutdown.
    Shutdown,
}

/// Requests to shut down, by SIGINT or SIGTERM.
#[derive(Debug)]
pub(crate) struct ShutdownSignal {
    signals: Signals,
    requests: Cell<u32>,
}

impl ShutdownSignal {
    /// Installs the handlers of both signals.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            signals: Signals::catch(&[SIGINT, SIGTERM]).map_err(|e| Error::local(&e))?,
            requests: Cell::new(0),
        })
    }

    /// Checks for signals, and returns how often the shutdown was requested.
    pub(crate) fn requests(&self) -> u32 {
        if !self.signals.take().is_empty() {
            self.requests.set(self.requests.get() + 1);
        }
        self.requests.get()
    }

    /// Returns the result of the last [`Self::requests`] without a system call.
    pub(crate) fn requests_seen(&self) -> u32 {
        self.requests.get()
    }

    /// Returns a descriptor that is readable if a signal has arrived since the
    /// last [`Self::requests`].
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Waits until one of `fds` is ready, a signal arrives, or `deadline` has
    /// passed. The `revents` of `fds` hold the result.
    pub(crate) fn wait<'a>(
        &'a self,
        fds: &mut Vec<PollFd<'a>>,
        deadline: Option<Instant>,
    ) -> Result<Wake> {
        fds.push(PollFd::from_borrowed_fd(self.fd(), PollFlags::IN));
        let is_ready = poll::wait(fds, deadline).map_err(|e| Error::local(&e))?;
        let has_signal = fds.pop().is_some_and(|fd| !fd.revents().is_empty());
        if has_signal {
            self.requests();
            return Ok(Wake::Shutdown);
        }
        Ok(if is_ready {
            Wake::Ready
        } else {
            Wake::TimedOut
        })
    }

    /// Sleeps for `duration`, or until a signal arrives.
    pub(crate) fn sleep(&self, duration: Duration) -> Result<Wake> {
        self.wait(&mut Vec::new(), Instant::now().checked_add(duration))
    }
}
