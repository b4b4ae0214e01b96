//! Echoes counted one by one: what has been sent, what has come back, what is
//! lost. It knows no socket, and time only as the duration since the start.
//!
//! On a stream the echoes come back in the order of the messages, so the bytes
//! belong to the oldest message that is not complete, also if its time has
//! passed: it is lost then, and its bytes make it late. A datagram belongs to
//! the message it equals.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// How many messages whose time has passed are remembered for a late datagram.
const REMEMBERED: usize = 1024;

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

/// The messages of one run, or of one connection.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Those whose time has passed, all older than the ones below.
    overdue: VecDeque<Row>,
    /// Those that may still be in time, in the order they were sent, which is
    /// the order in which they expire.
    waiting: VecDeque<Row>,
    /// Messages sent.
    pub(crate) sent: u64,
    /// Messages that came back right and in time.
    pub(crate) received: u64,
    /// Messages that did not come back in time, or cannot any more.
    pub(crate) lost: u64,
    /// Messages that came back differing, and pieces nobody had asked for.
    pub(crate) mismatches: u64,
}

impl Ledger {
    /// A message is about to be sent; it is lost at `expires`, not before the
    /// one sent before it.
    pub(crate) fn sent(&mut self, seq: u64, payload: Rc<[u8]>, now: Duration, expires: Duration) {
        self.sent += 1;
        self.waiting.push_back(Row {
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
        while !bytes.is_empty() {
            let late = !self.overdue.is_empty();
            let rows = if late {
                &mut self.overdue
            } else {
                &mut self.waiting
            };
            let Some(row) = rows.front_mut() else {
                self.stray(bytes.len(), events);
                return;
            };
            bytes = row.take(bytes);
            if row.back == row.payload.len()
                && let Some(row) = rows.pop_front()
            {
                self.complete(&row, late, now, events);
            }
        }
    }

    /// A datagram has come.
    pub(crate) fn datagram(&mut self, bytes: &[u8], now: Duration, events: &mut Vec<Event>) {
        let equal = |rows: &VecDeque<Row>| rows.iter().position(|row| *row.payload == *bytes);
        // One that is waited for comes first: where all are alike, a lost one
        // would otherwise take the echo of the next, and that of the one after.
        let (found, late) = if let Some(at) = equal(&self.waiting) {
            (self.waiting.remove(at), false)
        } else if let Some(at) = equal(&self.overdue) {
            (self.overdue.remove(at), true)
        } else {
            (self.waiting.pop_front(), false)
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
            && let Some(row) = self.waiting.pop_front()
        {
            self.lost += 1;
            events.push(Event::Timeout { seq: row.seq });
            self.overdue.push_back(row);
        }
    }

    /// Forgets old lost messages whose datagrams may still come. Not for
    /// streams, where the bytes of each must be passed over.
    pub(crate) fn forget_old(&mut self) {
        let too_many = self.overdue.len().saturating_sub(REMEMBERED);
        self.overdue.drain(..too_many);
    }

    /// The connection is gone: nothing more will come back. Returns the
    /// messages that were lost by it.
    pub(crate) fn cut(&mut self) -> Vec<u64> {
        self.overdue.clear();
        let rows = std::mem::take(&mut self.waiting);
        self.lost += rows.len() as u64;
        rows.iter().map(|row| row.seq).collect()
    }

    /// When the next message expires.
    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        self.waiting.front().map(|row| row.expires)
    }

    /// Whether no message is waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
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
                Event::Stray { bytes: 3 },
            ]
        );
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
        for n in 0..5 * REMEMBERED as u64 {
            ledger.sent(n, b"x"[..].into(), MS(n), MS(n + 10));
            ledger.expire(MS(n), &mut events);
            ledger.forget_old();
        }
        assert!(ledger.overdue.len() <= REMEMBERED && ledger.waiting.len() <= 11);
        assert_eq!(ledger.lost + 10, ledger.sent);
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
