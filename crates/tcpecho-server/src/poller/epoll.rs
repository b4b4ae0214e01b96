//! Readiness by epoll(7), with one system call per wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use net::Waker;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::{Interest, MAX_EVENTS, WAKER};

/// The longest single wait. Waking up once a day costs nothing.
const MAX_WAIT: Duration = Duration::from_secs(86_400);

/// An epoll instance with a waker.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    waker: Waker,
}

impl Poller {
    /// Creates a poller without sources.
    pub(crate) fn new() -> io::Result<Self> {
        let poller = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            waker: Waker::new()?,
        };
        poller.register(poller.waker.as_fd(), WAKER, Interest::Read)?;
        Ok(poller)
    }

    /// Creates a poller that fails to wait.
    #[cfg(test)]
    pub(crate) fn broken() -> io::Result<Self> {
        Ok(Self {
            epoll: std::fs::File::open("/dev/null")?.into(),
            ..Self::new()?
        })
    }

    pub(super) fn register(
        &self,
        source: BorrowedFd<'_>,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        let data = EventData::new_u64(token as u64);
        Ok(epoll::add(&self.epoll, source, data, flags(interest))?)
    }

    pub(super) fn reregister(
        &self,
        source: BorrowedFd<'_>,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        let data = EventData::new_u64(token as u64);
        Ok(epoll::modify(&self.epoll, source, data, flags(interest))?)
    }

    pub(super) fn deregister(&self, source: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// Waits until a source is ready, [`Poller::wake`] is called, or the timeout
    /// expires. A caught signal may end the wait early.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        let timeout = timeout.map(whole_milliseconds);
        match epoll::wait(&self.epoll, spare_capacity(&mut events.0), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let waker = WAKER as u64;
        if events.0.iter().any(|event| event.data.u64() == waker) {
            self.waker.reset();
        }
        Ok(())
    }

    /// Ends the current wait, or the next one if none is in progress.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the portable poller may fail to wake"
    )]
    pub(crate) fn wake(&self) -> io::Result<()> {
        self.waker.wake();
        Ok(())
    }
}

/// The events that a wait returned.
pub(crate) struct Events(Vec<Event>);

impl Events {
    /// Creates an empty list of events.
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(MAX_EVENTS))
    }

    /// Returns the tokens of the sources that are ready.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = usize> {
        self.0
            .iter()
            .map(|event| event.data.u64() as usize)
            .filter(|token| *token != WAKER)
    }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        // A hang-up that is not handled would be reported without end.
        Interest::ErrorsOnly => EventFlags::ONESHOT,
        Interest::Read => EventFlags::IN,
        Interest::Write => EventFlags::OUT,
        Interest::ReadWrite => EventFlags::IN | EventFlags::OUT,
    }
}

/// Rounds up to milliseconds; a wait that ends too early would be repeated
/// immediately.
fn whole_milliseconds(time: Duration) -> Timespec {
    let ms = time.min(MAX_WAIT).as_nanos().div_ceil(1_000_000) as i64;
    Timespec {
        tv_sec: ms / 1000,
        tv_nsec: ms % 1000 * 1_000_000,
    }
}
