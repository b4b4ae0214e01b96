//! Standard output as one party of an event loop: takes bytes at once, hands
//! them over as fast as the reader takes them, and never blocks for long.
//!
//! The descriptor is shared with other processes, so it stays in blocking
//! mode; a write after `poll` of at most what a pipe takes in one piece does
//! not block. On a terminal the bytes are escaped: they come from a stranger.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use common::{Error, Result, json, text};
use rustix::event::{PollFd, PollFlags};
use serde::Serialize;

use crate::wait::{Stop, Woken};

/// Bytes kept before the peer is no longer read.
const ROOM: usize = 64 * 1024;

/// `PIPE_BUF` of Linux; POSIX promises that so much goes in one piece.
const PIECE: usize = 4096;

/// A terminal promises less.
const TERMINAL_PIECE: usize = 256;

/// Standard output with what it has not taken yet.
#[derive(Debug)]
pub(crate) struct Sink {
    file: File,
    pending: Vec<u8>,
    start: usize,
    terminal: bool,
    /// The begin of a character whose rest has not come yet.
    partial: Vec<u8>,
}

impl Sink {
    /// Wraps the descriptor.
    pub(crate) fn new(fd: OwnedFd, terminal: bool) -> Self {
        Self {
            file: fd.into(),
            pending: Vec::new(),
            start: 0,
            terminal,
            partial: Vec::new(),
        }
    }

    /// Whether more should be pushed now.
    pub(crate) fn has_room(&self) -> bool {
        self.pending.len() - self.start < ROOM
    }

    /// Whether everything has been handed over.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.pending.len()
    }

    /// Takes bytes from the peer.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.compact();
        if !self.terminal {
            self.pending.extend_from_slice(bytes);
            return;
        }
        self.partial.extend_from_slice(bytes);
        let whole = self.partial.len() - partial_length(&self.partial);
        let shown = text::escape_body(&self.partial[..whole]);
        self.pending.extend_from_slice(shown.as_bytes());
        self.partial.drain(..whole);
    }

    /// Takes a record, as a line of JSON.
    pub(crate) fn record(&mut self, record: &impl Serialize) -> Result<()> {
        self.compact();
        Ok(json::write_line(&mut self.pending, record)?)
    }

    fn compact(&mut self) {
        self.pending.drain(..self.start);
        self.start = 0;
    }

    /// How it wants to be polled.
    pub(crate) fn poll_fd(&self) -> PollFd<'_> {
        // With nothing to write too: a reader that has gone shows as an error.
        let flags = if self.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        PollFd::from_borrowed_fd(self.file.as_fd(), flags)
    }

    /// Acts on what `poll` said.
    pub(crate) fn polled(&mut self, revents: PollFlags) -> Result<()> {
        if revents.is_empty() {
            return Ok(());
        }
        if self.is_empty() {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        let piece = if self.terminal { TERMINAL_PIECE } else { PIECE };
        let end = self.pending.len().min(self.start + piece);
        match self.file.write(&self.pending[self.start..end]) {
            Ok(n) => self.start += n,
            // Somebody else may have made the descriptor non-blocking.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(e) => return Err(Error::from(e)),
        }
        Ok(())
    }

    /// Hands over all that is left. A signal gives up; after one, only what
    /// is taken at once.
    pub(crate) fn finish(&mut self, stop: &Stop) -> Result<()> {
        let deadline = (stop.requests() > 0).then(Instant::now);
        let rest = std::mem::take(&mut self.partial);
        self.pending
            .extend_from_slice(text::escape_body(&rest).as_bytes());
        while !self.is_empty() {
            let mut fds = vec![self.poll_fd()];
            if stop.wait(&mut fds, deadline)? != Woken::Ready {
                break;
            }
            let revents = fds[0].revents();
            self.polled(revents)?;
        }
        Ok(())
    }
}

/// How many bytes at the end are the begin of an unfinished UTF-8 character.
fn partial_length(bytes: &[u8]) -> usize {
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
    fn unfinished_characters() {
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
            assert_eq!(partial_length(bytes), length, "{bytes:?}");
        }
    }

    fn through(terminal: bool, chunks: &[Vec<u8>]) -> Vec<u8> {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sink = Sink::new(writer.into(), terminal);
        thread_local!(static STOP: Stop = Stop::new().unwrap());
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        for chunk in chunks {
            sink.push(chunk);
        }
        STOP.with(|stop| sink.finish(stop)).unwrap();
        drop(sink);
        reading.join().unwrap().unwrap()
    }

    proptest! {
        #[test]
        fn bytes_pass_as_they_are(chunks: Vec<Vec<u8>>) {
            prop_assert_eq!(through(false, &chunks), chunks.concat());
        }

        #[test]
        fn a_terminal_gets_them_escaped_wherever_they_are_cut(chunks: Vec<Vec<u8>>) {
            let expected = text::escape_body(&chunks.concat()).into_owned();
            prop_assert_eq!(through(true, &chunks), expected.into_bytes());
        }
    }
}
