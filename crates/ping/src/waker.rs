//! A descriptor (eventfd) by which another thread ends the wait of the engine's
//! event loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use common::{Error, Result};
use rustix::event::{EventfdFlags, eventfd};

/// Wakes the thread that polls its descriptor. Clones share the descriptor.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Creates a waker with a descriptor that is not readable yet.
    pub(crate) fn new() -> Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let fd = eventfd(0, flags).map_err(|e| Error::local(&io::Error::from(e)))?;
        Ok(Self(Arc::new(fd)))
    }

    /// Makes the descriptor readable.
    pub(crate) fn wake(&self) {
        // A write fails only if the eventfd's counter overflows, and then the
        // descriptor is readable anyway.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable until the next call of [`Waker::wake`].
    pub(crate) fn reset(&self) {
        // EAGAIN means that no wake-up was pending.
        let _ = rustix::io::read(&*self.0, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
