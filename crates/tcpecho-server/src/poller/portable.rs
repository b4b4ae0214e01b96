//! Readiness by the `polling` crate, which supports kqueue and other systems.
#![allow(
    unsafe_code,
    reason = "registering a descriptor needs a promise that the compiler cannot check"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use polling::{Event, PollMode};

use super::Interest;

/// A poller of the `polling` crate, which includes a waker.
#[derive(Debug)]
pub(crate) struct Poller(polling::Poller);

impl Poller {
    /// Creates a poller without sources.
    pub(crate) fn new() -> io::Result<Self> {
        polling::Poller::new().map(Self)
    }

    pub(super) fn register(
        &self,
        source: BorrowedFd<'_>,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        // SAFETY: only `Registered` calls this; it owns the source, never hands
        // it out but by shared reference, and deregisters it before the
        // descriptor closes.
        unsafe {
            self.0
                .add_with_mode(source.as_raw_fd(), event(token, interest), mode(interest))
        }
    }

    pub(super) fn reregister(
        &self,
        source: BorrowedFd<'_>,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        self.0
            .modify_with_mode(source, event(token, interest), mode(interest))
    }

    pub(super) fn deregister(&self, source: BorrowedFd<'_>) -> io::Result<()> {
        self.0.delete(source)
    }

    /// Waits until a source is ready, [`Poller::wake`] is called, or the timeout
    /// expires. A caught signal may end the wait early.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        match self.0.wait(&mut events.0, timeout) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(e),
            _ => Ok(()),
        }
    }

    /// Ends the current wait, or the next one if none is in progress.
    pub(crate) fn wake(&self) -> io::Result<()> {
        self.0.notify()
    }
}

/// The events that a wait returned.
#[derive(Debug)]
pub(crate) struct Events(polling::Events);

impl Events {
    /// Creates an empty list of events.
    pub(crate) fn new() -> Self {
        Self(polling::Events::new())
    }

    /// Returns the tokens of the sources that are ready.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|event| event.key)
    }
}

/// A hang-up that is not handled would be reported without end, so interest in
/// errors only is reported once.
fn mode(interest: Interest) -> PollMode {
    match interest {
        Interest::ErrorsOnly => PollMode::Oneshot,
        Interest::Read | Interest::Write | Interest::ReadWrite => PollMode::Level,
    }
}

fn event(token: usize, interest: Interest) -> Event {
    match interest {
        Interest::ErrorsOnly => Event::none(token),
        Interest::Read => Event::readable(token),
        Interest::Write => Event::writable(token),
        Interest::ReadWrite => Event::all(token),
    }
}
