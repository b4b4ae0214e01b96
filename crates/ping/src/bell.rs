//! A descriptor by which a thread wakes the engine's loop (eventfd).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use common::{Error, Result};
use rustix::event::{EventfdFlags, eventfd};

/// Clones share the descriptor.
#[derive(Clone, Debug)]
pub(crate) struct Bell(Arc<OwnedFd>);

impl Bell {
    /// A bell that has not rung.
    pub(crate) fn new() -> Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let fd = eventfd(0, flags).map_err(|e| Error::local(&io::Error::from(e)))?;
        Ok(Self(Arc::new(fd)))
    }

    /// Makes the descriptor readable.
    pub(crate) fn ring(&self) {
        // It fails only when it has rung 2^64 times unheard.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Makes it unreadable again, until the next ring.
    pub(crate) fn silence(&self) {
        // An error means that it had not rung.
        let _ = rustix::io::read(&*self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
