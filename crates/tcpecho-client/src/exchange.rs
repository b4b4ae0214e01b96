//! An exchange as a state machine without I/O and without a clock: it decides
//! what to send, how much to read, whether the reply is correct, and when the
//! exchange is done. [`crate::relay`] moves the bytes and reports events.
//!
//! Bytes that were sent and are not echoed yet are kept in a window of at most
//! [`WINDOW`] bytes. So memory does not grow with the message, even if the peer
//! reads everything and returns nothing.

use std::collections::VecDeque;
use std::fmt;

use crate::connection;

/// The number of bytes that may be sent ahead of their echo. The buffers of
/// both ends hold fewer at their default limits, so only a peer that collects
/// the message before it replies reaches this limit.
pub(crate) const WINDOW: usize = 32 << 20;

/// The reply that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The bytes that were sent.
    Echo,
    /// This text; the exchange ends at the first difference.
    Text(Vec<u8>),
    /// Any bytes, until the peer ends its side.
    Any,
}

/// The first byte of a reply that differs from the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The offset in the reply, from 0.
    pub(crate) offset: u64,
    /// The expected byte; `None` if the reply is longer than expected.
    pub(crate) expected: Option<u8>,
    pub(crate) actual: u8,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "differs at offset {}: expected ", self.offset)?;
        match self.expected {
            Some(byte) => fmt_byte(f, byte)?,
            None => f.write_str("the end")?,
        }
        f.write_str(", got ")?;
        fmt_byte(f, self.actual)
    }
}

/// Writes `0x61 'a'`, or only the number if the byte is not printable.
fn fmt_byte(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    write!(f, "0x{byte:02x}")?;
    if byte.is_ascii_graphic() {
        write!(f, " '{}'", char::from(byte))?;
    }
    Ok(())
}

/// The result of comparing the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The reply is complete and equals the expected one.
    Correct,
    /// The reply differs from the expected one.
    Differs(Difference),
    /// The reply is correct so far, but bytes are missing.
    Incomplete,
}

/// The state of one exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    rule: Rule,
    /// Whether the sending side is shut down at the end of the input.
    half_close: bool,
    /// Whether input is also sent after the peer's end of file.
    send_after_peer_eof: bool,
    /// Whether the transport has no end of file.
    without_eof: bool,
    /// Whether message and reply are one datagram each, of any length.
    datagram: bool,
    /// Whether the datagram was sent; it may be empty.
    datagram_sent: bool,
    /// Input that is not sent yet, from `start` on.
    outgoing: Vec<u8>,
    start: usize,
    /// The bytes expected next: the window, or the rest of the text.
    expected: VecDeque<u8>,
    /// The number of bytes expected in all; `None` before the end of the input.
    expected_total: Option<u64>,
    sent: u64,
    received: u64,
    input_ended: bool,
    half_closed: bool,
    peer_ended: bool,
    /// The number of bytes sent before the peer's end of file.
    sent_before_peer_eof: u64,
    difference: Option<Difference>,
    /// Whether the reply starts with a TLS alert.
    is_tls_alert: bool,
}

impl Exchange {
    /// Creates an exchange without input.
    pub(crate) fn new(rule: Rule) -> Self {
        let expected: VecDeque<u8> = match &rule {
            Rule::Text(text) => text.iter().copied().collect(),
            Rule::Echo | Rule::Any => VecDeque::new(),
        };
        Self {
            expected_total: matches!(rule, Rule::Text(_)).then_some(expected.len() as u64),
            rule,
            half_close: false,
            send_after_peer_eof: false,
            without_eof: false,
            datagram: false,
            datagram_sent: false,
            outgoing: Vec::new(),
            start: 0,
            expected,
            sent: 0,
            received: 0,
            input_ended: false,
            half_closed: false,
            peer_ended: false,
            sent_before_peer_eof: 0,
            difference: None,
            is_tls_alert: false,
        }
    }

    /// Shuts down the sending side at the end of the input.
    pub(crate) fn half_close(mut self) -> Self {
        self.half_close = true;
        self
    }

    /// Continues to send input after the peer's end of file.
    pub(crate) fn send_after_peer_eof(mut self) -> Self {
        self.send_after_peer_eof = true;
        self
    }

    /// Ends an exchange with [`Rule::Any`] when as many bytes have been
    /// received as were sent, since datagrams have no end of file.
    pub(crate) fn without_eof(mut self) -> Self {
        self.without_eof = true;
        self
    }

    /// Sends the message as one datagram and expects one as the reply, even if
    /// they are empty.
    pub(crate) fn datagram(mut self) -> Self {
        self.datagram = true;
        self
    }

    /// Returns whether message and reply are datagrams.
    pub(crate) fn is_datagram(&self) -> bool {
        self.datagram
    }

    /// Returns whether to send an empty datagram now. Call [`Self::mark_sent`]
    /// afterwards.
    pub(crate) fn wants_empty_datagram(&self) -> bool {
        self.datagram && !self.datagram_sent && self.input_ended && self.unsent().is_empty()
    }

    /// Returns whether the peer has ended its side and only further input can
    /// continue the exchange.
    pub(crate) fn waits_only_for_input(&self) -> bool {
        self.peer_ended && !self.input_ended && self.unsent().is_empty()
    }

    /// Returns whether to read more input: one chunk at a time.
    pub(crate) fn wants_input(&self) -> bool {
        !self.input_ended
            && self.unsent().is_empty()
            && (!self.peer_ended || self.send_after_peer_eof)
    }

    /// Adds input. An empty chunk does not end it.
    pub(crate) fn push_input(&mut self, bytes: Vec<u8>) {
        if self.unsent().is_empty() {
            self.outgoing = bytes;
            self.start = 0;
        } else {
            self.outgoing.extend_from_slice(&bytes);
        }
    }

    /// Records the end of the input.
    pub(crate) fn end_input(&mut self) {
        self.input_ended = true;
        if self.rule == Rule::Echo {
            self.expected_total = Some(self.sent + self.unsent().len() as u64);
        }
    }

    pub(crate) fn input_has_ended(&self) -> bool {
        self.input_ended
    }

    /// Returns the input that is not sent yet.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.outgoing[self.start..]
    }

    /// Returns the unsent input that fits into the window.
    pub(crate) fn sendable(&self) -> &[u8] {
        let room = match self.rule {
            Rule::Echo => WINDOW.saturating_sub(self.expected.len()),
            Rule::Text(_) | Rule::Any => usize::MAX,
        };
        let unsent = self.unsent();
        &unsent[..unsent.len().min(room)]
    }

    /// Returns whether the window is full and sending waits for an echo.
    pub(crate) fn is_window_full(&self) -> bool {
        !self.unsent().is_empty() && self.sendable().is_empty()
    }

    /// Records that the first `n` bytes of [`Self::sendable`] were sent.
    pub(crate) fn mark_sent(&mut self, n: usize) {
        let end = (self.start + n).min(self.outgoing.len());
        if self.rule == Rule::Echo {
            self.expected.extend(&self.outgoing[self.start..end]);
        }
        self.datagram_sent = true;
        self.sent += (end - self.start) as u64;
        self.start = end;
        if self.unsent().is_empty() {
            self.outgoing = Vec::new();
            self.start = 0;
        }
    }

    /// Returns whether to shut down the sending side now. Call
    /// [`Self::mark_half_closed`] afterwards.
    pub(crate) fn wants_half_close(&self) -> bool {
        self.half_close && !self.half_closed && self.input_ended && self.unsent().is_empty()
    }

    /// Records that the sending side was shut down.
    pub(crate) fn mark_half_closed(&mut self) {
        self.half_closed = true;
    }

    /// Returns how many bytes to read at most. If the length of the reply is
    /// known, further bytes of the peer are never read.
    pub(crate) fn read_limit(&self) -> usize {
        match self.rule {
            _ if self.peer_ended => 0,
            _ if self.datagram => usize::MAX,
            Rule::Any => usize::MAX,
            Rule::Echo | Rule::Text(_) => self.expected.len(),
        }
    }

    /// Compares bytes of the reply.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        if self.received == 0 {
            self.is_tls_alert = connection::is_tls_alert(bytes);
        }
        if self.rule != Rule::Any {
            self.compare(bytes);
        }
        self.received += bytes.len() as u64;
    }

    fn compare(&mut self, bytes: &[u8]) {
        let n = bytes.len().min(self.expected.len());
        if self.difference.is_none() {
            let (front, back) = self.expected.as_slices();
            let split = n.min(front.len());
            let is_equal = bytes[..split] == front[..split] && bytes[split..n] == back[..n - split];
            if !is_equal || n < bytes.len() {
                let at = (0..bytes.len())
                    .find(|&i| self.expected.get(i) != Some(&bytes[i]))
                    .unwrap_or(n);
                self.difference = Some(Difference {
                    offset: self.received + at as u64,
                    expected: self.expected.get(at).copied(),
                    actual: bytes[at],
                });
            }
        }
        self.expected.drain(..n);
    }

    /// Records the peer's end of file.
    pub(crate) fn peer_eof(&mut self) {
        self.peer_ended = true;
        self.sent_before_peer_eof = self.sent;
    }

    /// Returns whether bytes were sent after the peer's end of file.
    pub(crate) fn sent_after_peer_eof(&self) -> bool {
        self.peer_ended && !self.datagram && self.sent > self.sent_before_peer_eof
    }

    /// Records that the received bytes were a complete datagram, with which
    /// the reply ends.
    pub(crate) fn end_of_datagram(&mut self) {
        if self.rule != Rule::Any {
            self.peer_ended = true;
        }
    }

    /// Returns whether there is nothing left to send and to receive.
    pub(crate) fn is_done(&self) -> bool {
        let all_sent = self.input_ended && self.unsent().is_empty();
        let half_close_done = !self.half_close || self.half_closed;
        match self.rule {
            Rule::Echo | Rule::Text(_) if self.datagram => {
                self.peer_ended || self.difference.is_some()
            }
            Rule::Echo => self.peer_ended || all_sent && self.expected.is_empty(),
            Rule::Text(_) => {
                self.peer_ended || self.difference.is_some() || self.expected.is_empty()
            }
            Rule::Any if self.without_eof => all_sent && self.received >= self.sent,
            Rule::Any => {
                self.peer_ended && (!self.send_after_peer_eof || all_sent && half_close_done)
            }
        }
    }

    /// Returns the result of comparing the bytes received so far.
    pub(crate) fn verdict(&self) -> Verdict {
        match self.difference {
            Some(difference) => Verdict::Differs(difference),
            None if self.rule == Rule::Any => Verdict::Correct,
            None if Some(self.received) == self.expected_total => Verdict::Correct,
            None => Verdict::Incomplete,
        }
    }

    /// Returns whether the reply starts with a TLS alert.
    pub(crate) fn is_tls_alert(&self) -> bool {
        self.is_tls_alert
    }

    pub(crate) fn bytes_sent(&self) -> u64 {
        self.sent
    }

    pub(crate) fn bytes_received(&self) -> u64 {
        self.received
    }

    /// Returns the progress for error messages: `3 of 14 bytes`, or `3 bytes`
    /// if the length of the reply is not known.
    pub(crate) fn progress(&self) -> String {
        match self.expected_total {
            Some(expected_total) => format!("{} of {expected_total} bytes", self.received),
            None => format!("{} bytes", self.received),
        }
    }
}

#[cfg(test)]
#[path = "exchange/tests.rs"]
mod tests;
