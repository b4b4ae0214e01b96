//! Messages that wait for their echo, in the order in which they were sent.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// A message without a complete echo.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) seq: u64,
    pub(super) payload: Rc<[u8]>,
    /// The number of bytes that are echoed.
    pub(super) received: usize,
    /// The offset of the first byte that differs.
    pub(super) difference: Option<usize>,
    /// The time of the send, since the start of the run.
    pub(super) sent: Duration,
    /// The time at which the message is lost, since the start of the run.
    pub(super) expires: Duration,
}

impl Outstanding {
    /// Compares the first bytes of `bytes` with the rest of this message, and
    /// returns the bytes after them.
    pub(super) fn receive<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let n = bytes.len().min(self.payload.len() - self.received);
        let expected = &self.payload[self.received..self.received + n];
        if self.difference.is_none() && expected != &bytes[..n] {
            let at = (0..n).find(|&i| expected[i] != bytes[i]).unwrap_or(0);
            self.difference = Some(self.received + at);
        }
        self.received += n;
        &bytes[n..]
    }

    /// Compares a datagram with the entire message.
    pub(super) fn receive_datagram(&mut self, bytes: &[u8]) {
        self.receive(bytes);
        if bytes.len() != self.payload.len() {
            // The first byte after the end of the shorter one differs.
            let end = bytes.len().min(self.payload.len());
            self.difference = self.difference.or(Some(end));
            self.received = bytes.len();
        }
    }
}

/// Outstanding messages, the oldest first, with the sum of their sizes.
#[derive(Debug, Default)]
pub(super) struct OutstandingQueue {
    pub(super) messages: VecDeque<Outstanding>,
    pub(super) bytes: usize,
}

impl OutstandingQueue {
    pub(super) fn push(&mut self, message: Outstanding) {
        self.bytes += message.payload.len();
        self.messages.push_back(message);
    }

    /// Removes the oldest message.
    pub(super) fn take_first(&mut self) -> Option<Outstanding> {
        self.remove(0)
    }

    /// Removes the latest message.
    pub(super) fn take_last(&mut self) -> Option<Outstanding> {
        self.remove(self.messages.len().checked_sub(1)?)
    }

    /// Removes the message with this sequence number.
    pub(super) fn take(&mut self, seq: u64) -> Option<Outstanding> {
        let index = self
            .messages
            .binary_search_by_key(&seq, |message| message.seq);
        self.remove(index.ok()?)
    }

    /// Removes the latest message with a payload equal to `bytes`.
    pub(super) fn take_equal(&mut self, bytes: &[u8]) -> Option<Outstanding> {
        let is_equal = |message: &Outstanding| *message.payload == *bytes;
        self.remove(self.messages.iter().rposition(is_equal)?)
    }

    fn remove(&mut self, index: usize) -> Option<Outstanding> {
        let message = self.messages.remove(index)?;
        self.bytes -= message.payload.len();
        Some(message)
    }
}
