//! The assignment of received bytes and ICMP errors to messages, and the counts
//! and events that result.

use std::time::Duration;

use super::outstanding::Outstanding;
use super::{EchoTracker, Event, MAX_HISTORY, Matching};
use crate::tag::Tag;

impl EchoTracker {
    /// Matches bytes of a stream and appends their events to `events`.
    pub(crate) fn receive_bytes(
        &mut self,
        mut bytes: &[u8],
        now: Duration,
        events: &mut Vec<Event>,
    ) {
        let skipped =
            usize::try_from(self.bytes_to_skip).map_or(bytes.len(), |n| n.min(bytes.len()));
        self.bytes_to_skip -= skipped as u64;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            let is_late = !self.timed_out.messages.is_empty();
            let queue = if is_late {
                &mut self.timed_out
            } else {
                &mut self.in_flight
            };
            let Some(message) = queue.messages.front_mut() else {
                self.record_stray(bytes.len(), events);
                return;
            };
            bytes = message.receive(bytes);
            if message.received == message.payload.len()
                && let Some(message) = queue.take_first()
            {
                self.complete(&message, is_late, now, events);
            }
        }
    }

    /// Matches a datagram and appends its event to `events`.
    pub(crate) fn receive_datagram(
        &mut self,
        bytes: &[u8],
        now: Duration,
        events: &mut Vec<Event>,
    ) {
        let (message, is_late) = match self.matching {
            Matching::Tagged(tags) => {
                let (Tag::Verified(seq) | Tag::Unverified(seq)) = tags.read(bytes, self.last_seq)
                else {
                    return self.record_stray(bytes.len(), events);
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
                match self.in_flight.take(seq) {
                    Some(message) => (Some(message), false),
                    None => (self.timed_out.take(seq), true),
                }
            }
            Matching::Untagged | Matching::Stream => {
                if let Some(message) = self.in_flight.take_equal(bytes) {
                    (Some(message), false)
                } else if let Some(message) = self.timed_out.take_equal(bytes) {
                    (Some(message), true)
                } else {
                    // No message equals it, so the echo of the latest is corrupt.
                    (self.in_flight.take_last(), false)
                }
            }
        };
        let Some(mut message) = message else {
            return self.record_stray(bytes.len(), events);
        };
        message.receive_datagram(bytes);
        if let Matching::Tagged(_) = self.matching {
            self.record_answered(message.seq, message.sent);
        }
        self.complete(&message, is_late, now, events);
    }

    /// Keeps an answered message, so that duplicates of its echo are detected.
    fn record_answered(&mut self, seq: u64, sent: Duration) {
        if self.answered_order.len() >= MAX_HISTORY
            && let Some(oldest) = self.answered_order.pop_front()
        {
            self.answered.remove(&oldest);
        }
        self.answered_order.push_back(seq);
        self.answered.insert(seq, sent);
    }

    /// Counts the message that caused an ICMP error as lost and returns its
    /// sequence number. `datagram` is the message as the error quotes it, which
    /// may be truncated.
    pub(crate) fn record_icmp_error(&mut self, datagram: &[u8]) -> Option<u64> {
        let message = match self.matching {
            Matching::Tagged(tags) => match tags.read(datagram, self.last_seq) {
                Tag::Verified(seq) | Tag::Unverified(seq) => self.in_flight.take(seq),
                Tag::Absent => None,
            },
            // Equal messages: assume the oldest one.
            Matching::Untagged | Matching::Stream => self.in_flight.take_first(),
        }?;
        self.lost += 1;
        Some(message.seq)
    }

    /// Counts the latest message as lost, since the send failed on this host.
    /// Returns its sequence number.
    pub(crate) fn record_last_send_failure(&mut self) -> Option<u64> {
        let message = self.in_flight.take_last()?;
        self.lost += 1;
        Some(message.seq)
    }

    fn record_stray(&mut self, bytes: usize, events: &mut Vec<Event>) {
        self.strays += 1;
        events.push(Event::Stray { bytes });
    }

    /// Counts a message after its echo is complete.
    fn complete(
        &mut self,
        message: &Outstanding,
        is_late: bool,
        now: Duration,
        events: &mut Vec<Event>,
    ) {
        let rtt = now.saturating_sub(message.sent);
        let (seq, bytes) = (message.seq, message.received);
        let reordered = seq < self.highest_answered_seq;
        self.highest_answered_seq = self.highest_answered_seq.max(seq);
        if is_late {
            let offset = message.difference;
            events.push(Event::Late {
                seq,
                bytes,
                rtt,
                offset,
            });
            return;
        }
        if let Some(offset) = message.difference {
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
        self.longest_rtt = self.longest_rtt.max(Some(rtt));
        events.push(Event::Reply {
            seq,
            bytes,
            rtt,
            reordered,
        });
    }
}
