//! A descriptor by which another thread ends the wait of an event loop.
//!
//! On Linux it is an eventfd: one descriptor, and one system call resets it. Other
//! systems have a socket pair.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Wakes the thread that polls its descriptor. Clones share the descriptor.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Descriptor>);

impl Waker {
    /// Creates a waker with a descriptor that is not readable yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Descriptor::new()?)))
    }

    /// Makes the descriptor readable.
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Makes the descriptor unreadable until the next call of [`Waker::wake`].
    pub fn reset(&self) {
        self.0.reset();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use eventfd::Descriptor;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use pair::Descriptor;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod eventfd {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    #[derive(Debug)]
    pub(super) struct Descriptor(OwnedFd);

    impl Descriptor {
        pub(super) fn new() -> io::Result<Self> {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            Ok(Self(eventfd(0, flags)?))
        }

        pub(super) fn wake(&self) {
            // A write fails only if the counter of the eventfd overflows, and then
            // the descriptor is readable anyway.
            let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }

        pub(super) fn reset(&self) {
            // EAGAIN means that no wake-up was pending.
            let _ = rustix::io::read(&self.0, &mut [0; 8]);
        }
    }

    impl AsFd for Descriptor {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
mod pair {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;

    #[derive(Debug)]
    pub(super) struct Descriptor {
        reader: UnixStream,
        writer: UnixStream,
    }

    impl Descriptor {
        pub(super) fn new() -> io::Result<Self> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Self { reader, writer })
        }

        pub(super) fn wake(&self) {
            // A write fails only if the pair is full, and then the descriptor is
            // readable anyway.
            let _ = (&self.writer).write(&[0]);
        }

        pub(super) fn reset(&self) {
            let mut bytes = [0; 64];
            while matches!((&self.reader).read(&mut bytes), Ok(n) if n > 0) {}
        }
    }

    impl AsFd for Descriptor {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.reader.as_fd()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_readable(fd: &impl AsFd) -> bool {
        let mut fds = [PollFd::new(fd, PollFlags::IN)];
        let now = Timespec::default();
        poll(&mut fds, Some(&now)).unwrap() == 1
    }

    macro_rules! check {
        ($descriptor:expr) => {
            let descriptor = $descriptor.unwrap();
            descriptor.reset();
            assert!(!is_readable(&descriptor));
            for _ in 0..100_000 {
                descriptor.wake();
            }
            assert!(is_readable(&descriptor));
            descriptor.reset();
            assert!(!is_readable(&descriptor));
            descriptor.wake();
            assert!(is_readable(&descriptor));
        };
    }

    #[test]
    fn any_number_of_wake_ups_is_reset_at_once() {
        check!(Waker::new());
        check!(pair::Descriptor::new());
    }

    #[test]
    fn a_clone_wakes_another_thread() {
        let waker = Waker::new().unwrap();
        let other = waker.clone();
        let thread = std::thread::spawn(move || other.wake());
        poll(&mut [PollFd::new(&waker, PollFlags::IN)], None).unwrap();
        thread.join().unwrap();
    }
}
