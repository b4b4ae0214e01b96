//! One exchange as a state machine: what to send, how much to read, whether
//! what came back is right, and when it is over. It knows no socket and no
//! clock; [`crate::pump`] moves the bytes and tells it what happened.
//!
//! What has been sent and has not come back is kept in a window of at most
//! [`WINDOW`] bytes, so memory does not grow with the message, also if the peer
//! takes everything and returns nothing.

use std::collections::VecDeque;
use std::fmt;

/// Bytes that may be sent ahead of their echo. More than the buffers of both
/// ends hold at their default limits, so only a peer that collects what it
/// receives reaches it.
pub(crate) const WINDOW: usize = 32 << 20;

/// What may come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The bytes that were sent.
    Echo,
    /// This text; over at the first difference.
    Text(Vec<u8>),
    /// Whatever the peer likes, until it closes.
    Anything,
}

/// The first byte that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Its offset in the reply, from 0.
    pub(crate) offset: u64,
    /// What should be there; `None` past the end of what was expected.
    pub(crate) expected: Option<u8>,
    /// What is there.
    pub(crate) got: u8,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "differs at offset {}: expected ", self.offset)?;
        match self.expected {
            Some(byte) => byte_name(f, byte)?,
            None => f.write_str("the end")?,
        }
        f.write_str(", got ")?;
        byte_name(f, self.got)
    }
}

/// `0x61 'a'`, or the number alone where the character says nothing.
fn byte_name(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    write!(f, "0x{byte:02x}")?;
    if byte.is_ascii_graphic() {
        write!(f, " '{}'", char::from(byte))?;
    }
    Ok(())
}

/// How a finished exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All that was asked for came.
    Right,
    /// Something else came.
    Differs(Difference),
    /// Right so far, but not all.
    Short,
}

/// The state of one exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    rule: Rule,
    /// Whether the end of the input is passed on to the peer.
    half_close: bool,
    /// Whether the input is still sent when the peer has ended its side.
    outlive_peer: bool,
    /// Whether the peer has no way to say that it ends.
    endless: bool,
    /// Whether message and reply are one datagram each, of any length.
    datagram: bool,
    /// Whether that has been sent.
    dispatched: bool,
    /// Taken from the input and not yet sent, from `start` on.
    outgoing: Vec<u8>,
    start: usize,
    /// What must come back next: the window, or the rest of the text.
    expected: VecDeque<u8>,
    /// Bytes expected in all; `None` while the input goes on.
    wanted: Option<u64>,
    sent: u64,
    received: u64,
    input_ended: bool,
    half_closed: bool,
    peer_ended: bool,
    /// Bytes sent when the peer ended its side.
    sent_then: u64,
    difference: Option<Difference>,
}

impl Exchange {
    /// An exchange under a rule, its input yet to come.
    pub(crate) fn new(rule: Rule) -> Self {
        let expected: VecDeque<u8> = match &rule {
            Rule::Text(text) => text.iter().copied().collect(),
            Rule::Echo | Rule::Anything => VecDeque::new(),
        };
        Self {
            wanted: matches!(rule, Rule::Text(_)).then_some(expected.len() as u64),
            rule,
            half_close: false,
            outlive_peer: false,
            endless: false,
            datagram: false,
            dispatched: false,
            outgoing: Vec::new(),
            start: 0,
            expected,
            sent: 0,
            received: 0,
            input_ended: false,
            half_closed: false,
            peer_ended: false,
            sent_then: 0,
            difference: None,
        }
    }

    /// Passes the end of the input on to the peer, as a half-close.
    pub(crate) fn half_close(mut self) -> Self {
        self.half_close = true;
        self
    }

    /// Goes on sending when the peer has ended its side.
    pub(crate) fn outlive_peer(mut self) -> Self {
        self.outlive_peer = true;
        self
    }

    /// Over datagrams, which have no end of file: an exchange of anything is
    /// over when as many bytes have come back as were sent.
    pub(crate) fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// Sends the message as one datagram and takes one as the reply, also if
    /// they are empty.
    pub(crate) fn datagram(mut self) -> Self {
        self.datagram = true;
        self
    }

    /// Whether message and reply are datagrams.
    pub(crate) fn is_datagram(&self) -> bool {
        self.datagram
    }

    /// Whether an empty datagram is to be sent now; answer with
    /// [`Self::wrote`].
    pub(crate) fn owes_datagram(&self) -> bool {
        self.datagram && !self.dispatched && self.input_ended && self.unsent().is_empty()
    }

    /// Whether the peer has ended its side while there is still input to come.
    pub(crate) fn waits_for_input_alone(&self) -> bool {
        self.peer_ended && !self.input_ended && self.unsent().is_empty()
    }

    /// Whether more input is welcome now: one chunk at a time.
    pub(crate) fn wants_input(&self) -> bool {
        !self.input_ended && self.unsent().is_empty() && (!self.peer_ended || self.outlive_peer)
    }

    /// Input has come. An empty chunk is nothing, not the end.
    pub(crate) fn input(&mut self, bytes: Vec<u8>) {
        if self.unsent().is_empty() {
            self.outgoing = bytes;
            self.start = 0;
        } else {
            self.outgoing.extend_from_slice(&bytes);
        }
    }

    /// The input has ended.
    pub(crate) fn input_end(&mut self) {
        self.input_ended = true;
        if self.rule == Rule::Echo {
            self.wanted = Some(self.sent + self.unsent().len() as u64);
        }
    }

    /// Whether the input has ended.
    pub(crate) fn input_has_ended(&self) -> bool {
        self.input_ended
    }

    /// What is left of the input that has been taken.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.outgoing[self.start..]
    }

    /// What of that may be sent now: nothing while [`WINDOW`] bytes are ahead
    /// of their echo.
    pub(crate) fn sendable(&self) -> &[u8] {
        let room = match self.rule {
            Rule::Echo => WINDOW.saturating_sub(self.expected.len()),
            Rule::Text(_) | Rule::Anything => usize::MAX,
        };
        let unsent = self.unsent();
        &unsent[..unsent.len().min(room)]
    }

    /// Whether sending waits for an echo.
    pub(crate) fn is_window_full(&self) -> bool {
        !self.unsent().is_empty() && self.sendable().is_empty()
    }

    /// The first `n` bytes of [`Self::sendable`] are on their way.
    pub(crate) fn wrote(&mut self, n: usize) {
        let end = (self.start + n).min(self.outgoing.len());
        if self.rule == Rule::Echo {
            self.expected.extend(&self.outgoing[self.start..end]);
        }
        self.dispatched = true;
        self.sent += (end - self.start) as u64;
        self.start = end;
        if self.unsent().is_empty() {
            self.outgoing = Vec::new();
            self.start = 0;
        }
    }

    /// Whether the end of file is to be sent now; answer with
    /// [`Self::half_closed`].
    pub(crate) fn wants_half_close(&self) -> bool {
        self.half_close && !self.half_closed && self.input_ended && self.unsent().is_empty()
    }

    /// The end of file has been sent.
    pub(crate) fn half_closed(&mut self) {
        self.half_closed = true;
    }

    /// How many bytes may be read now. Under a rule that says how many are
    /// due no more than those, so that what follows never matters.
    pub(crate) fn read_limit(&self) -> usize {
        match self.rule {
            _ if self.peer_ended => 0,
            _ if self.datagram => usize::MAX,
            Rule::Anything => usize::MAX,
            Rule::Echo | Rule::Text(_) => self.expected.len(),
        }
    }

    /// Bytes have come back.
    pub(crate) fn received(&mut self, bytes: &[u8]) {
        if self.rule != Rule::Anything {
            self.compare(bytes);
        }
        self.received += bytes.len() as u64;
    }

    fn compare(&mut self, bytes: &[u8]) {
        let n = bytes.len().min(self.expected.len());
        if self.difference.is_none() {
            let (front, back) = self.expected.as_slices();
            let split = n.min(front.len());
            let same = bytes[..split] == front[..split] && bytes[split..n] == back[..n - split];
            if !same || n < bytes.len() {
                let at = (0..bytes.len())
                    .find(|&i| self.expected.get(i) != Some(&bytes[i]))
                    .unwrap_or(n);
                self.difference = Some(Difference {
                    offset: self.received + at as u64,
                    expected: self.expected.get(at).copied(),
                    got: bytes[at],
                });
            }
        }
        self.expected.drain(..n);
    }

    /// The peer has ended its side.
    pub(crate) fn peer_end(&mut self) {
        self.peer_ended = true;
        self.sent_then = self.sent;
    }

    /// Whether bytes were sent after the peer had ended its side.
    pub(crate) fn fed_after_the_end(&self) -> bool {
        self.peer_ended && !self.datagram && self.sent > self.sent_then
    }

    /// What came was a whole datagram: no more of the reply will come.
    pub(crate) fn datagram_end(&mut self) {
        if self.rule != Rule::Anything {
            self.peer_ended = true;
        }
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_over(&self) -> bool {
        let all_sent = self.input_ended && self.unsent().is_empty();
        let told = !self.half_close || self.half_closed;
        match self.rule {
            Rule::Echo | Rule::Text(_) if self.datagram => {
                self.peer_ended || self.difference.is_some()
            }
            Rule::Echo => self.peer_ended || all_sent && self.expected.is_empty(),
            Rule::Text(_) => {
                self.peer_ended || self.difference.is_some() || self.expected.is_empty()
            }
            Rule::Anything if self.endless => all_sent && self.received >= self.sent,
            Rule::Anything => self.peer_ended && (!self.outlive_peer || all_sent && told),
        }
    }

    /// How it stands.
    pub(crate) fn verdict(&self) -> Verdict {
        match self.difference {
            Some(difference) => Verdict::Differs(difference),
            None if self.rule == Rule::Anything => Verdict::Right,
            None if Some(self.received) == self.wanted => Verdict::Right,
            None => Verdict::Short,
        }
    }

    /// Bytes sent.
    pub(crate) fn bytes_sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that came back.
    pub(crate) fn bytes_received(&self) -> u64 {
        self.received
    }

    /// How much came of how much, for messages: `3 of 14 bytes`.
    pub(crate) fn progress(&self) -> String {
        match self.wanted {
            Some(wanted) => format!("{} of {wanted} bytes", self.received),
            None => format!("{} bytes", self.received),
        }
    }
}

#[cfg(test)]
#[path = "exchange/tests.rs"]
mod tests;
