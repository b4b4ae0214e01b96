//! Waits for descriptors with poll(2). A caught signal ends no wait by itself; the
//! descriptor of [`crate::signal::Signals`] does.

use std::io;
use std::time::{Duration, Instant};

pub use rustix::event::{PollFd, PollFlags};
use rustix::event::{Timespec, poll};
use rustix::io::Errno;

/// Waits until a descriptor is ready or `deadline` has passed, and returns whether
/// one is ready. The `revents` of `fds` say which.
pub fn wait(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if wait_once(fds, left)? {
            return Ok(true);
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(false);
        }
    }
}

/// Like [`wait`], but with a time to wait instead of a deadline, and the wait may end
/// earlier than that without a ready descriptor. For event loops, which check
/// their deadlines after each wait anyway.
pub fn wait_once(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
    // A time too long for a Timespec is waited for without a limit.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(fds, timeout.as_ref()) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => {
            // poll leaves the results of the last call when it fails.
            for fd in fds {
                fd.clear_revents();
            }
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Waker;

    #[test]
    fn a_wait_ends_when_a_descriptor_is_ready() {
        let (ready, idle) = (Waker::new().unwrap(), Waker::new().unwrap());
        ready.wake();
        let mut fds = [&idle, &ready].map(|waker| PollFd::new(waker, PollFlags::IN));
        for deadline in [None, Some(Instant::now())] {
            assert!(wait(&mut fds, deadline).unwrap());
            let is_ready = fds.each_ref().map(|fd| fd.revents() == PollFlags::IN);
            assert_eq!(is_ready, [false, true]);
        }
    }

    #[test]
    fn a_wait_lasts_until_the_deadline() {
        let idle = Waker::new().unwrap();
        let mut fds = [PollFd::new(&idle, PollFlags::IN)];
        let deadline = Instant::now() + Duration::from_millis(20);
        assert!(!wait(&mut fds, Some(deadline)).unwrap());
        assert!(Instant::now() >= deadline);
        assert!(!wait_once(&mut fds, Some(Duration::ZERO)).unwrap());
    }
}
