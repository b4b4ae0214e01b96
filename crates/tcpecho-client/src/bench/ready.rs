//! The readiness queue of the load engine: `polling`, level-triggered, with
//! the wait of Linux made by hand.
//!
//! Level-triggered because an edge can be lost: data and end of file come in
//! one, and urgent data can hide what follows. By hand because `polling` sets a
//! timer and rearms two descriptors around every wait, four more system calls
//! than an engine can afford that waits a hundred thousand times a second.

#[cfg(not(target_os = "linux"))]
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use common::{Error, Result};
use polling::{Event, PollMode, Poller};

use crate::sys;

/// The most events of one wait.
#[cfg(target_os = "linux")]
const EVENTS: usize = 1024;

/// What is watched, and what of it is ready.
pub(crate) struct Readiness {
    poller: Poller,
    #[cfg(target_os = "linux")]
    raw: Vec<rustix::event::epoll::Event>,
    #[cfg(not(target_os = "linux"))]
    raw: polling::Events,
    events: Vec<Event>,
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readiness")
            .field("poller", &self.poller)
            .finish_non_exhaustive()
    }
}

impl Readiness {
    /// An empty queue.
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

    /// Watches a descriptor under a key. [`Self::remove`] must come before it
    /// is closed.
    pub(crate) fn add(
        &self,
        source: &impl AsFd,
        key: usize,
        read: bool,
        write: bool,
    ) -> Result<()> {
        let event = Event::new(key, read, write);
        sys::watch(&self.poller, source, event, PollMode::Level).map_err(|e| Error::local(&e))
    }

    /// Watches it for something else.
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

    /// Watches it no more.
    pub(crate) fn remove(&self, source: &impl AsFd) -> Result<()> {
        self.poller
            .delete(source.as_fd())
            .map_err(|e| Error::local(&e))
    }

    /// Like [`Self::wait`], which counts in milliseconds and may be that much
    /// late, but to the moment.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_exactly(&mut self, timeout: Duration) -> Result<usize> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut queue = [PollFd::new(&self.poller, PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).ok();
        match poll(&mut queue, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => self.wait(Duration::ZERO),
            Err(e) => Err(Error::local(&e.into())),
        }
    }

    /// Elsewhere every wait is.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn wait_exactly(&mut self, timeout: Duration) -> Result<usize> {
        self.wait(timeout)
    }

    /// Waits until something is ready, at most so long, and returns how many
    /// events there are for [`Self::event`].
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
            // As `polling` has it: a failure or the end is for both sides.
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

    /// Waits until something is ready, at most so long, and returns how many
    /// events there are for [`Self::event`].
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

    /// One of the events of the last wait.
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
        let mut ready = Readiness::new().unwrap();
        let time = Duration::from_micros(300);
        let mut shortest = Duration::MAX;
        // A busy machine is late at times, not always.
        for _ in 0..100 {
            let start = Instant::now();
            assert_eq!(ready.wait_exactly(time).unwrap(), 0);
            let elapsed = start.elapsed();
            assert!(elapsed >= time, "{elapsed:?}");
            shortest = shortest.min(elapsed);
        }
        assert!(shortest < Duration::from_micros(900), "{shortest:?}");
    }
}
