//! Readiness by the `polling` crate, which knows kqueue and others.
#![allow(
    unsafe_code,
    reason = "registering a descriptor needs a promise that the compiler cannot check"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use polling::{Event, Events, PollMode};

use super::Interest;

/// Watches sockets.
#[derive(Debug)]
pub(crate) struct Poller(polling::Poller);

impl Poller {
    /// A poller that watches nothing yet.
    pub(crate) fn new() -> io::Result<Self> {
        polling::Poller::new().map(Self)
    }

    pub(super) fn add(
        &self,
        source: BorrowedFd<'_>,
        key: usize,
        interest: Interest,
    ) -> io::Result<()> {
        // SAFETY: only `Watched` calls this; it owns the source, never hands
        // it out but by shared reference, and deletes it from the poller
        // before the descriptor closes.
        unsafe {
            self.0
                .add_with_mode(source.as_raw_fd(), event(key, interest), mode(interest))
        }
    }

    pub(super) fn modify(
        &self,
        source: BorrowedFd<'_>,
        key: usize,
        interest: Interest,
    ) -> io::Result<()> {
        self.0
            .modify_with_mode(source, event(key, interest), mode(interest))
    }

    pub(super) fn delete(&self, source: BorrowedFd<'_>) -> io::Result<()> {
        self.0.delete(source)
    }

    /// Waits until something is ready, a notice comes or the time has passed.
    /// A caught signal may end it early, too.
    pub(crate) fn wait(&self, ready: &mut Ready, timeout: Option<Duration>) -> io::Result<()> {
        ready.events.clear();
        match self.0.wait(&mut ready.events, timeout) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(e),
            _ => Ok(()),
        }
    }

    /// Ends the wait of this moment, or the next one.
    pub(crate) fn notify(&self) -> io::Result<()> {
        self.0.notify()
    }
}

/// What a wait found.
#[derive(Debug)]
pub(crate) struct Ready {
    events: Events,
}

impl Ready {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self {
            events: Events::new(),
        }
    }

    /// The keys of the sockets that are ready.
    pub(crate) fn keys(&self) -> impl Iterator<Item = usize> {
        self.events.iter().map(|event| event.key)
    }
}

/// An end that is not acted on would be reported without end.
fn mode(interest: Interest) -> PollMode {
    match interest {
        Interest::Nothing => PollMode::Oneshot,
        Interest::Read | Interest::Write | Interest::Both => PollMode::Level,
    }
}

fn event(key: usize, interest: Interest) -> Event {
    match interest {
        Interest::Nothing => Event::none(key),
        Interest::Read => Event::readable(key),
        Interest::Write => Event::writable(key),
        Interest::Both => Event::all(key),
    }
}
