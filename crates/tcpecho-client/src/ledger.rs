//! Echoes counted one by one: what has been sent, what has come back, what is
//! lost. It knows no socket, and time only as the duration since the start.
//!
//! On a stream the echoes come back in the order of the messages, so the bytes
//! belong to the oldest message that is not complete, also if its time has
//! passed: it is lost then, and its bytes make it late. A datagram names its
//! probe ([`crate::tag`]); where it cannot, because the message is given or too
//! short, it belongs to the latest probe that it can answer.
//!
//! Every message has one fate: received, corrupt, lost, or in flight at the end.
//! A peer that never answers costs no more memory than [`REMEMBERED`] and
//! [`WINDOW`] allow.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::tag::{Name, Tags};

/// How many messages whose time has passed are remembered for a late echo, and
/// how many that have been answered for a second one.
const REMEMBERED: usize = 65_536;

/// And how many bytes of those whose time has passed, but for the last one.
const REMEMBERED_BYTES: usize = 4 << 20;

/// How many messages may be waited for at the same time, and with how many
/// bytes; one may always be.
const WINDOW: usize = 65_536;
const WINDOW_BYTES: usize = 64 << 20;

/// Without any round trip seen, how old a message is that is lost at the end.
const UNSEEN: Duration = Duration::from_secs(1);

/// Something that happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The whole echo came back, and right.
    Reply {
        seq: u64,
        bytes: usize,
        rtt: Duration,
        /// After the echo of a later message.
        reordered: bool,
    },
    /// It came back and differs, first at this offset.
    Corrupt {
        seq: u64,
        bytes: usize,
        offset: usize,
        rtt: Duration,
        reordered: bool,
    },
    /// Its time passed.
    Timeout { seq: u64 },
    /// It came back after its time; `offset` is that of the first difference.
    Late {
        seq: u64,
        bytes: usize,
        rtt: Duration,
        offset: Option<usize>,
    },
    /// Its echo came once more.
    Duplicate {
        seq: u64,
        bytes: usize,
        rtt: Duration,
    },
    /// Bytes came that belong to no message.
    Stray { bytes: usize },
}

/// How what comes is matched with what was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Matching {
    /// By the order of the bytes.
    #[default]
    Stream,
    /// Datagrams, by the tag they carry.
    Tagged(Tags),
    /// Datagrams that are alike or too short for a tag.
    Alike,
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

    /// Takes a datagram as the whole echo.
    fn take_whole(&mut self, bytes: &[u8]) {
        self.take(bytes);
        if bytes.len() != self.payload.len() {
            // Cut short or too long: it differs where the shorter one ends.
            let end = bytes.len().min(self.payload.len());
            self.difference = self.difference.or(Some(end));
            self.back = bytes.len();
        }
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

    /// Takes a message by its number.
    fn take(&mut self, seq: u64) -> Option<Row> {
        let at = self.rows.binary_search_by_key(&seq, |row| row.seq).ok()?;
        self.remove(at)
    }

    /// Takes the latest message that is the same.
    fn take_equal(&mut self, bytes: &[u8]) -> Option<Row> {
        let at = self.rows.iter().rposition(|row| *row.payload == *bytes)?;
        self.remove(at)
    }

    /// Takes the latest.
    fn take_last(&mut self) -> Option<Row> {
        self.remove(self.rows.len().checked_sub(1)?)
    }
}

/// The messages of one run, or of one connection.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    matching: Matching,
    /// Those whose time has passed, all older than the ones below.
    overdue: Rows,
    /// Bytes of a stream that belong to still older ones, which are forgotten.
    passed_over: u64,
    /// Those that may still be in time, in the order they were sent, which is
    /// the order in which they expire.
    waiting: Rows,
    /// When those were sent whose datagrams have come, the latest ones, and
    /// the order in which they are forgotten.
    answered: HashMap<u64, Duration>,
    answers: VecDeque<u64>,
    /// The latest message that an echo has come of.
    highest: u64,
    /// The latest message sent.
    last: u64,
    /// When the first and the latest message were sent.
    first_sent: Option<Duration>,
    last_sent: Duration,
    /// The longest round trip in time.
    longest: Option<Duration>,
    /// Messages sent.
    pub(crate) sent: u64,
    /// Messages that came back right and in time.
    pub(crate) received: u64,
    /// Messages that did not come back in time, or cannot any more.
    pub(crate) lost: u64,
    /// Messages that came back in time and differ.
    pub(crate) corrupt: u64,
    /// Messages without a fate when the run ended.
    pub(crate) in_flight: u64,
    /// Those of the received whose echo came after that of a later message.
    pub(crate) reordered: u64,
    /// Echoes that came more than once.
    duplicates: u64,
    /// Datagrams, or pieces of a stream, that belong to no message.
    strays: u64,
}

impl Ledger {
    /// A ledger of messages whose echoes are matched in this way.
    pub(crate) fn new(matching: Matching) -> Self {
        Self {
            matching,
            ..Self::default()
        }
    }

    /// A message is about to be sent; it is lost at `expires`, not before the
    /// one sent before it.
    pub(crate) fn sent(&mut self, seq: u64, payload: Rc<[u8]>, now: Duration, expires: Duration) {
        self.count_sent(seq, now);
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
    pub(crate) fn unsent(&mut self, seq: u64, now: Duration) {
        self.count_sent(seq, now);
        self.lost += 1;
    }

    fn count_sent(&mut self, seq: u64, now: Duration) {
        self.sent += 1;
        self.last = seq;
        self.first_sent.get_or_insert(now);
        self.last_sent = now;
    }

    /// Something that has no echo was tried and came about.
    pub(crate) fn done(&mut self, now: Duration) {
        self.count_sent(self.last + 1, now);
        self.received += 1;
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
        let (row, late) = match self.matching {
            Matching::Tagged(tags) => {
                let (Name::Sure(seq) | Name::Claimed(seq)) = tags.read(bytes, self.last) else {
                    return self.stray(bytes.len(), events);
                };
                if let Some(&sent) = self.answered.get(&seq) {
                    self.duplicates += 1;
                    events.push(Event::Duplicate {
                        seq,
                        bytes: bytes.len(),
                        rtt: now.saturating_sub(sent),
                    });
                    return;
                }
                match self.waiting.take(seq) {
                    Some(row) => (Some(row), false),
                    None => (self.overdue.take(seq), true),
                }
            }
            Matching::Alike | Matching::Stream => {
                if let Some(row) = self.waiting.take_equal(bytes) {
                    (Some(row), false)
                } else if let Some(row) = self.overdue.take_equal(bytes) {
                    (Some(row), true)
                } else {
                    // Nothing like it was sent: the latest one, spoilt.
                    (self.waiting.take_last(), false)
                }
            }
        };
        let Some(mut row) = row else {
            return self.stray(bytes.len(), events);
        };
        row.take_whole(bytes);
        if let Matching::Tagged(_) = self.matching {
            self.remember(row.seq, row.sent);
        }
        self.complete(&row, late, now, events);
    }

    /// Notes that the echo of a message has come, for a second one.
    fn remember(&mut self, seq: u64, sent: Duration) {
        if self.answers.len() >= REMEMBERED
            && let Some(oldest) = self.answers.pop_front()
        {
            self.answered.remove(&oldest);
        }
        self.answers.push_back(seq);
        self.answered.insert(seq, sent);
    }

    /// A datagram has come back as the subject of an ICMP error, whole or cut:
    /// the number of the message it was, which is lost.
    pub(crate) fn refused(&mut self, datagram: &[u8]) -> Option<u64> {
        let row = match self.matching {
            Matching::Tagged(tags) => match tags.read(datagram, self.last) {
                Name::Sure(seq) | Name::Claimed(seq) => self.waiting.take(seq),
                Name::Nothing => None,
            },
            // All alike; the error is about the one longest on its way.
            Matching::Alike | Matching::Stream => self.waiting.pop(),
        }?;
        self.lost += 1;
        Some(row.seq)
    }

    /// Takes back the latest message, which this host did not send; it is lost.
    pub(crate) fn not_sent(&mut self) -> Option<u64> {
        let row = self.waiting.take_last()?;
        self.lost += 1;
        Some(row.seq)
    }

    fn stray(&mut self, bytes: usize, events: &mut Vec<Event>) {
        self.strays += 1;
        events.push(Event::Stray { bytes });
    }

    fn complete(&mut self, row: &Row, late: bool, now: Duration, events: &mut Vec<Event>) {
        let rtt = now.saturating_sub(row.sent);
        let (seq, bytes) = (row.seq, row.back);
        let reordered = seq < self.highest;
        self.highest = self.highest.max(seq);
        if late {
            let offset = row.difference;
            events.push(Event::Late {
                seq,
                bytes,
                rtt,
                offset,
            });
            return;
        }
        if let Some(offset) = row.difference {
            self.corrupt += 1;
            events.push(Event::Corrupt {
                seq,
                bytes,
                offset,
                rtt,
                reordered,
            });
            return;
        }
        self.received += 1;
        self.reordered += u64::from(reordered);
        self.longest = self.longest.max(Some(rtt));
        events.push(Event::Reply {
            seq,
            bytes,
            rtt,
            reordered,
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
            self.passed_over += (row.payload.len() - row.back.min(row.payload.len())) as u64;
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

    /// The run has ended. What has not come back is lost if it has had its
    /// time: `timeout` if that was asked for, else twice the longest round trip
    /// seen; and if nothing came back at all. The rest is in flight.
    pub(crate) fn end(&mut self, now: Duration, timeout: Option<Duration>) {
        let patience = timeout.unwrap_or(match self.longest {
            Some(longest) => longest.saturating_mul(2),
            None => UNSEEN,
        });
        let Rows { rows, .. } = std::mem::take(&mut self.waiting);
        for row in rows {
            if self.received == 0 || now.saturating_sub(row.sent) >= patience {
                self.lost += 1;
            } else {
                self.in_flight += 1;
            }
        }
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
        let known = self.received + self.lost + self.corrupt;
        if known == 0 {
            return 0.0;
        }
        self.lost as f64 * 100.0 / known as f64
    }

    /// Echoes that came more than once; unknown where they cannot be told.
    pub(crate) fn duplicates(&self) -> Option<u64> {
        (!matches!(self.matching, Matching::Alike)).then_some(self.duplicates)
    }

    /// What came and belongs to no message; unknown where that cannot be told.
    pub(crate) fn strays(&self) -> Option<u64> {
        (!matches!(self.matching, Matching::Alike)).then_some(self.strays)
    }

    /// The mean time from one message to the next.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let gaps = u32::try_from(self.sent.checked_sub(1)?).ok()?;
        let time = self.last_sent.saturating_sub(self.first_sent?);
        time.checked_div(gaps)
    }

    /// Whether something came back, and nothing is lost or wrong. A datagram
    /// from elsewhere is no fault of the peer; bytes too many of a stream are.
    pub(crate) fn all_right(&self) -> bool {
        let made_up = matches!(self.matching, Matching::Stream) && self.strays > 0;
        self.received > 0 && self.lost == 0 && self.corrupt == 0 && !made_up
    }
}

#[cfg(test)]
#[path = "ledger/tests.rs"]
mod tests;
