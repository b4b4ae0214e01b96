//! Signals for event loops.
//!
//! The handler of a caught signal only sets a flag and makes a descriptor
//! readable, which wakes an event loop. The descriptor is a socket pair instead of a
//! waker, because a handler of signal-hook writes a single byte, which an eventfd
//! does not accept.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};

/// The caught signals of this process.
#[derive(Debug)]
pub struct Signals {
    flags: Vec<(i32, Arc<AtomicBool>)>,
    wake: UnixStream,
}

impl Signals {
    /// Starts to catch these signals.
    pub fn catch(signals: &[i32]) -> io::Result<Self> {
        let (wake, write_end) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let mut flags = Vec::with_capacity(signals.len());
        for &signal in signals {
            let flag = Arc::new(AtomicBool::new(false));
            // In this order, so that the flag is set when the loop wakes.
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
            signal_hook::low_level::pipe::register(signal, write_end.try_clone()?)?;
            flags.push((signal, flag));
        }
        Ok(Self { flags, wake })
    }

    /// Whether a signal was caught since the last [`Signals::take`]. It makes no
    /// system call, for loops that do not wait.
    pub fn pending(&self) -> bool {
        self.flags
            .iter()
            .any(|(_, flag)| flag.load(Ordering::Relaxed))
    }

    /// Like [`Signals::pending`], for one of the caught signals.
    pub fn is_pending(&self, signal: i32) -> bool {
        self.flags
            .iter()
            .any(|(caught, flag)| *caught == signal && flag.load(Ordering::Relaxed))
    }

    /// Returns the signals caught since the last call, each once.
    pub fn take(&self) -> Vec<i32> {
        let mut bytes = [0; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(n) if n > 0) {}
        self.flags
            .iter()
            .filter(|(_, flag)| flag.swap(false, Ordering::SeqCst))
            .map(|&(signal, _)| signal)
            .collect()
    }
}

/// The descriptor is readable from a signal until the next [`Signals::take`].
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(signals: &Signals) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(signals, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&now)).unwrap() == 1
    }

    #[test]
    fn a_signal_is_returned_once() {
        let signals = Signals::catch(&[SIGUSR1, SIGHUP]).unwrap();
        assert!(signals.take().is_empty());
        assert!(!signals.pending());
        signal_hook::low_level::raise(SIGUSR1).unwrap();
        assert!(signals.pending() && signals.is_pending(SIGUSR1));
        assert!(!signals.is_pending(SIGHUP));
        assert!(is_readable(&signals));
        assert_eq!(signals.take(), [SIGUSR1]);
        assert!(!is_readable(&signals));
        assert!(signals.take().is_empty());
        assert!(!signals.pending());
    }
}
