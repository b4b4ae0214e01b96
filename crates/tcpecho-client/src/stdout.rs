//! Buffered standard output for an event loop.
//!
//! The descriptor may be shared with other processes, so it stays in blocking
//! mode. A write does not block if `poll` reported the descriptor as writable
//! and a pipe accepts the write atomically. On a terminal the bytes are escaped,
//! since they come from an untrusted peer.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use common::{Error, Result, json, text};
use rustix::event::{PollFd, PollFlags};
use serde::Serialize;

use crate::wait::{ShutdownSignal, Wake};

/// The number of buffered bytes from which on the peer is not read.
const BUFFER_SIZE: usize = 64 * 1024;

/// The size of a write in bytes: `PIPE_BUF` of Linux, up to which POSIX
/// guarantees that a write is atomic.
const WRITE_SIZE: usize = 4096;

/// The size of a write to a terminal, which has a smaller buffer.
const TERMINAL_WRITE_SIZE: usize = 256;

/// Standard output and the bytes that are not written yet.
#[derive(Debug)]
pub(crate) struct StdoutWriter {
    file: File,
    /// Buffered bytes; those before `start` have been written.
    pending: Vec<u8>,
    start: usize,
    is_terminal: bool,
    /// The start of a UTF-8 character that has not arrived completely.
    partial: Vec<u8>,
}

impl StdoutWriter {
    /// Creates a writer to `fd`; bytes are escaped if it is a terminal.
    pub(crate) fn new(fd: OwnedFd, is_terminal: bool) -> Self {
        Self {
            file: fd.into(),
            pending: Vec::new(),
            start: 0,
            is_terminal,
            partial: Vec::new(),
        }
    }

    /// Returns whether the buffer accepts more bytes.
    pub(crate) fn has_room(&self) -> bool {
        self.pending.len() - self.start < BUFFER_SIZE
    }

    /// Returns whether all bytes are written.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.pending.len()
    }

    /// Buffers bytes of the peer.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.compact();
        if !self.is_terminal {
            self.pending.extend_from_slice(bytes);
            return;
        }
        self.partial.extend_from_slice(bytes);
        let complete = self.partial.len() - incomplete_length(&self.partial);
        let escaped = text::escape_body(&self.partial[..complete]);
        self.pending.extend_from_slice(escaped.as_bytes());
        self.partial.drain(..complete);
    }

    /// Buffers a record as a line of JSON.
    pub(crate) fn record(&mut self, record: &impl Serialize) -> Result<()> {
        self.compact();
        Ok(json::write_line(&mut self.pending, record)?)
    }

    fn compact(&mut self) {
        self.pending.drain(..self.start);
        self.start = 0;
    }

    /// Returns the descriptor with the events to poll for.
    pub(crate) fn poll_fd(&self) -> PollFd<'_> {
        // Even without an event to wait for, a closed pipe is reported.
        let flags = if self.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        PollFd::from_borrowed_fd(self.file.as_fd(), flags)
    }

    /// Writes once if `poll` reported the descriptor as writable. Fails if the
    /// reader has closed it.
    pub(crate) fn handle_revents(&mut self, revents: PollFlags) -> Result<()> {
        if revents.is_empty() {
            return Ok(());
        }
        if self.is_empty() {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        let size = if self.is_terminal {
            TERMINAL_WRITE_SIZE
        } else {
            WRITE_SIZE
        };
        let end = self.pending.len().min(self.start + size);
        match self.file.write(&self.pending[self.start..end]) {
            Ok(n) => self.start += n,
            // Another process may have made the descriptor non-blocking.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(e) => return Err(Error::from(e)),
        }
        Ok(())
    }

    /// Writes all buffered bytes. A signal ends this; after a signal, only
    /// bytes that can be written without waiting are written.
    pub(crate) fn finish(&mut self, shutdown: &ShutdownSignal) -> Result<()> {
        let deadline = (shutdown.requests() > 0).then(Instant::now);
        let rest = std::mem::take(&mut self.partial);
        self.pending
            .extend_from_slice(text::escape_body(&rest).as_bytes());
        while !self.is_empty() {
            let mut fds = vec![self.poll_fd()];
            if shutdown.wait(&mut fds, deadline)? != Wake::Ready {
                break;
            }
            let revents = fds[0].revents();
            self.handle_revents(revents)?;
        }
        Ok(())
    }
}

/// Returns the length of an incomplete UTF-8 character at the end of `bytes`.
fn incomplete_length(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    for (back, &byte) in tail.iter().rev().enumerate() {
        let length = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return 0,
        };
        return if back + 1 < length { back + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    #[test]
    fn an_incomplete_character_at_the_end_is_found() {
        for (bytes, length) in [
            (&b"abc"[..], 0),
            ("é".as_bytes(), 0),
            (&"é".as_bytes()[..1], 1),
            (&"€".as_bytes()[..2], 2),
            (&"𝄞".as_bytes()[..3], 3),
            (b"\xff", 0),
            (b"\x80\x80\x80", 0),
            (b"", 0),
        ] {
            assert_eq!(incomplete_length(bytes), length, "{bytes:?}");
        }
    }

    /// Writes `chunks` through a pipe and returns the bytes that arrive.
    fn written(is_terminal: bool, chunks: &[Vec<u8>]) -> Vec<u8> {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut stdout = StdoutWriter::new(writer.into(), is_terminal);
        thread_local!(static SHUTDOWN: ShutdownSignal = ShutdownSignal::new().unwrap());
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        for chunk in chunks {
            stdout.push(chunk);
        }
        SHUTDOWN.with(|shutdown| stdout.finish(shutdown)).unwrap();
        drop(stdout);
        reading.join().unwrap().unwrap()
    }

    proptest! {
        #[test]
        fn bytes_are_written_unchanged(chunks: Vec<Vec<u8>>) {
            prop_assert_eq!(written(false, &chunks), chunks.concat());
        }

        #[test]
        fn bytes_for_a_terminal_are_escaped_however_they_are_split(chunks: Vec<Vec<u8>>) {
            let expected = text::escape_body(&chunks.concat()).into_owned();
            prop_assert_eq!(written(true, &chunks), expected.into_bytes());
        }
    }
}
