//! The messages that one connection of the load engine sends and receives, as
//! positions in the endless stream that the [`Pattern`] generates. Messages are
//! not stored; the state is two positions, and the send times of the messages
//! in flight, one for each write.

use std::collections::VecDeque;
use std::ops::Range;

use crate::pattern::{MessageId, Pattern};

/// A position in the stream of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    /// The sequence number of the message.
    sequence: u64,
    /// The offset in the message, in bytes.
    offset: usize,
    /// The size of the message, in bytes.
    size: usize,
}

impl Cursor {
    /// Returns the position of the first byte of message `sequence`.
    fn start(pattern: &Pattern, connection: u32, sequence: u64) -> Self {
        Self {
            sequence,
            offset: 0,
            size: pattern.size(MessageId {
                connection,
                sequence,
            }),
        }
    }
}

/// A complete echo of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    /// The send time of its message in nanoseconds, or 0 if it is not recorded.
    pub(crate) sent_at: u64,
    /// The size of the message, in bytes.
    pub(crate) size: usize,
    /// Whether every byte is correct.
    pub(crate) is_correct: bool,
}

/// The result of filling a buffer with bytes to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    /// The number of bytes in the buffer.
    pub(crate) len: usize,
    /// The position after these bytes.
    end: Cursor,
}

/// The positions of one connection in its stream of messages.
#[derive(Debug)]
pub(crate) struct MessageStream {
    connection: u32,
    send: Cursor,
    receive: Cursor,
    /// The sequence number of the first message that may not be sent yet.
    limit: u64,
    /// The send times of the messages in flight, oldest first. Each is for the
    /// messages up to the sequence number in the same pair, exclusive.
    send_times: VecDeque<(u64, u64)>,
    /// Whether to record send times; with a schedule they are not needed.
    is_timed: bool,
    /// Whether the echo received so far is corrupt.
    is_corrupt: bool,
}

impl MessageStream {
    /// Creates a stream that starts with message `sequence`. `is_timed` records
    /// the send time of each message.
    pub(crate) fn new(pattern: &Pattern, connection: u32, sequence: u64, is_timed: bool) -> Self {
        let start = Cursor::start(pattern, connection, sequence);
        Self {
            connection,
            send: start,
            receive: start,
            limit: sequence,
            send_times: VecDeque::new(),
            is_timed,
            is_corrupt: false,
        }
    }

    fn id(&self, sequence: u64) -> MessageId {
        MessageId {
            connection: self.connection,
            sequence,
        }
    }

    /// Returns whether the echo that is being received is corrupt so far.
    pub(crate) fn is_corrupt(&self) -> bool {
        self.is_corrupt
    }

    /// Allows `n` more messages to be sent.
    pub(crate) fn allow(&mut self, n: u64) {
        self.limit += n;
    }

    /// Allows no further message; a partly sent message is completed.
    pub(crate) fn stop(&mut self) {
        self.limit = self.first_unsent();
    }

    /// Returns whether there are bytes to send.
    pub(crate) fn has_unsent(&self) -> bool {
        self.send.sequence < self.limit
    }

    /// Returns the first message without a sent byte.
    fn first_unsent(&self) -> u64 {
        self.send.sequence + u64::from(self.send.offset > 0)
    }

    /// Returns the number of allowed messages that have not been started.
    pub(crate) fn unsent(&self) -> u64 {
        self.limit.saturating_sub(self.first_unsent())
    }

    /// Returns the sequence number of the next expected echo.
    pub(crate) fn next_echo(&self) -> u64 {
        self.receive.sequence
    }

    /// Returns the number of messages in flight, partly sent ones included.
    pub(crate) fn in_flight(&self) -> u64 {
        self.first_unsent() - self.receive.sequence
    }

    /// Fills `out` with the bytes to send next.
    pub(crate) fn fill(&self, pattern: &Pattern, out: &mut [u8]) -> Filled {
        let mut end = self.send;
        let mut len = 0;
        while len < out.len() && end.sequence < self.limit {
            let n = (end.size - end.offset).min(out.len() - len);
            pattern.fill(self.id(end.sequence), end.offset, &mut out[len..len + n]);
            len += n;
            end = self.advance(pattern, end, n);
        }
        Filled { len, end }
    }

    fn advance(&self, pattern: &Pattern, mut cursor: Cursor, n: usize) -> Cursor {
        cursor.offset += n;
        if cursor.offset == cursor.size {
            cursor = Cursor::start(pattern, self.connection, cursor.sequence + 1);
        }
        cursor
    }

    /// Records that the first `n` bytes from [`Self::fill`] were sent at `now`.
    /// Returns the messages that start among them.
    pub(crate) fn mark_sent(
        &mut self,
        pattern: &Pattern,
        filled: Filled,
        mut n: usize,
        now: u64,
    ) -> Range<u64> {
        let before = self.first_unsent();
        if n == filled.len {
            self.send = filled.end;
        } else {
            while n > 0 {
                let step = (self.send.size - self.send.offset).min(n);
                self.send = self.advance(pattern, self.send, step);
                n -= step;
            }
        }
        let after = self.first_unsent();
        if self.is_timed && after > before {
            self.send_times.push_back((now, after));
        }
        before..after
    }

    /// Returns the send time of the oldest message in flight, `sequence`, and
    /// removes it if it is not needed for the next one.
    fn take_time(&mut self, sequence: u64) -> u64 {
        let Some(&(time, end)) = self.send_times.front() else {
            return 0;
        };
        if sequence + 1 == end {
            self.send_times.pop_front();
        }
        time
    }

    /// Compares received bytes and calls `on_echo` for each complete message.
    /// Returns `false` if the peer has sent more bytes than it received.
    pub(crate) fn receive(
        &mut self,
        pattern: &Pattern,
        mut bytes: &[u8],
        mut on_echo: impl FnMut(Echo),
    ) -> bool {
        while !bytes.is_empty() {
            let n = (self.receive.size - self.receive.offset).min(bytes.len());
            let is_ahead = self.receive.sequence > self.send.sequence
                || self.receive.sequence == self.send.sequence
                    && self.receive.offset + n > self.send.offset;
            if is_ahead {
                return false;
            }
            let id = self.id(self.receive.sequence);
            self.is_corrupt |= !pattern.matches(id, self.receive.offset, &bytes[..n]);
            bytes = &bytes[n..];
            let Cursor { size, sequence, .. } = self.receive;
            self.receive = self.advance(pattern, self.receive, n);
            if self.receive.offset == 0 {
                on_echo(Echo {
                    sent_at: self.take_time(sequence),
                    size,
                    is_correct: !self.is_corrupt,
                });
                self.is_corrupt = false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Sizes;
    use proptest::prelude::*;

    /// Sends `messages` over a simulated connection that transfers `steps` bytes
    /// at a time and changes the echo with `tamper`. Returns the numbers of
    /// correct and of wrong echoes, and whether the peer sent no excess bytes.
    fn run(
        sizes: Sizes,
        messages: u64,
        steps: &[usize],
        tamper: impl Fn(&mut Vec<u8>),
    ) -> (u64, u64, bool) {
        let pattern = Pattern::new(7, sizes);
        let mut stream = MessageStream::new(&pattern, 3, 0, true);
        stream.allow(messages);
        let mut wire = Vec::new();
        for (now, &step) in steps.iter().cycle().enumerate() {
            if !stream.has_unsent() {
                break;
            }
            let mut out = vec![0; step];
            let filled = stream.fill(&pattern, &mut out);
            // The connection accepts all of it or a part.
            let n = filled.len.div_ceil(now % 2 + 1);
            stream.mark_sent(&pattern, filled, n, now as u64);
            wire.extend_from_slice(&out[..n]);
        }
        assert_eq!(stream.in_flight(), messages);
        tamper(&mut wire);
        let (mut correct, mut corrupt) = (0, 0);
        let mut rest = &wire[..];
        let mut is_valid = true;
        for &step in steps.iter().cycle() {
            let n = step.min(rest.len());
            if n == 0 {
                break;
            }
            is_valid &= stream.receive(&pattern, &rest[..n], |echo| {
                correct += u64::from(echo.is_correct);
                corrupt += u64::from(!echo.is_correct);
            });
            rest = &rest[n..];
        }
        (correct, corrupt, is_valid)
    }

    fn steps() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(1usize..300, 1..10)
    }

    proptest! {
        #[test]
        fn all_echoes_arrive(min in 1usize..100, more in 0usize..200, messages in 1u64..20, steps in steps()) {
            let sizes = Sizes { min, max: min + more };
            prop_assert_eq!(run(sizes, messages, &steps, |_| {}), (messages, 0, true));
        }

        #[test]
        fn one_wrong_byte_is_one_wrong_echo(
            min in 1usize..100, messages in 1u64..20, steps in steps(), at: prop::sample::Index,
        ) {
            let sizes = Sizes { min, max: min };
            let result = run(sizes, messages, &steps, |wire| {
                let at = at.index(wire.len());
                wire[at] ^= 0x40;
            });
            prop_assert_eq!(result, (messages - 1, 1, true));
        }

        #[test]
        fn a_lost_byte_is_detected(messages in 2u64..20, steps in steps(), at: prop::sample::Index) {
            let sizes = Sizes { min: 16, max: 64 };
            let (correct, _, _) = run(sizes, messages, &steps, |wire| {
                wire.remove(at.index(wire.len()));
            });
            prop_assert!(correct < messages);
        }

        #[test]
        fn extra_bytes_are_detected(messages in 1u64..20, steps in steps()) {
            let (correct, corrupt, is_valid) = run(Sizes::default(), messages, &steps, |wire| wire.push(0));
            prop_assert_eq!((correct, corrupt, is_valid), (messages, 0, false));
        }
    }

    #[test]
    fn a_message_has_the_send_time_of_its_first_byte() {
        let pattern = Pattern::new(0, Sizes { min: 10, max: 10 });
        let mut stream = MessageStream::new(&pattern, 0, 0, true);
        let mut wire = Vec::new();
        // Two and a half messages, two pieces of the half, and three messages.
        for (now, allow, n, started) in [
            (100, 3, 25, 0..3),
            (200, 0, 3, 3..3),
            (300, 0, 2, 3..3),
            (400, 3, 30, 3..6),
        ] {
            stream.allow(allow);
            let mut out = [0; 100];
            let filled = stream.fill(&pattern, &mut out);
            assert_eq!(stream.mark_sent(&pattern, filled, n, now), started);
            wire.extend_from_slice(&out[..n]);
        }
        let mut times = Vec::new();
        for piece in wire.chunks(7) {
            assert!(stream.receive(&pattern, piece, |echo| times.push(echo.sent_at)));
        }
        assert_eq!(times, [100, 100, 100, 400, 400, 400]);
        assert!(stream.send_times.is_empty());
    }

    #[test]
    fn a_stop_completes_the_message_that_is_sent_in_part() {
        let pattern = Pattern::new(0, Sizes { min: 10, max: 10 });
        let mut stream = MessageStream::new(&pattern, 0, 0, true);
        stream.allow(5);
        let mut out = [0; 100];
        let filled = stream.fill(&pattern, &mut out);
        stream.mark_sent(&pattern, filled, 13, 1);
        assert_eq!(stream.unsent(), 3);
        stream.stop();
        assert_eq!(stream.unsent(), 0);
        let filled = stream.fill(&pattern, &mut out);
        assert_eq!(filled.len, 7);
        stream.mark_sent(&pattern, filled, 7, 2);
        assert!(!stream.has_unsent());
        assert_eq!(stream.in_flight(), 2);
    }
}
