//! Matches echoes with the messages of a run, and counts received, corrupt and
//! lost messages. It does no I/O; times are durations since the start.
//!
//! On a stream, echoes arrive in the order of the messages. So bytes belong to
//! the oldest incomplete message, even if it has timed out: it is lost, and its
//! echo is late. A datagram contains the sequence number of its message
//! ([`crate::tag`]). If it cannot, because the message was given or is too short,
//! it counts as the echo of the latest message that it can match.
//!
//! Every message is counted once: as received, corrupt, lost, or in flight at
//! the end. If the peer never replies, memory is bounded by [`MAX_HISTORY`] and
//! [`MAX_IN_FLIGHT`].

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::tag::Tags;

mod matching;
mod outstanding;

use outstanding::{Outstanding, OutstandingQueue};

/// The number of timed-out messages that are kept for a late echo, and of
/// answered messages that are kept for a duplicate.
const MAX_HISTORY: usize = 65_536;

/// The number of bytes of the timed-out messages that are kept. A single larger
/// message is also kept.
const MAX_HISTORY_BYTES: usize = 4 << 20;

/// The number of messages that may be in flight.
const MAX_IN_FLIGHT: usize = 65_536;

/// The number of bytes that may be in flight. A single larger message may be,
/// too.
const MAX_IN_FLIGHT_BYTES: usize = 64 << 20;

/// The age at which a message counts as lost at the end of the run, if neither a
/// timeout nor a round-trip time is known.
const DEFAULT_LOSS_AGE: Duration = Duration::from_secs(1);

/// An event of a message or its echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The echo is complete and correct.
    Reply {
        seq: u64,
        bytes: usize,
        rtt: Duration,
        /// Whether the echo of a later message arrived before.
        reordered: bool,
    },
    /// The echo differs, first at `offset`.
    Corrupt {
        seq: u64,
        bytes: usize,
        offset: usize,
        rtt: Duration,
        reordered: bool,
    },
    /// The message has timed out.
    Timeout { seq: u64 },
    /// The echo arrived after the timeout; `offset` is the first difference.
    Late {
        seq: u64,
        bytes: usize,
        rtt: Duration,
        offset: Option<usize>,
    },
    /// A further echo of an answered message arrived.
    Duplicate {
        seq: u64,
        bytes: usize,
        rtt: Duration,
    },
    /// Bytes arrived that belong to no message.
    Stray { bytes: usize },
}

/// The method by which echoes are matched with messages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Matching {
    /// By the order of the bytes in a stream.
    #[default]
    Stream,
    /// By the tags of datagrams.
    Tagged(Tags),
    /// By the contents of datagrams, which may be equal or too short for a tag.
    Untagged,
}

/// The messages of one run or of one connection.
#[derive(Debug, Default)]
pub(crate) struct EchoTracker {
    matching: Matching,
    /// Messages that have timed out. All are older than those in `in_flight`.
    timed_out: OutstandingQueue,
    /// The number of bytes of a stream that belong to timed-out messages that
    /// are no longer kept.
    bytes_to_skip: u64,
    /// Messages in flight. They expire in the order in which they were sent.
    in_flight: OutstandingQueue,
    /// The send times of the latest answered messages, by sequence number.
    answered: HashMap<u64, Duration>,
    /// The keys of `answered` in the order in which they were added.
    answered_order: VecDeque<u64>,
    /// The highest sequence number of an answered message.
    highest_answered_seq: u64,
    /// The sequence number of the latest message.
    last_seq: u64,
    /// The send time of the first message.
    first_sent: Option<Duration>,
    /// The send time of the latest message.
    last_sent: Duration,
    /// The longest round-trip time of a message that did not time out.
    longest_rtt: Option<Duration>,
    /// The number of messages sent.
    pub(crate) sent: u64,
    /// The number of messages with a correct echo before the timeout.
    pub(crate) received: u64,
    /// The number of messages without an echo before the timeout.
    pub(crate) lost: u64,
    /// The number of messages with a wrong echo before the timeout.
    pub(crate) corrupt: u64,
    /// The number of messages that were in flight at the end of the run.
    pub(crate) in_flight_at_end: u64,
    /// The number of received messages with an echo that arrived after the echo
    /// of a later message.
    pub(crate) reordered: u64,
    duplicates: u64,
    strays: u64,
}

impl EchoTracker {
    /// Creates a tracker without messages.
    pub(crate) fn new(matching: Matching) -> Self {
        Self {
            matching,
            ..Self::default()
        }
    }

    /// Adds a message that is about to be sent. It times out at `expires`, which
    /// must not be earlier than for the message before it.
    pub(crate) fn record_sent(
        &mut self,
        seq: u64,
        payload: Rc<[u8]>,
        now: Duration,
        expires: Duration,
    ) {
        self.count_sent(seq, now);
        self.in_flight.push(Outstanding {
            seq,
            payload,
            received: 0,
            difference: None,
            sent: now,
            expires,
        });
    }

    /// Counts a message that could not be sent as lost.
    pub(crate) fn record_send_failure(&mut self, seq: u64, now: Duration) {
        self.count_sent(seq, now);
        self.lost += 1;
    }

    fn count_sent(&mut self, seq: u64, now: Duration) {
        self.sent += 1;
        self.last_seq = seq;
        self.first_sent.get_or_insert(now);
        self.last_sent = now;
    }

    /// Counts an attempt without a message, such as a connect, as received.
    pub(crate) fn record_success(&mut self, now: Duration) {
        self.count_sent(self.last_seq + 1, now);
        self.received += 1;
    }

    /// Counts the messages that have timed out by `now` as lost.
    pub(crate) fn expire(&mut self, now: Duration, events: &mut Vec<Event>) {
        while self.next_expiry().is_some_and(|expiry| expiry <= now)
            && let Some(message) = self.in_flight.take_first()
        {
            self.lost += 1;
            events.push(Event::Timeout { seq: message.seq });
            self.timed_out.push(message);
        }
        self.trim_history();
    }

    /// Removes the oldest timed-out messages if there are too many. Their late
    /// datagrams then count as strays; late bytes of a stream are skipped.
    fn trim_history(&mut self) {
        while self.timed_out.messages.len() > MAX_HISTORY
            || self.timed_out.messages.len() > 1 && self.timed_out.bytes > MAX_HISTORY_BYTES
        {
            let Some(message) = self.timed_out.take_first() else {
                break;
            };
            let size = message.payload.len();
            self.bytes_to_skip += (size - message.received.min(size)) as u64;
        }
    }

    /// Counts all messages in flight as lost, since the connection has failed.
    /// Returns their sequence numbers.
    pub(crate) fn record_connection_failure(&mut self) -> Vec<u64> {
        self.timed_out = OutstandingQueue::default();
        self.bytes_to_skip = 0;
        let OutstandingQueue { messages, .. } = std::mem::take(&mut self.in_flight);
        self.lost += messages.len() as u64;
        messages.iter().map(|message| message.seq).collect()
    }

    /// Ends the run. A message without an echo is lost if it is older than
    /// `timeout` or, if that is `None`, than twice the longest round-trip time.
    /// If nothing was received, all of them are lost. The others are in flight.
    pub(crate) fn finish(&mut self, now: Duration, timeout: Option<Duration>) {
        let max_age = timeout.unwrap_or(match self.longest_rtt {
            Some(longest) => longest.saturating_mul(2),
            None => DEFAULT_LOSS_AGE,
        });
        let OutstandingQueue { messages, .. } = std::mem::take(&mut self.in_flight);
        for message in messages {
            if self.received == 0 || now.saturating_sub(message.sent) >= max_age {
                self.lost += 1;
            } else {
                self.in_flight_at_end += 1;
            }
        }
    }

    /// Returns when the next message times out.
    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        self.in_flight
            .messages
            .front()
            .map(|message| message.expires)
    }

    /// Returns whether no message is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.messages.is_empty()
    }

    /// Returns whether the limits of messages in flight are reached.
    pub(crate) fn is_full(&self) -> bool {
        self.in_flight.messages.len() >= MAX_IN_FLIGHT
            || self.in_flight.bytes >= MAX_IN_FLIGHT_BYTES
    }

    /// Returns the share of lost messages among those that are not in flight,
    /// in percent.
    pub(crate) fn loss_percent(&self) -> f64 {
        let completed = self.received + self.lost + self.corrupt;
        if completed == 0 {
            return 0.0;
        }
        self.lost as f64 * 100.0 / completed as f64
    }

    /// Returns the number of duplicates; `None` if they cannot be detected.
    pub(crate) fn duplicates(&self) -> Option<u64> {
        (!matches!(self.matching, Matching::Untagged)).then_some(self.duplicates)
    }

    /// Returns the number of datagrams, or pieces of a stream, that belong to no
    /// message; `None` if they cannot be detected.
    pub(crate) fn strays(&self) -> Option<u64> {
        (!matches!(self.matching, Matching::Untagged)).then_some(self.strays)
    }

    /// Returns the mean time from one message to the next.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let gaps = u32::try_from(self.sent.checked_sub(1)?).ok()?;
        let time = self.last_sent.saturating_sub(self.first_sent?);
        time.checked_div(gaps)
    }

    /// Returns whether an echo was received and none is lost or corrupt. Stray
    /// datagrams come from other hosts, but extra bytes of a stream come from
    /// the peer and make the run a failure.
    pub(crate) fn is_success(&self) -> bool {
        let has_extra_bytes = matches!(self.matching, Matching::Stream) && self.strays > 0;
        self.received > 0 && self.lost == 0 && self.corrupt == 0 && !has_extra_bytes
    }
}

#[cfg(test)]
#[path = "tracker/tests.rs"]
mod tests;
