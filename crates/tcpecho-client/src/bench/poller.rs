//! The level-triggered event poller of the load engine: the `polling` crate,
//! with its own wait function on Linux.
//!
//! It is level-triggered because an edge can be lost: data and the end of file
//! arrive in one edge, and urgent data can hide the data after it. The wait is
//! done here because `polling` sets a timer and rearms two descriptors for every
//! wait, four more system calls, which is too slow for an engine that waits a
//! hundred thousand times per second.

#[cfg(not(target_os = "linux"))]
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use common::{Error, Result};
use polling::{Event, PollMode, Poller};

use crate::sys;

/// The maximum number of events of one wait.
#[cfg(target_os = "linux")]
const EVENTS: usize = 1024;

/// A poller and the events of its last wait.
pub(crate) struct EventPoller {
    poller: Poller,
    #[cfg(target_os = "linux")]
    raw: Vec<rustix::event::epoll::Event>,
    #[cfg(not(target_os = "linux"))]
    raw: polling::Events,
    events: Vec<Event>,
}

impl std::fmt::Debug for EventPoller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventPoller")
            .field("poller", &self.poller)
            .finish_non_exhaustive()
    }
}

impl EventPoller {
    /// Creates a poller without descriptors.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            poller: Poller::new().map_err(|e| Error::local(&e))?,
            #[cfg(target_os = "linux")]
            raw: Vec::with_capacity(EVENTS),
            #[cfg(not(target_os = "linux"))]
            raw: polling::Events::new(),
            events: Vec::new(),
        })
    }

    /// Registers a descriptor with the key of its events. It must be removed with
    /// [`Self::remove`] before it is closed.
    pub(crate) fn add(
        &self,
        source: &impl AsFd,
        key: usize,
        read: bool,
        write: bool,
    ) -> Result<()> {
        let event = Event::new(key, read, write);
        sys::add_to_poller(&self.poller, source, event, PollMode::Level)
            .map_err(|e| Error::local(&e))
    }

    /// Changes the events that a descriptor is watched for.
    pub(crate) fn modify(
        &self,
        source: &impl AsFd,
        key: usize,
        read: bool,
        write: bool,
    ) -> Result<()> {
        let event = Event::new(key, read, write);
        self.poller
            .modify_with_mode(source.as_fd(), event, PollMode::Level)
            .map_err(|e| Error::local(&e))
    }

    /// Removes a descriptor from the poller.
    pub(crate) fn remove(&self, source: &impl AsFd) -> Result<()> {
        self.poller
            .delete(source.as_fd())
            .map_err(|e| Error::local(&e))
    }

    /// Waits like [`Self::wait`], which rounds its timeout up to milliseconds, but
    /// with a resolution of nanoseconds.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_exactly(&mut self, timeout: Duration) -> Result<usize> {
        use net::poll::{self, PollFd, PollFlags};
        let mut queue = [PollFd::new(&self.poller, PollFlags::IN)];
        poll::wait_once(&mut queue, Some(timeout)).map_err(|e| Error::local(&e))?;
        self.wait(Duration::ZERO)
    }

    /// Waits like [`Self::wait`], which is exact on other systems.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn wait_exactly(&mut self, timeout: Duration) -> Result<usize> {
        self.wait(timeout)
    }

    /// Waits for events, at most for `timeout`, and returns their number. Read
    /// them with [`Self::event`].
    #[cfg(target_os = "linux")]
    pub(crate) fn wait(&mut self, timeout: Duration) -> Result<usize> {
        use rustix::event::{Timespec, epoll};
        self.events.clear();
        self.raw.clear();
        let timeout = Timespec::try_from(timeout).ok();
        let buffer = rustix::buffer::spare_capacity(&mut self.raw);
        match epoll::wait(&self.poller, buffer, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::local(&e.into())),
        }
        self.events.extend(self.raw.iter().map(|event| {
            // As in `polling`, an error or a hang-up makes both sides ready.
            let flags = event.flags;
            let both = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
            Event::new(
                event.data.u64() as usize,
                both || flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP),
                both || flags.intersects(epoll::EventFlags::OUT),
            )
        }));
        Ok(self.events.len())
    }

    /// Waits for events, at most for `timeout`, and returns their number. Read
    /// them with [`Self::event`].
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn wait(&mut self, timeout: Duration) -> Result<usize> {
        self.events.clear();
        self.raw.clear();
        match self.poller.wait(&mut self.raw, Some(timeout)) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::local(&e)),
        }
        self.events.extend(self.raw.iter());
        Ok(self.events.len())
    }

    /// Returns one of the events of the last wait.
    pub(crate) fn event(&self, at: usize) -> Event {
        self.events[at]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_exact_wait_is_not_rounded_to_milliseconds() {
        let mut poller = EventPoller::new().unwrap();
        let time = Duration::from_micros(300);
        let mut shortest = Duration::MAX;
        // On a busy machine, some waits take longer.
        for _ in 0..100 {
            let start = Instant::now();
            assert_eq!(poller.wait_exactly(time).unwrap(), 0);
            let elapsed = start.elapsed();
            assert!(elapsed >= time, "{elapsed:?}");
            shortest = shortest.min(elapsed);
        }
        assert!(shortest < Duration::from_micros(900), "{shortest:?}");
    }
}
