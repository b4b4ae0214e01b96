//! Readiness by epoll(7), one system call a wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

use super::{Interest, MOST, WAKE};

/// The longest single wait; the loops do not mind waking up once a day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Watches sockets.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    /// Written to by [`Poller::notify`].
    wake: OwnedFd,
}

impl Poller {
    /// A poller that watches nothing yet.
    pub(crate) fn new() -> io::Result<Self> {
        let poller = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        };
        poller.add(poller.wake.as_fd(), WAKE, Interest::Read)?;
        Ok(poller)
    }

    /// One whose waits fail.
    #[cfg(test)]
    pub(crate) fn broken() -> io::Result<Self> {
        Ok(Self {
            epoll: std::fs::File::open("/dev/null")?.into(),
            ..Self::new()?
        })
    }

    pub(super) fn add(
        &self,
        source: BorrowedFd<'_>,
        key: usize,
        interest: Interest,
    ) -> io::Result<()> {
        let data = EventData::new_u64(key as u64);
        Ok(epoll::add(&self.epoll, source, data, flags(interest))?)
    }

    pub(super) fn modify(
        &self,
        source: BorrowedFd<'_>,
        key: usize,
        interest: Interest,
    ) -> io::Result<()> {
        let data = EventData::new_u64(key as u64);
        Ok(epoll::modify(&self.epoll, source, data, flags(interest))?)
    }

    pub(super) fn delete(&self, source: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// Waits until something is ready, a notice comes or the time has passed.
    /// A caught signal may end it early, too.
    pub(crate) fn wait(&self, ready: &mut Ready, timeout: Option<Duration>) -> io::Result<()> {
        ready.events.clear();
        let timeout = timeout.map(whole_milliseconds);
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut ready.events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let wake = WAKE as u64;
        if ready.events.iter().any(|event| event.data.u64() == wake) {
            // One read empties it, however many notices there were.
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
        Ok(())
    }

    /// Ends the wait of this moment, or the next one.
    pub(crate) fn notify(&self) -> io::Result<()> {
        match rustix::io::write(&self.wake, &1_u64.to_ne_bytes()) {
            // Full: it has been notified often enough.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// What a wait found.
pub(crate) struct Ready {
    events: Vec<Event>,
}

impl Ready {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self {
            events: Vec::with_capacity(MOST),
        }
    }

    /// The keys of the sockets that are ready.
    pub(crate) fn keys(&self) -> impl Iterator<Item = usize> {
        self.events
            .iter()
            .map(|event| event.data.u64() as usize)
            .filter(|key| *key != WAKE)
    }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        // Once: a hang-up that is not acted on would be reported without end.
        Interest::Nothing => EventFlags::ONESHOT,
        Interest::Read => EventFlags::IN,
        Interest::Write => EventFlags::OUT,
        Interest::Both => EventFlags::IN | EventFlags::OUT,
    }
}

/// Rounded up, since waking up too early means waking up again at once.
fn whole_milliseconds(time: Duration) -> Timespec {
    let ms = time.min(LONGEST).as_nanos().div_ceil(1_000_000) as i64;
    Timespec {
        tv_sec: ms / 1000,
        tv_nsec: ms % 1000 * 1_000_000,
    }
}
