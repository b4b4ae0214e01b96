//! Echoes counted one by one: what has been sent, what has come back, what is
//! lost. It knows no socket, and time only as the duration since the start.
//!
//! On a stream the echoes come back in the order of the messages, so the bytes
//! belong to the oldest message that is not complete, also if its time has
//! passed: it is lost then, and its bytes make it late. A datagram belongs to
//! the message it equals; to one that has been answered it is a duplicate.
//!
//! A peer that never answers costs no more memory than [`REMEMBERED`] and
//! [`WINDOW`] allow.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;
use std::time::Duration;

/// How many messages whose time has passed are remembered for a late echo, and
/// how many that have been answered for a second one.
const REMEMBERED: usize = 1024;

/// And how many bytes of those whose time has passed, but for the last one.
const REMEMBERED_BYTES: usize = 4 << 20;

/// How many messages may be waited for at the same time, and with how many
/// bytes; one may always be.
const WINDOW: usize = 65_536;
const WINDOW_BYTES: usize = 64 << 20;

/// Something that happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The whole echo came back, and right.
    Reply {
        seq: u64,
        bytes: usize,
        rtt: Duration,
    },
    /// It came back and differs, first at this offset.
    Differs {
        seq: u64,
        bytes: usize,
        offset: usize,
        rtt: Duration,
    },
    /// Its time passed.
    Timeout { seq: u64 },
    /// It came back, right, after its time.
    Late { seq: u64, rtt: Duration },
    /// Its echo came once more.
    Duplicate {
        seq: u64,
        bytes: usize,
        rtt: Duration,
    },
    /// Bytes came that nobody had asked for.
    Stray { bytes: usize },
}

/// A message that is on its way.
#[derive(Debug)]
struct Row {
    seq: u64,
    payload: Rc<[u8]>,
    /// Bytes that have come back.
    back: usize,
    /// The offset of the first that differs.
    difference: Option<usize>,
    sent: Duration,
    expires: Duration,
}

impl Row {
    /// Takes the bytes at the front that belong to this message.
    fn take<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let n = bytes.len().min(self.payload.len() - self.back);
        let expected = &self.payload[self.back..self.back + n];
        if self.difference.is_none() && expected != &bytes[..n] {
            let at = (0..n).find(|&i| expected[i] != bytes[i]).unwrap_or(0);
            self.difference = Some(self.back + at);
        }
        self.back += n;
        &bytes[n..]
    }
}

/// Messages in the order they were sent, and how many bytes they have.
#[derive(Debug, Default)]
struct Rows {
    rows: VecDeque<Row>,
    bytes: usize,
}

impl Rows {
    fn push(&mut self, row: Row) {
        self.bytes += row.payload.len();
        self.rows.push_back(row);
    }

    fn pop(&mut self) -> Option<Row> {
        self.remove(0)
    }

    fn remove(&mut self, at: usize) -> Option<Row> {
        let row = self.rows.remove(at)?;
        self.bytes -= row.payload.len();
        Some(row)
    }

    /// Takes the message that is the same.
    fn take_equal(&mut self, bytes: &[u8]) -> Option<Row> {
        let at = self.rows.iter().position(|row| *row.payload == *bytes)?;
        self.remove(at)
    }
}

/// A datagram that has come.
#[derive(Debug)]
struct Answered {
    seq: u64,
    /// Of its bytes; they themselves are not worth the memory.
    digest: u64,
    sent: Duration,
}

/// The messages of one run, or of one connection.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Those whose time has passed, all older than the ones below.
    overdue: Rows,
    /// Bytes of a stream that belong to still older ones, which are forgotten.
    passed_over: u64,
    /// Those that may still be in time, in the order they were sent, which is
    /// the order in which they expire.
    waiting: Rows,
    /// Datagrams that have come, the latest ones.
    answered: VecDeque<Answered>,
    /// Messages sent.
    pub(crate) sent: u64,
    /// Messages that came back right and in time.
    pub(crate) received: u64,
    /// Messages that did not come back in time, or cannot any more.
    pub(crate) lost: u64,
    /// Messages that came back differing, and pieces nobody had asked for.
    pub(crate) mismatches: u64,
    /// Echoes that came more than once.
    pub(crate) duplicates: u64,
}

impl Ledger {
    /// A message is about to be sent; it is lost at `expires`, not before the
    /// one sent before it.
    pub(crate) fn sent(&mut self, seq: u64, payload: Rc<[u8]>, now: Duration, expires: Duration) {
        self.sent += 1;
        self.waiting.push(Row {
            seq,
            payload,
            back: 0,
            difference: None,
            sent: now,
            expires,
        });
    }

    /// A message that could not even be sent.
    pub(crate) fn unsent(&mut self) {
        self.sent += 1;
        self.lost += 1;
    }

    /// Bytes of a stream have come.
    pub(crate) fn stream(&mut self, mut bytes: &[u8], now: Duration, events: &mut Vec<Event>) {
        let over = usize::try_from(self.passed_over).map_or(bytes.len(), |n| n.min(bytes.len()));
        self.passed_over -= over as u64;
        bytes = &bytes[over..];
        while !bytes.is_empty() {
            let late = !self.overdue.rows.is_empty();
            let rows = if late {
                &mut self.overdue
            } else {
                &mut self.waiting
            };
            let Some(row) = rows.rows.front_mut() else {
                self.stray(bytes.len(), events);
                return;
            };
            bytes = row.take(bytes);
            if row.back == row.payload.len()
                && let Some(row) = rows.pop()
            {
                self.complete(&row, late, now, events);
            }
        }
    }

    /// A datagram has come.
    pub(crate) fn datagram(&mut self, bytes: &[u8], now: Duration, events: &mut Vec<Event>) {
        let digest = digest(bytes);
        // One that is waited for comes first: where all are alike, a lost one
        // would otherwise take the echo of the next, and that of the one after.
        let (found, late) = if let Some(row) = self.waiting.take_equal(bytes) {
            (Some(row), false)
        } else if let Some(row) = self.overdue.take_equal(bytes) {
            (Some(row), true)
        } else if let Some(answered) = self.answered.iter().find(|a| a.digest == digest) {
            self.duplicates += 1;
            events.push(Event::Duplicate {
                seq: answered.seq,
                bytes: bytes.len(),
                rtt: now.saturating_sub(answered.sent),
            });
            return;
        } else {
            // Nothing like it was sent: the oldest one, spoilt on its way.
            (self.waiting.pop(), false)
        };
        let Some(mut row) = found else {
            self.stray(bytes.len(), events);
            return;
        };
        row.take(bytes);
        if bytes.len() != row.payload.len() {
            // Cut short or too long: it differs where the shorter one ends.
            row.difference = row.difference.or(Some(bytes.len().min(row.payload.len())));
            row.back = bytes.len();
        }
        self.answered.truncate(REMEMBERED - 1);
        self.answered.push_front(Answered {
            seq: row.seq,
            digest,
            sent: row.sent,
        });
        self.complete(&row, late, now, events);
    }

    fn stray(&mut self, bytes: usize, events: &mut Vec<Event>) {
        self.mismatches += 1;
        events.push(Event::Stray { bytes });
    }

    fn complete(&mut self, row: &Row, late: bool, now: Duration, events: &mut Vec<Event>) {
        let rtt = now.saturating_sub(row.sent);
        let (seq, bytes) = (row.seq, row.back);
        events.push(match row.difference {
            Some(offset) => {
                // Lost and back, but wrong: it cannot be both.
                self.lost -= u64::from(late);
                self.mismatches += 1;
                Event::Differs {
                    seq,
                    bytes,
                    offset,
                    rtt,
                }
            }
            None if late => Event::Late { seq, rtt },
            None => {
                self.received += 1;
                Event::Reply { seq, bytes, rtt }
            }
        });
    }

    /// Time has passed.
    pub(crate) fn expire(&mut self, now: Duration, events: &mut Vec<Event>) {
        while self.next_expiry().is_some_and(|expiry| expiry <= now)
            && let Some(row) = self.waiting.pop()
        {
            self.lost += 1;
            events.push(Event::Timeout { seq: row.seq });
            self.overdue.push(row);
        }
        self.forget_old();
    }

    /// Forgets old lost messages: late datagrams of theirs come from nowhere
    /// then, and the bytes of a stream are passed over unseen.
    fn forget_old(&mut self) {
        while self.overdue.rows.len() > REMEMBERED
            || self.overdue.rows.len() > 1 && self.overdue.bytes > REMEMBERED_BYTES
        {
            let Some(row) = self.overdue.pop() else { break };
            self.passed_over += (row.payload.len() - row.back) as u64;
        }
    }

    /// The connection is gone: nothing more will come back. Returns the
    /// messages that were lost by it.
    pub(crate) fn cut(&mut self) -> Vec<u64> {
        self.overdue = Rows::default();
        self.passed_over = 0;
        let Rows { rows, .. } = std::mem::take(&mut self.waiting);
        self.lost += rows.len() as u64;
        rows.iter().map(|row| row.seq).collect()
    }

    /// When the next message expires.
    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        self.waiting.rows.front().map(|row| row.expires)
    }

    /// Whether no message is waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.rows.is_empty()
    }

    /// Whether so much is waited for that the next message must wait, too.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.rows.len() >= WINDOW || self.waiting.bytes >= WINDOW_BYTES
    }

    /// Lost ones among those whose fate is known, in percent.
    pub(crate) fn loss_percent(&self) -> f64 {
        let known = self.received + self.lost + self.mismatches;
        if known == 0 {
            return 0.0;
        }
        self.lost as f64 * 100.0 / known as f64
    }

    /// Whether something came back, and nothing is lost or wrong.
    pub(crate) fn all_right(&self) -> bool {
        self.received > 0 && self.lost == 0 && self.mismatches == 0
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn started(payloads: &[&[u8]]) -> Ledger {
        let mut ledger = Ledger::default();
        for (seq, payload) in payloads.iter().enumerate() {
            ledger.sent(seq as u64 + 1, (*payload).into(), MS(0), MS(100));
        }
        ledger
    }

    #[test]
    fn late_on_a_stream_is_lost_and_passed_over() {
        let mut ledger = started(&[b"one", b"two"]);
        let mut events = Vec::new();
        ledger.expire(MS(99), &mut events);
        assert!(events.is_empty());
        ledger.expire(MS(100), &mut events);
        assert_eq!(
            events,
            [Event::Timeout { seq: 1 }, Event::Timeout { seq: 2 }]
        );
        assert!(ledger.is_idle());
        events.clear();
        ledger.sent(3, b"three"[..].into(), MS(150), MS(250));
        ledger.stream(b"onetwothree", MS(200), &mut events);
        let late = |seq| Event::Late { seq, rtt: MS(200) };
        let reply = Event::Reply {
            seq: 3,
            bytes: 5,
            rtt: MS(50),
        };
        assert_eq!(events, [late(1), late(2), reply]);
        assert_eq!((ledger.received, ledger.lost), (1, 2));
        assert!((ledger.loss_percent() - 66.6666).abs() < 0.001);
    }

    #[test]
    fn a_difference_is_no_reply() {
        let mut ledger = started(&[b"one", b"two"]);
        let mut events = Vec::new();
        ledger.stream(b"oneTwo", MS(5), &mut events);
        let reply = Event::Reply {
            seq: 1,
            bytes: 3,
            rtt: MS(5),
        };
        let differs = Event::Differs {
            seq: 2,
            bytes: 3,
            offset: 0,
            rtt: MS(5),
        };
        assert_eq!(events, [reply, differs]);
        ledger.stream(b"more", MS(6), &mut events);
        assert_eq!(events[2], Event::Stray { bytes: 4 });
        assert_eq!((ledger.received, ledger.lost, ledger.mismatches), (1, 0, 2));
        assert!(!ledger.all_right());
    }

    #[test]
    fn datagrams_come_in_any_order() {
        let mut ledger = started(&[b"one", b"two", b"three"]);
        let mut events = Vec::new();
        ledger.datagram(b"three", MS(1), &mut events);
        ledger.datagram(b"one", MS(2), &mut events);
        ledger.datagram(b"tw", MS(3), &mut events);
        ledger.datagram(b"one", MS(4), &mut events);
        assert_eq!(
            events,
            [
                Event::Reply {
                    seq: 3,
                    bytes: 5,
                    rtt: MS(1)
                },
                Event::Reply {
                    seq: 1,
                    bytes: 3,
                    rtt: MS(2)
                },
                Event::Differs {
                    seq: 2,
                    bytes: 2,
                    offset: 2,
                    rtt: MS(3)
                },
                Event::Duplicate {
                    seq: 1,
                    bytes: 3,
                    rtt: MS(4)
                },
            ]
        );
        events.clear();
        ledger.datagram(b"four", MS(5), &mut events);
        assert_eq!(events, [Event::Stray { bytes: 4 }]);
    }

    /// Doubled on its way, also when what was doubled had been spoilt.
    #[test]
    fn a_duplicate_does_not_take_another_ones_place() {
        let mut ledger = started(&[b"one", b"two", b"three"]);
        let mut events = Vec::new();
        for datagram in [&b"one"[..], b"one", b"twx", b"twx", b"three"] {
            ledger.datagram(datagram, MS(1), &mut events);
        }
        let seen: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::Reply { seq, .. } => ("reply", *seq),
                Event::Differs { seq, .. } => ("differs", *seq),
                Event::Duplicate { seq, .. } => ("duplicate", *seq),
                _ => ("other", 0),
            })
            .collect();
        let (reply, differs, duplicate) = ("reply", "differs", "duplicate");
        assert_eq!(
            seen,
            [
                (reply, 1),
                (duplicate, 1),
                (differs, 2),
                (duplicate, 2),
                (reply, 3)
            ]
        );
        assert_eq!((ledger.received, ledger.mismatches), (2, 1));
        assert_eq!((ledger.duplicates, ledger.lost), (2, 0));
    }

    /// The same message each time, the first one lost for good.
    #[test]
    fn a_lost_datagram_does_not_take_the_next_ones_echo() {
        let mut ledger = started(&[b"ping"]);
        let mut events = Vec::new();
        ledger.expire(MS(100), &mut events);
        ledger.sent(2, b"ping"[..].into(), MS(100), MS(200));
        events.clear();
        ledger.datagram(b"ping", MS(101), &mut events);
        let reply = Event::Reply {
            seq: 2,
            bytes: 4,
            rtt: MS(1),
        };
        assert_eq!(events, [reply]);
        // What comes after that is the lost one, late.
        ledger.datagram(b"ping", MS(102), &mut events);
        let late = Event::Late {
            seq: 1,
            rtt: MS(102),
        };
        assert_eq!(events, [reply, late]);
    }

    #[test]
    fn a_peer_that_never_answers_costs_no_memory() {
        let mut ledger = Ledger::default();
        let mut events = Vec::new();
        let last = 5 * REMEMBERED as u64;
        for n in 0..last {
            ledger.sent(n, n.to_be_bytes().to_vec().into(), MS(n), MS(n + 10));
            ledger.expire(MS(n), &mut events);
        }
        assert!(ledger.overdue.rows.len() <= REMEMBERED && ledger.waiting.rows.len() <= 11);
        assert_eq!(ledger.lost + 10, ledger.sent);
        // All that comes after all is told apart, as far as it is remembered.
        let all: Vec<u8> = (0..last).flat_map(u64::to_be_bytes).collect();
        events.clear();
        for piece in all.chunks(1000) {
            ledger.stream(piece, MS(last), &mut events);
        }
        let late = |event: &&Event| matches!(event, Event::Late { .. });
        assert_eq!(events.iter().filter(late).count(), REMEMBERED);
        assert_eq!((ledger.received, ledger.mismatches), (10, 0));
    }

    #[test]
    fn large_messages_are_forgotten_sooner_and_waited_for_in_smaller_numbers() {
        let mut ledger = Ledger::default();
        let mut events = Vec::new();
        let large: Rc<[u8]> = vec![7; WINDOW_BYTES / 4].into();
        for n in 0..4 {
            assert!(!ledger.is_full());
            ledger.sent(n, Rc::clone(&large), MS(0), MS(10));
        }
        assert!(ledger.is_full());
        ledger.expire(MS(10), &mut events);
        assert!(!ledger.is_full());
        assert_eq!((ledger.lost, ledger.overdue.rows.len()), (4, 1));
        events.clear();
        for _ in 0..4 {
            ledger.stream(&large, MS(20), &mut events);
        }
        let rtt = MS(20);
        assert_eq!(events, [Event::Late { seq: 3, rtt }]);
    }

    #[test]
    fn a_cut_loses_what_is_on_its_way() {
        let mut ledger = started(&[b"one", b"two"]);
        let mut events = Vec::new();
        ledger.stream(b"onet", MS(1), &mut events);
        assert_eq!(ledger.cut(), [2]);
        assert_eq!((ledger.received, ledger.lost), (1, 1));
        assert!(ledger.is_idle());
    }

    proptest! {
        #[test]
        fn every_message_has_one_fate(
            sizes in prop::collection::vec(1usize..20, 1..20),
            cuts in prop::collection::vec(1usize..30, 1..20),
            keep: prop::sample::Index,
        ) {
            let payloads: Vec<Vec<u8>> = sizes.iter().map(|&n| vec![n as u8; n]).collect();
            let mut ledger = started(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let all = payloads.concat();
            let mut rest = &all[..keep.index(all.len())];
            let mut events = Vec::new();
            for &cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let n = cut.min(rest.len());
                ledger.stream(&rest[..n], MS(1), &mut events);
                rest = &rest[n..];
            }
            ledger.cut();
            prop_assert_eq!(ledger.mismatches, 0);
            prop_assert_eq!(ledger.received + ledger.lost, ledger.sent);
            prop_assert_eq!(events.len() as u64, ledger.received);
        }
    }
}
