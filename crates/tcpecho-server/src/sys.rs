//! The one place with unsafe code: sockets watched by a poller, and
//! descriptors that the parent process handed down by number.
#![allow(
    unsafe_code,
    reason = "registering with a poller and owning inherited descriptors need promises the compiler cannot check"
)]

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "sys/batch.rs")]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    path = "sys/single.rs"
)]
pub(crate) mod datagrams;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use polling::{Event, PollMode, Poller};

use crate::machine::Interest;

/// Something with a descriptor, registered level-triggered with a poller for
/// as long as this value lives.
#[derive(Debug)]
pub(crate) struct Watched<T: AsFd> {
    source: T,
    poller: Arc<Poller>,
    key: usize,
    interest: Interest,
}

impl<T: AsFd> Watched<T> {
    /// Registers `source`; its events carry `key`.
    pub(crate) fn new(
        source: T,
        poller: &Arc<Poller>,
        key: usize,
        interest: Interest,
    ) -> io::Result<Self> {
        let event = event(key, interest);
        // SAFETY: the source is owned by the value made here, which never
        // hands it out but by shared reference, and whose drop deletes it
        // from the poller before the descriptor closes.
        unsafe {
            poller.add_with_mode(source.as_fd().as_raw_fd(), event, PollMode::Level)?;
        }
        Ok(Self {
            source,
            poller: Arc::clone(poller),
            key,
            interest,
        })
    }

    /// The source itself.
    pub(crate) fn get(&self) -> &T {
        &self.source
    }

    /// Waits for something else from now on.
    pub(crate) fn set(&mut self, interest: Interest) -> io::Result<()> {
        if interest != self.interest {
            let event = event(self.key, interest);
            self.poller
                .modify_with_mode(self.source.as_fd(), event, PollMode::Level)?;
            self.interest = interest;
        }
        Ok(())
    }

    /// What it waits for.
    pub(crate) fn interest(&self) -> Interest {
        self.interest
    }
}

impl<T: AsFd> Drop for Watched<T> {
    fn drop(&mut self) {
        // It was registered, so this can only fail where it does not matter.
        let _ = self.poller.delete(self.source.as_fd());
    }
}

fn event(key: usize, interest: Interest) -> Event {
    match interest {
        Interest::Nothing => Event::none(key),
        Interest::Read => Event::readable(key),
        Interest::Write => Event::writable(key),
    }
}

/// Takes ownership of an inherited descriptor, once for each number. An error
/// if there is none: what this process opened itself is closed on exec, what
/// it inherited cannot be, so the two are told apart by that flag.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: borrowed for the length of this call only, and only to ask
    // whether it is open; fcntl answers EBADF otherwise.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = rustix::io::fcntl_getfd(borrowed)?;
    if flags.contains(rustix::io::FdFlags::CLOEXEC) {
        return Err(rustix::io::Errno::BADF.into());
    }
    rustix::io::fcntl_setfd(borrowed, flags | rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: it is open, it was opened by the parent and not by this process,
    // and from now on it carries the flag that keeps it from being taken again.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
