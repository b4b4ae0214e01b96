//! What one connection of the load engine says and hears, as cursors into a
//! stream that the [`Pattern`] makes: nothing is stored but two positions and
//! when the messages that are on their way were sent, once for each write.

use std::collections::VecDeque;
use std::ops::Range;

use crate::pattern::{Id, Pattern};

/// A place in the stream of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    /// The message.
    sequence: u64,
    /// The byte in it.
    offset: usize,
    /// Its size.
    size: usize,
}

impl Cursor {
    fn start(pattern: &Pattern, connection: u32, sequence: u64) -> Self {
        Self {
            sequence,
            offset: 0,
            size: pattern.size(Id {
                connection,
                sequence,
            }),
        }
    }
}

/// An echo that has come back as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    /// When its message was sent, or was to be sent, in nanoseconds.
    pub(crate) since: u64,
    /// Its size in bytes.
    pub(crate) size: usize,
    /// Whether every byte was right.
    pub(crate) right: bool,
}

/// What is to be sent next, and where in the stream that ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    /// How many bytes it is.
    pub(crate) len: usize,
    end: Cursor,
}

/// The state of one connection's stream.
#[derive(Debug)]
pub(crate) struct Talk {
    connection: u32,
    send: Cursor,
    receive: Cursor,
    /// Messages before this one may be sent.
    allowed: u64,
    /// The times of the messages sent and not yet back, oldest first, each
    /// with the first message it is not for; empty where they follow from a
    /// schedule.
    times: VecDeque<(u64, u64)>,
    timed: bool,
    /// Whether the message being received has differed so far.
    wrong: bool,
}

impl Talk {
    /// A stream that begins with message `sequence`. `timed` remembers when
    /// each message was sent.
    pub(crate) fn new(pattern: &Pattern, connection: u32, sequence: u64, timed: bool) -> Self {
        let start = Cursor::start(pattern, connection, sequence);
        Self {
            connection,
            send: start,
            receive: start,
            allowed: sequence,
            times: VecDeque::new(),
            timed,
            wrong: false,
        }
    }

    fn id(&self, sequence: u64) -> Id {
        Id {
            connection: self.connection,
            sequence,
        }
    }

    /// Allows `n` more messages.
    pub(crate) fn allow(&mut self, n: u64) {
        self.allowed += n;
    }

    /// Allows no message that has not been begun.
    pub(crate) fn stop(&mut self) {
        self.allowed = self.begun();
    }

    /// Whether something is to be sent.
    pub(crate) fn has_unsent(&self) -> bool {
        self.send.sequence < self.allowed
    }

    /// The first message of which nothing has been sent.
    fn begun(&self) -> u64 {
        self.send.sequence + u64::from(self.send.offset > 0)
    }

    /// Messages that were allowed and have not been begun.
    pub(crate) fn unsent(&self) -> u64 {
        self.allowed.saturating_sub(self.begun())
    }

    /// The message whose echo comes next.
    pub(crate) fn awaited(&self) -> u64 {
        self.receive.sequence
    }

    /// Messages sent, also in part, whose echo is not complete.
    pub(crate) fn outstanding(&self) -> u64 {
        self.begun() - self.receive.sequence
    }

    /// Fills `out` with what is to be sent next.
    pub(crate) fn fill(&self, pattern: &Pattern, out: &mut [u8]) -> Filled {
        let mut end = self.send;
        let mut len = 0;
        while len < out.len() && end.sequence < self.allowed {
            let n = (end.size - end.offset).min(out.len() - len);
            pattern.fill(self.id(end.sequence), end.offset, &mut out[len..len + n]);
            len += n;
            end = self.advanced(pattern, end, n);
        }
        Filled { len, end }
    }

    fn advanced(&self, pattern: &Pattern, mut cursor: Cursor, n: usize) -> Cursor {
        cursor.offset += n;
        if cursor.offset == cursor.size {
            cursor = Cursor::start(pattern, self.connection, cursor.sequence + 1);
        }
        cursor
    }

    /// The first `n` bytes of what [`Self::fill`] gave were sent at `now`; the
    /// messages whose first byte was among them.
    pub(crate) fn wrote(
        &mut self,
        pattern: &Pattern,
        filled: Filled,
        mut n: usize,
        now: u64,
    ) -> Range<u64> {
        let before = self.begun();
        if n == filled.len {
            self.send = filled.end;
        } else {
            while n > 0 {
                let step = (self.send.size - self.send.offset).min(n);
                self.send = self.advanced(pattern, self.send, step);
                n -= step;
            }
        }
        if self.timed && self.begun() > before {
            self.times.push_back((now, self.begun()));
        }
        before..self.begun()
    }

    /// When a message was sent whose echo is complete; the oldest of all.
    fn time_of(&mut self, sequence: u64) -> u64 {
        let Some(&(time, end)) = self.times.front() else {
            return 0;
        };
        if sequence + 1 == end {
            self.times.pop_front();
        }
        time
    }

    /// Bytes have come; `echo` is told of each message that is complete.
    /// `false` if there are more than were sent: the peer made them up.
    pub(crate) fn received(
        &mut self,
        pattern: &Pattern,
        mut bytes: &[u8],
        mut echo: impl FnMut(Echo),
    ) -> bool {
        while !bytes.is_empty() {
            let n = (self.receive.size - self.receive.offset).min(bytes.len());
            let ahead = self.receive.sequence > self.send.sequence
                || self.receive.sequence == self.send.sequence
                    && self.receive.offset + n > self.send.offset;
            if ahead {
                return false;
            }
            let id = self.id(self.receive.sequence);
            self.wrong |= !pattern.matches(id, self.receive.offset, &bytes[..n]);
            bytes = &bytes[n..];
            let Cursor { size, sequence, .. } = self.receive;
            self.receive = self.advanced(pattern, self.receive, n);
            if self.receive.offset == 0 {
                echo(Echo {
                    since: self.time_of(sequence),
                    size,
                    right: !self.wrong,
                });
                self.wrong = false;
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

    /// Sends `messages` over a line that takes and gives the given numbers of
    /// bytes, with `spoil` applied to everything that came back; returns how
    /// many echoes were right and wrong.
    fn run(
        sizes: Sizes,
        messages: u64,
        steps: &[usize],
        spoil: impl Fn(&mut Vec<u8>),
    ) -> (u64, u64, bool) {
        let pattern = Pattern::new(7, sizes);
        let mut talk = Talk::new(&pattern, 3, 0, true);
        talk.allow(messages);
        let mut line = Vec::new();
        for (now, &step) in steps.iter().cycle().enumerate() {
            if !talk.has_unsent() {
                break;
            }
            let mut out = vec![0; step];
            let filled = talk.fill(&pattern, &mut out);
            // All of it or a part only.
            let n = filled.len.div_ceil(now % 2 + 1);
            talk.wrote(&pattern, filled, n, now as u64);
            line.extend_from_slice(&out[..n]);
        }
        assert_eq!(talk.outstanding(), messages);
        spoil(&mut line);
        let (mut right, mut wrong) = (0, 0);
        let mut rest = &line[..];
        let mut sane = true;
        for &step in steps.iter().cycle() {
            let n = step.min(rest.len());
            if n == 0 {
                break;
            }
            sane &= talk.received(&pattern, &rest[..n], |echo| {
                right += u64::from(echo.right);
                wrong += u64::from(!echo.right);
            });
            rest = &rest[n..];
        }
        (right, wrong, sane)
    }

    fn steps() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(1usize..300, 1..10)
    }

    proptest! {
        #[test]
        fn all_come_back(min in 1usize..100, more in 0usize..200, messages in 1u64..20, steps in steps()) {
            let sizes = Sizes { min, max: min + more };
            prop_assert_eq!(run(sizes, messages, &steps, |_| {}), (messages, 0, true));
        }

        #[test]
        fn one_wrong_byte_is_one_wrong_message(
            min in 1usize..100, messages in 1u64..20, steps in steps(), at: prop::sample::Index,
        ) {
            let sizes = Sizes { min, max: min };
            let spoiled = run(sizes, messages, &steps, |line| {
                let at = at.index(line.len());
                line[at] ^= 0x40;
            });
            prop_assert_eq!(spoiled, (messages - 1, 1, true));
        }

        #[test]
        fn a_lost_byte_never_passes(messages in 2u64..20, steps in steps(), at: prop::sample::Index) {
            let sizes = Sizes { min: 16, max: 64 };
            let (right, _, _) = run(sizes, messages, &steps, |line| {
                line.remove(at.index(line.len()));
            });
            prop_assert!(right < messages);
        }

        #[test]
        fn bytes_made_up_are_seen(messages in 1u64..20, steps in steps()) {
            let (right, wrong, sane) = run(Sizes::default(), messages, &steps, |line| line.push(0));
            prop_assert_eq!((right, wrong, sane), (messages, 0, false));
        }
    }

    #[test]
    fn each_message_has_the_time_of_its_first_byte() {
        let pattern = Pattern::new(0, Sizes { min: 10, max: 10 });
        let mut talk = Talk::new(&pattern, 0, 0, true);
        let mut line = Vec::new();
        // Two and a half messages, the half in two pieces, three.
        for (now, allow, n, begun) in [
            (100, 3, 25, 0..3),
            (200, 0, 3, 3..3),
            (300, 0, 2, 3..3),
            (400, 3, 30, 3..6),
        ] {
            talk.allow(allow);
            let mut out = [0; 100];
            let filled = talk.fill(&pattern, &mut out);
            assert_eq!(talk.wrote(&pattern, filled, n, now), begun);
            line.extend_from_slice(&out[..n]);
        }
        let mut since = Vec::new();
        for piece in line.chunks(7) {
            assert!(talk.received(&pattern, piece, |echo| since.push(echo.since)));
        }
        assert_eq!(since, [100, 100, 100, 400, 400, 400]);
        assert!(talk.times.is_empty());
    }

    #[test]
    fn a_stop_lets_the_begun_message_end() {
        let pattern = Pattern::new(0, Sizes { min: 10, max: 10 });
        let mut talk = Talk::new(&pattern, 0, 0, true);
        talk.allow(5);
        let mut out = [0; 100];
        let filled = talk.fill(&pattern, &mut out);
        talk.wrote(&pattern, filled, 13, 1);
        assert_eq!(talk.unsent(), 3);
        talk.stop();
        assert_eq!(talk.unsent(), 0);
        let filled = talk.fill(&pattern, &mut out);
        assert_eq!(filled.len, 7);
        talk.wrote(&pattern, filled, 7, 2);
        assert!(!talk.has_unsent());
        assert_eq!(talk.outstanding(), 2);
    }
}
