//! The send buffer of one connection: bytes that wait until the peer reads, or
//! until their delay has passed.
//!
//! An empty buffer owns no heap memory. Bytes are sent in the order in which
//! they were added; each piece may have a time before which it is held back.

use std::collections::VecDeque;
use std::time::Duration;

/// Bytes in order: first those that may be sent, then delayed pieces.
#[derive(Debug, Default)]
pub(crate) struct SendBuffer {
    bytes: Vec<u8>,
    /// The offset in `bytes` up to which everything has been sent.
    start: usize,
    /// The number of bytes from `start` on that may be sent now.
    sendable: usize,
    /// The due times and lengths of the delayed pieces, in order.
    delayed: VecDeque<(Duration, usize)>,
}

impl SendBuffer {
    /// Returns the number of bytes in the buffer, delayed or not.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of delayed pieces.
    pub(crate) fn delayed_pieces(&self) -> usize {
        self.delayed.len()
    }

    /// Returns the bytes that may be sent now.
    pub(crate) fn sendable(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.sendable]
    }

    /// Adds bytes that may be sent as soon as those before them.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        debug_assert!(
            self.delayed.is_empty(),
            "a piece without delay after a delayed one"
        );
        self.bytes.extend_from_slice(bytes);
        self.sendable += bytes.len();
    }

    /// Adds bytes to be held back until `due`, or until the piece before them
    /// is due, whichever is later.
    pub(crate) fn push_delayed(&mut self, bytes: &[u8], due: Duration) {
        if bytes.is_empty() {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        let last = self.delayed.back().map_or(due, |(last, _)| *last);
        self.delayed.push_back((due.max(last), bytes.len()));
    }

    /// Makes the delayed pieces sendable that are due at `now`.
    pub(crate) fn release_due(&mut self, now: Duration) {
        while let Some(&(due, len)) = self.delayed.front() {
            if due > now {
                break;
            }
            self.sendable += len;
            self.delayed.pop_front();
        }
    }

    /// Returns when the next delayed piece is due.
    pub(crate) fn next_release(&self) -> Option<Duration> {
        self.delayed.front().map(|(due, _)| *due)
    }

    /// Removes the first `n` sendable bytes, which have been sent.
    pub(crate) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.sendable, "more bytes sent than were sendable");
        self.start += n;
        self.sendable -= n;
        if self.is_empty() {
            self.bytes = Vec::new();
            self.delayed = VecDeque::new();
            self.start = 0;
        } else if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Push(Vec<u8>, u64),
        Advance(u64),
        Send(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (prop::collection::vec(any::<u8>(), 0..40), 0..50_u64)
                .prop_map(|(bytes, delay)| Op::Push(bytes, delay)),
            (0..30_u64).prop_map(Op::Advance),
            (0..60_usize).prop_map(Op::Send),
        ]
    }

    proptest! {
        #[test]
        fn bytes_keep_their_order_and_their_delays(ops in prop::collection::vec(op(), 0..80)) {
            let mut buffer = SendBuffer::default();
            let (mut now, mut pushed, mut sent) = (0, Vec::new(), Vec::new());
            let mut due = Vec::new();
            for op in ops {
                match op {
                    Op::Push(bytes, delay) => {
                        buffer.push_delayed(&bytes, Duration::from_millis(now + delay));
                        due.extend(std::iter::repeat_n(now + delay, bytes.len()));
                        pushed.extend(bytes);
                    }
                    Op::Advance(ms) => now += ms,
                    Op::Send(most) => {
                        buffer.release_due(Duration::from_millis(now));
                        let n = most.min(buffer.sendable().len());
                        sent.extend_from_slice(&buffer.sendable()[..n]);
                        buffer.consume(n);
                    }
                }
                prop_assert_eq!(buffer.len(), pushed.len() - sent.len());
                prop_assert!(pushed.starts_with(&sent));
                prop_assert!(due[..sent.len()].iter().all(|due| *due <= now));
                prop_assert!(buffer.start <= buffer.bytes.len() / 2, "sent bytes are kept");
            }
            buffer.release_due(Duration::from_secs(3600));
            prop_assert_eq!(buffer.sendable(), &pushed[sent.len()..]);
            prop_assert_eq!(buffer.next_release(), None);
        }
    }

    #[test]
    fn an_empty_buffer_owns_no_heap_memory() {
        let mut buffer = SendBuffer::default();
        buffer.push(b"abc");
        buffer.consume(3);
        buffer.push_delayed(b"abc", Duration::ZERO);
        buffer.release_due(Duration::ZERO);
        buffer.consume(3);
        assert_eq!((buffer.bytes.capacity(), buffer.delayed.capacity()), (0, 0));
    }
}
