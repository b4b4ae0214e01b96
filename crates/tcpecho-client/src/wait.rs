//! Waiting: for descriptors, for a moment, and always for the signals that
//! ask for an end.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use common::signal::{SIGINT, SIGTERM, Signals};
use common::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// A descriptor is ready.
    Ready,
    /// The moment has come.
    Due,
    /// A signal asks for the end.
    Stopped,
}

/// SIGINT and SIGTERM, caught and waited for.
#[derive(Debug)]
pub(crate) struct Stop {
    signals: Signals,
    requests: Cell<u32>,
}

impl Stop {
    /// Catches the signals from now on.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            signals: Signals::catch(&[SIGINT, SIGTERM]).map_err(|e| Error::local(&e))?,
            requests: Cell::new(0),
        })
    }

    /// How many times the end has been asked for.
    pub(crate) fn requests(&self) -> u32 {
        if !self.signals.take().is_empty() {
            self.requests.set(self.requests.get() + 1);
        }
        self.requests.get()
    }

    /// [`Self::requests`] as far as they have been looked for.
    pub(crate) fn seen(&self) -> u32 {
        self.requests.get()
    }

    /// Readable when a signal has come that [`Self::requests`] has not seen.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Waits until one of `fds` is ready, a signal comes, or `deadline` has
    /// passed. The answers are in the `revents` of `fds`.
    pub(crate) fn wait<'a>(
        &'a self,
        fds: &mut Vec<PollFd<'a>>,
        deadline: Option<Instant>,
    ) -> Result<Woken> {
        fds.push(PollFd::from_borrowed_fd(self.fd(), PollFlags::IN));
        let woken = loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // Too far away to be expressed is never.
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(fds, timeout.as_ref()) {
                Ok(0) if left.is_some_and(|left| !left.is_zero()) => {}
                Ok(0) => break Woken::Due,
                Ok(_) => break Woken::Ready,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(Error::local(&e.into())),
            }
        };
        let signal = fds.pop().is_some_and(|fd| !fd.revents().is_empty());
        if signal {
            self.requests();
            return Ok(Woken::Stopped);
        }
        Ok(woken)
    }

    /// Waits for a duration, unless a signal comes.
    pub(crate) fn pause(&self, duration: Duration) -> Result<Woken> {
        self.wait(&mut Vec::new(), Instant::now().checked_add(duration))
    }
}
