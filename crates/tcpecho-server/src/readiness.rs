//! Level-triggered readiness: which sockets can be read or written now.
//!
//! Level-triggered, because an edge that is half used up loses data or an end
//! of file. On Linux this is epoll itself: at fifty connections on one
//! processor, a wait of the `polling` crate, five system calls, was a quarter
//! of the server's time. Elsewhere `polling` finds what the system has.

#[cfg_attr(
    any(target_os = "linux", target_os = "android"),
    path = "readiness/epoll.rs"
)]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    path = "readiness/portable.rs"
)]
mod system;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

pub(crate) use system::{Poller, Ready};

/// Carried by no socket: the wake-up of [`Poller::notify`].
const WAKE: usize = usize::MAX;

/// Sockets reported at once.
const MOST: usize = 1024;

/// What to wait for on a socket. Ends and errors are reported always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Nothing but an end or an error, and that once.
    Nothing,
    /// Input.
    Read,
    /// Room for output.
    Write,
    /// Either of the two.
    Both,
}

/// Something with a descriptor, registered with a poller for as long as this
/// value lives.
#[derive(Debug)]
pub(crate) struct Watched<T: AsFd> {
    source: T,
    poller: Arc<Poller>,
    key: usize,
    interest: Interest,
}

impl<T: AsFd> Watched<T> {
    /// Registers `source`; it is reported as `key`.
    pub(crate) fn new(
        source: T,
        poller: &Arc<Poller>,
        key: usize,
        interest: Interest,
    ) -> io::Result<Self> {
        poller.add(source.as_fd(), key, interest)?;
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
            self.poller
                .modify(self.source.as_fd(), self.key, interest)?;
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
        // Closing alone would not do: an inherited descriptor may have a twin
        // that keeps it open and reported. It was registered, so this can
        // only fail where it does not matter.
        let _ = self.poller.delete(self.source.as_fd());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn keys(poller: &Poller, timeout: u64) -> Vec<usize> {
        let mut ready = Ready::new();
        poller
            .wait(&mut ready, Some(Duration::from_millis(timeout)))
            .unwrap();
        ready.keys().collect()
    }

    #[test]
    fn levels_not_edges() {
        let poller = Arc::new(Poller::new().unwrap());
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut watched = Watched::new(near, &poller, 7, Interest::Read).unwrap();
        assert!(keys(&poller, 0).is_empty());
        far.write_all(b"ab").unwrap();
        assert_eq!(keys(&poller, 1000), [7]);
        watched.get().read_exact(&mut [0]).unwrap();
        // Half of it is left, so it is still readable.
        assert_eq!(keys(&poller, 1000), [7]);
        watched.set(Interest::Nothing).unwrap();
        assert!(keys(&poller, 0).is_empty());
        watched.set(Interest::Write).unwrap();
        assert_eq!(keys(&poller, 1000), [7]);
        watched.set(Interest::Nothing).unwrap();
        drop(far);
        // Its end is reported whatever one waits for.
        assert_eq!(keys(&poller, 1000), [7]);
        assert!(keys(&poller, 0).is_empty(), "and only once");
        drop(watched);
        assert!(keys(&poller, 0).is_empty());
    }

    #[test]
    fn a_notice_wakes_and_is_no_socket() {
        let poller = Arc::new(Poller::new().unwrap());
        poller.notify().unwrap();
        poller.notify().unwrap();
        let mut ready = Ready::new();
        // No timeout: it would hang here.
        poller.wait(&mut ready, None).unwrap();
        assert_eq!(ready.keys().count(), 0);
        let other = Arc::clone(&poller);
        let thread = std::thread::spawn(move || other.notify());
        poller.wait(&mut ready, None).unwrap();
        thread.join().unwrap().unwrap();
    }
}
