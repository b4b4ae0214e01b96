//! Signals as something a loop can wait for.
//!
//! A caught signal sets a flag and makes a descriptor readable, so that an
//! event loop wakes at once; nothing else happens in the handler. Tools that
//! die of signals catch none, or end through [`die_of`].

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};

/// The signals caught by this process.
#[derive(Debug)]
pub struct Signals {
    flags: Vec<(i32, Arc<AtomicBool>)>,
    wake: UnixStream,
}

impl Signals {
    /// Catches these signals from now on.
    pub fn catch(signals: &[i32]) -> io::Result<Self> {
        let (wake, write_end) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let mut flags = Vec::with_capacity(signals.len());
        for &signal in signals {
            let flag = Arc::new(AtomicBool::new(false));
            // In this order, so that the flag is up when the loop wakes.
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
            signal_hook::low_level::pipe::register(signal, write_end.try_clone()?)?;
            flags.push((signal, flag));
        }
        Ok(Self { flags, wake })
    }

    /// Whether a signal has come; costs no system call, for loops that do not
    /// wait.
    pub fn pending(&self) -> bool {
        self.flags
            .iter()
            .any(|(_, flag)| flag.load(Ordering::Relaxed))
    }

    /// [`Signals::pending`] for one signal of those that are caught.
    pub fn is_pending(&self, signal: i32) -> bool {
        self.flags
            .iter()
            .any(|(caught, flag)| *caught == signal && flag.load(Ordering::Relaxed))
    }

    /// The signals that came since the last call, each once.
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

/// Readable when a signal has come and [`Signals::take`] has not been called.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Ends the process as the signal does by default, so that the shell sees
/// 130 for SIGINT and 143 for SIGTERM. Returns only if the system refuses.
pub fn die_of(signal: i32) -> io::Result<()> {
    signal_hook::low_level::emulate_default_handler(signal)
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
    fn a_signal_is_seen_once() {
        let signals = Signals::catch(&[SIGUSR1]).unwrap();
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
