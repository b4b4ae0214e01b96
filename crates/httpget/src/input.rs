//! Standard input that another thread can cancel.
//!
//! With `-Z` one thread waits for the next URL while others transfer. When
//! standard output is closed, the waiting thread must not delay the end of the
//! run.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use ::net::Waker;
use ::net::poll::{self, PollFd, PollFlags};

/// A reader of standard input that ends when it is cancelled.
#[derive(Debug)]
pub(crate) struct CancellableStdin {
    stdin: File,
    cancelled: Waker,
}

/// The handle that cancels a [`CancellableStdin`].
#[derive(Debug)]
pub(crate) struct Canceller(Waker);

impl CancellableStdin {
    /// Wraps a descriptor, and returns the reader with its handle.
    pub(crate) fn new(stdin: OwnedFd) -> io::Result<(Self, Canceller)> {
        let cancelled = Waker::new()?;
        let canceller = Canceller(cancelled.clone());
        let input = Self {
            stdin: stdin.into(),
            cancelled,
        };
        Ok((input, canceller))
    }
}

impl Read for CancellableStdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut fds = [
            PollFd::new(&self.stdin, PollFlags::IN),
            PollFd::new(&self.cancelled, PollFlags::IN),
        ];
        poll::wait(&mut fds, None)?;
        if !fds[1].revents().is_empty() {
            return Ok(0);
        }
        self.stdin.read(buffer)
    }
}

impl Canceller {
    /// Makes current and later reads return the end of the input.
    pub(crate) fn cancel(&self) {
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_waiting_read_can_be_cancelled() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (mut input, canceller) = CancellableStdin::new(reader.into()).unwrap();
        writer.write_all(b"abc").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(input.read(&mut buffer).unwrap(), 3);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || input.read(&mut [0; 8]).unwrap());
            canceller.cancel();
            assert_eq!(waiting.join().unwrap(), 0);
        });
        drop(writer);
    }
}
