//! Level-triggered readiness: which sockets can be read or written now.
//!
//! Level-triggered, because an edge that is only partly handled loses data or
//! an end of file. On Linux this is epoll itself: with fifty connections on one
//! processor, the five system calls per wait of the `polling` crate were a
//! quarter of the server's time. Elsewhere `polling` selects the mechanism of
//! the system.

#[cfg_attr(
    any(target_os = "linux", target_os = "android"),
    path = "poller/epoll.rs"
)]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    path = "poller/portable.rs"
)]
mod system;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

pub(crate) use system::{Events, Poller};

/// The token of the waker, which no socket has.
const WAKER: usize = usize::MAX;

/// The maximum number of events that one wait returns.
const MAX_EVENTS: usize = 1024;

/// The readiness to wait for on a socket. Hang-ups and errors are always
/// reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Only hang-ups and errors, which are reported once.
    ErrorsOnly,
    /// The socket has input.
    Read,
    /// The socket accepts output.
    Write,
    /// The socket has input or accepts output.
    ReadWrite,
}

/// A source of events that is registered with a poller as long as this value
/// lives.
#[derive(Debug)]
pub(crate) struct Registered<T: AsFd> {
    source: T,
    poller: Arc<Poller>,
    token: usize,
    interest: Interest,
}

impl<T: AsFd> Registered<T> {
    /// Registers `source`. The poller reports its events with `token`.
    pub(crate) fn new(
        source: T,
        poller: &Arc<Poller>,
        token: usize,
        interest: Interest,
    ) -> io::Result<Self> {
        poller.register(source.as_fd(), token, interest)?;
        Ok(Self {
            source,
            poller: Arc::clone(poller),
            token,
            interest,
        })
    }

    /// Returns the registered source.
    pub(crate) fn get(&self) -> &T {
        &self.source
    }

    /// Changes the readiness to wait for.
    pub(crate) fn set_interest(&mut self, interest: Interest) -> io::Result<()> {
        if interest != self.interest {
            self.poller
                .reregister(self.source.as_fd(), self.token, interest)?;
            self.interest = interest;
        }
        Ok(())
    }

    /// Returns the readiness to wait for.
    pub(crate) fn interest(&self) -> Interest {
        self.interest
    }
}

impl<T: AsFd> Drop for Registered<T> {
    fn drop(&mut self) {
        // Closing the descriptor is not enough: an inherited descriptor may
        // have a duplicate that keeps it registered. The source is registered,
        // so an error here would have no consequence.
        let _ = self.poller.deregister(self.source.as_fd());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn tokens(poller: &Poller, timeout: u64) -> Vec<usize> {
        let mut events = Events::new();
        poller
            .wait(&mut events, Some(Duration::from_millis(timeout)))
            .unwrap();
        events.tokens().collect()
    }

    #[test]
    fn readiness_is_reported_while_it_lasts() {
        let poller = Arc::new(Poller::new().unwrap());
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut registered = Registered::new(near, &poller, 7, Interest::Read).unwrap();
        assert!(tokens(&poller, 0).is_empty());
        far.write_all(b"ab").unwrap();
        assert_eq!(tokens(&poller, 1000), [7]);
        registered.get().read_exact(&mut [0]).unwrap();
        // One byte is left, so the socket is still readable.
        assert_eq!(tokens(&poller, 1000), [7]);
        registered.set_interest(Interest::ErrorsOnly).unwrap();
        assert!(tokens(&poller, 0).is_empty());
        registered.set_interest(Interest::Write).unwrap();
        assert_eq!(tokens(&poller, 1000), [7]);
        registered.set_interest(Interest::ErrorsOnly).unwrap();
        drop(far);
        // A hang-up is reported whatever the interest.
        assert_eq!(tokens(&poller, 1000), [7]);
        assert!(tokens(&poller, 0).is_empty(), "reported more than once");
        drop(registered);
        assert!(tokens(&poller, 0).is_empty());
    }

    #[test]
    fn the_waker_ends_a_wait_without_events() {
        let poller = Arc::new(Poller::new().unwrap());
        poller.wake().unwrap();
        poller.wake().unwrap();
        let mut events = Events::new();
        // Without a timeout, a lost wake-up would hang here.
        poller.wait(&mut events, None).unwrap();
        assert_eq!(events.tokens().count(), 0);
        let other = Arc::clone(&poller);
        let thread = std::thread::spawn(move || other.wake());
        poller.wait(&mut events, None).unwrap();
        thread.join().unwrap().unwrap();
    }
}
